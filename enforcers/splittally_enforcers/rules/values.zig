//! Values while an expression runs, and how those of the question are read where they stand.
//!
//! 1. What is read here was found canonical, so nothing is checked again and nothing is copied. Only `read` is
//!    asked of any bytes; it reads at most nine of them.
//! 2. Work that grows with the data is taken from one account of the call, and what is beyond it is the
//!    fault `too_many_steps`: what a program may take is bounded before the fuel is.

const sdk = @import("splittally");
const inside = sdk.quick.inside;

pub const Exhausted = error{TooManySteps};
pub const Unreadable = Exhausted || error{Malformed};
pub const Fault = Exhausted || error{ MissingKey, WrongType, Overflow, ZeroDivisor };

pub fn codeOf(fault: Fault) []const u8 {
    return switch (fault) {
        error.MissingKey => "missing_key",
        error.WrongType => "wrong_type",
        error.Overflow => "overflow",
        error.ZeroDivisor => "zero_divisor",
        error.TooManySteps => "too_many_steps",
    };
}

/// `alien` are null, floats and byte strings, which are of no type. Items of a `made` list are values in the room.
pub const Tag = enum(u8) { int, boolean, text, list, made, map, alien };

/// Of an int `bits` is the size, of a bool 0 or 1, of all others the address of what is inside.
pub const Value = extern struct {
    bits: u64,
    len: u32 = 0,
    tag: Tag,
    is_negative: bool = false,

    pub fn address(value: Value) usize {
        return @intCast(value.bits);
    }

    pub fn bytes(value: Value) [*]const u8 {
        return @ptrFromInt(value.address());
    }

    pub fn text(value: Value) []const u8 {
        return value.bytes()[0..value.len];
    }

    pub fn isList(value: Value) bool {
        return value.tag == .list or value.tag == .made;
    }
};

pub fn natural(size: u64) Value {
    return .{ .bits = size, .tag = .int };
}

pub fn boolean(is_true: bool) Value {
    return .{ .bits = @intFromBool(is_true), .tag = .boolean };
}

pub fn textOf(bytes: []const u8) Value {
    return .{ .bits = @intFromPtr(bytes.ptr), .len = @intCast(bytes.len), .tag = .text };
}

// --- the account -------------------------------------------------------------------------------------

const work_max = 60_000; // a unit is at most 30 of the 2,000,000 of fuel
const refusal_work_max = 6_000; // for the 1500 values and keys that the kernel lets a grant hold
var work: usize = work_max;

pub fn spend(units: usize) Exhausted!void {
    if (units > work) return error.TooManySteps;
    work -= units;
}

/// What is left is for naming the rule that denies, after which the call ends.
pub fn spendOnRefusal() void {
    work = refusal_work_max;
}

// --- reading -----------------------------------------------------------------------------------------

pub const Found = struct { value: Value, next: [*]const u8 };

/// The value that stands at `at`, and where the next does; of a list or map where its first item does.
pub fn read(at: [*]const u8) Found {
    const first = at[0];
    const short = first & 31;
    const size: usize = if (short < 24) 0 else @as(usize, 1) << @intCast(short - 24);
    const body = at + 1 + size;
    const argument: u64 = switch (size) {
        0 => short,
        1 => at[1],
        2 => @byteSwap(@as(*align(1) const u16, @ptrCast(at + 1)).*),
        4 => @byteSwap(@as(*align(1) const u32, @ptrCast(at + 1)).*),
        else => @byteSwap(eight(at + 1)),
    };
    const start = @intFromPtr(body);
    const len: u32 = @truncate(argument);
    return switch (first >> 5) {
        0 => .{ .value = natural(argument), .next = body },
        1 => .{ .value = .{ .bits = argument +% 1, .tag = .int, .is_negative = true }, .next = body },
        2 => .{ .value = .{ .bits = start, .len = len, .tag = .alien }, .next = body + len },
        3 => .{ .value = .{ .bits = start, .len = len, .tag = .text }, .next = body + len },
        4 => .{ .value = .{ .bits = start, .len = len, .tag = .list }, .next = body },
        5 => .{ .value = .{ .bits = start, .len = len, .tag = .map }, .next = body },
        else => .{ .value = if (short >> 1 == 10) boolean(short == 21) else .{ .bits = 0, .tag = .alien }, .next = body },
    };
}

/// Where the values from `start` on end, as many as are wanted.
pub fn skip(start: [*]const u8, wanted: usize) Exhausted![*]const u8 {
    var at = start;
    var owed = wanted;
    try spend(owed);
    while (owed != 0) {
        owed -%= 1;
        const first = at[0];
        at += 1;
        if (first < 24) continue;
        const size = first & 31;
        if (size < 24) switch (first >> 5) {
            2, 3 => at += size,
            4, 5 => {
                const more = @as(usize, size) << @intCast(first >> 5 & 1);
                try spend(more);
                owed +%= more;
            },
            else => {},
        } else if (first < 0x40 or first >= 0xE0) {
            try spend(3);
            at += @as(usize, 1) << @intCast(size - 24); // a number: the head says how wide
        } else {
            const found = read(at - 1);
            at = found.next;
            const more = held(&found.value);
            try spend(3 + more);
            owed +%= more;
        }
    }
    return at;
}

/// How many values and keys stand in a list or map of the data.
pub fn held(value: *const Value) usize {
    return if (value.tag == .list) value.len else if (value.tag == .map) 2 * @as(usize, value.len) else 0;
}

/// The value under a key; null when the map does not have it. Shorter keys stand first.
pub fn find(map: *const Value, key: []const u8) Fault!?Value {
    var at = map.bytes();
    for (0..map.len) |_| {
        try spend(3);
        const other = inside(at, .text).?;
        if (other.len > key.len) return null;
        const value = other.ptr + other.len;
        if (other.len == key.len and try isSame(other, key)) return read(value).value;
        at = try skip(value, 1);
    }
    return null;
}

/// The item counted from 0.
pub fn itemAt(whole: *const Value, index: *const Value) Fault!Value {
    if (index.is_negative or index.bits >= whole.len) return error.MissingKey;
    const place: usize = @intCast(index.bits);
    if (whole.tag == .list) return read(try skip(whole.bytes(), place)).value;
    const made: [*]const Value = @ptrFromInt(whole.address());
    return made[place];
}

/// How many bytes two texts have in common from the first on.
pub fn shared(one: []const u8, other: []const u8) Fault!usize {
    const most = @min(one.len, other.len);
    const a = one.ptr;
    const b = other.ptr;
    var at: usize = 0;
    while (at +% 8 <= most and eight(a + at) == eight(b + at)) at +%= 8;
    const end = @min(most, at +% 8);
    while (at < end and a[at] == b[at]) at +%= 1;
    try spend(6 + at / 8);
    return at;
}

pub fn eight(at: [*]const u8) u64 {
    return @as(*align(1) const u64, @ptrCast(at)).*;
}

/// Whether `one` stands before `other` by code point, which in UTF-8 is bytewise.
pub fn isBefore(one: []const u8, other: []const u8) Fault!bool {
    const at = try shared(one, other);
    if (at == one.len or at == other.len) return one.len < other.len;
    return one[at] < other[at];
}

pub fn isSame(one: []const u8, other: []const u8) Fault!bool {
    return one.len == other.len and try shared(one, other) == one.len;
}

pub fn contains(text: []const u8, part: []const u8) Fault!bool {
    if (part.len == 0) return true;
    if (part.len > text.len) return false;
    const last = text.len - part.len;
    try spend(1 + last / 8);
    var at: usize = 0;
    while (at <= last) : (at += 1) {
        at = indexOf(text.ptr, part[0], at, last) orelse return false;
        try spend(4);
        if (text[at + part.len - 1] != part[part.len - 1]) continue;
        if (try shared(text[at..], part) == part.len) return true;
    }
    return false;
}

/// Where a byte stands from `start` to `last`; null where it does not.
fn indexOf(text: [*]const u8, byte: u8, start: usize, last: usize) ?usize {
    const ones: u64 = 0x0101010101010101;
    const wanted = ones *% byte;
    var at = start;
    while (at +% 7 <= last) : (at +%= 8) {
        const unlike = eight(text + at) ^ wanted;
        if ((unlike -% ones) & ~unlike & ones << 7 != 0) break; // one of the eight is the byte
    }
    while (at <= last) : (at +%= 1) if (text[at] == byte) return at;
    return null;
}

/// How many characters a text has.
pub fn characters(value: *const Value) Fault!u32 {
    try spend(1 + value.len / 8);
    const text = value.bytes();
    var inner: u32 = 0; // bytes that continue a character: 10 in the two highest bits
    var at: usize = 0;
    while (at +% 8 <= value.len) : (at +%= 8) {
        const bits = eight(text + at);
        inner +%= @popCount(bits & ~(bits << 1) & 0x8080808080808080);
    }
    while (at < value.len) : (at +%= 1) inner +%= @intFromBool(text[at] & 0xC0 == 0x80);
    return value.len - inner;
}

/// The entries of a map, one after the other, whose keys are found ascending.
pub const Entries = struct {
    rest: [*]const u8,
    left: u32,
    key: ?[]const u8 = null, // nor is there one behind the last
    value: Value = undefined,

    pub fn next(entries: *Entries) Unreadable!bool {
        const last = entries.key;
        entries.key = null;
        if (entries.left == 0) return false;
        entries.left -= 1;
        const key = inside(entries.rest, .text) orelse return error.Malformed;
        if (last) |before| if (sdk.order(before, key) != .before) return error.Malformed;
        entries.key = key;
        const found = read(key.ptr + key.len);
        entries.value = found.value;
        entries.rest = try behind(key.ptr + key.len, &found);
        return true;
    }
};

pub fn entriesOf(map: *const Value) Entries {
    return .{ .rest = map.bytes(), .left = map.len };
}

/// Where a value ends that was read at `start`.
fn behind(start: [*]const u8, found: *const Found) Exhausted![*]const u8 {
    return if (found.value.tag == .list or found.value.tag == .map) skip(start, 1) else found.next;
}

/// The items of a list, one after the other.
pub const Items = struct {
    at: [*]const u8,
    left: u32,
    is_made: bool,

    pub fn next(items: *Items) Fault!?Value {
        if (items.left == 0) return null;
        items.left -= 1;
        try spend(5);
        if (items.is_made) {
            const item: *const Value = @ptrCast(@alignCast(items.at));
            items.at += @sizeOf(Value);
            return item.*;
        }
        const found = read(items.at);
        items.at = try behind(items.at, &found);
        return found.value;
    }
};

pub fn itemsOf(whole: *const Value) Items {
    return .{ .at = whole.bytes(), .left = whole.len, .is_made = whole.tag == .made };
}
