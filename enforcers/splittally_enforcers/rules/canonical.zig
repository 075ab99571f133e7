//! Whether bytes are one map in canonical form (spec/01-canonical-form.md), so that it can be read unchecked.
//!
//! 1. Of a payload, which an adapter may give as bytes, everything is checked: shortest heads, definite
//!    lengths, text in UTF-8, text keys ascending and once each, integers from -2^63 to 2^64-1, at most 64
//!    levels, nothing behind. The bits of a float are not looked at.
//! 2. Params come from the kernel, which sends canonical bytes only: their own keys and their end are
//!    checked, what is inside is passed over.
//! 3. Nothing recurses: what a list or map still owes stands in a level. Work is taken from the account.

const sdk = @import("splittally");
const values = @import("values.zig");
const classes = values.classes;

const depth_max = 64; // DEPTH_MAX
const negative_max: u64 = (1 << 63) - 1; // the argument of -2^63

pub const Unreadable = values.Exhausted || error{Malformed};

/// What a list or map still owes. In a map a key is owed wherever an odd number of items is left.
const Level = struct { owed: usize, key_bit: usize, key: ?[]const u8 };

var levels: [depth_max]Level = undefined;

/// Finds the bytes to be one canonical map, all of it.
pub fn checkAll(bytes: []const u8) Unreadable!void {
    if (bytes.len == 0 or bytes[0] >> 5 != 5) return error.Malformed;
    var walk: Walk = .{ .bytes = bytes.ptr, .len = bytes.len };
    try walk.run();
    if (walk.at != bytes.len) return error.Malformed;
}

/// Finds the bytes to be one map with canonical keys, trusting what is under them.
pub fn checkOutline(bytes: []const u8) Unreadable!void {
    if (bytes.len == 0 or bytes[0] >> 5 != 5) return error.Malformed;
    var walk: Walk = .{ .bytes = bytes.ptr, .len = bytes.len, .at = 1 };
    const entries = try walk.within(try walk.argumentOf(bytes[0]));
    for (0..entries) |_| {
        try walk.pass(1);
        try walk.readKey(bytes[walk.at - 1]);
        if (walk.at == bytes.len) return error.Malformed;
        const end = @intFromPtr(try values.skip(bytes.ptr + walk.at, 1)) - @intFromPtr(bytes.ptr);
        if (end > bytes.len) return error.Malformed;
        walk.at = end;
    }
    if (walk.at != bytes.len) return error.Malformed;
}

/// How many values and keys the bytes hold, up to where they are malformed; null above `most`.
pub fn count(bytes: []const u8, most: usize) ?usize {
    var walk: Walk = .{ .bytes = bytes.ptr, .len = bytes.len };
    var owed: usize = 1;
    var found: usize = 0;
    while (owed > 0 and walk.at < walk.len) : (owed -= 1) {
        if (found == most) return null;
        found += 1;
        owed += walk.enter() catch return found;
    }
    return found;
}

const Walk = struct {
    bytes: [*]const u8, // never read at `len` or behind it
    len: usize,
    at: usize = 0,
    depth: usize = 0,
    level: Level = .{ .owed = 1, .key_bit = 0, .key = null },

    fn run(walk: *Walk) Unreadable!void {
        while (true) {
            if (walk.level.owed == 0) {
                if (walk.depth == 0) return;
                walk.depth -= 1;
                walk.level = levels[walk.depth];
                continue;
            }
            walk.level.owed -= 1;
            if (walk.at == walk.len) return error.Malformed;
            const first = walk.bytes[walk.at];
            walk.at += 1;
            const is_key = walk.level.owed & walk.level.key_bit != 0;
            if (is_key) try walk.readKey(first) else if (classes[first] == .small) try values.spend(2) else try walk.readItem(first);
        }
    }

    /// Passes a value, or the head of a list or map and gives how many items are in it.
    fn enter(walk: *Walk) Unreadable!usize {
        const first = walk.bytes[walk.at];
        walk.at += 1;
        if (isFloat(first)) {
            try walk.passFloat(first);
            return 0;
        }
        const argument = try walk.argumentOf(first);
        switch (first >> 5) {
            2, 3 => try walk.pass(try walk.within(argument)),
            4 => return walk.within(argument),
            5 => return 2 * try walk.within(argument),
            else => {},
        }
        return 0;
    }

    fn readItem(walk: *Walk, first: u8) Unreadable!void {
        try values.spend(8);
        if (isFloat(first)) return walk.passFloat(first);
        const argument = try walk.argumentOf(first);
        switch (first >> 5) {
            0 => {},
            1 => if (argument > negative_max) return error.Malformed,
            2 => try walk.pass(try walk.within(argument)),
            3 => _ = try walk.text(try walk.within(argument)),
            4 => try walk.open(try walk.within(argument), 0),
            5 => try walk.open(try walk.within(argument), 1),
            else => return error.Malformed,
        }
    }

    /// Keys ascend: the shorter first, then bytewise.
    fn readKey(walk: *Walk, first: u8) Unreadable!void {
        try values.spend(16);
        if (first >> 5 != 3) return error.Malformed;
        const key = try walk.text(try walk.within(try walk.argumentOf(first)));
        if (walk.level.key) |last| if (sdk.order(last, key) != .before) return error.Malformed;
        walk.level.key = key;
    }

    /// The argument after a head: one of 24 and more in its shortest form, a smaller one in the head itself.
    fn argumentOf(walk: *Walk, first: u8) Unreadable!u64 {
        const info = first & 31;
        if (info < 24) return info;
        if (info > 27) return error.Malformed;
        const size = @as(usize, 1) << @intCast(info - 24);
        const start = walk.at;
        try walk.pass(size);
        var argument: u64 = 0;
        for (walk.bytes[start..][0..size]) |byte| argument = argument << 8 | byte;
        const least = if (size == 1) 24 else @as(u64, 1) << @intCast(4 * size);
        return if (argument < least) error.Malformed else argument;
    }

    fn within(walk: *const Walk, claimed: u64) Unreadable!usize {
        return if (claimed > walk.len - walk.at) error.Malformed else @intCast(claimed);
    }

    fn passFloat(walk: *Walk, first: u8) Unreadable!void {
        try walk.pass(@as(usize, 2) << @intCast(first - 0xF9));
    }

    fn pass(walk: *Walk, size: usize) Unreadable!void {
        if (size > walk.len - walk.at) return error.Malformed;
        walk.at += size;
    }

    fn text(walk: *Walk, size: usize) Unreadable![]const u8 {
        const start = walk.at;
        try walk.pass(size);
        const found = walk.bytes[start..][0..size];
        try values.spend(2 + size / 8);
        if (isAscii(found)) return found;
        try values.spend(3 * size);
        return if (sdk.isUtf8(found)) found else error.Malformed;
    }

    fn open(walk: *Walk, size: usize, key_bit: usize) Unreadable!void {
        if (walk.depth == depth_max) return error.Malformed;
        levels[walk.depth] = walk.level;
        walk.depth += 1;
        walk.level = .{ .owed = size << @intCast(key_bit), .key_bit = key_bit, .key = null };
    }
};

fn isFloat(first: u8) bool {
    return first >= 0xF9 and first <= 0xFB;
}

fn isAscii(text: []const u8) bool {
    var seen: u64 = 0;
    var at: usize = 0;
    while (at +% 8 <= text.len) : (at +%= 8) seen |= values.eight(text.ptr + at);
    for (text[at..]) |byte| seen |= byte;
    return seen & 0x8080808080808080 == 0;
}
