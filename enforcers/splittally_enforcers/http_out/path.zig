//! Brings a URL's path to the form in which prefixes are compared.
//!
//! 1. Dot segments are removed as in RFC 3986 section 5.2.4, `%2e` read as a dot.
//! 2. What servers read differently is refused: an encoded slash, backslash or control, a dot segment
//!    with parameters (`..;x`), a dot segment that would remove an empty one (`//..`), a broken escape.
//! 3. Otherwise bytes are compared as written: `%61` is not `a`.

const url = @import("url.zig");

pub const Malformed = error{Malformed};

const Dots = enum { none, one, two };

/// Writes the path without its dot segments to `buffer`, which is at least as long.
pub fn normalise(path: []const u8, buffer: []u8) Malformed![]const u8 {
    try refuseEscapes(path);
    var size: usize = 0;
    var rest = path;
    while (rest.len > 0) {
        const end = 1 + (url.find(rest[1..], "/") orelse rest.len - 1);
        const segment = rest[0..end]; // with its slash
        rest = rest[end..];
        const dots = try dotsOf(segment[1..]);
        if (dots == .none) {
            @memcpy(buffer[size..][0..segment.len], segment);
            size += segment.len;
            continue;
        }
        if (dots == .two) size = try withoutLast(buffer[0..size]);
        if (rest.len == 0) {
            buffer[size] = '/';
            size += 1;
        }
    }
    return buffer[0..size];
}

/// Whether `path` is `prefix` or lies below it, at a segment's boundary.
pub fn isUnder(path: []const u8, prefix: []const u8) bool {
    if (path.len < prefix.len) return false;
    for (path[0..prefix.len], prefix) |a, b| if (a != b) return false;
    return path.len == prefix.len or prefix[prefix.len - 1] == '/' or path[prefix.len] == '/';
}

fn refuseEscapes(path: []const u8) Malformed!void {
    for (path, 0..) |byte, i| {
        if (byte != '%') continue;
        if (path.len - i < 3) return error.Malformed;
        const high = url.hexValue(path[i + 1]) orelse return error.Malformed;
        const low = url.hexValue(path[i + 2]) orelse return error.Malformed;
        const value = high << 4 | low;
        if (value < 0x20 or value == 0x7F or value == '/' or value == '\\') return error.Malformed;
    }
}

/// How many dots a segment consists of; refused when parameters follow them.
fn dotsOf(segment: []const u8) Malformed!Dots {
    var at: usize = 0;
    var count: usize = 0;
    while (at < segment.len) : (count += 1) {
        if (segment[at] == '.') at += 1 else if (url.isAt(segment, at, "%2e") or url.isAt(segment, at, "%2E")) at += 3 else break;
    }
    if (count == 0 or count > 2) return .none;
    if (at == segment.len) return if (count == 1) .one else .two;
    return if (segment[at] == ';' or url.isAt(segment, at, "%3b") or url.isAt(segment, at, "%3B")) error.Malformed else .none;
}

/// The size of `written` without its last segment; at the root there is none to remove.
fn withoutLast(written: []const u8) Malformed!usize {
    if (written.len == 0) return 0;
    var at = written.len - 1;
    if (written[at] == '/') return error.Malformed;
    while (written[at] != '/') at -= 1;
    return at;
}
