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
const Value = values.Value;
pub const panic = sdk.panic;
comptime {
    sdk.serveMessages(@This());
}

pub fn answerTo(message: []u8) []const u8 {
    names.question.read(message);
    const answer = sdk.freshAnswer();
    if (names.question.receipt != null) {
        settle(answer) catch {};
        return sdk.writeSettle(answer);
    }
    check(answer) catch {};
    return sdk.writeCheck(answer);
}

fn check(answer: *sdk.Answer) sdk.Refused!void {
    try readQuestion(answer);
    var at = reading.cap.codes.bytes();
    for (0..reading.cap.codes.len) |number| {
        const code = values.read(at);
        try judge(number, &code.value, answer);
        at = code.next;
    }
    var pairs: reading.Pairs = .of(&reading.cap.reserve, &reading.cap.usage);
    while (pairs.next()) {
        if (answer.count == reading.dims_max) return reading.unsound(answer);
        const reserve = if (pairs.reserve) |amount| try valueOf("reserve", pairs.dim, amount, answer) else 0;
        answer.put(pairs.dim, reserve);
    }
}

fn settle(answer: *sdk.Answer) sdk.Refused!void {
    const reserve = values.read(names.question.reserve).value;
    readSettling(answer) catch |refused| {
        var reserves = values.entriesOf(&reserve);
        while (reserves.next() catch unreachable) answer.put(reserves.key.?, reserves.value.bits);
        return refused;
    };
    var pairs: reading.Pairs = .of(&reserve, &reading.cap.usage);
    while (pairs.next()) {
        if (answer.count == reading.dims_max) return reading.unsound(answer);
        const reserved = if (pairs.reserve) |amount| amount.bits else 0;
        const used = if (pairs.usage) |usage| valueOf("usage", pairs.dim, usage, answer) catch reserved else reserved;
        if (pairs.usage != null and reserved > 0 and used > reserved) answer.exceeds(pairs.dim, used, reserved);
        answer.put(pairs.dim, used);
    }
}

/// Reads the grant's rules and finds them to be for the kind, and the params to be a map.
fn readQuestion(answer: *sdk.Answer) sdk.Refused!void {
    try reading.readCap(answer);
    if (!try reading.covers(names.question.kind, answer)) return answer.kindMismatch(names.question.kind);
    try reading.checkParams(answer);
}

fn readSettling(answer: *sdk.Answer) sdk.Refused!void {
    try readQuestion(answer);
    try reading.checkPayload(answer);
    names.is_receipt_read = true;
}

/// Denies where the rule's code says so or has no value.
fn judge(number: usize, code: *const Value, answer: *sdk.Answer) sdk.Refused!void {
    const value = running.run(code, .boolean) catch |fault| {
        const rule = reading.readRule(number) catch return reading.unsound(answer);
        const field = if (rule.is_requirement) "require" else "deny";
        return refuseFault(.{ .field = field, .number = number }, fault, "rule_fault", answer);
    };
    if (value.bits == 0) return;
    const rule = reading.readRule(number) catch return reading.unsound(answer);
    if (rule.message.len == 0) answer.say(rule.code, .{
        "`rules[", @as(u64, number), "]` of the grant does not allow this",
    }) else answer.say(rule.code, .{rule.message});
    return error.Refused;
}

/// The value of an amount: a natural that stands for itself, or code.
fn valueOf(comptime field: []const u8, dim: []const u8, amount: *const Value, answer: *sdk.Answer) sdk.Refused!u64 {
    if (amount.tag == .int and !amount.is_negative) return amount.bits;
    const place: reading.Place = .{ .field = field, .dim = dim };
    const value = running.run(amount, .int) catch |fault| return refuseFault(place, fault, field ++ "_fault", answer);
    if (!value.is_negative) return value.bits;
    return reading.refuseAt(place, answer, field ++ "_negative", .{ " is the negative number -", value.bits });
}

fn refuseFault(place: reading.Place, fault: running.Fault, comptime code: []const u8, answer: *sdk.Answer) sdk.Refused {
    return switch (fault) {
        error.Unsound => reading.unsound(answer),
        else => |known| reading.refuseAt(place, answer, code, .{
            " has no value: ", values.codeOf(known), " at character ", @as(u64, running.fault_at) + 1,
        }),
    };
}
