//! The types of the expression language and of the values that a rule may name (spec/expressions.md, "Types").
//!
//! 1. Every type here is a base in so many lists, because the named values have no other.
//! 2. Two types meet when a value could have both; what has no meeting type does not compile.

const program = @import("program.zig");
const refusal = @import("refusal.zig");
const sdk = @import("splittally");

pub const Base = enum(u8) { int, boolean, string, any, never, reserve, origin, receipt };

pub const Type = packed struct {
    base: Base,
    lists: u8 = 0,

    pub fn is(found: Type, base: Base) bool {
        return found.base == base and found.lists == 0;
    }

    pub fn isScalar(found: Type) bool {
        return found.lists == 0 and switch (found.base) {
            .int, .boolean, .string => true,
            else => false,
        };
    }

    pub fn isMap(found: Type) bool {
        return found.lists == 0 and switch (found.base) {
            .reserve, .origin, .receipt => true,
            else => false,
        };
    }

    pub fn listed(found: Type) Type {
        return .{ .base = found.base, .lists = found.lists + 1 };
    }

    /// The type of the items of a list.
    pub fn item(found: Type) Type {
        return .{ .base = found.base, .lists = found.lists - 1 };
    }
};

/// The type of a value that is `one` or `other`; null when no value is comparable as both.
pub fn meeting(one: Type, other: Type) ?Type {
    if (one == other) return one;
    const shared = @min(one.lists, other.lists);
    const a: Type = .{ .base = one.base, .lists = one.lists - shared };
    const b: Type = .{ .base = other.base, .lists = other.lists - shared };
    const both = if (a == b or b.is(.never))
        a
    else if (a.is(.never))
        b
    else if (a.is(.any) or b.is(.any))
        Type{ .base = .any }
    else
        return null;
    return .{ .base = both.base, .lists = both.lists + shared };
}

/// What an expression may name; those from `receipt` on only in the usage.
pub const Name = enum(u8) { kind, grant, params, origin, now_ns, receipt, payload, reserve };
pub const Names = enum { conditions, usage };

pub fn nameOf(word: []const u8, names: Names) ?Name {
    if (sdk.same(word, "params")) return .params;
    if (sdk.same(word, "kind")) return .kind;
    if (sdk.same(word, "grant")) return .grant;
    if (sdk.same(word, "origin")) return .origin;
    if (sdk.same(word, "now_ns")) return .now_ns;
    if (names != .usage) return null;
    if (sdk.same(word, "receipt")) return .receipt;
    if (sdk.same(word, "payload")) return .payload;
    if (sdk.same(word, "reserve")) return .reserve;
    return null;
}

pub fn typeOf(name: Name) Type {
    return .{ .base = switch (name) {
        .kind, .grant => .string,
        .params, .payload => .any,
        .now_ns => .int,
        .origin => .origin,
        .receipt => .receipt,
        .reserve => .reserve,
    } };
}

/// The type under a key of a map, record or `any`; null when a record has no such key.
pub fn fieldOf(container: Base, key: []const u8) ?Type {
    return .{ .base = switch (container) {
        .reserve => .int,
        .origin => if (sdk.same(key, "kind") or sdk.same(key, "name")) .string else return null,
        .receipt => if (sdk.same(key, "status") or sdk.same(key, "adapter_id"))
            .string
        else if (sdk.same(key, "cost_cents"))
            .int
        else if (sdk.same(key, "payload"))
            .any
        else
            return null,
        else => .any,
    } };
}

/// The type under a key that is known only when the expression runs.
pub fn anyFieldOf(container: Base) Type {
    return .{ .base = switch (container) {
        .reserve => .int,
        .origin => .string,
        else => .any,
    } };
}

pub const Sign = enum(u8) { equal, unequal, less, at_most, more, at_least };

/// What an operand is made of, where that matters to who uses it.
pub const Form = enum(u8) { other, literal, string_literal, literals, select };

/// A value while an expression is compiled: its type, the character it stands at, the height of its tree.
/// Of a claim or a value of a choice the misfit within it too, because there the last is said first.
pub const Operand = struct {
    type: Type,
    at: u16,
    height: u8 = 1,
    form: Form = .other,
    misfit: ?refusal.Refusal = null,
};

var operands: [program.parts_max + 1]Operand = undefined;
var count: usize = 0;

pub fn push(operand: Operand) void {
    operands[count] = operand;
    count += 1;
}

pub fn pop() Operand {
    count -= 1;
    return operands[count];
}

/// The operand `back` below the last.
pub fn below(back: usize) *Operand {
    return &operands[count - 1 - back];
}

pub fn drop(dropped: usize) void {
    count -= dropped;
}

/// Forgets what an expression that was refused has left.
pub fn reset() void {
    count = 0;
}
