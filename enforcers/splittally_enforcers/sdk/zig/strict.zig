//! A walk that judges every byte of a whole value, and a writer of such bytes.
//!
//! 1. What the walk accepts is canonical (spec/01-canonical-form.md), but for the bits of floats, which
//!    are passed over: an enforcer computes in integers.
//! 2. Nothing recurses: the walk keeps a level for each list and map that it is in.
//! 3. The writer writes shortest heads; the order of keys is the caller's. A full buffer is a trap.

const cbor = @import("cbor.zig");
const quoting = @import("quoting.zig");

/// `bytes` are the content of a text or byte string, or the bits of a float.
pub const Token = struct { major: cbor.Major, argument: u64, bytes: []const u8, is_key: bool };

const depth_max = 64;
const Level = struct { owed: usize, is_map: bool, keys: cbor.Keys };

/// One value after the other of a whole one, lists and maps before what they hold.
pub const Walk = struct {
    reader: cbor.Reader,
    depth: usize,
    levels: [depth_max + 1]Level,

    pub fn into(bytes: []const u8) Walk {
        var walk: Walk = .{ .reader = .{ .bytes = bytes }, .depth = 0, .levels = undefined };
        walk.levels[0] = .{ .owed = 1, .is_map = false, .keys = .{} };
        return walk;
    }

    /// The next token, null behind the whole value.
    pub noinline fn next(walk: *Walk) cbor.Malformed!?Token {
        const reader = &walk.reader;
        while (walk.levels[walk.depth].owed == 0) {
            if (walk.depth == 0) return if (reader.at == reader.bytes.len) null else error.Malformed;
            walk.depth -= 1;
        }
        const level = &walk.levels[walk.depth];
        const is_key = level.is_map and level.owed % 2 == 0;
        level.owed -= 1;
        const start = reader.at;
        if (is_key) {
            const key = try level.keys.next(reader);
            if (!quoting.isUtf8(key)) return error.Malformed;
            return .{ .major = .text, .argument = key.len, .bytes = key, .is_key = true };
        }
        const found = try reader.head();
        const bytes = switch (found.major) {
            .natural => "",
            .negative => if (found.argument >> 63 == 0) "" else return error.Malformed,
            .bytes => try reader.take(found.argument),
            .text => try walk.text(found.argument),
            .list, .map => try walk.down(found),
            .tag => return error.Malformed,
            .simple => reader.bytes[start + 1 .. reader.at],
        };
        return .{ .major = found.major, .argument = found.argument, .bytes = bytes, .is_key = false };
    }

    fn text(walk: *Walk, size: u64) cbor.Malformed![]const u8 {
        const found = try walk.reader.take(size);
        return if (quoting.isUtf8(found)) found else error.Malformed;
    }

    fn down(walk: *Walk, head: cbor.Head) cbor.Malformed![]const u8 {
        const size = try walk.reader.within(head.argument);
        if (walk.depth == depth_max) return error.Malformed;
        walk.depth += 1;
        const is_map = head.major == .map;
        walk.levels[walk.depth] = .{ .owed = if (is_map) 2 * size else size, .is_map = is_map, .keys = .{} };
        return "";
    }
};

pub const Writer = struct {
    to: []u8,
    size: usize = 0,

    pub fn written(writer: *const Writer) []const u8 {
        return writer.to[0..writer.size];
    }

    fn byte(writer: *Writer, value: u8) void {
        writer.to[writer.size] = value;
        writer.size += 1;
    }

    /// Bytes that are canonical already.
    pub noinline fn raw(writer: *Writer, bytes: []const u8) void {
        @memcpy(writer.to[writer.size..][0..bytes.len], bytes);
        writer.size += bytes.len;
    }

    /// A head in its shortest form.
    pub noinline fn head(writer: *Writer, major: cbor.Major, argument: u64) void {
        const first = @backingInt(major) << 5;
        if (argument < 24) return writer.byte(first | @as(u8, @intCast(argument)));
        const is_short = argument < 1 << 16;
        const log: u2 = if (is_short) @intFromBool(argument >= 1 << 8) else if (argument < 1 << 32) 2 else 3;
        writer.byte(first | (24 + @as(u8, log)));
        var left = @as(u7, 8) << log;
        while (left > 0) {
            left -= 8;
            writer.byte(@truncate(argument >> @intCast(left)));
        }
    }

    pub fn natural(writer: *Writer, value: u64) void {
        writer.head(.natural, value);
    }

    pub fn integer(writer: *Writer, value: i64) void {
        if (value >= 0) writer.head(.natural, @intCast(value)) else writer.head(.negative, @intCast(-1 - value));
    }

    pub fn text(writer: *Writer, bytes: []const u8) void {
        writer.head(.text, bytes.len);
        writer.raw(bytes);
    }

    pub fn byteString(writer: *Writer, bytes: []const u8) void {
        writer.head(.bytes, bytes.len);
        writer.raw(bytes);
    }

    pub fn list(writer: *Writer, count: usize) void {
        writer.head(.list, count);
    }

    pub fn map(writer: *Writer, count: usize) void {
        writer.head(.map, count);
    }

    pub fn boolean(writer: *Writer, value: bool) void {
        writer.byte(if (value) 0xF5 else 0xF4);
    }

    pub fn nothing(writer: *Writer) void {
        writer.byte(0xF6);
    }

    /// A token of a walk, which may be a float: its bits as they were.
    pub fn token(writer: *Writer, found: Token) void {
        if (found.major != .simple) {
            writer.head(found.major, found.argument);
        } else switch (found.bytes.len) {
            0 => writer.byte(0xE0 | @as(u8, @intCast(found.argument))),
            2 => writer.byte(0xF9),
            4 => writer.byte(0xFA),
            else => writer.byte(0xFB),
        }
        writer.raw(found.bytes);
    }
};
