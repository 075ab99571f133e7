//! sys/CapEnforceSpend@1: which resources one task may use, for which purpose, who is paid, and in which months.
//!
//! 1. The reserve is what the task states: its amounts and the compute resources it needs. What qualifies
//!    somebody for the task is matched by others and never spent.
//! 2. A task that is done used what its receipt states, else its whole reserve. One that failed gives
//!    back the share that the task or else the grant states, rounded down; the rest was used.
//! 3. A receipt that cannot be read used the whole reserve, because settling always ends.

const sdk = @import("splittally");
const calendar = @import("calendar.zig");
const reading = @import("reading.zig");
pub const panic = sdk.panic;
comptime {
    sdk.serve(@This());
}

const Cap = reading.Cap;

pub fn check(ask: *const sdk.Ask, answer: *sdk.Answer) sdk.Refused!void {
    try checkKind(ask, answer);
    const cap = try reading.readCap(ask, answer);
    const task = try reading.readTask(ask, answer);
    try checkResources(&cap, task.amounts, answer);
    if (task.compute) |compute| try checkResources(&cap, compute, answer);
    try checkPurpose(&cap, task.purpose, answer);
    try checkPayee(&cap, task.payee, answer);
    const month = calendar.monthAt(ask.nowNs(), cap.offset_minutes);
    try checkSeason(&cap, task.amounts, month, answer);
    if (task.compute) |compute| try checkSeason(&cap, compute, month, answer);
    answer.putAll(task.amounts);
    if (task.compute) |compute| answer.putAll(compute);
}

pub fn settle(ask: *const sdk.Ask, receipt: *const sdk.Receipt, answer: *sdk.Answer) sdk.Refused!void {
    try checkKind(ask, answer);
    const share = try reading.returnedShare(ask, answer);
    const reserve: sdk.Amounts = .{ .map = ask.reserve };
    const stated = receipt.read(struct { amounts: ?sdk.Amounts = null }, answer) catch |refused| {
        answer.putAll(reserve);
        return refused;
    };
    if (stated.amounts) |amounts| return answer.useAll(ask, amounts);
    if (receipt.status == .ok) return answer.putAll(reserve);
    var rest = ask.reserve;
    while (rest.next()) |entry| {
        const amount = entry.value.natural().?;
        answer.put(entry.key, amount - share.of(amount));
    }
}

/// Tasks are judged, and the kinds that the grant lists; a list that cannot be read lists nothing.
fn checkKind(ask: *const sdk.Ask, answer: *sdk.Answer) sdk.Refused!void {
    if (reading.isTask(ask.kind)) return;
    const listing = try ask.capLoosely(struct { kinds: sdk.Texts = .none }, answer);
    if (!listing.kinds.has(ask.kind)) return answer.kindMismatch(ask.kind);
}

fn checkResources(cap: *const Cap, amounts: sdk.Amounts, answer: *sdk.Answer) sdk.Refused!void {
    var rest = amounts.map;
    while (rest.next()) |entry| {
        if (!cap.resources.allows(entry.key)) return answer.refuse("resource_not_permitted", .{
            "resource ", sdk.quote(entry.key), " is not permitted; the grant permits ", sdk.list(cap.resources),
        });
    }
}

fn checkPurpose(cap: *const Cap, stated: ?[]const u8, answer: *sdk.Answer) sdk.Refused!void {
    if (cap.purposes.isEmpty()) return;
    const purpose = stated orelse return answer.refuse("purpose_not_permitted", .{
        "the task states no purpose; add `purpose`: the grant permits ", sdk.list(cap.purposes),
    });
    if (!cap.purposes.has(purpose)) return answer.refuse("purpose_not_permitted", .{
        "purpose ", sdk.quote(purpose), " is not permitted; the grant permits ", sdk.list(cap.purposes),
    });
}

fn checkPayee(cap: *const Cap, stated: ?[]const u8, answer: *sdk.Answer) sdk.Refused!void {
    if (cap.payees.isEmpty()) return;
    const payee = stated orelse return answer.refuse("payee_not_permitted", .{
        "the task names no payee; add `payee`: the grant permits ", sdk.list(cap.payees),
    });
    if (!reading.covers(cap.payees, payee)) return answer.refuse("payee_not_permitted", .{
        "payee ", sdk.quote(payee), " is not permitted; the grant permits ", sdk.list(cap.payees),
    });
}

/// A resource that no season names follows the season of `*`, or is always available.
fn checkSeason(cap: *const Cap, amounts: sdk.Amounts, month: calendar.Month, answer: *sdk.Answer) sdk.Refused!void {
    if (cap.seasons.count == 0) return;
    var rest = amounts.map;
    while (rest.next()) |entry| {
        const season = cap.seasons.find(entry.key) orelse cap.seasons.find("*") orelse continue;
        const months = calendar.monthsIn(season).?;
        if (!months.has(month)) return answer.refuse("out_of_season", .{
            "resource ",           sdk.quote(entry.key),  " is out of season in month ", @as(u64, month),
            "; wait until month ", calendar.name(months),
        });
    }
}
