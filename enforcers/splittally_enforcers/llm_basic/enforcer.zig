//! sys/CapEnforceLlmBasic@1: which providers, models, tools and how many tokens one `llm.generate` may use.
//!
//! 1. The reserve covers prompt and completion. The prompt's bound is `prompt_tokens`, else the byte
//!    length of the messages (a token of a byte-level vocabulary is at least a byte), else 0.
//! 2. A cost is one ceiling over the whole call: ceil((prompt × price + completion × price) / 10^6).
//!    The same formula prices reserve and usage, so counts within their bounds cost at most the reserve.
//! 3. Past 2^64−1 the Check refuses and the Settle stops there, because settling always ends.

const sdk = @import("splittally");
pub const panic = sdk.panic;
comptime {
    sdk.serve(@This());
}

const natural_max: u64 = 0xFFFF_FFFF_FFFF_FFFF;

const Cap = struct {
    providers: sdk.Texts = .none,
    models: sdk.Texts = .none,
    tools: sdk.Texts = .none,
    max_tokens_max: ?u64 = null,
    max_tokens: ?u64 = null, // the same ceiling under its shorter name; the lower one holds
    default_tokens: ?u64 = null,
    prices: ?sdk.Item = null,

    fn ceiling(cap: *const Cap) ?u64 {
        const long = cap.max_tokens_max orelse return cap.max_tokens;
        return @min(long, cap.max_tokens orelse return long);
    }
};

/// Minor units of `resource` for 10^6 tokens: one price for all models, or one for each model, or both.
const Prices = struct {
    resource: []const u8,
    prompt: ?u64 = null,
    completion: ?u64 = null,
    models: sdk.Map = .none,
};

const Price = struct { prompt: u64, completion: u64 };

const Params = struct {
    provider: ?[]const u8 = null,
    model: ?[]const u8 = null,
    max_tokens: ?u64 = null,
    prompt_tokens: ?u64 = null,
    messages: sdk.Items = .none,
    tools: sdk.Items = .none,
};

pub fn check(ask: *const sdk.Ask, answer: *sdk.Answer) sdk.Refused!void {
    try ask.kindIn(&.{"llm.generate"}, answer);
    const cap = try ask.cap(Cap, answer);
    const prices = if (cap.prices) |item| try readPrices(ask, item, answer) else null;
    const params = try ask.params(Params, answer);
    try checkProvider(&cap, &params, answer);
    try checkModel(&cap, &params, answer);
    try checkTools(ask, &cap, &params, answer);
    const completion = try completionBound(&cap, &params, answer);
    const prompt = promptBound(&params);
    const tokens = sum(prompt, completion) orelse return answer.refuse("tokens_overflow", .{
        "prompt and completion together are above 2^64-1 tokens; lower `max_tokens` or `prompt_tokens`",
    });
    answer.put("tokens", tokens);
    if (prices) |table| {
        const price = try priceOf(ask, &table, params.model, answer);
        const reserve = cost(price, prompt, completion) orelse return answer.refuse("cost_overflow", .{
            "the cost of the whole call is above 2^64-1 of ", sdk.quote(table.resource),
            "; lower `max_tokens` or the prices",
        });
        answer.put(table.resource, reserve);
    }
}

pub fn settle(ask: *const sdk.Ask, receipt: *const sdk.Receipt, answer: *sdk.Answer) sdk.Refused!void {
    try ask.kindIn(&.{"llm.generate"}, answer);
    const cap = try ask.cap(Cap, answer);
    const prices = if (cap.prices) |item| try readPrices(ask, item, answer) else null;
    const params = try ask.params(struct { model: ?[]const u8 = null }, answer);
    const counts = try readCounts(receipt, answer);
    const is_complete = counts.prompt != null and counts.completion != null;
    if (receipt.status == .ok and !is_complete) answer.say("usage_missing", .{
        "the receipt is ok and does not give ", if (counts.prompt == null) "`prompt_tokens`" else "`completion_tokens`",
        "; report both counts",
    });
    if (counts.prompt == null and counts.completion == null) return;
    const prompt = counts.prompt orelse 0;
    const completion = counts.completion orelse 0;
    answer.use(ask, "tokens", sum(prompt, completion) orelse natural_max);
    if (prices) |table| {
        const price = try priceOf(ask, &table, params.model, answer);
        answer.use(ask, table.resource, cost(price, prompt, completion) orelse natural_max);
    }
}

fn readPrices(ask: *const sdk.Ask, item: sdk.Item, answer: *sdk.Answer) sdk.Refused!Prices {
    const prices = try ask.capItem(item, Prices, "prices", answer);
    if ((prices.prompt == null) != (prices.completion == null)) return answer.refuse("cap_params_invalid", .{
        "field `prices` of the cap params must give `prompt` and `completion` together",
    });
    const is_resource = sdk.isDimension(prices.resource) and !sdk.same(prices.resource, "tokens");
    if (!is_resource) return answer.refuse("cap_params_invalid", .{
        "field `prices.resource` of the cap params must be a name of 1 to 128 bytes other than `tokens`",
    });
    return prices;
}

fn checkProvider(cap: *const Cap, params: *const Params, answer: *sdk.Answer) sdk.Refused!void {
    if (cap.providers.isEmpty()) return;
    const provider = params.provider orelse return answer.refuse("provider_not_allowed", .{
        "the grant lists its providers and the params name none; add `provider`",
    });
    if (!cap.providers.has(provider)) return answer.refuse("provider_not_allowed", .{
        "provider ", sdk.quote(provider), " is not on the grant's list; use a listed one or ask for a wider grant",
    });
}

fn checkModel(cap: *const Cap, params: *const Params, answer: *sdk.Answer) sdk.Refused!void {
    if (cap.models.isEmpty()) return;
    const model = params.model orelse return answer.refuse("model_not_allowed", .{
        "the grant lists its models and the params name none; add `model`",
    });
    if (!cap.models.has(model)) return answer.refuse("model_not_allowed", .{
        "model ", sdk.quote(model), " is not on the grant's list; use a listed one or ask for a wider grant",
    });
}

/// A tool is a name, `{name}` or `{function: {name}}`; where a tool carries two names both must be allowed.
fn checkTools(ask: *const sdk.Ask, cap: *const Cap, params: *const Params, answer: *sdk.Answer) sdk.Refused!void {
    var tools = params.tools;
    while (tools.next()) |tool| {
        if (tool.text()) |name| {
            try checkTool(cap, name, answer);
            continue;
        }
        const named = try ask.paramsItem(tool, ToolNames, "tools", answer);
        if (named.name) |name| try checkTool(cap, name, answer);
        if (named.function) |function| {
            const inside = try ask.paramsItem(function, struct { name: []const u8 }, "tools.function", answer);
            try checkTool(cap, inside.name, answer);
        }
        if (named.name == null and named.function == null) return answer.refuse("params_invalid", .{
            "field `tools` of the params must be a list of names or of maps with a `name`",
        });
    }
}

const ToolNames = struct { name: ?[]const u8 = null, function: ?sdk.Item = null };

fn checkTool(cap: *const Cap, name: []const u8, answer: *sdk.Answer) sdk.Refused!void {
    if (!cap.tools.allows(name)) return answer.refuse("tool_not_allowed", .{
        "tool ", sdk.quote(name), " is not on the grant's list; leave it out or ask for a wider grant",
    });
}

/// The most tokens that the completion may have; never all headroom (a missing bound has a default).
fn completionBound(cap: *const Cap, params: *const Params, answer: *sdk.Answer) sdk.Refused!u64 {
    const bound = params.max_tokens orelse cap.default_tokens orelse cap.ceiling() orelse
        return answer.refuse("max_tokens_missing", .{
            "the params give no `max_tokens` and the grant no default; add `max_tokens`",
        });
    const ceiling = cap.ceiling() orelse return bound;
    if (bound > ceiling) return answer.refuse("max_tokens_exceeded", .{
        "max_tokens ", bound, " is above the grant's ceiling; ask for at most ", ceiling,
    });
    return bound;
}

fn promptBound(params: *const Params) u64 {
    if (params.prompt_tokens) |tokens| return tokens;
    var messages = params.messages;
    var total: u64 = 0;
    while (messages.next()) |message| total += message.contentBytes() orelse message.bytes.len;
    return total;
}

fn priceOf(ask: *const sdk.Ask, prices: *const Prices, model: ?[]const u8, answer: *sdk.Answer) sdk.Refused!Price {
    if (prices.models.find(model orelse "")) |item| {
        if (model != null) return ask.capItem(item, Price, "prices.models", answer);
    }
    if (prices.prompt) |prompt| return .{ .prompt = prompt, .completion = prices.completion.? };
    return answer.refuse("price_missing", .{
        "model ",                                                                         sdk.quote(model orelse ""),
        " has no price in the grant's table; use a priced model or have its price added",
    });
}

const Counts = struct { prompt: ?u64, completion: ?u64 };

const PayloadCounts = struct {
    prompt_tokens: ?u64 = null,
    completion_tokens: ?u64 = null,
    input_tokens: ?u64 = null,
    output_tokens: ?u64 = null,

    fn counts(payload: PayloadCounts) Counts {
        return .{
            .prompt = payload.prompt_tokens orelse payload.input_tokens,
            .completion = payload.completion_tokens orelse payload.output_tokens,
        };
    }
};

/// The counts at the top of the payload; only when there are none, those of its `usage`.
fn readCounts(receipt: *const sdk.Receipt, answer: *sdk.Answer) sdk.Refused!Counts {
    const top = (try receipt.read(PayloadCounts, answer)).counts();
    if (top.prompt != null or top.completion != null) return top;
    const nested = try receipt.read(struct { usage: ?sdk.Item = null }, answer);
    const usage = nested.usage orelse return top;
    return (try receipt.readItem(usage, PayloadCounts, "usage", answer)).counts();
}

fn sum(a: u64, b: u64) ?u64 {
    const total = @addWithOverflow(a, b);
    return if (total[1] == 0) total[0] else null;
}

/// ceil((prompt × price + completion × price) / 10^6), or null when it is above 2^64−1.
fn cost(price: Price, prompt: u64, completion: u64) ?u64 {
    const for_prompt = @as(u128, prompt) * price.prompt;
    const for_completion = @as(u128, completion) * price.completion;
    const total = @addWithOverflow(for_prompt, for_completion);
    if (total[1] != 0) return null;
    return ceilMillionth(total[0]);
}

/// Long division by 10^6, thirty-two bits at a time; the remainder, if any, is paid as one more unit.
fn ceilMillionth(value: u128) ?u64 {
    var quotient: u128 = 0;
    var remainder: u64 = 0;
    inline for (.{ 96, 64, 32, 0 }) |shift| {
        const part = remainder << 32 | @as(u32, @truncate(value >> shift));
        quotient = quotient << 32 | part / 1_000_000;
        remainder = part % 1_000_000;
    }
    if (remainder > 0) quotient += 1;
    return if (quotient >> 64 == 0) @truncate(quotient) else null;
}
