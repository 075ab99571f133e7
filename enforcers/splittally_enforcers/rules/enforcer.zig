//! sys/CapEnforceRules@1: what a grant allows, reserves and counts, by expressions in the grant itself.
//!
//! 1. The rules are judged in order and the first that denies decides. A rule that has no value denies.
//! 2. A dimension reserves the value of its expression. One that only has a usage reserves 0.
//! 3. A dimension that is used by no expression, or whose expression has no value or a negative one, used
//!    its whole reserve. So did all of them where the receipt cannot be read: settling always ends.

const canonical = @import("canonical.zig");
const reading = @import("reading.zig");
const running = @import("run.zig");
const sdk = @import("splittally");
const types = @import("types.zig");
const values = @import("values.zig");
pub const panic = sdk.panic;
comptime {
    sdk.serve(@This());
}

const Cap = reading.Cap;

pub fn check(ask: *const sdk.Ask, answer: *sdk.Answer) sdk.Refused!void {
    const cap = try readQuestion(ask, answer);
    var program: usize = 0;
    var rest = cap.rules;
    for (0..cap.rules.count) |number| {
        try judge(ask, rest.next().?, number, program, answer);
        program = running.behind(program);
    }
    var pairs: reading.Pairs = .{ .reserve = cap.reserve, .usage = cap.usage };
    while (pairs.next()) |pair| {
        if (pair.reserve == null) {
            answer.put(pair.dim, 0);
            continue;
        }
        const place: reading.Place = .{ .field = "reserve", .dim = pair.dim };
        const value = running.run(program) catch |fault| return refuseFault(place, fault, "reserve_fault", answer);
        if (value.is_negative) return reading.refuseAt(place, answer, "reserve_negative", .{
            " is the negative number -", value.bits,
        });
        answer.put(pair.dim, value.bits);
        program = running.behind(program);
    }
}

pub fn settle(ask: *const sdk.Ask, receipt: *const sdk.Receipt, answer: *sdk.Answer) sdk.Refused!void {
    const cap = readSettling(ask, receipt, answer) catch |refused| {
        answer.putAll(.{ .map = ask.reserve });
        return refused;
    };
    var program = reading.starts.usage;
    var pairs: reading.Pairs = .{ .reserve = ask.reserve, .usage = cap.usage };
    while (pairs.next()) |pair| {
        const reserve = if (pair.reserve) |amount| amount.natural().? else 0;
        if (pair.usage == null) {
            answer.put(pair.dim, reserve);
            continue;
        }
        const used = usageOf(pair.dim, program, answer) catch reserve;
        if (reserve > 0 and used > reserve) answer.exceeds(pair.dim, used, reserve);
        answer.put(pair.dim, used);
        program = running.behind(program);
    }
}

/// The grant's rules, compiled, where it is for the kind and the params can be read.
fn readQuestion(ask: *const sdk.Ask, answer: *sdk.Answer) sdk.Refused!Cap {
    const cap = try reading.readCap(ask, answer);
    if (!reading.covers(cap.kinds, ask.kind)) return answer.kindMismatch(ask.kind);
    canonical.checkOutline(ask.effect_params) catch |fault| return unreadable(.params, fault, answer);
    name(.kind, values.textOf(ask.kind));
    name(.grant, values.textOf(ask.grantName()));
    name(.params, values.read(ask.effect_params.ptr).value);
    name(.origin, values.read(ask.origin().bytes.ptr).value);
    name(.now_ns, values.natural(ask.nowNs()));
    return cap;
}

fn readSettling(ask: *const sdk.Ask, receipt: *const sdk.Receipt, answer: *sdk.Answer) sdk.Refused!Cap {
    const cap = try readQuestion(ask, answer);
    canonical.checkAll(receipt.payload) catch |fault| return unreadable(.receipt, fault, answer);
    name(.receipt, values.mapOf(receipt.whole()));
    name(.payload, values.read(receipt.payload.ptr).value);
    name(.reserve, values.mapOf(ask.reserve));
    return cap;
}

fn unreadable(comptime of: enum { params, receipt }, fault: canonical.Unreadable, answer: *sdk.Answer) sdk.Refused {
    if (fault == error.Malformed) return answer.unreadable(if (of == .params) .params else .receipt);
    if (of == .params) return answer.refuse("params_invalid", .{"the params hold more values than this enforcer reads"});
    return answer.refuse("receipt_unreadable", .{"the receipt's payload holds more values than this enforcer reads"});
}

fn name(which: types.Name, value: values.Value) void {
    running.named[@backingInt(which)] = value;
}

/// Denies where the rule's program says so or has no value.
fn judge(ask: *const sdk.Ask, item: sdk.Item, number: usize, program: usize, answer: *sdk.Answer) sdk.Refused!void {
    const value = running.run(program) catch |fault| {
        const rule = try reading.readRule(ask, item, number, answer);
        return refuseFault(reading.ofRule(rule, number), fault, "rule_fault", answer);
    };
    if (value.bits == 0) return;
    const rule = try reading.readRule(ask, item, number, answer);
    if (rule.message.len == 0) answer.say(rule.code, .{
        "`", reading.pathOf(number), "` of the grant does not allow this",
    }) else answer.say(rule.code, .{rule.message});
    return error.Refused;
}

/// What the program gives; a violation where it has no value or a negative one.
fn usageOf(dim: []const u8, program: usize, answer: *sdk.Answer) sdk.Refused!u64 {
    const place: reading.Place = .{ .field = "usage", .dim = dim };
    const value = running.run(program) catch |fault| return refuseFault(place, fault, "usage_fault", answer);
    if (!value.is_negative) return value.bits;
    return reading.refuseAt(place, answer, "usage_negative", .{ " is the negative number -", value.bits });
}

fn refuseFault(place: reading.Place, fault: values.Fault, comptime code: []const u8, answer: *sdk.Answer) sdk.Refused {
    return reading.refuseAt(place, answer, code, .{
        " has no value: ", values.codeOf(fault), " at character ", @as(u64, running.fault_at + 1),
    });
}
