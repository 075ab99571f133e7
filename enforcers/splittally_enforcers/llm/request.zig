//! What a request asks of a model, under all the names that the large providers have for it.
//!
//! 1. The ceilings of one answer stand beside each other under many names, at the top and in the maps of settings: the
//!    largest holds. So do the numbers of answers. A thinking budget that stands apart from the ceiling is added.
//! 2. What a provider bills as prompt is counted while it is read, where that is asked for (`prompt.zig`). Other params
//!    are passed over.
//! 3. Tools are found wherever a provider reads them, because the grant's list holds for all.

const prompts = @import("prompt.zig");
const reading = @import("reading.zig");
const sdk = @import("splittally");
const Meanings = @import("names.zig").Table(Meaning);

/// Tokens of a thinking budget that the model chooses itself: the largest documented.
const dynamic_thinking_tokens = 32_768;

const Meaning = enum {
    provider,
    model,
    prompt_tokens,
    batch,
    ceiling,
    answers,
    thinking,
    settings,
    messages,
    tools,
    prompt,
    billed,
    elsewhere,
};

const meanings = [_]Meanings{
    .{ .meaning = .provider, .names = &.{"provider"} },
    .{ .meaning = .model, .names = &.{"model"} },
    .{ .meaning = .prompt_tokens, .names = &.{"prompt_tokens"} },
    .{ .meaning = .batch, .names = &.{"batch"} },
    .{ .meaning = .ceiling, .names = &.{
        "max_tokens",   "max_completion_tokens", "max_output_tokens",      "maxOutputTokens",
        "maxTokens",    "maxCompletionTokens",   "max_tokens_to_sample",   "num_predict",
        "n_predict",    "max_new_tokens",        "maxNewTokens",           "max_gen_len",
        "max_length",   "maxTokenCount",         "max_tokens_to_generate", "budget_tokens",
        "token_budget", "maxTokensToSample",
    } },
    .{ .meaning = .answers, .names = &.{
        "n",                    "candidateCount", "candidate_count", "best_of",     "num_generations",
        "num_return_sequences", "numResults",     "num_results",     "sampleCount",
    } },
    .{ .meaning = .thinking, .names = &.{ "thinkingBudget", "thinking_budget" } },
    .{ .meaning = .settings, .names = &.{
        "generationConfig",             "generation_config",               "config",         "inferenceConfig",
        "inference_config",             "options",                         "parameters",     "textGenerationConfig",
        "additionalModelRequestFields", "additional_model_request_fields", "model_kwargs",   "sampling_params",
        "extra_body",                   "thinking",                        "thinkingConfig", "thinking_config",
        "reasoning",                    "toolConfig",                      "tool_config",
    } },
    .{ .meaning = .messages, .names = &.{"messages"} },
    .{ .meaning = .tools, .names = &.{ "tools", "functions" } },
    .{ .meaning = .prompt, .names = &.{"prompt"} },
    .{ .meaning = .billed, .names = &.{
        "contents",        "content",            "input",                "inputs",         "inputText",
        "system",          "systemInstruction",  "system_instruction",   "instructions",   "suffix",
        "preamble",        "message",            "chat_history",         "chatHistory",    "documents",
        "tool_choice",     "toolChoice",         "response_format",      "responseFormat", "responseSchema",
        "response_schema", "responseJsonSchema", "response_json_schema", "format",         "text",
        "prediction",      "output_config",      "outputConfig",         "output_format",  "examples",
        "context",         "instances",          "search_results",       "images",         "image",
        "query",           "system_prompt",      "guided_json",          "guided_grammar", "json_schema",
        "grammar",         "template",           "mcp_servers",          "tool_results",   "function_call",
    } },
    .{ .meaning = .elsewhere, .names = &.{
        "previous_response_id", "conversation", "cachedContent", "cached_content",
    } },
};

/// A few values of the params; what is more than there is room for is refused.
fn List(comptime most: usize) type {
    return struct {
        items: [most]sdk.Item = @splat(.{ .bytes = "" }),
        count: usize = 0,

        fn add(list: *@This(), item: sdk.Item, answer: *sdk.Answer) sdk.Refused!void {
            if (list.count == most) return reading.tooMany(.params, answer);
            list.items[list.count] = item;
            list.count += 1;
        }

        pub fn all(list: *const @This()) []const sdk.Item {
            return list.items[0..list.count];
        }
    };
}

pub const Request = struct {
    provider: ?[]const u8 = null,
    model: ?[]const u8 = null,
    prompt_tokens: ?u64 = null,
    ceiling: ?u64 = null,
    answers: u64 = 1,
    prompts: u64 = 1,
    thinking: u64 = 0,
    is_batch: bool = false,
    tools: List(8) = .{},
    settings: List(16) = .{},
    bounds: ?*const prompts.Bounds = null, // where the prompt is counted
    prompt: prompts.Prompt = .{},
    is_billed: bool = false,
    is_uncounted: bool = false, // the prompt holds more values than are counted

    /// Reads the params, and counts the prompt where `bounds` are given.
    pub fn read(
        request: *Request,
        params: []const u8,
        bounds: ?*const prompts.Bounds,
        answer: *sdk.Answer,
    ) sdk.Refused!void {
        request.bounds = bounds;
        try request.readLevel(params, true, answer);
        var at: usize = 0;
        while (at < request.settings.count) : (at += 1) {
            try request.readLevel(request.settings.items[at].bytes, false, answer);
        }
    }

    fn readLevel(request: *Request, bytes: []const u8, is_top: bool, answer: *sdk.Answer) sdk.Refused!void {
        var level: reading.Level = try .of(bytes, .params, "", answer);
        while (try level.next(answer)) |key| {
            const meaning = find(key) orelse {
                try level.skip(answer);
                continue;
            };
            if (is_top or @backingInt(meaning) > @backingInt(Meaning.batch)) {
                try request.readField(meaning, key, &level, answer);
            } else try level.skip(answer);
        }
    }

    fn readField(
        request: *Request,
        meaning: Meaning,
        key: []const u8,
        level: *reading.Level,
        answer: *sdk.Answer,
    ) sdk.Refused!void {
        switch (meaning) {
            .provider => request.provider = try level.text(key, answer),
            .model => request.model = try level.text(key, answer),
            .prompt_tokens => request.prompt_tokens = try level.natural(key, answer),
            .batch => request.is_batch = try level.boolean(key, answer),
            .ceiling => if (try level.natural(key, answer)) |most| {
                request.ceiling = @max(most, request.ceiling orelse 0);
            },
            .answers => request.answers = @max(request.answers, try level.natural(key, answer) orelse 1),
            .thinking => request.thinking = @max(request.thinking, try thinkingTokens(key, level, answer)),
            .settings => if (level.reader.isAt(.map)) {
                try request.settings.add((try level.item(answer)).?, answer);
            } else try level.skip(answer),
            .messages => {
                try level.requireList(key, answer);
                _ = try request.count(level, answer);
            },
            .tools => {
                try level.requireList(key, answer);
                if (try request.count(level, answer)) |item| try request.tools.add(item, answer);
            },
            .prompt => if (try request.count(level, answer)) |item| request.readPrompt(item),
            .billed => _ = try request.count(level, answer),
            .elsewhere => if (!level.isNull()) {
                try level.skip(answer);
                request.prompt.is_elsewhere = true;
            },
        }
    }

    /// A value that is billed, null where it is absent.
    fn count(request: *Request, level: *reading.Level, answer: *sdk.Answer) sdk.Refused!?sdk.Item {
        if (level.isNull()) return null;
        const start = level.reader.at;
        request.is_billed = true;
        const bounds = request.bounds orelse return level.item(answer);
        const end = prompts.add(&request.prompt, level.reader.bytes, start, bounds) catch |fault| switch (fault) {
            error.Malformed => return answer.unreadable(.params),
            error.TooMany => {
                request.is_uncounted = true;
                return level.item(answer);
            },
        };
        level.reader.at = end;
        return .{ .bytes = level.reader.bytes[start..end] };
    }

    /// A text; several, each of which is answered; the numbers of one text's tokens; or a template that lies elsewhere.
    fn readPrompt(request: *Request, item: sdk.Item) void {
        var reader: sdk.Reader = .{ .bytes = item.bytes };
        if (reader.isAt(.map)) request.prompt.is_elsewhere = true;
        const size = reader.count(.list) catch return;
        if (!reader.isAt(.natural)) request.prompts = @max(1, size);
    }
};

noinline fn find(key: []const u8) ?Meaning {
    return Meanings.find(&meanings, key);
}

/// A natural, or a negative number where the model chooses itself.
fn thinkingTokens(key: []const u8, level: *reading.Level, answer: *sdk.Answer) sdk.Refused!u64 {
    if (!level.reader.isAt(.negative)) return try level.natural(key, answer) orelse 0;
    try level.skip(answer);
    return dynamic_thinking_tokens;
}
