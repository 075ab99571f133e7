//! Patterns of commands: a list of texts that is compared with a list of arguments, one by one.
//!
//! 1. The first is the command's name, literally. Any other is literal, `*`, a prefix with a star behind it, or,
//!    as the last, `**` for any arguments that are left.
//! 2. `*` is any one argument that does not begin with `-`. `--depth=*` is any that begins with `--depth=`.
//! 3. An argument that a prefix with a slash names must hold no `..` segment: `/data/*` does not leave `/data`.

const sdk = @import("splittally");

pub const Malformed = error{Malformed};

pub const arguments_max = 512;
pub const patterns_max = 256;
pub const patterns_bytes_max = 16 * 1024;
const texts_max = 1024; // of all patterns together

/// Which arguments hold a `..` segment; found once, because many patterns may ask.
var climbing: [arguments_max]bool = @splat(false);
var texts_seen: u64 = 0;

const Kind = enum { literal, any, prefix, rest };

/// Looks at every argument once, before any pattern; false when one holds NUL or the first is empty.
pub fn look(argv: sdk.Texts) bool {
    var arguments = argv;
    const first = arguments.next() orelse return false;
    if (first.len == 0) return false;
    arguments = argv;
    var at: usize = 0;
    while (arguments.next()) |argument| : (at += 1) {
        if (hasNul(argument)) return false;
        climbing[at] = climbs(argument);
    }
    return true;
}

/// Whether the arguments fit the pattern; refused when it is none.
pub noinline fn matches(item: sdk.Item, argv: sdk.Texts) Malformed!bool {
    texts_seen += item.length() orelse return error.Malformed;
    if (texts_seen > texts_max) return error.Malformed;
    var pattern = item.texts() orelse return error.Malformed;
    var arguments = argv;
    var is_match = true;
    var at: usize = 0;
    while (pattern.next()) |wanted| : (at += 1) {
        const kind = try kindOf(wanted);
        if (at == 0 and (kind != .literal or wanted.len == 0)) return error.Malformed;
        if (kind == .rest) return if (pattern.isEmpty()) is_match else error.Malformed;
        if (!is_match) continue;
        const argument = arguments.next();
        is_match = argument != null and fits(kind, wanted, argument.?, at);
    }
    if (at == 0) return error.Malformed;
    return is_match and arguments.isEmpty();
}

fn kindOf(wanted: []const u8) Malformed!Kind {
    var stars: usize = 0;
    for (wanted) |byte| stars += @intFromBool(byte == '*');
    if (stars == 0) return .literal;
    if (stars == 2 and wanted.len == 2) return .rest;
    if (stars > 1 or wanted[wanted.len - 1] != '*') return error.Malformed;
    return if (wanted.len == 1) .any else .prefix;
}

fn fits(kind: Kind, wanted: []const u8, argument: []const u8, at: usize) bool {
    switch (kind) {
        .literal => return sdk.equal(wanted, argument),
        .any => return argument.len == 0 or argument[0] != '-',
        .prefix => {
            const stem = wanted[0 .. wanted.len - 1];
            if (!sdk.startsWith(argument, stem)) return false;
            const has_slash = for (stem) |byte| {
                if (byte == '/') break true;
            } else false;
            return !has_slash or !climbing[at];
        },
        .rest => unreachable,
    }
}

/// Whether a segment of the argument is `..`, with slashes of either kind around it.
fn climbs(argument: []const u8) bool {
    var start: usize = 0;
    for (argument, 0..) |byte, at| {
        if (byte != '/' and byte != '\\') continue;
        if (sdk.same(argument[start..at], "..")) return true;
        start = at + 1;
    }
    return sdk.same(argument[start..], "..");
}

pub fn hasNul(text: []const u8) bool {
    for (text) |byte| if (byte == 0) return true;
    return false;
}
