//! sys/CapEnforceRules@2: what a grant allows, reserves and counts, by the program that the kernel made of its rules.
//!
//! 1. The rules are judged in order and the first that denies decides. A rule that has no value denies.
//! 2. A dimension reserves the value of its code. One that only has a usage reserves 0.
//! 3. A dimension that is used by no code, or whose code has no value or a negative one, used its whole
//!    reserve. So did all of them where the receipt cannot be read: settling always ends.
//! 4. Code that the kernel would not have made denies where it is met; no code can end in a trap.

const names = @import("names.zig");
const reading = @import("reading.zig");
const running = @import("run.zig");
const sdk = @import("splittally");
const values = @import("values.zig");
pub const panic = sdk.panic;
comptime {
    sdk.serve(@This());
}

pub fn check(ask: *const sdk.Ask, answer: *sdk.Answer) sdk.Refused!void {
    const cap = try readQuestion(ask, answer);
    var codes = cap.codes;
    for (0..cap.codes.count) |number| try judge(ask, number, codes.next().?, answer);
    var pairs: reading.Pairs = .of(cap.reserve, cap.usage);
    while (pairs.next()) |pair| {
        try reading.checkDimension(pair.dim, answer);
        answer.put(pair.dim, try reserveOf(pair, answer));
    }
}

pub fn settle(ask: *const sdk.Ask, receipt: *const sdk.Receipt, answer: *sdk.Answer) sdk.Refused!void {
    const cap = readSettling(ask, receipt, answer) catch |refused| {
        answer.putAll(.{ .map = ask.reserve });
        return refused;
    };
    var pairs: reading.Pairs = .of(ask.reserve, cap.usage);
    while (pairs.next()) |pair| {
        if (pair.reserve == null or answer.count == reading.dims_max) try reading.checkDimension(pair.dim, answer);
        const reserve = if (pair.reserve) |amount| amount.natural() orelse 0 else 0;
        const used = if (pair.usage) |usage| usageOf(pair.dim, usage, answer) catch reserve else reserve;
        if (pair.usage != null and reserve > 0 and used > reserve) answer.exceeds(pair.dim, used, reserve);
        answer.put(pair.dim, used);
    }
}

/// The grant's rules, where it is for the kind and the params can be read.
fn readQuestion(ask: *const sdk.Ask, answer: *sdk.Answer) sdk.Refused!*const reading.Cap {
    const cap = try reading.readCap(ask, answer);
    if (!reading.covers(cap.kinds, ask.kind)) return answer.kindMismatch(ask.kind);
    try reading.checkParams(ask.effect_params, answer);
    names.ask = ask;
    return cap;
}

fn readSettling(ask: *const sdk.Ask, receipt: *const sdk.Receipt, answer: *sdk.Answer) sdk.Refused!*const reading.Cap {
    const cap = try readQuestion(ask, answer);
    try reading.checkPayload(receipt.payload, answer);
    names.receipt = receipt;
    return cap;
}

/// Denies where the rule's code says so or has no value.
fn judge(ask: *const sdk.Ask, number: usize, code: sdk.Item, answer: *sdk.Answer) sdk.Refused!void {
    const value = running.run(code, .boolean) catch |fault| {
        const rule = try reading.readRule(ask, number, answer);
        return refuseFault(reading.ofRule(rule, number), fault, "rule_fault", answer);
    };
    if (value.bits == 0) return;
    const rule = try reading.readRule(ask, number, answer);
    if (rule.message.len == 0) answer.say(rule.code, .{
        "`rules[", @as(u64, number), "]` of the grant does not allow this",
    }) else answer.say(rule.code, .{rule.message});
    return error.Refused;
}

fn reserveOf(pair: reading.Pairs.Pair, answer: *sdk.Answer) sdk.Refused!u64 {
    const amount = pair.reserve orelse return 0;
    return valueOf(.{ .field = "reserve", .dim = pair.dim }, amount, "reserve_fault", "reserve_negative", answer);
}

/// What was used; a violation where that has no value or a negative one.
fn usageOf(dim: []const u8, amount: sdk.Item, answer: *sdk.Answer) sdk.Refused!u64 {
    return valueOf(.{ .field = "usage", .dim = dim }, amount, "usage_fault", "usage_negative", answer);
}

/// The value of an amount: a natural that stands for itself, or code.
fn valueOf(
    place: reading.Place,
    amount: sdk.Item,
    comptime fault_code: []const u8,
    comptime negative_code: []const u8,
    answer: *sdk.Answer,
) sdk.Refused!u64 {
    if (amount.natural()) |natural| return natural;
    const value = running.run(amount, .int) catch |fault| return refuseFault(place, fault, fault_code, answer);
    if (!value.is_negative) return value.bits;
    return reading.refuseAt(place, answer, negative_code, .{ " is the negative number -", value.bits });
}

fn refuseFault(place: reading.Place, fault: running.Fault, comptime code: []const u8, answer: *sdk.Answer) sdk.Refused {
    return switch (fault) {
        error.Unsound => reading.unsound(answer),
        else => |known| reading.refuseAt(place, answer, code, .{
            " has no value: ", values.codeOf(known), " at character ", @as(u64, running.fault_at) + 1,
        }),
    };
}
