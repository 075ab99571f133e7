//! Ints from -2^63 to 2^64-1, as a sign and a size of 64 bits (spec/expressions.md, "Operators").
//!
//! 1. What is outside is the fault `overflow`; nothing wraps and nothing is clamped.
//! 2. Zero has no sign. A quotient is rounded towards zero and a remainder has the sign of its left side.

const Op = @import("run.zig").Op;
const values = @import("values.zig");
const Fault = values.Fault;
const Value = values.Value;

const negative_max: u64 = 1 << 63;

fn set(one: *Value, size: u64, is_negative: bool) Fault!void {
    if (is_negative and size > negative_max) return error.Overflow;
    one.bits = size;
    one.is_negative = is_negative and size != 0;
}

pub fn negate(one: *Value) Fault!void {
    return set(one, one.bits, !one.is_negative);
}

/// `one op other` of two ints, in place of `one`.
pub fn apply(op: Op, one: *Value, other: *const Value) Fault!void {
    const is_negative = one.is_negative != other.is_negative;
    switch (op) {
        .add => return add(one, other.bits, other.is_negative),
        .subtract => return add(one, other.bits, !other.is_negative),
        .multiply => {
            const size = @mulWithOverflow(one.bits, other.bits);
            return if (size[1] == 1) error.Overflow else set(one, size[0], is_negative);
        },
        else => {},
    }
    if (other.bits == 0) return error.ZeroDivisor;
    if (op == .divide) return set(one, one.bits / other.bits, is_negative);
    return set(one, one.bits % other.bits, one.is_negative);
}

fn add(one: *Value, size: u64, is_negative: bool) Fault!void {
    if (one.is_negative != is_negative) {
        if (one.bits >= size) return set(one, one.bits - size, one.is_negative);
        return set(one, size - one.bits, is_negative);
    }
    const both = @addWithOverflow(one.bits, size);
    return if (both[1] == 1) error.Overflow else set(one, both[0], is_negative);
}

pub fn isBefore(one: *const Value, other: *const Value) bool {
    if (one.is_negative != other.is_negative) return one.is_negative;
    return if (one.is_negative) one.bits > other.bits else one.bits < other.bits;
}
