//! What a grant says: which kinds, the program of the rules, their codes and messages; and whether data can be read.
//!
//! 1. Of the cap params the program is read, and of the texts what a refusal names: the kernel has compiled
//!    them, so an expression is never looked at here.

const canonical = @import("canonical.zig");
const names = @import("names.zig");
const sdk = @import("splittally");
const values = @import("values.zig");
const Value = values.Value;

pub const dims_max = 64;
const code_bytes_max = 64;
const message_bytes_max = 256;
const no_list: Value = .{ .bits = 0, .tag = .list };

/// `codes` is code for each rule; `reserve` and `usage` map dimensions to code or naturals.
const Cap = struct { kinds: Value, rules: Value, codes: Value, reserve: Value, usage: Value };

pub const Rule = struct { is_requirement: bool, code: []const u8, message: []const u8 };

const Unsound = error{Unsound};

pub var cap: Cap = undefined;

pub fn readCap(answer: *sdk.Answer) sdk.Refused!void {
    cap.kinds = no_list;
    cap.rules = no_list;
    var program: ?[*]const u8 = null;
    var outline = canonical.Outline.of(names.question.cap_params) catch return answer.unreadable(.cap_params);
    while (outline.next() catch return answer.unreadable(.cap_params)) {
        const key = outline.entries.key.?;
        const value = &outline.entries.value;
        const is_note = key.len > 2 and sdk.startsWith(key, "x-");
        if (sdk.same(key, "kinds")) {
            cap.kinds = value.*;
        } else if (sdk.same(key, "rules")) {
            cap.rules = value.*;
        } else if (sdk.same(key, "program")) {
            program = key.ptr + key.len;
        } else if (!is_note and !sdk.same(key, "reserve") and !sdk.same(key, "usage")) {
            return answer.unknownField("", key);
        }
    }
    readProgram(program orelse return unsound(answer)) catch return unsound(answer);
    if (cap.kinds.tag != .list or cap.rules.tag != .list or cap.codes.len != cap.rules.len) return unsound(answer);
}

/// The program's three keys stand in canonical order, so each is expected in its place.
fn readProgram(start: [*]const u8) Unsound!void {
    var at = start;
    cap.codes = try part("\xA3\x65rules", .list, &at);
    at = values.skip(at, cap.codes.len) catch return error.Unsound;
    cap.usage = try part("\x65usage", .map, &at);
    at = try checkAmounts(&cap.usage);
    cap.reserve = try part("\x67reserve", .map, &at);
    _ = try checkAmounts(&cap.reserve);
}

inline fn part(comptime key: []const u8, wanted: values.Tag, at: *[*]const u8) Unsound!Value {
    const found = values.read(at.* + key.len);
    if (!sdk.same(at.*[0..key.len], key) or found.value.tag != wanted) return error.Unsound;
    at.* = found.next;
    return found.value;
}

/// Finds a map to hold nothing but dimensions with naturals or code; gives its end.
fn checkAmounts(map: *const Value) Unsound![*]const u8 {
    var amounts = values.entriesOf(map);
    while (amounts.next() catch return error.Unsound) {
        values.spend(amounts.key.?.len) catch return error.Unsound;
        const is_amount = amounts.value.tag == .int or amounts.value.tag == .alien;
        if (!is_amount or !sdk.isDimension(amounts.key.?)) return error.Unsound;
    }
    return amounts.rest;
}

/// Refuses cap params whose program the kernel has not made.
pub noinline fn unsound(answer: *sdk.Answer) sdk.Refused {
    return answer.refuse("cap_params_invalid", .{
        "the cap params hold no program of their rules; issue or amend the grant under this cap",
    });
}

/// Finds the params to be a map.
pub fn checkParams(answer: *sdk.Answer) sdk.Refused!void {
    return checkOutline(names.question.params) catch |fault| switch (fault) {
        error.Malformed => answer.unreadable(.params),
        else => answer.refuse("params_invalid", .{"the params hold more values than this enforcer reads"}),
    };
}

fn checkOutline(bytes: []const u8) values.Unreadable!void {
    var outline: canonical.Outline = try .of(bytes);
    while (try outline.next()) {}
}

/// Finds a payload to be a map in canonical form, all of it.
pub fn checkPayload(answer: *sdk.Answer) sdk.Refused!void {
    return canonical.checkAll(names.question.receipt.?.payload) catch |fault| switch (fault) {
        error.Malformed => answer.unreadable(.receipt),
        else => answer.refuse("receipt_unreadable", .{"the receipt's payload holds more values than this enforcer reads"}),
    };
}

/// The text of a rule, which is read where it denies; `number` is its place in the list.
pub fn readRule(number: usize) values.Fault!Rule {
    values.spendOnRefusal();
    const rule = values.read(try values.skip(cap.rules.bytes(), number)).value;
    if (rule.tag != .map) return error.WrongType;
    const is_requirement = try values.find(&rule, "require") != null;
    if (is_requirement == (try values.find(&rule, "deny") != null)) return error.WrongType;
    const code = try textOf(&rule, "code", code_bytes_max) orelse "denied_by_rule";
    const message = try textOf(&rule, "message", message_bytes_max) orelse "";
    return .{ .is_requirement = is_requirement, .code = code, .message = message };
}

fn textOf(rule: *const Value, key: []const u8, bytes_max: usize) values.Fault!?[]const u8 {
    const found = try values.find(rule, key) orelse return null;
    if (found.tag != .text or found.len == 0 or found.len > bytes_max or !sdk.isLegible(found.text()))
        return error.WrongType;
    return found.text();
}

/// Whether the grant is for this kind; no list is for every kind.
pub fn covers(kind: []const u8, answer: *sdk.Answer) sdk.Refused!bool {
    if (cap.kinds.len == 0) return true;
    var rest = values.itemsOf(&cap.kinds);
    while (rest.next() catch return unsound(answer)) |pattern| {
        if (pattern.tag != .text) return unsound(answer);
        const text = pattern.text();
        if (sdk.endsWith(text, ".*")) {
            const stem = text[0 .. text.len - 1];
            if (kind.len > stem.len and sdk.startsWith(kind, stem)) return true;
        } else if (sdk.equal(kind, text)) return true;
    }
    return false;
}

// --- dimensions --------------------------------------------------------------------------------------

/// The dimensions of two maps in canonical order, each with what either map has for it.
pub const Pairs = struct {
    reserves: values.Entries,
    usages: values.Entries,
    dim: []const u8 = "",
    reserve: ?*const Value = null,
    usage: ?*const Value = null,

    pub fn of(reserves: *const Value, usages: *const Value) Pairs {
        var pairs: Pairs = .{ .reserves = values.entriesOf(reserves), .usages = values.entriesOf(usages) };
        _ = pairs.reserves.next() catch unreachable; // both maps were found sound
        _ = pairs.usages.next() catch unreachable;
        return pairs;
    }

    /// Goes to the next dimension; false behind the last.
    pub fn next(pairs: *Pairs) bool {
        if (pairs.reserve != null) _ = pairs.reserves.next() catch unreachable;
        if (pairs.usage != null) _ = pairs.usages.next() catch unreachable;
        const place = if (pairs.reserves.key) |one|
            if (pairs.usages.key) |other| sdk.order(one, other) else .before
        else if (pairs.usages.key != null) .after else return false;
        pairs.reserve = if (place == .after) null else &pairs.reserves.value;
        pairs.usage = if (place == .before) null else &pairs.usages.value;
        pairs.dim = if (place == .after) pairs.usages.key.? else pairs.reserves.key.?;
        return true;
    }
};

// --- places ------------------------------------------------------------------------------------------

/// Where an expression stands in the cap params: in a rule, or under a dimension.
pub const Place = struct { field: []const u8, number: ?usize = null, dim: []const u8 = "" };

/// Refuses with `what` behind the name of the place.
pub fn refuseAt(place: Place, answer: *sdk.Answer, comptime code: []const u8, what: anytype) sdk.Refused {
    if (place.number) |number|
        return answer.refuse(code, .{ "`rules[", @as(u64, number), "].", place.field, "`" } ++ what);
    return answer.refuse(code, .{ "`", place.field, "` of ", sdk.quote(place.dim) } ++ what);
}
