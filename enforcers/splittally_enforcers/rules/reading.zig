//! The grant's rules: which kinds, what denies, what is reserved and what was used, each compiled here.
//!
//! 1. Everything is compiled before anything is judged, at Check and at Settle alike, so a mistake denies
//!    whatever the intent is.
//! 2. What is wrong is named by its place in the grant and by a character; nothing of an expression's text
//!    stands in a message.

const canonical = @import("canonical.zig");
const compiling = @import("compile.zig");
const program = @import("program.zig");
const refusal = @import("refusal.zig");
const sdk = @import("splittally");
const types = @import("types.zig");
const values = @import("values.zig");

const kinds_max = 64;
const rules_max = 64;
const dims_max = 64;
const values_max = 1500; // in all cap params, notes included
const units_per_value = 7; // of the account, for reading it up to three times
const code_bytes_max = 64;
const message_bytes_max = 256;

pub const Cap = struct {
    kinds: sdk.Texts = .none,
    rules: sdk.Items = .none,
    reserve: sdk.Map = .none,
    usage: sdk.Map = .none,
};

const RuleFields = struct {
    deny: ?[]const u8 = null,
    require: ?[]const u8 = null,
    code: ?[]const u8 = null,
    message: ?[]const u8 = null,
};

pub const Rule = struct { is_requirement: bool, text: []const u8, code: []const u8, message: []const u8 };

const kinds_expected = "field `kinds` of the cap params must list kinds or prefixes ending in `.*`, not ";

/// Where the programs of the reserve and of the usage begin; those of the rules begin at 0.
pub const Starts = struct { reserve: usize, usage: usize };
pub var starts: Starts = .{ .reserve = 0, .usage = 0 };

/// The grant's params, every expression in them compiled.
pub fn readCap(ask: *const sdk.Ask, answer: *sdk.Answer) sdk.Refused!Cap {
    const count = canonical.count(ask.cap_params, values_max) orelse return answer.refuse("cap_params_invalid", .{
        "the cap params must hold at most 1500 values and keys",
    });
    values.spend(units_per_value * count) catch unreachable; // the account is larger than the bounds are
    const cap = try ask.cap(Cap, answer);
    try checkKinds(cap.kinds, answer);
    if (cap.rules.count > rules_max) return answer.refuse("cap_params_invalid", .{
        "field `rules` of the cap params must list at most 64 rules",
    });
    var rest = cap.rules;
    for (0..cap.rules.count) |number| {
        const rule = try readRule(ask, rest.next().?, number, answer);
        // A program is true where the rule denies.
        compiling.compile(rule.text, .conditions, .boolean) catch return say(ofRule(rule, number), answer);
        if (rule.is_requirement) program.emit(.{ .op = .not, .at = 0 });
        program.emit(.{ .op = .done, .at = 0 });
    }
    starts.reserve = program.here();
    try compileAmounts("reserve", cap.reserve, .conditions, answer);
    starts.usage = program.here();
    try compileAmounts("usage", cap.usage, .usage, answer);
    var pairs: Pairs = .{ .reserve = cap.reserve, .usage = cap.usage };
    var dims: usize = 0;
    while (pairs.next()) |_| dims += 1;
    if (dims > dims_max) return answer.refuse("cap_params_invalid", .{
        "`reserve` and `usage` of the cap params must together name at most 64 dimensions",
    });
    return cap;
}

/// An amount is an expression that gives an int, or a natural that stands for itself.
fn compileAmounts(
    comptime field: []const u8,
    amounts: sdk.Map,
    names: types.Names,
    answer: *sdk.Answer,
) sdk.Refused!void {
    var rest = amounts;
    while (rest.next()) |entry| {
        const place: Place = .{ .field = field, .dim = entry.key };
        if (!sdk.isDimension(entry.key)) return answer.refuse("cap_params_invalid", .{
            "`" ++ field ++ "` of the cap params must name dimensions of 1 to 128 bytes, not ", sdk.quote(entry.key),
        });
        if (entry.value.natural()) |amount| {
            compiling.compileNatural(amount) catch return say(place, answer);
        } else if (entry.value.text()) |text| {
            compiling.compile(text, names, .int) catch return say(place, answer);
        } else return answer.refuse("cap_params_invalid", .{
            "`" ++ field ++ "` of the cap params must map to expressions or naturals, not so ", sdk.quote(entry.key),
        });
        program.emit(.{ .op = .done, .at = 0 });
    }
}

/// A rule of the grant; `number` is its place in the list.
pub fn readRule(ask: *const sdk.Ask, item: sdk.Item, number: usize, answer: *sdk.Answer) sdk.Refused!Rule {
    const found = try ask.capItem(item, RuleFields, pathOf(number), answer);
    if ((found.deny == null) == (found.require == null)) return misfit(number, " must have either `deny` or `require`", answer);
    const code = found.code orelse "denied_by_rule";
    const message = found.message orelse "";
    if (!isCode(code)) return misfit(number, " must have a `code` of 1 to 64 of a-z, 0-9 and _, a letter first", answer);
    if (found.message != null and !isMessage(message))
        return misfit(number, " must have a `message` of 1 to 256 bytes of visible text, its backticks in pairs", answer);
    return .{
        .is_requirement = found.require != null,
        .text = found.deny orelse found.require.?,
        .code = code,
        .message = message,
    };
}

fn misfit(number: usize, comptime must: []const u8, answer: *sdk.Answer) sdk.Refused {
    return answer.refuse("cap_params_invalid", .{ "`", pathOf(number), "` of the cap params", must });
}

fn isCode(code: []const u8) bool {
    if (code.len == 0 or code.len > code_bytes_max or code[0] < 'a') return false;
    for (code) |byte| switch (byte) {
        'a'...'z', '0'...'9', '_' => {},
        else => return false,
    };
    return true;
}

fn isMessage(message: []const u8) bool {
    var ticks: usize = 0;
    for (message) |byte| ticks += @intFromBool(byte == '`');
    return message.len > 0 and message.len <= message_bytes_max and ticks % 2 == 0 and sdk.isLegible(message);
}

// --- kinds -------------------------------------------------------------------------------------------

/// A star anywhere but in the tail would match nothing, silently.
fn checkKinds(kinds: sdk.Texts, answer: *sdk.Answer) sdk.Refused!void {
    if (kinds.items.count > kinds_max) return answer.refuse("cap_params_invalid", .{
        "field `kinds` of the cap params must list at most 64 kinds",
    });
    var rest = kinds;
    while (rest.next()) |kind| {
        const stem = stemOf(kind);
        const is_wrong = stem.len == 0 or for (stem) |byte| {
            if (byte == '*') break true;
        } else false;
        if (is_wrong) return answer.refuse("cap_params_invalid", .{ kinds_expected, sdk.quote(kind) });
    }
}

fn stemOf(kind: []const u8) []const u8 {
    return if (sdk.endsWith(kind, ".*")) kind[0 .. kind.len - ".*".len] else kind;
}

/// Whether the grant is for this kind; no list is for every kind.
pub fn covers(kinds: sdk.Texts, kind: []const u8) bool {
    var rest = kinds;
    while (rest.next()) |pattern| {
        const stem = stemOf(pattern);
        if (stem.len == pattern.len) {
            if (sdk.equal(kind, pattern)) return true;
        } else if (kind.len > stem.len + 1 and sdk.startsWith(kind, pattern[0 .. stem.len + 1])) return true;
    }
    return kinds.isEmpty();
}

// --- dimensions --------------------------------------------------------------------------------------

/// The dimensions of two maps in canonical order, each with what either map has for it.
pub const Pairs = struct {
    reserve: sdk.Map,
    usage: sdk.Map,

    pub const Pair = struct { dim: []const u8, reserve: ?sdk.Item, usage: ?sdk.Item };

    pub fn next(pairs: *Pairs) ?Pair {
        var reserve = pairs.reserve;
        var usage = pairs.usage;
        const one = reserve.next();
        const other = usage.next();
        const key = if (one) |entry| entry.key else (other orelse return null).key;
        const place = if (one != null and other != null) sdk.order(key, other.?.key) else .same;
        const has_one = one != null and place != .after;
        const has_other = other != null and place != .before;
        if (has_one) pairs.reserve = reserve;
        if (has_other) pairs.usage = usage;
        return .{
            .dim = if (has_one) one.?.key else other.?.key,
            .reserve = if (has_one) one.?.value else null,
            .usage = if (has_other) other.?.value else null,
        };
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

/// Says where the expression that was refused last stands and why it is none.
fn say(place: Place, answer: *sdk.Answer) sdk.Refused {
    return refuseAt(place, answer, "cap_params_invalid", .{
        " of the cap params is no expression: at character ", @as(u64, refusal.found.at + 1),
        ": ",                                                 refusal.found.reason.text(),
    });
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
