//! Reads the maps of a question entry by entry, in canonical order, and counts the values that it passes over.
//!
//! 1. Null stands for an absent field, in the cap params too.
//! 2. A value of the wrong type is a misfit that names its field; a map that is not canonical is unreadable.
//! 3. Reading is work, counted in units of some 64 instructions, and a call may do `work_max` of it, beside the counting
//!    of a prompt. So no input uses up the fuel: what is too much is refused by a code of its own.

const sdk = @import("splittally");

const work_max = 30_000;
const entry_work = 5;
const level_work = 3;
const listed_work = 4;
pub const listed_max = 2_048; // names in a list of the grant

/// What a call may still read. A value that is passed over is a unit, and one more where its head is long.
var work_left: usize = work_max;

/// Whether there was so much left, which is then spent.
pub fn spend(work: usize) bool {
    if (work > work_left) return false;
    work_left -= work;
    return true;
}

/// The entries of one map; `path` says in messages where it stands.
pub const Level = struct {
    reader: sdk.Reader,
    keys: sdk.Keys,
    left: usize,
    source: sdk.Source,
    path: []const u8,

    pub noinline fn of(bytes: []const u8, source: sdk.Source, path: []const u8, answer: *sdk.Answer) sdk.Refused!Level {
        var reader: sdk.Reader = .{ .bytes = bytes };
        if (!spend(level_work)) return tooMany(source, answer);
        if (!reader.isAt(.map)) return answer.misfit(source, path, "", "a map");
        const left = reader.count(.map) catch return answer.unreadable(source);
        return .{ .reader = reader, .keys = .{}, .left = left, .source = source, .path = path };
    }

    /// The next key, whose value is to be read or skipped next; null behind the last entry.
    pub noinline fn next(level: *Level, answer: *sdk.Answer) sdk.Refused!?[]const u8 {
        if (level.left > 0) {
            if (!spend(entry_work)) return tooMany(level.source, answer);
            level.left -= 1;
            return level.keys.next(&level.reader) catch answer.unreadable(level.source);
        }
        return if (level.reader.at == level.reader.bytes.len) null else answer.unreadable(level.source);
    }

    pub noinline fn skip(level: *Level, answer: *sdk.Answer) sdk.Refused!void {
        skipValue(&level.reader) catch |fault| switch (fault) {
            error.Malformed => return answer.unreadable(level.source),
            error.TooMany => return tooMany(level.source, answer),
        };
    }

    pub noinline fn natural(level: *Level, name: []const u8, answer: *sdk.Answer) sdk.Refused!?u64 {
        if (level.isNull()) return null;
        if (!level.reader.isAt(.natural)) return level.misfit(name, "a natural number below 2^64", answer);
        return level.reader.natural() catch answer.unreadable(level.source);
    }

    pub noinline fn text(level: *Level, name: []const u8, answer: *sdk.Answer) sdk.Refused!?[]const u8 {
        if (level.isNull()) return null;
        if (!level.reader.isAt(.text)) return level.misfit(name, "a text", answer);
        return level.reader.text() catch answer.unreadable(level.source);
    }

    pub fn boolean(level: *Level, name: []const u8, answer: *sdk.Answer) sdk.Refused!bool {
        if (level.isNull()) return false;
        return level.reader.boolean() catch level.misfit(name, "true or false", answer);
    }

    pub noinline fn texts(level: *Level, name: []const u8, answer: *sdk.Answer) sdk.Refused!sdk.Texts {
        const expected = "a list of at most 2048 texts";
        if (level.isNull()) return .none;
        var list = level.reader;
        const count = list.count(.list) catch return level.misfit(name, expected, answer);
        if (count > listed_max) return level.misfit(name, expected, answer);
        if (!spend(listed_work * count)) return tooMany(level.source, answer);
        return .{ .items = level.reader.items(.text) catch return level.misfit(name, expected, answer) };
    }

    /// Any value, null where it is absent.
    pub noinline fn item(level: *Level, answer: *sdk.Answer) sdk.Refused!?sdk.Item {
        if (level.isNull()) return null;
        const start = level.reader.at;
        try level.skip(answer);
        return .{ .bytes = level.reader.bytes[start..level.reader.at] };
    }

    /// Refuses a value that is neither a list nor null.
    pub fn requireList(level: *Level, name: []const u8, answer: *sdk.Answer) sdk.Refused!void {
        if (!level.reader.isAt(.list) and !level.reader.isAtNull()) return level.misfit(name, "a list", answer);
    }

    pub noinline fn listOf(level: *Level, name: []const u8, answer: *sdk.Answer) sdk.Refused!?sdk.Item {
        try level.requireList(name, answer);
        return level.item(answer);
    }

    pub noinline fn mapOf(level: *Level, name: []const u8, answer: *sdk.Answer) sdk.Refused!?sdk.Item {
        if (!level.reader.isAt(.map) and !level.reader.isAtNull()) return level.misfit(name, "a map", answer);
        return level.item(answer);
    }

    pub noinline fn misfit(level: *Level, name: []const u8, expected: []const u8, answer: *sdk.Answer) sdk.Refused {
        level.skip(answer) catch |refused| return refused;
        return answer.misfit(level.source, level.path, name, expected);
    }

    /// Whether the value is null, which is then passed over.
    pub inline fn isNull(level: *Level) bool {
        const is_null = level.reader.isAtNull();
        level.reader.at += @intFromBool(is_null);
        return is_null;
    }
};

pub fn tooMany(source: sdk.Source, answer: *sdk.Answer) sdk.Refused {
    return switch (source) {
        .params => answer.refuse("too_many_values", .{
            "the params hold more values than can be judged; state `prompt_tokens` and send texts as digests",
        }),
        .receipt => answer.refuse("receipt_unreadable", .{
            "the receipt's payload holds more values than can be read; send the provider's usage alone",
        }),
        else => answer.refuse("cap_params_invalid", .{
            "the grant's params hold more values than can be judged in a call; shorten its lists",
        }),
    };
}

pub const Fault = error{ Malformed, TooMany };

/// The argument of a head of `size` bytes more, without the compiler's checks: the caller has compared the end.
pub inline fn argumentAt(from: [*]const u8, size: usize) u64 {
    @setRuntimeSafety(false);
    return switch (size) {
        1 => from[0],
        2 => @byteSwap(@as(u16, @bitCast(from[0..2].*))),
        4 => @byteSwap(@as(u32, @bitCast(from[0..4].*))),
        else => @byteSwap(@as(u64, @bitCast(from[0..8].*))),
    };
}

/// Passes over one whole value, counting what it holds; heads are believed to be the shortest. Most of the fuel of a
/// long input goes here, so it is without the compiler's checks, and compares every place with the end itself.
noinline fn skipValue(reader: *sdk.Reader) Fault!void {
    @setRuntimeSafety(false);
    const from = reader.bytes.ptr;
    const end = reader.bytes.len;
    var at = reader.at;
    var owed: usize = 1;
    var left = work_left;
    while (owed > 0) {
        if (left < 2) return error.TooMany;
        if (at >= end) return error.Malformed;
        left -= 1;
        owed -= 1;
        const first = from[at];
        at += 1;
        var size: usize = first & 31;
        if (size > 23) {
            left -= 1;
            const width = @as(usize, 1) << @intCast(size & 3);
            if (size > 27 or end - at < width) return error.Malformed;
            const argument = argumentAt(from + at, width);
            size = if (argument > end) end + 1 else @intCast(argument);
            at += width;
        }
        if (first < 0x40 or first >= 0xC0) {
            if (first >= 0xC0 and first < 0xE0) return error.Malformed;
            continue;
        }
        if (size > end - at) return error.Malformed;
        if (first < 0x80) at += size else owed += size << @intFromBool(first >= 0xA0);
    }
    reader.at = at;
    work_left = left;
}
