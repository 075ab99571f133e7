//! Paths of files as texts: resolved without looking at any file, and compared at a segment's boundary.
//!
//! 1. `.` and `..` are resolved as text. What lies behind a symbolic link cannot be seen here, so a host
//!    that follows links states the real path.
//! 2. What programs read in different ways is refused: a `..` above the root, an empty segment, a backslash,
//!    a control, an escape such as `%2e`, a drive letter, a leading `~`, a segment that ends in a dot or space.
//! 3. Otherwise bytes are compared as written: no case, no Unicode form and no look-alike is folded.

pub const bytes_max = 4096;
pub const Malformed = error{Malformed};

const Segment = enum { plain, here, up };

var resolved: [bytes_max]u8 = @splat(0);

/// The absolute path that `path` names, below `base` when it does not begin with `/`; no slash ends it but the
/// root's. It holds until the next call. `base` is a path for which `isPrefix` holds.
pub noinline fn resolve(path: []const u8, base: ?[]const u8) Malformed![]const u8 {
    if (path.len == 0 or path.len > bytes_max or path[0] == '~') return error.Malformed;
    var size: usize = 0;
    var rest = path;
    if (path[0] == '/') {
        rest = path[1..];
    } else {
        const whole = base orelse return error.Malformed;
        size = if (whole[whole.len - 1] == '/') whole.len - 1 else whole.len;
        if (size > bytes_max) return error.Malformed;
        @memcpy(resolved[0..size], whole[0..size]);
    }
    while (rest.len > 0) {
        const segment = rest[0..try segmentSize(rest)];
        rest = rest[@min(segment.len + 1, rest.len)..];
        switch (try kindOf(segment)) {
            .here => {},
            .up => {
                if (size == 0) return error.Malformed;
                size -= 1;
                while (resolved[size] != '/') size -= 1;
            },
            .plain => {
                if (segment.len >= bytes_max - size) return error.Malformed;
                resolved[size] = '/';
                @memcpy(resolved[size + 1 ..][0..segment.len], segment);
                size += 1 + segment.len;
            },
        }
    }
    if (size > 0) return resolved[0..size];
    resolved[0] = '/';
    return resolved[0..1];
}

/// Whether `prefix` is an absolute path in the form that `resolve` gives; one slash may end it.
pub fn isPrefix(prefix: []const u8) bool {
    if (prefix.len == 0 or prefix.len > bytes_max or prefix[0] != '/') return false;
    var rest = prefix[1..];
    while (rest.len > 0) {
        const size = segmentSize(rest) catch return false;
        const kind = kindOf(rest[0..size]) catch return false;
        if (kind != .plain) return false;
        rest = rest[@min(size + 1, rest.len)..];
    }
    return true;
}

/// Whether a resolved path is `prefix` or lies below it; a prefix that ends in `/` names what lies below only.
pub fn isUnder(path: []const u8, prefix: []const u8) bool {
    if (path.len < prefix.len) return false;
    for (path[0..prefix.len], prefix) |a, b| if (a != b) return false;
    return path.len == prefix.len or prefix[prefix.len - 1] == '/' or path[prefix.len] == '/';
}

/// How far the segment goes that `rest` begins with; refused where a byte of it is read differently.
fn segmentSize(rest: []const u8) Malformed!usize {
    for (rest, 0..) |byte, at| {
        if (byte == '/') return at;
        if (byte < 0x20 or byte == 0x7F or byte == '\\') return error.Malformed;
        if (byte == '%' and rest.len - at > 2 and isHex(rest[at + 1]) and isHex(rest[at + 2])) return error.Malformed;
    }
    return rest.len;
}

fn kindOf(segment: []const u8) Malformed!Segment {
    if (segment.len == 0) return error.Malformed;
    const last = segment[segment.len - 1];
    if (last != '.' and last != ' ') {
        const has_drive = segment.len > 1 and segment[1] == ':' and isLetter(segment[0]);
        return if (has_drive) error.Malformed else .plain;
    }
    if (segment[0] != '.' or segment.len > 2) return error.Malformed;
    if (segment.len == 1) return .here;
    return if (last == '.') .up else error.Malformed;
}

fn isLetter(byte: u8) bool {
    return byte | 0x20 >= 'a' and byte | 0x20 <= 'z';
}

fn isHex(byte: u8) bool {
    return (byte >= '0' and byte <= '9') or (byte | 0x20 >= 'a' and byte | 0x20 <= 'f');
}
