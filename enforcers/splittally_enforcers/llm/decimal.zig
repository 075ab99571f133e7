//! A provider's own figure of a cost, as integer, text or float, in minor units of a resource, rounded half up.
//!
//! A float is read from its bits, exactly: it is a whole number of powers of two, and no float instruction is used.
//!
//!     0.005615 at scale 6 → 5615      "0.0000005" → 1 (half up)      0.0000004 → 0

const sdk = @import("splittally");

const power_max = 38; // 10^38 is the largest power of ten below 2^128
pub const scale_max = 18;

/// The minor units of `item`, which counts in units of 10^-`places` at `scale`; null where it is no cost.
pub fn minorUnits(item: sdk.Item, scale: u64, places: u64) ?u64 {
    const power = @as(i64, @intCast(scale)) - @as(i64, @intCast(places));
    if (item.natural()) |units| return scaled(units, power);
    if (item.text()) |digits| return ofText(digits, power);
    return ofFloat(item.bytes, power);
}

fn powerOfTen(power: u64) ?u128 {
    if (power > power_max) return null;
    var value: u128 = 1;
    for (0..@intCast(power)) |_| value *= 10;
    return value;
}

/// `value` × 10^`power`, rounded half up.
fn scaled(value: u128, power: i64) ?u64 {
    if (power >= 0) {
        const factor = powerOfTen(@intCast(power)) orelse return if (value == 0) 0 else null;
        const product = @mulWithOverflow(value, factor);
        if (product[1] != 0) return null;
        return narrowed(product[0]);
    }
    var rest = value;
    var last: u64 = 0;
    for (0..@intCast(@min(-power, power_max + 2))) |_| {
        last = tenth(&rest);
    }
    return narrowed(rest + @intFromBool(last >= 5));
}

/// Divides by ten, thirty-two bits at a time, and gives the digit that is left.
fn tenth(value: *u128) u64 {
    var quotient: u128 = 0;
    var remainder: u64 = 0;
    inline for (.{ 96, 64, 32, 0 }) |shift| {
        const part = remainder << 32 | @as(u32, @truncate(value.* >> shift));
        quotient = quotient << 32 | part / 10;
        remainder = part % 10;
    }
    value.* = quotient;
    return remainder;
}

fn narrowed(value: u128) ?u64 {
    return if (value >> 64 == 0) @truncate(value) else null;
}

/// Digits with at most one point, and an exponent as programs print it; null for anything else.
fn ofText(text: []const u8, power: i64) ?u64 {
    var value: u128 = 0;
    var places: i64 = 0;
    var is_fraction = false;
    var digits: usize = 0;
    for (text, 0..) |byte, at| switch (byte) {
        '0'...'9' => {
            digits += 1;
            if (value >= (1 << 120)) {
                if (!is_fraction) return null;
                continue; // places beyond any scale
            }
            value = value * 10 + (byte - '0');
            places += @intFromBool(is_fraction);
        },
        '.' => if (is_fraction) return null else {
            is_fraction = true;
        },
        'e', 'E' => {
            const exponent = exponentOf(text[at + 1 ..]) orelse return null;
            return if (digits == 0) null else scaled(value, power - places + exponent);
        },
        else => return null,
    };
    return if (digits == 0) null else scaled(value, power - places);
}

fn exponentOf(text: []const u8) ?i64 {
    const is_signed = text.len > 0 and (text[0] == '-' or text[0] == '+');
    const digits = text[@intFromBool(is_signed)..];
    if (digits.len == 0 or digits.len > 4) return null;
    var value: i64 = 0;
    for (digits) |byte| {
        if (byte < '0' or byte > '9') return null;
        value = value * 10 + (byte - '0');
    }
    return if (is_signed and text[0] == '-') -value else value;
}

/// A float in its CBOR bytes; a negative one is no cost.
fn ofFloat(bytes: []const u8, power: i64) ?u64 {
    if (bytes.len == 0) return null;
    const layout: Layout = switch (bytes[0]) {
        0xF9 => .{ .size = 2, .fraction = 10, .bias = 15 },
        0xFA => .{ .size = 4, .fraction = 23, .bias = 127 },
        0xFB => .{ .size = 8, .fraction = 52, .bias = 1023 },
        else => return null,
    };
    if (bytes.len != 1 + layout.size) return null;
    var bits: u64 = 0;
    for (bytes[1..]) |byte| bits = bits << 8 | byte;
    const sign_bit: u6 = @intCast(8 * layout.size - 1);
    const is_negative = bits >> sign_bit != 0;
    const magnitude = bits & ((@as(u64, 1) << sign_bit) - 1);
    if (is_negative) return if (magnitude == 0) 0 else null;
    const stated: i64 = @intCast(magnitude >> layout.fraction);
    if (stated == 2 * layout.bias + 1) return null;
    const fraction = magnitude & ((@as(u64, 1) << layout.fraction) - 1);
    const mantissa = if (stated == 0) fraction else fraction | @as(u64, 1) << layout.fraction;
    return binary(mantissa, @max(stated, 1) - layout.bias - layout.fraction, power);
}

const Layout = struct { size: usize, fraction: u6, bias: i64 };

/// `mantissa` × 2^`exponent` × 10^`power`, rounded half up; a mantissa has at most 53 bits.
fn binary(mantissa: u64, exponent: i64, power: i64) ?u64 {
    if (mantissa == 0) return 0;
    if (power < 0 or power > scale_max) return null;
    const product = @as(u128, mantissa) * powerOfTen(@intCast(power)).?; // below 2^53 × 2^60
    if (exponent >= 0) {
        if (exponent > 63) return null;
        const shift: u7 = @intCast(exponent);
        return if (product >> (64 - shift) == 0) @truncate(product << shift) else null;
    }
    if (exponent < -120) return 0;
    const shift: u7 = @intCast(-exponent);
    return narrowed((product >> shift) + (product >> (shift - 1) & 1));
}
