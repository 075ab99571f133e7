//! Text of others in a message that agents read: bounded, escaped, between backticks.
//!
//! 1. At most 64 bytes stand between the backticks; a cut falls between code points and shows as `…`.
//! 2. Controls, quotes, backticks, backslashes, bidirectional and invisible code points are escaped as
//!    `\u{202e}`, bytes that are no UTF-8 as `\xff`. So a value cannot end its quotation or hide in it.

const bytes_max = 64;
const cut = "…";

/// Writes the quotation to `to` and returns its size.
pub fn write(to: []u8, bytes: []const u8) usize {
    to[0] = '`';
    var size: usize = 1;
    var at: usize = 0;
    while (at < bytes.len) {
        const point = codePoint(bytes[at..]);
        const unit_size = if (point) |found| found.size else 1;
        var escaped: [10]u8 = @splat(0);
        const unit = if (point != null and isPlain(point.?.value))
            bytes[at..][0..unit_size]
        else if (point) |found|
            escape(&escaped, "\\u{", found.value, "}")
        else
            escape(&escaped, "\\x", bytes[at], "");
        if (size + unit.len > 1 + bytes_max - cut.len) {
            @memcpy(to[size..][0..cut.len], cut);
            size += cut.len;
            break;
        }
        @memcpy(to[size..][0..unit.len], unit);
        size += unit.len;
        at += unit_size;
    }
    to[size] = '`';
    return size + 1;
}

pub fn isUtf8(bytes: []const u8) bool {
    var at: usize = 0;
    while (at < bytes.len) at += (codePoint(bytes[at..]) orelse return false).size;
    return true;
}

/// Whether a reader sees the whole text as what it is; a text that is shown as it stands may hold quotes.
pub fn isLegible(bytes: []const u8) bool {
    var at: usize = 0;
    while (at < bytes.len) {
        const point = codePoint(bytes[at..]) orelse return false;
        const is_ascii = point.value >= 0x20 and point.value < 0x7F;
        if (!is_ascii and !isPlain(point.value)) return false;
        at += point.size;
    }
    return true;
}

const CodePoint = struct { value: u21, size: u3 };

/// The code point that `bytes` begin with, or null when they begin with no UTF-8 (RFC 3629 section 4).
noinline fn codePoint(bytes: []const u8) ?CodePoint {
    const first = bytes[0];
    if (first < 0x80) return .{ .value = first, .size = 1 };
    if (first < 0xC2 or first > 0xF4) return null;
    const size: u3 = if (first < 0xE0) 2 else if (first < 0xF0) 3 else 4;
    if (bytes.len < size) return null;
    var value: u21 = first & (@as(u8, 0x7F) >> size);
    for (bytes[1..size]) |byte| {
        if (byte & 0xC0 != 0x80) return null;
        value = value << 6 | (byte & 0x3F);
    }
    const least: u21 = if (size == 2) 0x80 else if (size == 3) 0x800 else 0x10000;
    if (value < least or value > 0x10FFFF or (value >= 0xD800 and value < 0xE000)) return null;
    return .{ .value = value, .size = size };
}

/// Whether a reader sees the code point as what it is.
fn isPlain(point: u21) bool {
    return switch (point) {
        0x20, 0x21, 0x23...0x26, 0x28...0x5B, 0x5D...0x5F, 0x61...0x7E => true,
        0xA1...0xAC, 0xAE...0x34E, 0x350...0x61B, 0x61D...0x115E, 0x1161...0x167F, 0x1681...0x17B3 => true,
        0x17B6...0x180A, 0x1810...0x1FFF, 0x2010...0x2027, 0x2030...0x205E, 0x2070...0x2FFF => true,
        0x3001...0x3163, 0x3165...0xD7FF, 0xF900...0xFDFF, 0xFE10...0xFEFE, 0xFF00...0xFF9F => true,
        0xFFA1...0xFFEF, 0x10000...0x1BC9F, 0x1BCA4...0x1D172, 0x1D17B...0xDFFFF => true,
        else => false,
    };
}

/// The value in hexadecimal, two digits at least, between `head` and `tail`.
noinline fn escape(to: *[10]u8, head: []const u8, value: u32, tail: []const u8) []const u8 {
    @memcpy(to[0..head.len], head);
    var size = head.len;
    var shift: u5 = 24;
    while (shift > 0) {
        shift -= 4;
        if (shift > 4 and value >> shift == 0) continue;
        const digit: u8 = @intCast(value >> shift & 15);
        to[size] = digit + @as(u8, if (digit < 10) '0' else 'a' - 10);
        size += 1;
    }
    @memcpy(to[size..][0..tail.len], tail);
    return to[0 .. size + tail.len];
}
