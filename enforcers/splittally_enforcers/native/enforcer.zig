//! sys/CapEnforceNative@1: which of the kernel's own operations a grant covers, of which rank, at which rates.
//!
//! 1. A list that is missing or empty restricts nothing; a field that no list restricts is not looked at.
//! 2. The lists of accounts and resources are held by the kernel, which knows what an operation touches; here
//!    only their form is judged.
//! 3. Where the grant lists rates, a conversion must be at one of them, compared as exact fractions.
//! 4. Native effects carry their amounts in their params, so nothing is reserved and nothing is used.

const sdk = @import("splittally");
pub const panic = sdk.panic;
comptime {
    sdk.serve(@This());
}

const operations = [_][]const u8{
    "manifest.apply", "module.install",  "grant.issue",         "grant.amend",       "grant.topup",
    "grant.revoke",   "account.open",    "resource.define",     "ledger.issue",      "ledger.transfer",
    "ledger.convert", "approval.answer", "reservation.release", "settlement.refund", "outcome.attest",
    "metric.record",  "usage.record",    "token.issue",         "token.revoke",
};
const strategic = [_][]const u8{ "budget.create", "budget.amend", "budget.split" };

const operations_expected = "field `operations` of the cap params must list kinds or prefixes ending in `.*`";
const accounts_expected = "field `accounts` of the cap params must list names or prefixes ending in `/*`";

const fraction_expected = "a list of a numerator and a denominator above 0";

const Cap = struct {
    operations: sdk.Texts = .none,
    accounts: sdk.Texts = .none,
    resources: sdk.Texts = .none,
    rank: ?[]const u8 = null,
    rates: sdk.Items = .none,
};

const CapRate = struct { resource: []const u8, gets: []const u8, rate: ?sdk.Item = null };

const Params = struct {
    resource: ?sdk.Item = null,
    gets: ?sdk.Item = null,
    rate: ?sdk.Item = null,
};

pub fn check(ask: *const sdk.Ask, answer: *sdk.Answer) sdk.Refused!void {
    if (!isOperation(ask.kind)) return answer.kindMismatch(ask.kind);
    const cap = try ask.cap(Cap, answer);
    try checkPatterns(cap.operations, ".*", operations_expected, answer);
    try checkPatterns(cap.accounts, "/*", accounts_expected, answer);
    const is_covered = cap.operations.isEmpty() or covers(cap.operations, ".*", ask.kind);
    if (!is_covered) return answer.refuse("operation_not_covered", .{
        "the grant does not cover ", sdk.quote(ask.kind), "; use a grant whose operations list it",
    });
    try checkRank(&cap, ask.kind, answer);
    const params = try ask.params(Params, answer);
    if (cap.rates.count > 0 and sdk.same(ask.kind, "ledger.convert")) try checkRate(ask, &cap, &params, answer);
}

/// The kernel finishes a native effect itself and does not ask; a receipt all the same used nothing.
pub fn settle(ask: *const sdk.Ask, _: *const sdk.Receipt, answer: *sdk.Answer) sdk.Refused!void {
    if (!isOperation(ask.kind)) return answer.kindMismatch(ask.kind);
}

fn isOperation(kind: []const u8) bool {
    return sdk.isAmong(kind, &operations) or (sdk.startsWith(kind, "budget.") and kind.len > "budget.".len);
}

const Rate = struct { resource: []const u8, gets: []const u8, share: Fraction };
const Fraction = struct { numerator: u64, denominator: u64 };

fn checkRate(ask: *const sdk.Ask, cap: *const Cap, params: *const Params, answer: *sdk.Answer) sdk.Refused!void {
    const asked = try askedRate(params, answer);
    var rest = cap.rates;
    var is_listed = false;
    while (rest.next()) |item| {
        const listed = try ask.capItem(item, CapRate, "rates", answer);
        const share = fractionIn(listed.rate) orelse return answer.refuse("cap_params_invalid", .{
            "field `rates.rate` of the cap params must be ", fraction_expected,
        });
        if (isSame(asked, .{ .resource = listed.resource, .gets = listed.gets, .share = share })) is_listed = true;
    }
    if (!is_listed) return answer.refuse("rate_not_covered", .{
        "the grant does not cover the rate ", asked.share.numerator, "/",
        asked.share.denominator,              " from ",              sdk.quote(asked.resource),
        " to ",                               sdk.quote(asked.gets), "; use one that its rates list",
    });
}

fn askedRate(params: *const Params, answer: *sdk.Answer) sdk.Refused!Rate {
    const resource = params.resource orelse return answer.misfitParams("resource", "present");
    const gets = params.gets orelse return answer.misfitParams("gets", "present");
    return .{
        .resource = resource.text() orelse return answer.misfitParams("resource", "a text"),
        .gets = gets.text() orelse return answer.misfitParams("gets", "a text"),
        .share = fractionIn(params.rate) orelse return answer.misfitParams("rate", fraction_expected),
    };
}

fn fractionIn(stated: ?sdk.Item) ?Fraction {
    const item = stated orelse return null;
    const pair = item.naturals() orelse return null;
    if (pair.items.count != 2) return null;
    var rest = pair.items;
    const numerator = rest.next().?.natural().?;
    const denominator = rest.next().?.natural().?;
    return if (denominator == 0) null else .{ .numerator = numerator, .denominator = denominator };
}

/// Both products are below 2^128, so nothing is rounded.
fn isSame(a: Rate, b: Rate) bool {
    if (!sdk.equal(a.resource, b.resource) or !sdk.equal(a.gets, b.gets)) return false;
    const left = @as(u128, a.share.numerator) * b.share.denominator;
    return left == @as(u128, b.share.numerator) * a.share.denominator;
}

/// A strategic operation changes the plan, a tactical one works within it. No rank restricts nothing.
fn checkRank(cap: *const Cap, kind: []const u8, answer: *sdk.Answer) sdk.Refused!void {
    const rank = cap.rank orelse return;
    if (sdk.same(rank, "strategic")) return;
    if (!sdk.same(rank, "tactical")) return answer.refuse("cap_params_invalid", .{
        "field `rank` of the cap params must be `strategic` or `tactical`, not ", sdk.quote(rank),
    });
    if (sdk.isAmong(kind, &strategic)) return answer.refuse("rank_too_low", .{
        sdk.quote(kind), " needs rank `strategic` and the grant's rank is `tactical`; use a grant of that rank",
    });
}

/// Whether a pattern names `name`: the name itself, or a prefix that `tail` (`.*` or `/*`) ends.
fn covers(patterns: sdk.Texts, comptime tail: []const u8, name: []const u8) bool {
    var rest = patterns;
    while (rest.next()) |pattern| {
        const stem = pattern[0 .. pattern.len - @min(pattern.len, 1)];
        if (sdk.endsWith(pattern, tail)) {
            if (name.len > stem.len and sdk.startsWith(name, stem)) return true;
        } else if (sdk.equal(pattern, name)) return true;
    }
    return false;
}

/// A star anywhere but in the tail would match nothing, silently.
fn checkPatterns(
    patterns: sdk.Texts,
    comptime tail: []const u8,
    comptime expected: []const u8,
    answer: *sdk.Answer,
) sdk.Refused!void {
    var rest = patterns;
    while (rest.next()) |pattern| {
        const size = if (sdk.endsWith(pattern, tail)) pattern.len - tail.len else pattern.len;
        const is_wrong = size == 0 or for (pattern[0..size]) |byte| {
            if (byte == '*') break true;
        } else false;
        if (is_wrong) return answer.refuse("cap_params_invalid", .{ expected, ", not ", sdk.quote(pattern) });
    }
}
