//! Strict reading of canonical CBOR (RFC 8949 section 4.2.1): integers, texts, bytes, lists, maps.
//!
//! 1. What is read is read strictly: shortest heads, definite lengths, text keys ascending and once each.
//! 2. What is skipped is bounded, not judged: the kernel sends canonical bytes only.
//! 3. Nothing recurses: `skip` counts what is still owed. A float is passed over and never a number.

const std = @import("std");
const quoting = @import("quoting.zig");
const eql = std.mem.eql;

pub const dims_max = 64;
const dim_bytes_max = 128;

pub const Malformed = error{Malformed};

pub const Major = enum(u8) { natural, negative, bytes, text, list, map, tag, simple };
pub const Head = struct { major: Major, argument: u64 };
const Long = struct { argument: u64, at: usize };

pub const Reader = struct {
    bytes: []const u8,
    at: usize = 0,

    /// The next head. A short one is read in place, because nearly all are.
    pub inline fn head(reader: *Reader) Malformed!Head {
        if (reader.at >= reader.bytes.len) return error.Malformed;
        const first = reader.bytes[reader.at];
        const major: Major = @fromBackingInt(@intCast(first >> 5));
        reader.at += 1;
        if (first < 0xC0 and first & 31 < 24) return .{ .major = major, .argument = first & 31 };
        const long = try longArgument(reader.bytes, reader.at, first);
        reader.at = long.at;
        return .{ .major = major, .argument = long.argument };
    }

    inline fn argumentOf(reader: *Reader, major: Major) Malformed!u64 {
        const found = try reader.head();
        if (found.major != major) return error.Malformed;
        return found.argument;
    }

    pub inline fn take(reader: *Reader, size: u64) Malformed![]const u8 {
        if (size > reader.bytes.len - reader.at) return error.Malformed;
        const start = reader.at;
        reader.at += @intCast(size);
        return reader.bytes[start..reader.at];
    }

    pub fn natural(reader: *Reader) Malformed!u64 {
        return reader.argumentOf(.natural);
    }

    pub inline fn text(reader: *Reader) Malformed![]const u8 {
        return reader.take(try reader.argumentOf(.text));
    }

    pub fn byteString(reader: *Reader) Malformed![]const u8 {
        return reader.take(try reader.argumentOf(.bytes));
    }

    pub fn boolean(reader: *Reader) Malformed!bool {
        const argument = try reader.argumentOf(.simple);
        if (argument != 20 and argument != 21) return error.Malformed;
        return argument == 21;
    }

    /// Passes over exactly these bytes.
    pub noinline fn expect(reader: *Reader, wanted: []const u8) Malformed!void {
        if (!eql(u8, try reader.take(wanted.len), wanted)) return error.Malformed;
    }

    /// How many elements or entries follow; each takes at least a byte, so more than are left is refused.
    pub fn count(reader: *Reader, major: Major) Malformed!usize {
        return reader.within(try reader.argumentOf(major));
    }

    pub fn within(reader: *const Reader, claimed: u64) Malformed!usize {
        if (claimed > reader.bytes.len - reader.at) return error.Malformed;
        return @intCast(claimed);
    }

    /// Passes over one whole value, counting what is still owed in place of recursing.
    pub noinline fn skip(reader: *Reader) Malformed!void {
        const bytes = reader.bytes;
        var at = reader.at;
        var owed: usize = 1;
        while (owed > 0) {
            owed -= 1;
            if (at >= bytes.len) return error.Malformed;
            const first = bytes[at];
            at += 1;
            const has_body = first >= 0x40 and first < 0xC0;
            var size: usize = first & 31;
            if (first >= 0xC0 or size > 23) {
                const long = try longArgument(bytes, at, first);
                at = long.at;
                if (!has_body) continue;
                if (long.argument > bytes.len) return error.Malformed;
                size = @intCast(long.argument);
            }
            if (!has_body) continue;
            if (size > bytes.len - at) return error.Malformed;
            if (first < 0x80) at += size else if (first < 0xA0) owed += size else owed += 2 * size;
        }
        reader.at = at;
    }

    pub fn item(reader: *Reader) Malformed!Item {
        const start = reader.at;
        try reader.skip();
        return .{ .bytes = reader.bytes[start..reader.at] };
    }

    /// A list whose elements are all of one major type, or of any where none is given.
    pub noinline fn items(reader: *Reader, major: ?Major) Malformed!Items {
        const found = try reader.count(.list);
        const list: Items = .{ .rest = reader.*, .count = found };
        for (0..found) |_| {
            if (major) |wanted| if (!reader.isAt(wanted)) return error.Malformed;
            try reader.skip();
        }
        return list;
    }

    pub noinline fn map(reader: *Reader) Malformed!Map {
        const found = try reader.count(.map);
        const entries: Map = .{ .rest = reader.*, .count = found };
        var keys: Keys = .{};
        for (0..found) |_| {
            _ = try keys.next(reader);
            try reader.skip();
        }
        return entries;
    }

    pub noinline fn amounts(reader: *Reader) Malformed!Amounts {
        const entries = try reader.map();
        if (entries.count > dims_max) return error.Malformed;
        var rest = entries;
        while (rest.next()) |entry| {
            if (!isDimension(entry.key) or entry.value.natural() == null) return error.Malformed;
        }
        return .{ .map = entries };
    }

    pub fn isAt(reader: *const Reader, major: Major) bool {
        return reader.at < reader.bytes.len and reader.bytes[reader.at] >> 5 == @backingInt(major);
    }

    pub fn isAtNull(reader: *const Reader) bool {
        return reader.at < reader.bytes.len and reader.bytes[reader.at] == 0xF6;
    }
};

/// The argument after a head that is not short: in its shortest form, no tag, no indefinite length, no
/// simple value but false, true and null. The bits of a float pass unread.
noinline fn longArgument(bytes: []const u8, at: usize, first: u8) Malformed!Long {
    const info = first & 31;
    const is_simple = first >= 0xE0;
    if (first >> 5 == @backingInt(Major.tag) or info > 27) return error.Malformed;
    if (is_simple and (info < 20 or info == 23 or info == 24)) return error.Malformed;
    if (info < 24) return .{ .argument = info, .at = at };
    const size = @as(usize, 1) << @intCast(info - 24);
    if (size > bytes.len - at) return error.Malformed;
    if (size == 1 and bytes[at] >= 24) return .{ .argument = bytes[at], .at = at + 1 };
    var argument: u64 = 0;
    for (bytes[at..][0..size]) |byte| argument = argument << 8 | byte;
    const least = if (size == 1) 24 else @as(u64, 1) << @intCast(4 * size);
    if (!is_simple and argument < least) return error.Malformed;
    return .{ .argument = if (is_simple) 0 else argument, .at = at + size };
}

/// Reads text keys and refuses those that are not in canonical order.
pub const Keys = struct {
    last: ?[]const u8 = null,

    pub fn next(keys: *Keys, reader: *Reader) Malformed![]const u8 {
        const key = try reader.text();
        if (keys.last) |last| if (order(last, key) != .before) return error.Malformed;
        keys.last = key;
        return key;
    }
};

pub const Order = enum { before, same, after };

/// Canonical order of texts: the shorter first, then bytewise.
pub fn order(a: []const u8, b: []const u8) Order {
    if (a.len != b.len) return if (a.len < b.len) .before else .after;
    var at: usize = 0;
    while (a.len - at >= 8 and word(a[at..]) == word(b[at..])) at += 8;
    while (at < a.len and a[at] == b[at]) at += 1;
    if (at == a.len) return .same;
    return if (a[at] < b[at]) .before else .after;
}

fn word(bytes: []const u8) u64 {
    return @bitCast(bytes[0..8].*);
}

// --- values ------------------------------------------------------------------------------------------

/// One whole value, not looked into yet.
pub const Item = struct {
    bytes: []const u8,

    fn reader(item: Item) Reader {
        return .{ .bytes = item.bytes };
    }

    pub noinline fn natural(item: Item) ?u64 {
        var inside = item.reader();
        return inside.natural() catch null;
    }

    pub fn integer(item: Item) ?i64 {
        var inside = item.reader();
        const found = inside.head() catch return null;
        if (found.argument >> 63 != 0) return null;
        const size: i64 = @intCast(found.argument);
        return switch (found.major) {
            .natural => size,
            .negative => -1 - size,
            else => null,
        };
    }

    pub noinline fn text(item: Item) ?[]const u8 {
        var inside = item.reader();
        return inside.text() catch null;
    }

    pub noinline fn byteString(item: Item) ?[]const u8 {
        var inside = item.reader();
        return inside.byteString() catch null;
    }

    pub fn map(item: Item) ?Map {
        var inside = item.reader();
        return inside.map() catch null;
    }

    /// A list of any values. They were passed over when the item was read, so nothing is looked at here.
    pub fn items(item: Item) ?Items {
        var inside = item.reader();
        const found = inside.count(.list) catch return null;
        return .{ .rest = inside, .count = found };
    }

    pub fn texts(item: Item) ?Texts {
        var inside = item.reader();
        return .{ .items = inside.items(.text) catch return null };
    }

    pub fn naturals(item: Item) ?Naturals {
        var inside = item.reader();
        return .{ .items = inside.items(.natural) catch return null };
    }

    /// The bytes of a text or byte string, the elements of a list or the entries of a map.
    pub fn length(item: Item) ?u64 {
        var inside = item.reader();
        const found = inside.head() catch return null;
        return switch (found.major) {
            .bytes, .text, .list, .map => found.argument,
            else => null,
        };
    }

    /// The bytes of all texts and byte strings that stand as values inside; keys of maps do not count.
    /// Null when it is nested deeper than the data model allows.
    pub fn contentBytes(item: Item) ?u64 {
        var inside = item.reader();
        var depth: usize = 0;
        var total: u64 = 0;
        levels[0] = .{ .owed = 1, .is_map = false };
        while (true) {
            while (levels[depth].owed == 0) {
                if (depth == 0) return total;
                depth -= 1;
            }
            const level = &levels[depth];
            const is_key = level.is_map and level.owed % 2 == 0;
            level.owed -= 1;
            const found = inside.head() catch return null;
            switch (found.major) {
                .bytes, .text => {
                    _ = inside.take(found.argument) catch return null;
                    if (!is_key) total += found.argument;
                },
                .list, .map => {
                    const size = inside.within(found.argument) catch return null;
                    depth += 1;
                    if (depth == levels.len) return null;
                    const is_map = found.major == .map;
                    levels[depth] = .{ .owed = if (is_map) 2 * size else size, .is_map = is_map };
                },
                else => {},
            }
        }
    }
};

const Level = struct { owed: usize, is_map: bool };
var levels: [65]Level = @splat(.{ .owed = 0, .is_map = false }); // the data model's depth and the item itself

/// A list whose every element was found to be a text.
pub const Texts = struct {
    items: Items,
    pub const none: Texts = .{ .items = .none };

    pub fn isEmpty(texts: Texts) bool {
        return texts.items.count == 0;
    }

    pub fn next(texts: *Texts) ?[]const u8 {
        if (texts.items.count == 0) return null;
        texts.items.count -= 1;
        return texts.items.rest.text() catch unreachable;
    }

    pub fn has(texts: Texts, name: []const u8) bool {
        var rest = texts;
        while (rest.next()) |listed| if (eql(u8, listed, name)) return true;
        return false;
    }

    /// An empty list restricts nothing.
    pub fn allows(texts: Texts, name: []const u8) bool {
        return texts.isEmpty() or texts.has(name);
    }
};

/// A list whose every element was found to be a natural.
pub const Naturals = struct {
    items: Items,
    pub const none: Naturals = .{ .items = .none };

    /// An empty list restricts nothing.
    pub fn allows(naturals: Naturals, wanted: u64) bool {
        var rest = naturals.items;
        if (rest.count == 0) return true;
        while (rest.next()) |item| if (item.natural().? == wanted) return true;
        return false;
    }
};

/// A list of any values.
pub const Items = struct {
    rest: Reader,
    count: usize,
    pub const none: Items = .{ .rest = .{ .bytes = "" }, .count = 0 };

    pub fn next(items: *Items) ?Item {
        if (items.count == 0) return null;
        items.count -= 1;
        return items.rest.item() catch unreachable;
    }
};

/// A map from texts to any values, its keys found ascending.
pub const Map = struct {
    rest: Reader,
    count: usize,
    pub const none: Map = .{ .rest = .{ .bytes = "" }, .count = 0 };
    pub const Entry = struct { key: []const u8, value: Item };

    pub fn next(map: *Map) ?Entry {
        if (map.count == 0) return null;
        map.count -= 1;
        const key = map.rest.text() catch unreachable;
        return .{ .key = key, .value = map.rest.item() catch unreachable };
    }

    pub fn find(map: Map, key: []const u8) ?Item {
        var rest = map;
        while (rest.next()) |entry| if (eql(u8, entry.key, key)) return entry.value;
        return null;
    }
};

/// A map from dimensions to naturals, every name and amount found fit to stand in an answer.
pub const Amounts = struct { map: Map };

/// Whether `name` may name a dimension in an answer: 1 to 128 bytes of UTF-8.
pub fn isDimension(name: []const u8) bool {
    return name.len > 0 and name.len <= dim_bytes_max and quoting.isUtf8(name);
}
