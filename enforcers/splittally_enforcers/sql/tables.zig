//! What a grant lists of tables and functions, and the names of a statement in the form in which they are compared.
//!
//! 1. A name that is not quoted is folded to lower case; a quoted one stands as it is written. A listed name is
//!    compared byte for byte with that: `users` covers USERS and "users", `Users` only "Users".
//! 2. Parts are compared as many as are written: `users` does not cover `public.users`, `public.*` does.

const std = @import("std");
const sdk = @import("splittally");
const tokens = @import("tokens.zig");
const sets = sdk.sets;

pub const listed_max = 256;
const name_bytes_max = 256;
const parts_max = 4;

/// The tokens of a name that dots join; of more than four no grant says anything.
pub const Chain = struct {
    parts: [parts_max]tokens.Token = undefined,
    count: usize = 0,

    pub fn add(chain: *Chain, part: tokens.Token) void {
        if (chain.count < parts_max) chain.parts[chain.count] = part;
        chain.count += 1;
    }
};

/// A name in the form in which it is compared. It holds until the next is made.
pub const Name = struct {
    text: []const u8,
    stem: usize, // the bytes before the last part
    is_clear: bool, // no part holds what would read as a dot or a star, and all of it is there
};

var buffer: [name_bytes_max + 1]u8 = @splat(0);

pub noinline fn nameOf(chain: *const Chain) Name {
    var name: Name = .{ .text = "", .stem = 0, .is_clear = chain.count <= parts_max };
    var size: usize = 0;
    for (chain.parts[0..@min(chain.count, parts_max)]) |part| {
        const gap: usize = if (size > 0) 1 else 0;
        if (part.text.len == 0 or size + gap + part.text.len > name_bytes_max) {
            name.is_clear = false;
            break;
        }
        if (gap == 1) buffer[size] = '.';
        name.stem = size + gap;
        for (part.text, buffer[name.stem..][0..part.text.len]) |byte, *to| {
            to.* = if (part.kind == .word and byte >= 'A' and byte <= 'Z') byte + 32 else byte;
            if (byte == '.' or byte == '*' or byte == '"' or byte < 0x20) name.is_clear = false;
        }
        size = name.stem + part.text.len;
    }
    name.text = buffer[0..size];
    return name;
}

/// Whether two texts are equal but for the case of their ASCII letters.
pub fn isSameFolded(a: []const u8, b: []const u8) bool {
    return std.ascii.eqlIgnoreCase(a, b);
}

// They read nothing but their arguments. Types that take a size and ON CONFLICT stand before a parenthesis too.
const plain_functions = [_][]const u8{
    // zig fmt: off
    "abs", "avg", "bit", "cast", "ceil", "ceiling", "char", "character", "coalesce", "concat", "conflict",
    "count", "date", "float", "decimal", "extract", "floor", "greatest", "interval", "lag", "lead", "least",
    "left", "length", "lower", "ltrim", "max", "min", "mod", "now", "nullif", "rank", "numeric", "overlay",
    "position", "power", "replace", "right", "round", "row_number", "rtrim", "sign", "sqrt", "substr",
    "substring", "sum", "time", "trim", "timestamp", "upper", "varchar", "varying", "dense_rank", "char_length",
    "first_value", "last_value",
    // zig fmt: on
};

/// Whether a function is allowed where a grant lists tables and no functions.
pub noinline fn isPlainFunction(name: *const Name) bool {
    return name.is_clear and sdk.isAmong(name.text, &plain_functions);
}

/// Names, and `schema.*` for every name in one schema.
pub const Listed = struct {
    set: sets.Set(listed_max) = .{},

    pub fn isEmpty(listed: *const Listed) bool {
        return listed.set.count == 0;
    }

    /// False when it is neither, or one too many.
    pub fn add(listed: *Listed, pattern: []const u8) bool {
        const stem = if (sdk.endsWith(pattern, ".*")) pattern[0 .. pattern.len - 2] else pattern;
        var hash = sets.seed;
        var last: u8 = '.';
        for (stem) |byte| {
            if (byte < 0x20 or byte == '"' or byte == '*' or (byte == '.' and last == '.')) return false;
            hash = sets.mix(hash, byte);
            last = byte;
        }
        if (last == '.') return false;
        for (pattern[stem.len..]) |byte| hash = sets.mix(hash, byte);
        return listed.set.add(hash, pattern);
    }

    pub fn covers(listed: *const Listed, name: *const Name) bool {
        if (!name.is_clear) return false;
        if (listed.set.has(sets.hashOf(name.text), name.text)) return true;
        if (name.stem == 0) return false;
        // The star stands in the place of the last part for as long as it takes to look.
        const first = buffer[name.stem];
        buffer[name.stem] = '*';
        const wide = buffer[0 .. name.stem + 1];
        const is_covered = listed.set.has(sets.hashOf(wide), wide);
        buffer[name.stem] = first;
        return is_covered;
    }
};
