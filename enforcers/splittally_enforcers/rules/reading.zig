//! What a question holds: which kinds, the program of the rules, their codes and messages, the params, the payload.
//!
//! 1. Of the cap params the program is read, and of the texts what a refusal names: the kernel has compiled
//!    them, so an expression is never looked at here.
//! 2. What the SDK passes over is bounded by its bytes, and what is walked by its values; both are taken
//!    from the account of the call before the rest of it is spent.

const sdk = @import("splittally");
const values = @import("values.zig");

pub const dims_max = 64;
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
    values.spend(2 * ask.cap_params.len) catch unreachable; // the account is larger than the input
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

/// Finds the params to be a map in canonical form.
pub fn checkParams(ask: *const sdk.Ask, answer: *sdk.Answer) sdk.Refused!void {
    values.spend(ask.effect_params.len) catch unreachable; // as above
    _ = try ask.params(struct {}, answer);
}

var walk: sdk.Walk = undefined;

/// Finds a payload, which an adapter may give as bytes, to be a map in canonical form, all of it.
pub fn checkPayload(payload: []const u8, answer: *sdk.Answer) sdk.Refused!void {
    if (payload.len == 0 or payload[0] >> 5 != 5) return answer.unreadable(.receipt);
    walk.reader = .{ .bytes = payload };
    walk.depth = 0;
    walk.levels[0] = .{ .owed = 1, .is_map = false, .keys = .{} };
    while (walk.next() catch return answer.unreadable(.receipt)) |token| {
        values.spend(8 + token.bytes.len) catch return answer.refuse("receipt_unreadable", .{
            "the receipt's payload holds more values than this enforcer reads",
        });
    }
}

/// The text of a rule, which is read where it denies; `number` is its place in the list.
pub fn readRule(ask: *const sdk.Ask, number: usize, answer: *sdk.Answer) sdk.Refused!Rule {
    var rest = cap.rules;
    for (0..number) |_| _ = rest.next();
    const found = try ask.capItem(rest.next().?, RuleFields, pathOf(number), answer);
    const is_fit = (found.deny == null) != (found.require == null) and isCode(found.code) and isMessage(found.message);
    if (!is_fit) return answer.refuse("cap_params_invalid", .{
        "`", pathOf(number), "` of the cap params is no rule; issue or amend the grant under this cap",
    });
    return .{ .is_requirement = found.require != null, .code = found.code, .message = found.message };
}

fn isCode(code: []const u8) bool {
    if (code.len == 0 or code.len > code_bytes_max) return false;
    for (code) |byte| switch (byte) {
        'a'...'z', '0'...'9', '_' => {},
        else => return false,
    };
    return true;
}

fn isMessage(message: []const u8) bool {
    return message.len <= message_bytes_max and sdk.isLegible(message);
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
        return answer.refuse(code, .{ "`", pathOf(number), ".", place.field, "`" } ++ what);
    return answer.refuse(code, .{ "`", place.field, "` of ", sdk.quote(place.dim) } ++ what);
}

const path_head = "rules[";
var path: [path_head.len + 6]u8 = undefined;

/// A rule's place as `rules[12]`; it stands until the next call.
pub fn pathOf(number: usize) []const u8 {
    path[0..path_head.len].* = path_head.*;
    var digits: usize = 1;
    var rest = number;
    while (rest >= 10) : (rest /= 10) digits += 1;
    rest = number;
    for (1..digits + 1) |back| {
        path[path_head.len + digits - back] = '0' + @as(u8, @intCast(rest % 10));
        rest /= 10;
    }
    path[path_head.len + digits] = ']';
    return path[0 .. path_head.len + digits + 1];
}
