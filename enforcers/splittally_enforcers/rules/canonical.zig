//! Whether bytes are one map in canonical form (spec/01-canonical-form.md), so that it can be read unchecked.
//!
//! 1. Of a payload, which an adapter may give as bytes, everything is checked: shortest heads, definite
//!    lengths, text in UTF-8, text keys ascending and once each, integers from -2^63 to 2^64-1, at most 64
//!    levels, nothing behind. The bits of a float are not looked at.
//! 2. Params and cap params come from the kernel, which sends canonical bytes only: that their own keys ascend
//!    and where they end is checked, what is inside is passed over.
//! 3. Nothing recurses: what a list or map still owes stands in a level. Work is taken from the account.

const sdk = @import("splittally");
const values = @import("values.zig");

const depth_max = 64; // DEPTH_MAX
const negative_max: u64 = (1 << 63) - 1; // the argument of -2^63

/// What a list or map still owes. In a map a key is owed wherever an odd number of items is left.
const Level = struct { owed: usize, key_bit: usize, key: ?[]const u8 };

var levels: [depth_max]Level = undefined;

/// Finds the bytes to be one canonical map, all of it.
pub fn checkAll(bytes: []const u8) values.Unreadable!void {
    if (bytes.len == 0 or bytes[0] >> 5 != 5) return error.Malformed;
    var walk: Walk = .{ .bytes = bytes.ptr, .len = bytes.len };
    try walk.run();
    if (walk.at != bytes.len) return error.Malformed;
}

/// The entries of bytes that must be one map; what is under its keys is trusted.
pub const Outline = struct {
    entries: values.Entries,
    end: [*]const u8,

    pub fn of(bytes: []const u8) values.Unreadable!Outline {
        const map = values.read(bytes.ptr).value;
        if (bytes.len == 0 or map.tag != .map) return error.Malformed;
        return .{ .entries = values.entriesOf(&map), .end = bytes.ptr + bytes.len };
    }

    pub fn next(outline: *Outline) values.Unreadable!bool {
        try values.spend(6);
        if (try outline.entries.next()) return true;
        return if (outline.entries.rest == outline.end) false else error.Malformed;
    }
};

const Walk = struct {
    bytes: [*]const u8, // never read at `len` or behind it
    len: usize,
    at: usize = 0,
    depth: usize = 0,
    level: Level = .{ .owed = 1, .key_bit = 0, .key = null },

    fn run(walk: *Walk) values.Unreadable!void {
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
            if (is_key) try walk.readKey(first) else if (isSmall(first)) try values.spend(2) else try walk.readItem(first);
        }
    }

    fn readItem(walk: *Walk, first: u8) values.Unreadable!void {
        try values.spend(8);
        if (first >= 0xF9 and first <= 0xFB) return walk.pass(@as(usize, 2) << @intCast(first - 0xF9));
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
    fn readKey(walk: *Walk, first: u8) values.Unreadable!void {
        try values.spend(16);
        if (first >> 5 != 3) return error.Malformed;
        const key = try walk.text(try walk.within(try walk.argumentOf(first)));
        if (walk.level.key) |last| if (sdk.order(last, key) != .before) return error.Malformed;
        walk.level.key = key;
    }

    /// The argument after a head: one of 24 and more in its shortest form, a smaller one in the head itself.
    fn argumentOf(walk: *Walk, first: u8) values.Unreadable!u64 {
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

    fn within(walk: *const Walk, claimed: u64) values.Unreadable!usize {
        return if (claimed > walk.len - walk.at) error.Malformed else @intCast(claimed);
    }

    fn pass(walk: *Walk, size: usize) values.Unreadable!void {
        if (size > walk.len - walk.at) return error.Malformed;
        walk.at += size;
    }

    fn text(walk: *Walk, size: usize) values.Unreadable![]const u8 {
        const start = walk.at;
        try walk.pass(size);
        const found = walk.bytes[start..][0..size];
        try values.spend(2 + size / 8);
        if (isAscii(found)) return found;
        try values.spend(3 * size);
        return if (sdk.isUtf8(found)) found else error.Malformed;
    }

    fn open(walk: *Walk, size: usize, key_bit: usize) values.Unreadable!void {
        if (walk.depth == depth_max) return error.Malformed;
        levels[walk.depth] = walk.level;
        walk.depth += 1;
        walk.level = .{ .owed = size << @intCast(key_bit), .key_bit = key_bit, .key = null };
    }
};

/// Whether the byte is a whole value: a number, false, true or null.
fn isSmall(first: u8) bool {
    return (first < 0x40 and first & 31 < 24) or (first >= 0xF4 and first <= 0xF6);
}

fn isAscii(text: []const u8) bool {
    var seen: u64 = 0;
    var at: usize = 0;
    while (at +% 8 <= text.len) : (at +%= 8) seen |= values.eight(text.ptr + at);
    for (text[at..]) |byte| seen |= byte;
    return seen & 0x8080808080808080 == 0;
}
