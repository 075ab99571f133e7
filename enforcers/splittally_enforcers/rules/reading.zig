//! What a question holds: which kinds, the program of the rules, their codes and messages, the params, the payload.
//!
//! 1. Of the cap params the program is read, and of the texts what a refusal names: the kernel has compiled
//!    them, so an expression is never looked at here.
//! 2. What is read of the cap params is bounded by their values, of which each takes at least a byte.

const canonical = @import("canonical.zig");
const sdk = @import("splittally");
const values = @import("values.zig");

pub const dims_max = 64;
const values_max = 2000; // of the cap params: the 1500 that the kernel takes, and those of the program
const units_per_value = 7; // of the account, for reading it up to three times
const code_bytes_max = 64;
const message_bytes_max = 256;

/// `codes` is code for each rule; `reserve` and `usage` map dimensions to code or naturals.
pub const Cap = struct {
    kinds: sdk.Texts,
    rules: sdk.Items,
    codes: sdk.Items,
    reserve: sdk.Map,
    usage: sdk.Map,
};

const Fields = struct {
    kinds: sdk.Texts = .none,
    rules: sdk.Items = .none,
    reserve: ?sdk.Item = null,
    usage: ?sdk.Item = null,
    program: ?sdk.Item = null,
};

const RuleFields = struct {
    deny: ?[]const u8 = null,
    require: ?[]const u8 = null,
    code: []const u8 = "denied_by_rule",
    message: []const u8 = "",
};

pub const Rule = struct { is_requirement: bool, code: []const u8, message: []const u8 };

var cap: Cap = undefined;

pub fn readCap(ask: *const sdk.Ask, answer: *sdk.Answer) sdk.Refused!*const Cap {
    const bytes = ask.cap_params;
    const count = if (bytes.len <= values_max) bytes.len else canonical.count(bytes, values_max) orelse
        return answer.refuse("cap_params_invalid", .{"the cap params must hold at most 2000 values and keys"});
    values.spend(units_per_value * count) catch unreachable; // the account is larger than the bounds are
    const found = try ask.cap(Fields, answer);
    cap.kinds = found.kinds;
    cap.rules = found.rules;
    const program = found.program orelse return unsound(answer);
    readProgram(program.bytes) catch return unsound(answer);
    return if (cap.codes.count == cap.rules.count) &cap else unsound(answer);
}

/// The program's three keys stand in canonical order, so each is expected in its place.
fn readProgram(bytes: []const u8) error{Malformed}!void {
    var reader = sdk.Items.none.rest;
    reader.bytes = bytes;
    try reader.expect("\xA3\x65rules");
    cap.codes = try reader.items(null);
    try reader.expect("\x65usage");
    cap.usage = try reader.map();
    try reader.expect("\x67reserve");
    cap.reserve = try reader.map();
}

/// Refuses cap params whose program the kernel has not made.
pub fn unsound(answer: *sdk.Answer) sdk.Refused {
    return answer.refuse("cap_params_invalid", .{
        "the cap params hold no program of their rules; issue or amend the grant under this cap",
    });
}

/// Refuses a dimension that could not stand in an answer beside those that do.
pub fn checkDimension(dim: []const u8, answer: *sdk.Answer) sdk.Refused!void {
    if (answer.count == dims_max or !sdk.isDimension(dim)) return unsound(answer);
}

/// Finds the params to be a map.
pub fn checkParams(params: []const u8, answer: *sdk.Answer) sdk.Refused!void {
    canonical.checkOutline(params) catch |fault| return if (fault == error.Malformed)
        answer.unreadable(.params)
    else
        answer.refuse("params_invalid", .{"the params hold more values than this enforcer reads"});
}

/// Finds a payload to be a map in canonical form, all of it.
pub fn checkPayload(payload: []const u8, answer: *sdk.Answer) sdk.Refused!void {
    canonical.checkAll(payload) catch |fault| return if (fault == error.Malformed)
        answer.unreadable(.receipt)
    else
        answer.refuse("receipt_unreadable", .{"the receipt's payload holds more values than this enforcer reads"});
}

/// The text of a rule, which is read where it denies; `number` is its place in the list.
pub fn readRule(ask: *const sdk.Ask, number: usize, answer: *sdk.Answer) sdk.Refused!Rule {
    var rest = cap.rules;
    for (0..number) |_| _ = rest.next();
    const found = try ask.capItem(rest.next().?, RuleFields, "rules", answer);
    const is_rule = (found.deny == null) != (found.require == null);
    const is_said = isText(found.code, code_bytes_max) and isText(found.message, message_bytes_max);
    if (!is_rule or !is_said or found.code.len == 0) return unsound(answer);
    return .{ .is_requirement = found.require != null, .code = found.code, .message = found.message };
}

fn isText(text: []const u8, bytes_max: usize) bool {
    return text.len <= bytes_max and sdk.isLegible(text);
}

/// Whether the grant is for this kind; no list is for every kind.
pub fn covers(kinds: sdk.Texts, kind: []const u8) bool {
    var rest = kinds;
    while (rest.next()) |pattern| {
        if (sdk.endsWith(pattern, ".*")) {
            const stem = pattern[0 .. pattern.len - 1];
            if (kind.len > stem.len and sdk.startsWith(kind, stem)) return true;
        } else if (sdk.equal(kind, pattern)) return true;
    }
    return kinds.isEmpty();
}

// --- dimensions --------------------------------------------------------------------------------------

/// The dimensions of two maps in canonical order, each with what either map has for it.
pub const Pairs = struct {
    reserves: sdk.Map,
    usages: sdk.Map,
    reserve: ?sdk.Map.Entry,
    usage: ?sdk.Map.Entry,

    pub const Pair = struct { dim: []const u8, reserve: ?sdk.Item = null, usage: ?sdk.Item = null };

    pub fn of(reserves: sdk.Map, usages: sdk.Map) Pairs {
        var pairs: Pairs = .{ .reserves = reserves, .usages = usages, .reserve = null, .usage = null };
        pairs.reserve = pairs.reserves.next();
        pairs.usage = pairs.usages.next();
        return pairs;
    }

    pub fn next(pairs: *Pairs) ?Pair {
        const place = if (pairs.reserve) |one|
            if (pairs.usage) |other| sdk.order(one.key, other.key) else .before
        else if (pairs.usage != null) .after else return null;
        var pair: Pair = .{ .dim = if (place == .after) pairs.usage.?.key else pairs.reserve.?.key };
        if (place != .after) {
            pair.reserve = pairs.reserve.?.value;
            pairs.reserve = pairs.reserves.next();
        }
        if (place != .before) {
            pair.usage = pairs.usage.?.value;
            pairs.usage = pairs.usages.next();
        }
        return pair;
    }
};

// --- places ------------------------------------------------------------------------------------------

/// Where an expression stands in the cap params: in a rule, or under a dimension.
pub const Place = struct { field: []const u8, number: ?usize = null, dim: []const u8 = "" };

pub fn ofRule(rule: Rule, number: usize) Place {
    return .{ .field = if (rule.is_requirement) "require" else "deny", .number = number };
}

/// Refuses with `what` behind the name of the place.
pub fn refuseAt(place: Place, answer: *sdk.Answer, comptime code: []const u8, what: anytype) sdk.Refused {
    if (place.number) |number|
        return answer.refuse(code, .{ "`rules[", @as(u64, number), "].", place.field, "`" } ++ what);
    return answer.refuse(code, .{ "`", place.field, "` of ", sdk.quote(place.dim) } ++ what);
}
