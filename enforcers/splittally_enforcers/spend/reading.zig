//! What the enforcer reads: the grant's params, the task, and the share that comes back when a task fails.

const sdk = @import("splittally");
const calendar = @import("calendar.zig");

const dims_max = 64;
const offset_minutes_max = 840;

pub const Cap = struct {
    resources: sdk.Texts,
    purposes: sdk.Texts,
    payees: sdk.Texts,
    seasons: sdk.Map,
    offset_minutes: i64,
};

const CapFields = struct {
    kinds: sdk.Texts = .none,
    resources: sdk.Texts = .none,
    purposes: sdk.Texts = .none,
    payees: sdk.Texts = .none,
    seasons: sdk.Map = .none,
    offset_minutes: ?sdk.Item = null,
    failure_returns: ?sdk.Item = null,
};

pub const Task = struct { amounts: sdk.Amounts, compute: ?sdk.Amounts, purpose: ?[]const u8, payee: ?[]const u8 };

const TaskFields = struct {
    result: ?[]const u8 = null,
    amounts: ?sdk.Amounts = null,
    title: ?[]const u8 = null,
    purpose: ?[]const u8 = null,
    payee: ?[]const u8 = null,
    qualifying: ?sdk.Amounts = null,
    compute: ?sdk.Amounts = null,
    time: ?sdk.Item = null,
    failure_returns: ?sdk.Item = null,
    part_of: ?[]const u8 = null,
    criteria: sdk.Items = .none,
};

const Time = struct { deadline_ns: ?u64 = null, hours: ?u64 = null };

const payees_expected = "field `payees` of the cap params must list accounts or prefixes ending in `/` or `/*`, not ";
const seasons_expected = "field `seasons` of the cap params must map resources to lists of months from 1 to 12; correct ";
const offset_expected = "field `offset_minutes` of the cap params must be an integer from -840 to 840";
const share_expected = "a numerator and a denominator above 0 that is not below it";

pub fn isTask(kind: []const u8) bool {
    return sdk.same(kind, "task.post");
}

pub fn readCap(ask: *const sdk.Ask, answer: *sdk.Answer) sdk.Refused!Cap {
    const found = try ask.cap(CapFields, answer);
    try checkPayees(found.payees, answer);
    try checkSeasons(found.seasons, answer);
    const offset_minutes = offsetIn(found.offset_minutes) orelse return answer.refuse("cap_params_invalid", .{
        offset_expected,
    });
    _ = try capShare(found.failure_returns, answer);
    return .{
        .resources = found.resources,
        .purposes = found.purposes,
        .payees = found.payees,
        .seasons = found.seasons,
        .offset_minutes = offset_minutes,
    };
}

fn checkPayees(payees: sdk.Texts, answer: *sdk.Answer) sdk.Refused!void {
    var rest = payees;
    while (rest.next()) |pattern| {
        const stem = stemOf(pattern);
        const is_wrong = stem.len == 0 or sdk.same(stem, "/") or for (stem) |byte| {
            if (byte == '*') break true;
        } else false;
        if (is_wrong) return answer.refuse("cap_params_invalid", .{ payees_expected, sdk.quote(pattern) });
    }
}

fn checkSeasons(seasons: sdk.Map, answer: *sdk.Answer) sdk.Refused!void {
    var rest = seasons;
    while (rest.next()) |entry| {
        if (calendar.monthsIn(entry.value) == null) return answer.refuse("cap_params_invalid", .{
            seasons_expected, sdk.quote(entry.key),
        });
    }
}

fn offsetIn(stated: ?sdk.Item) ?i64 {
    const item = stated orelse return 0;
    const offset = item.integer() orelse return null;
    return if (offset < -offset_minutes_max or offset > offset_minutes_max) null else offset;
}

/// An account's name, or a prefix up to its last slash.
fn stemOf(pattern: []const u8) []const u8 {
    return if (sdk.endsWith(pattern, "/*")) pattern[0 .. pattern.len - 1] else pattern;
}

/// Whether the patterns, which were found well-formed, name this account.
pub fn covers(patterns: sdk.Texts, account: []const u8) bool {
    var rest = patterns;
    while (rest.next()) |pattern| {
        const stem = stemOf(pattern);
        if (sdk.endsWith(stem, "/")) {
            if (account.len > stem.len and sdk.startsWith(account, stem)) return true;
        } else if (sdk.equal(stem, account)) return true;
    }
    return false;
}

pub fn readTask(ask: *const sdk.Ask, answer: *sdk.Answer) sdk.Refused!Task {
    const task = try ask.params(TaskFields, answer);
    if (isTask(ask.kind)) {
        const result = task.result orelse "";
        if (result.len == 0) return answer.misfitParams("result", "a text that says what result is asked for");
    }
    const amounts = task.amounts orelse return answer.misfitParams("amounts", "present");
    if (task.time) |time| _ = try ask.paramsItem(time, Time, "time", answer);
    if (task.failure_returns) |item| _ = shareIn(item) orelse return answer.misfitParams("failure_returns", share_expected);
    try checkApart(amounts, task.compute, answer);
    return .{ .amounts = amounts, .compute = task.compute, .purpose = task.purpose, .payee = task.payee };
}

/// The reserve has one amount a resource and at most 64 of them.
fn checkApart(amounts: sdk.Amounts, stated: ?sdk.Amounts, answer: *sdk.Answer) sdk.Refused!void {
    const compute = stated orelse return;
    if (amounts.map.count + compute.map.count > dims_max) return answer.refuse("params_invalid", .{
        "`amounts` and `compute` of the params must together name at most 64 resources",
    });
    var rest = compute.map;
    while (rest.next()) |entry| {
        if (amounts.map.find(entry.key) != null) return answer.refuse("params_invalid", .{
            "resource ", sdk.quote(entry.key), " stands in `amounts` and in `compute` of the params; state it once",
        });
    }
}

// --- the share that comes back -----------------------------------------------------------------------

pub const Share = struct {
    numerator: u64,
    denominator: u64,

    /// floor(amount × numerator / denominator): long division, a bit at a time, exact in 128 bits. The
    /// numerator is at most the denominator, so the high half is below it and the quotient fits.
    pub fn of(share: Share, amount: u64) u64 {
        const product = @as(u128, amount) * share.numerator;
        var remainder: u64 = @truncate(product >> 64);
        var low: u64 = @truncate(product);
        var quotient: u64 = 0;
        for (0..64) |_| {
            const carry = remainder >> 63;
            remainder = remainder << 1 | low >> 63;
            low <<= 1;
            quotient <<= 1;
            if (carry == 1 or remainder >= share.denominator) {
                remainder -%= share.denominator;
                quotient |= 1;
            }
        }
        return quotient;
    }
};

/// What the task states, else what the grant states, else all.
pub fn returnedShare(ask: *const sdk.Ask, answer: *sdk.Answer) sdk.Refused!Share {
    const Stated = struct { failure_returns: ?sdk.Item = null };
    const cap = try ask.capLoosely(Stated, answer);
    const share = try capShare(cap.failure_returns, answer);
    const task = try ask.params(Stated, answer);
    const item = task.failure_returns orelse return share;
    return shareIn(item) orelse answer.misfitParams("failure_returns", share_expected);
}

fn capShare(stated: ?sdk.Item, answer: *sdk.Answer) sdk.Refused!Share {
    const item = stated orelse return .{ .numerator = 1, .denominator = 1 };
    return shareIn(item) orelse answer.refuse("cap_params_invalid", .{
        "field `failure_returns` of the cap params must be ", share_expected,
    });
}

fn shareIn(item: sdk.Item) ?Share {
    const pair = item.naturals() orelse return null;
    if (pair.items.count != 2) return null;
    var rest = pair.items;
    const numerator = rest.next().?.natural().?;
    const denominator = rest.next().?.natural().?;
    if (denominator == 0 or numerator > denominator) return null;
    return .{ .numerator = numerator, .denominator = denominator };
}
