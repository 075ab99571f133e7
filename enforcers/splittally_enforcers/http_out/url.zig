//! Reads an http URL where RFC 3986 and the WHATWG URL standard agree, and refuses it where they do not.
//!
//! 1. The authority ends at the first `/`, `?`, `#` or backslash; the last `@` in it ends the userinfo.
//! 2. The host is folded to lower case and loses one trailing dot. It is a name of letters, digits, `-`
//!    and `_`, an IPv4 address as four plain decimal numbers, or an IPv6 address in brackets. Percent
//!    signs, non-ASCII (write punycode) and other spellings of an IPv4 address are refused.
//! 3. What clients read differently is `unclear`: a backslash before the query, more than one `@`.

pub const Malformed = error{Malformed};

pub const Url = struct {
    scheme: []const u8,
    host: Host,
    port: ?u64, // null: none given and the scheme has no default
    path: []const u8, // never empty, as written
    has_userinfo: bool,
    is_unclear: bool,
};

/// A name or a dotted IPv4 address in lower case, or the eight groups of an IPv6 address.
pub const Host = struct {
    name: []const u8,
    groups: ?[8]u16 = null,
    is_ipv4: bool = false,
};

const scheme_bytes_max = 16;
const name_bytes_max = 253; // RFC 1035 section 2.3.4, without the trailing dot
const label_bytes_max = 63;

pub fn parse(url: []const u8, scheme_buffer: *[scheme_bytes_max]u8, host_buffer: *[256]u8) Malformed!Url {
    for (url) |byte| if (byte <= 0x20 or byte == 0x7F) return error.Malformed;
    const colon = find(url, ":") orelse return error.Malformed;
    const scheme = try readScheme(url[0..colon], scheme_buffer);
    if (!isAt(url, colon, "://")) return error.Malformed;
    const rest = url[colon + 3 ..];
    const authority = rest[0 .. find(rest, "/?#\\") orelse rest.len];
    const after = rest[authority.len..];
    const path = after[0 .. find(after, "?#") orelse after.len];
    const at_sign = findLast(authority, '@');
    const userinfo = authority[0 .. at_sign orelse 0];
    const place = authority[if (at_sign) |at| at + 1 else 0..];
    const host_size = try hostSize(place);
    return .{
        .scheme = scheme,
        .host = try parseHost(place[0..host_size], host_buffer),
        .port = try readPort(place[host_size..], defaultPort(scheme)),
        .path = if (path.len == 0) "/" else path,
        .has_userinfo = at_sign != null,
        .is_unclear = find(path, "\\") != null or find(userinfo, "@") != null,
    };
}

/// Where the host ends: after the bracket of an IPv6 address, else before the first colon.
fn hostSize(place: []const u8) Malformed!usize {
    if (place.len == 0 or place[0] != '[') return find(place, ":") orelse place.len;
    return (find(place, "]") orelse return error.Malformed) + 1;
}

fn readScheme(bytes: []const u8, buffer: *[scheme_bytes_max]u8) Malformed![]const u8 {
    if (bytes.len == 0 or bytes.len > buffer.len) return error.Malformed;
    for (bytes, 0..) |byte, i| {
        const lower = toLower(byte);
        const is_letter = lower >= 'a' and lower <= 'z';
        const is_inner = isDigit(byte) or byte == '+' or byte == '-' or byte == '.';
        if (!is_letter and (i == 0 or !is_inner)) return error.Malformed;
        buffer[i] = lower;
    }
    return buffer[0..bytes.len];
}

fn defaultPort(scheme: []const u8) ?u64 {
    if (isAt(scheme, 0, "https") and scheme.len == 5) return 443;
    if (isAt(scheme, 0, "http") and scheme.len == 4) return 80;
    return null;
}

/// `bytes` is empty or a colon and digits; no digits stand for the scheme's default.
fn readPort(bytes: []const u8, default: ?u64) Malformed!?u64 {
    if (bytes.len == 0) return default;
    if (bytes[0] != ':') return error.Malformed;
    if (bytes.len == 1) return default;
    var port: u64 = 0;
    for (bytes[1..]) |byte| {
        if (!isDigit(byte)) return error.Malformed;
        port = 10 * port + (byte - '0');
        if (port > 65535) return error.Malformed;
    }
    return port;
}

// --- hosts -------------------------------------------------------------------------------------------

/// A host as it stands in a URL: a name, an IPv4 address, or an IPv6 address in brackets.
pub fn parseHost(bytes: []const u8, buffer: *[256]u8) Malformed!Host {
    if (bytes.len > 2 and bytes[0] == '[' and bytes[bytes.len - 1] == ']') {
        return .{ .name = bytes, .groups = try parseIpv6(bytes[1 .. bytes.len - 1]) };
    }
    const name = try foldName(bytes, buffer);
    const last = name[if (findLast(name, '.')) |dot| dot + 1 else 0..];
    if (!isNumeric(last)) return .{ .name = name };
    _ = try parseIpv4(name);
    return .{ .name = name, .is_ipv4 = true };
}

fn foldName(bytes: []const u8, buffer: *[256]u8) Malformed![]const u8 {
    const has_dot = bytes.len > 0 and bytes[bytes.len - 1] == '.';
    const size = bytes.len - @intFromBool(has_dot);
    if (size > name_bytes_max) return error.Malformed;
    var start: usize = 0;
    for (bytes[0..size], 0..) |byte, i| {
        const lower = name_bytes[byte];
        if (lower == 0) return error.Malformed;
        buffer[i] = lower;
        if (lower != '.') continue;
        if (i == start or i - start > label_bytes_max) return error.Malformed;
        start = i + 1;
    }
    if (size == start or size - start > label_bytes_max) return error.Malformed;
    return buffer[0..size];
}

/// What each byte of a name is folded to; 0 for bytes that no name has.
const name_bytes: [256]u8 = fold: {
    var table: [256]u8 = @splat(0);
    for ("abcdefghijklmnopqrstuvwxyz0123456789-_.") |byte| table[byte] = byte;
    for ('A'..'Z' + 1) |upper| table[upper] = toLower(upper);
    break :fold table;
};

/// Whether a client takes a host that ends in this label for an IPv4 address (WHATWG, "ends in a number").
pub fn isNumeric(label: []const u8) bool {
    if (label.len > 1 and label[0] == '0' and toLower(label[1]) == 'x') {
        for (label[2..]) |byte| if (!isDigit(byte) and !isHexLetter(byte)) return false;
        return true;
    }
    for (label) |byte| if (!isDigit(byte)) return false;
    return label.len > 0;
}

/// Four decimal numbers up to 255 without leading zeros; every other spelling is refused.
fn parseIpv4(bytes: []const u8) Malformed![4]u8 {
    var parts: [4]u8 = @splat(0);
    var count: usize = 0;
    var at: usize = 0;
    while (true) {
        const start = at;
        var value: u16 = 0;
        while (at < bytes.len and isDigit(bytes[at])) : (at += 1) {
            value = 10 * value + (bytes[at] - '0');
            if (value > 255) return error.Malformed;
        }
        const size = at - start;
        if (size == 0 or (size > 1 and bytes[start] == '0') or count == 4) return error.Malformed;
        parts[count] = @intCast(value);
        count += 1;
        if (at == bytes.len) break;
        if (bytes[at] != '.') return error.Malformed;
        at += 1;
    }
    return if (count == 4) parts else error.Malformed;
}

/// RFC 4291 section 2.2: eight groups, `::` once for one or more of zero, the last two as dotted IPv4.
pub fn parseIpv6(bytes: []const u8) Malformed![8]u16 {
    var groups: [8]u16 = @splat(0);
    var count: usize = 0;
    var gap: ?usize = null;
    var at: usize = 0;
    if (isAt(bytes, 0, "::")) {
        gap = 0;
        at = 2;
    }
    while (at < bytes.len) {
        if (count == 8) return error.Malformed;
        const size = find(bytes[at..], ":") orelse bytes.len - at;
        const group = bytes[at..][0..size];
        at += size;
        if (at == bytes.len and find(group, ".") != null) {
            if (count > 6) return error.Malformed;
            const parts = try parseIpv4(group);
            groups[count] = @as(u16, parts[0]) << 8 | parts[1];
            groups[count + 1] = @as(u16, parts[2]) << 8 | parts[3];
            count += 2;
            break;
        }
        groups[count] = try parseGroup(group);
        count += 1;
        if (at == bytes.len) break;
        at += 1;
        if (at == bytes.len) return error.Malformed;
        if (bytes[at] == ':') {
            if (gap != null) return error.Malformed;
            gap = count;
            at += 1;
        }
    }
    const start = gap orelse return if (count == 8) groups else error.Malformed;
    if (count == 8) return error.Malformed;
    return spread(groups, start, count);
}

fn parseGroup(bytes: []const u8) Malformed!u16 {
    if (bytes.len == 0 or bytes.len > 4) return error.Malformed;
    var value: u16 = 0;
    for (bytes) |byte| value = value << 4 | (hexValue(byte) orelse return error.Malformed);
    return value;
}

/// Moves the groups after the gap to the end.
fn spread(groups: [8]u16, gap: usize, count: usize) [8]u16 {
    var whole: [8]u16 = @splat(0);
    for (groups[0..count], 0..) |group, i| whole[if (i < gap) i else i + 8 - count] = group;
    return whole;
}

// --- bytes -------------------------------------------------------------------------------------------

fn isDigit(byte: u8) bool {
    return byte >= '0' and byte <= '9';
}

fn isHexLetter(byte: u8) bool {
    const lower = toLower(byte);
    return lower >= 'a' and lower <= 'f';
}

pub fn hexValue(byte: u8) ?u8 {
    if (isDigit(byte)) return byte - '0';
    return if (isHexLetter(byte)) toLower(byte) - 'a' + 10 else null;
}

pub fn toLower(byte: u8) u8 {
    return if (byte >= 'A' and byte <= 'Z') byte + 32 else byte;
}

/// Where the first of `wanted` stands.
pub fn find(bytes: []const u8, comptime wanted: []const u8) ?usize {
    for (bytes, 0..) |byte, i| {
        inline for (wanted) |one| if (byte == one) return i;
    }
    return null;
}

fn findLast(bytes: []const u8, wanted: u8) ?usize {
    var at = bytes.len;
    while (at > 0) {
        at -= 1;
        if (bytes[at] == wanted) return at;
    }
    return null;
}

pub fn isAt(bytes: []const u8, at: usize, comptime wanted: []const u8) bool {
    if (bytes.len - at < wanted.len) return false;
    inline for (wanted, 0..) |one, i| if (bytes[at + i] != one) return false;
    return true;
}
