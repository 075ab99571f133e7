//! sys/CapEnforceLlm@1: which providers, models and tools one `llm.generate` may use, how many tokens, at what cost.
//!
//! 1. The reserve covers every outcome: all answers up to the largest ceiling that is named, the prompt's bound, and
//!    the dearest price that may apply.
//! 2. Usage that is missing or not understood is never free: the reserve is charged, with `usage_unknown`. Of two sides
//!    the missing one is charged its bound. Only a stated zero is zero.
//! 3. Reserve and usage are priced by the same row, so counts within their bounds cost at most the reserve. A receipt
//!    of another model is charged by that row too, with `model_differs`.
//! 4. Past 2^64−1 the Check refuses and the Settle stops there, because settling always ends.

const caps = @import("cap.zig");
const decimal = @import("decimal.zig");
const models = @import("models.zig");
const pricing = @import("prices.zig");
const prompts = @import("prompt.zig");
const reading = @import("reading.zig");
const requests = @import("request.zig");
const sdk = @import("splittally");
const summing = @import("sums.zig");
const tools = @import("tools.zig");
const usages = @import("usage.zig");
pub const input_bytes_max = 400 * 1024;
pub const panic = sdk.panic;
comptime {
    sdk.serveMessages(@This());
}

const natural_max: u64 = 0xFFFF_FFFF_FFFF_FFFF;
const provider_suffix = ".provider";
const tick_places = 10; // a tick is 10^-10 USD

var question: sdk.quick.Question = undefined;
var cap: caps.Cap = .{};
var request: requests.Request = .{};
var usage: usages.Usage = .{};
var dimension: [128]u8 = @splat(0); // the longest name of a dimension

pub fn answerTo(message: []u8) []const u8 {
    question.read(message);
    const answer = sdk.freshAnswer();
    if (question.receipt) |receipt| {
        settle(message, receipt, answer);
        return sdk.writeSettle(answer);
    }
    check(answer) catch {};
    return sdk.writeCheck(answer);
}

// --- Check -------------------------------------------------------------------------------------------

fn check(answer: *sdk.Answer) sdk.Refused!void {
    try readQuestion(true, answer);
    try checkListed("provider", "providers", cap.providers, request.provider, answer);
    try checkListed("model", "models", cap.models, request.model, answer);
    var offer: tools.Offer = .of(cap.tools);
    for (request.tools.all()) |list| try offer.read(list, answer);
    const completion = try completionBound(answer);
    const prompt = try promptBound(&offer, answer);
    const tokens = @addWithOverflow(prompt.tokens, completion);
    if (tokens[1] != 0) return answer.refuse("tokens_overflow", .{
        "prompt and completion together are above 2^64-1 tokens; lower `max_tokens` or `prompt_tokens`",
    });
    answer.put("tokens", tokens[0]);
    const table = cap.prices orelse return;
    const row = try pricing.read(table, request.model, answer);
    try pricing.requirePrice(&row, request.model, answer);
    const cost = try pricing.mostOf(&row, &.{
        .prompt = prompt.tokens,
        .completion = completion,
        .pictures = request.answers,
        .is_batch = request.is_batch,
        .has_audio = prompt.has_audio,
        .has_picture = prompt.has_picture,
    }, answer) orelse return answer.refuse("cost_overflow", .{
        "the cost of the whole call is above 2^64-1 of ", sdk.quote(row.resource),
        "; lower `max_tokens` or the prices",
    });
    answer.put(row.resource, cost);
}

fn readQuestion(is_counted: bool, answer: *sdk.Answer) sdk.Refused!void {
    if (!sdk.same(question.kind, "llm.generate")) return answer.kindMismatch(question.kind);
    try cap.read(question.cap_params, answer);
    try request.read(question.params, if (is_counted) &cap.bounds else null, answer);
}

fn checkListed(
    comptime noun: []const u8,
    comptime plural: []const u8,
    listed: sdk.Texts,
    named: ?[]const u8,
    answer: *sdk.Answer,
) sdk.Refused!void {
    if (listed.isEmpty()) return;
    const name = named orelse return answer.refuse(noun ++ "_not_allowed", .{
        "the grant lists its " ++ plural ++ " and the params name none; add `" ++ noun ++ "`",
    });
    if (!listed.has(name)) return answer.refuse(noun ++ "_not_allowed", .{
        noun ++ " ", sdk.quote(name), " is not on the grant's list; use a listed one or ask for a wider grant",
    });
}

/// The most tokens that all answers may have; never all headroom (a missing bound has a default).
fn completionBound(answer: *sdk.Answer) sdk.Refused!u64 {
    const bound = request.ceiling orelse cap.default_tokens orelse cap.ceiling orelse
        return answer.refuse("max_tokens_missing", .{
            "the params give no `max_tokens` and the grant no default; add `max_tokens`",
        });
    if (cap.ceiling) |ceiling| if (bound > ceiling) return answer.refuse("max_tokens_exceeded", .{
        "max_tokens ", bound, " is above the grant's ceiling; ask for at most ", ceiling,
    });
    const answers = request.answers *| request.prompts;
    const each = @addWithOverflow(bound, request.thinking);
    const all = @mulWithOverflow(each[0], answers);
    if (each[1] + all[1] > 0) return answer.refuse("tokens_overflow", .{
        "all answers together are above 2^64-1 tokens; lower `max_tokens` or the number of answers",
    });
    return all[0];
}

/// The most tokens that the prompt may have: those that the host has counted, or a bound by bytes.
fn promptBound(offer: *const tools.Offer, answer: *sdk.Answer) sdk.Refused!prompts.Prompt {
    if (request.prompt_tokens) |tokens| return .{ .tokens = tokens, .has_audio = true, .has_picture = true };
    if (request.is_uncounted) return reading.tooMany(.params, answer);
    var prompt = request.prompt;
    if (request.is_billed) prompts.addTemplates(&prompt, offer.count > 0);
    prompt.tokens +|= offer.hosted *| cap.bounds.hosted_tool;
    if (prompt.is_elsewhere) return answer.refuse("prompt_elsewhere", .{
        "a part of the prompt lies with the provider, so its bytes are no bound; state `prompt_tokens`",
    });
    if (prompt.is_unsized) return answer.refuse("digest_unsized", .{
        "a digest in the params gives neither `tokens` nor `bytes`; add one, or state `prompt_tokens`",
    });
    return prompt;
}

// --- Settle ------------------------------------------------------------------------------------------

fn settle(message: []const u8, receipt: sdk.quick.Receipt, answer: *sdk.Answer) void {
    const reserve: sdk.Item = .{ .bytes = message[@intFromPtr(question.reserve) - @intFromPtr(message.ptr) ..] };
    const ask: sdk.Ask = .{
        .kind = question.kind,
        .cap_params = question.cap_params,
        .effect_params = question.params,
        .reserve = reserve.map() orelse @trap(),
    };
    const is_ok = receipt.start["\x66status".len] == 0x62; // the head of a text of two bytes
    charge(&ask, is_ok, receipt.payload, answer) catch {
        const is_free = !is_ok and !usage.isStated();
        if (answer.count == 0 and !is_free and sdk.same(ask.kind, "llm.generate")) chargeReserve(&ask, answer);
    };
}

fn charge(ask: *const sdk.Ask, is_ok: bool, payload: []const u8, answer: *sdk.Answer) sdk.Refused!void {
    try readQuestion(false, answer);
    try usage.read(payload, answer);
    var row: ?pricing.Row = null;
    if (cap.prices) |table| {
        row = try pricing.read(table, request.model, answer);
        try pricing.requirePrice(&row.?, request.model, answer);
    }
    if (usage.odd.len == 0 and !usage.isStated()) {
        if (!is_ok) return;
        answer.say("usage_unknown", .{
            "the receipt states no usage that is known here; the reserve is charged; send the provider's own usage",
        });
    } else if (usage.odd.len > 0) {
        answer.say("usage_unknown", .{
            sdk.quote(usage.odd), " in the receipt is no natural number; the reserve is charged",
        });
    }
    if (answer.code.len > 0) chargeReserve(ask, answer) else try chargeUsage(ask, if (row) |*found| found else null, answer);
    if (row) |*found| putProvider(ask, found, answer);
}

fn chargeReserve(ask: *const sdk.Ask, answer: *sdk.Answer) void {
    var reserve = ask.reserve;
    while (reserve.next()) |entry| answer.put(entry.key, entry.value.natural() orelse @trap());
}

fn chargeUsage(ask: *const sdk.Ask, row: ?*const pricing.Row, answer: *sdk.Answer) sdk.Refused!void {
    var sums = summing.sumsOf(&usage);
    if (sums.only_total == null) try fillIn(&sums, answer);
    const pictures = if (row) |found| picturesOf(found, answer) else 0;
    noteModel(answer);
    const total = sums.only_total orelse sums.prompt.? +| sums.completion.?;
    answer.use(ask, "tokens", total);
    const found = row orelse return;
    var cost: u64 = 0;
    if (sums.only_total == null) {
        cost = try pricing.costOf(found, &sums, pictures, request.is_batch, answer) orelse natural_max;
    } else inline for (.{ .{ total, 0 }, .{ 0, total } }) |sides| { // whichever is dearer
        sums.prompt = sides[0];
        sums.completion = sides[1];
        const side = try pricing.costOf(found, &sums, pictures, request.is_batch, answer) orelse natural_max;
        cost = @max(cost, side);
    }
    answer.use(ask, found.resource, cost);
}

/// Gives a side that the receipt does not state its bound.
fn fillIn(sums: *summing.Sums, answer: *sdk.Answer) sdk.Refused!void {
    if (sums.completion == null) {
        sums.completion = try completionBound(answer);
        sayMissing("completion_tokens", sums.completion.?, answer);
    }
    if (sums.prompt != null) return;
    request = .{};
    try request.read(question.params, &cap.bounds, answer);
    var offer: tools.Offer = .of(.none);
    for (request.tools.all()) |list| try offer.read(list, answer);
    sums.prompt = (try promptBound(&offer, answer)).tokens;
    sayMissing("prompt_tokens", sums.prompt.?, answer);
}

fn sayMissing(comptime side: []const u8, bound: u64, answer: *sdk.Answer) void {
    answer.say("usage_unknown", .{ "`" ++ side ++ "` is missing in the receipt; its bound of ", bound, " is charged" });
}

/// How many pictures were made, where they have a price; without a word about them as many as answers were asked for.
fn picturesOf(row: *const pricing.Row, answer: *sdk.Answer) u64 {
    if (row.image == 0) return 0;
    if (usage.pictures()) |stated| return stated;
    answer.say("usage_unknown", .{
        "`images` is missing in the receipt; its bound of ", request.answers, " is charged",
    });
    return request.answers;
}

fn noteModel(answer: *sdk.Answer) void {
    const asked = request.model orelse return;
    const told = usage.model orelse return;
    if (models.isSame(asked, told)) return;
    answer.say("model_differs", .{
        "the receipt is of model ",               sdk.quote(told), " and ", sdk.quote(asked),
        " was asked for, whose price is charged",
    });
}

/// The provider's own figure beside ours, where the row says in what unit.
fn putProvider(ask: *const sdk.Ask, row: *const pricing.Row, answer: *sdk.Answer) void {
    const scale = row.scale orelse return;
    const ticks = if (usage.ticks) |item| decimal.minorUnits(item, scale, tick_places) else null;
    const cost = if (usage.cost) |item| decimal.minorUnits(item, scale, 0) else null;
    const figure = cost orelse ticks orelse return;
    const size = row.resource.len + provider_suffix.len;
    if (size > dimension.len) return;
    @memcpy(dimension[0..row.resource.len], row.resource);
    @memcpy(dimension[row.resource.len..size], provider_suffix);
    const name = dimension[0..size];
    if (ask.reserve.find(name) == null) answer.put(name, figure);
}
