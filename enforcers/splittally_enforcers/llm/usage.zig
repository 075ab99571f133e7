//! The usage that a receipt states, in the shape of any large provider (spec/enforcers.md has the table of shapes).
//!
//! 1. Counts of one meaning under several names, or in several places, are one count: the largest holds.
//! 2. What stands inside a total is counted once. `input_tokens` and `inputTokens` leave out what was read from or
//!    written to a cache; every other prompt count holds it. A part that is larger than its whole stands beside it.
//! 3. A total that is larger than its parts had more output; one that stands beside a single part says the other.
//! 4. A count that is no natural is not understood, whatever stands beside it. Null is absent.

const reading = @import("reading.zig");
const sdk = @import("splittally");
const Meanings = @import("names.zig").Table(Meaning);

pub const Count = enum {
    prompt,
    input, // without the cache
    output,
    total,
    thoughts, // beside the output
    tool_prompt, // beside the prompt
    cached, // inside the prompt
    cached_apart,
    written, // inside the prompt
    written_apart,
    reasoning, // inside the output
    audio_prompt,
    image_prompt,
    audio_completion,
    cached_audio,
    cached_image,
    written_short,
    written_long,
    billed_input,
    billed_output,
    tokens_input,
    tokens_output,
    pictures,
};

/// Where a name stands decides what it means.
const Place = enum { top, usage, prompt_parts, output_parts, cached_parts, written_parts, billed, tokens };

const Meaning = union(enum) { count: Count, inside: Place, model, cost, ticks, pictures };

/// At the top, in an envelope, and in a usage.
const of_usage = [_]Meanings{
    counts(.prompt, &.{
        "prompt_tokens", "promptTokens", "promptTokenCount", "prompt_token_count", "prompt_eval_count",
    }),
    counts(.input, &.{
        "input_tokens", "inputTokens", "inputTokenCount", "input_token_count", "inputTextTokenCount",
    }),
    counts(.output, &.{
        "completion_tokens",      "completionTokens",       "output_tokens",    "outputTokens",
        "outputTokenCount",       "output_token_count",     "eval_count",       "candidatesTokenCount",
        "candidates_token_count", "generation_token_count", "generated_tokens",
    }),
    counts(.total, &.{ "total_tokens", "totalTokens", "totalTokenCount", "total_token_count" }),
    counts(.thoughts, &.{ "thoughtsTokenCount", "thoughts_token_count" }),
    counts(.tool_prompt, &.{ "toolUsePromptTokenCount", "tool_use_prompt_token_count" }),
    counts(.cached, &.{
        "cached_tokens",     "prompt_cache_hit_tokens", "cachedContentTokenCount", "cached_content_token_count",
        "cachedInputTokens",
    }),
    counts(.cached_apart, &.{
        "cache_read_input_tokens", "cacheReadInputTokens", "cacheReadInputTokenCount",
    }),
    counts(.written_apart, &.{
        "cache_creation_input_tokens", "cacheWriteInputTokens", "cacheWriteInputTokenCount",
    }),
    counts(.reasoning, &.{ "reasoning_tokens", "reasoningTokens" }),
    within(.usage, &.{
        "usage",         "usageMetadata", "usage_metadata",                   "token_usage", "tokenUsage",
        "usage_details", "x_groq",        "amazon-bedrock-invocationMetrics",
    }),
    within(.top, &.{ "response", "message", "metadata", "meta", "delta", "response_metadata" }),
    within(.prompt_parts, &.{
        "prompt_tokens_details", "input_tokens_details", "input_token_details", "promptTokensDetails",
        "inputTokenDetails",     "prompt_token_details",
    }),
    within(.output_parts, &.{
        "completion_tokens_details", "output_tokens_details",     "output_token_details", "candidatesTokensDetails",
        "outputTokenDetails",        "candidates_tokens_details",
    }),
    within(.cached_parts, &.{ "cacheTokensDetails", "cache_tokens_details" }),
    within(.written_parts, &.{"cache_creation"}),
    within(.billed, &.{"billed_units"}),
    within(.tokens, &.{"tokens"}),
    .{ .meaning = .model, .names = &.{ "model", "modelVersion", "model_version" } },
    .{ .meaning = .cost, .names = &.{
        "cost", "total_cost", "cost_usd", "total_cost_usd", "response_cost", "estimated_cost",
    } },
    .{ .meaning = .ticks, .names = &.{"cost_in_usd_ticks"} },
    .{ .meaning = .pictures, .names = &.{ "images", "image_count", "num_images" } },
};

const of_prompt_parts = [_]Meanings{
    counts(.cached, &.{ "cached_tokens", "cache_read", "cached" }),
    counts(.written, &.{ "cache_creation", "cache_write_tokens", "cache_creation_tokens", "cache_write" }),
    counts(.audio_prompt, &.{ "audio_tokens", "audio" }),
    counts(.image_prompt, &.{ "image_tokens", "image" }),
    within(.cached_parts, &.{"cached_tokens_details"}),
};

const of_output_parts = [_]Meanings{
    counts(.reasoning, &.{ "reasoning_tokens", "reasoning" }),
    counts(.audio_completion, &.{ "audio_tokens", "audio" }),
};

const of_cached_parts = [_]Meanings{
    counts(.cached_audio, &.{"audio_tokens"}),
    counts(.cached_image, &.{"image_tokens"}),
};

const of_written_parts = [_]Meanings{
    counts(.written_short, &.{"ephemeral_5m_input_tokens"}),
    counts(.written_long, &.{"ephemeral_1h_input_tokens"}),
};

const of_billed = [_]Meanings{
    counts(.billed_input, &.{"input_tokens"}),
    counts(.billed_output, &.{"output_tokens"}),
};

const of_tokens = [_]Meanings{
    counts(.tokens_input, &.{"input_tokens"}),
    counts(.tokens_output, &.{"output_tokens"}),
};

fn counts(comptime what: Count, comptime names: []const []const u8) Meanings {
    return .{ .meaning = .{ .count = what }, .names = names };
}

fn within(comptime place: Place, comptime names: []const []const u8) Meanings {
    return .{ .meaning = .{ .inside = place }, .names = names };
}

const places_max = 24;

pub const Usage = struct {
    stated: [@typeInfo(Count).@"enum".field_names.len]?u64 = @splat(null),
    odd: []const u8 = "", // the name of a count that is no natural
    model: ?[]const u8 = null,
    cost: ?sdk.Item = null,
    ticks: ?sdk.Item = null,

    pub fn get(usage: *const Usage, what: Count) u64 {
        return usage.stated[@backingInt(what)] orelse 0;
    }

    pub fn pictures(usage: *const Usage) ?u64 {
        return usage.stated[@backingInt(Count.pictures)];
    }

    fn note(usage: *Usage, what: Count, value: u64) void {
        const held = &usage.stated[@backingInt(what)];
        held.* = @max(value, held.* orelse 0);
    }

    /// Whether any count of tokens is stated.
    pub fn isStated(usage: *const Usage) bool {
        for (usage.stated[0..@backingInt(Count.pictures)]) |each| if (each != null) return true;
        return false;
    }

    pub fn read(usage: *Usage, payload: []const u8, answer: *sdk.Answer) sdk.Refused!void {
        places[0] = .{ .bytes = payload, .place = .top, .name = "" };
        places_count = 1;
        var at: usize = 0;
        while (at < places_count) : (at += 1) try usage.readPlace(&places[at], answer);
    }

    fn readPlace(usage: *Usage, held: *const Held, answer: *sdk.Answer) sdk.Refused!void {
        var level: reading.Level = try .of(held.bytes, .receipt, "", answer);
        while (try level.next(answer)) |key| {
            const meaning = meaningOf(held.place, key) orelse {
                try level.skip(answer);
                continue;
            };
            switch (meaning) {
                .count => |what| try usage.readCount(what, key, &level, answer),
                .inside => |place| try usage.readInside(place, key, &level, answer),
                .model => if (level.reader.isAt(.text)) {
                    const name = try level.text(key, answer);
                    if (usage.model == null) usage.model = name;
                } else try level.skip(answer),
                .cost => try usage.readCost(&level, answer),
                .ticks => usage.ticks = try level.item(answer) orelse usage.ticks,
                .pictures => try usage.readPictures(&level, answer),
            }
        }
    }

    fn readCount(usage: *Usage, what: Count, key: []const u8, level: *reading.Level, answer: *sdk.Answer) sdk.Refused!void {
        if (level.isNull()) return;
        if (level.reader.isAt(.natural)) return usage.note(what, try level.natural(key, answer) orelse 0);
        usage.odd = key;
        try level.skip(answer);
    }

    /// A map is read later. A list in the place of parts gives a count for each modality; an envelope may be anything.
    fn readInside(usage: *Usage, place: Place, key: []const u8, level: *reading.Level, answer: *sdk.Answer) sdk.Refused!void {
        const item = try level.item(answer) orelse return;
        switch (item.bytes[0] >> 5) {
            @backingInt(@as(Major, .map)) => {
                if (places_count == places.len) return answer.unreadable(.receipt);
                places[places_count] = .{ .bytes = item.bytes, .place = place, .name = key };
                places_count += 1;
            },
            @backingInt(@as(Major, .list)) => switch (place) {
                .prompt_parts => try usage.readModalities(item, .audio_prompt, .image_prompt, answer),
                .output_parts => try usage.readModalities(item, .audio_completion, null, answer),
                .cached_parts => try usage.readModalities(item, .cached_audio, .cached_image, answer),
                .top, .tokens => {},
                else => usage.odd = key,
            },
            else => if (place != .top and place != .tokens) {
                usage.odd = key;
            },
        }
    }

    /// Counts of `{modality, tokenCount}`.
    fn readModalities(usage: *Usage, item: sdk.Item, audio: Count, image: ?Count, answer: *sdk.Answer) sdk.Refused!void {
        var list = item.items() orelse return;
        while (list.next()) |entry| {
            var level: reading.Level = try .of(entry.bytes, .receipt, "", answer);
            var modality: []const u8 = "";
            var size: u64 = 0;
            while (try level.next(answer)) |key| {
                if (sdk.same(key, "modality") and level.reader.isAt(.text)) {
                    modality = try level.text(key, answer) orelse "";
                } else if (sdk.same(key, "tokenCount") or sdk.same(key, "token_count")) {
                    if (!level.reader.isAt(.natural)) usage.odd = key;
                    if (level.reader.isAt(.natural)) size = try level.natural(key, answer) orelse 0 else try level.skip(answer);
                } else try level.skip(answer);
            }
            if (sdk.same(modality, "AUDIO")) usage.note(audio, size);
            if (sdk.same(modality, "IMAGE")) if (image) |what| usage.note(what, size);
        }
    }

    /// A figure, or a map of figures with the whole among them.
    fn readCost(usage: *Usage, level: *reading.Level, answer: *sdk.Answer) sdk.Refused!void {
        const item = try level.item(answer) orelse return;
        const figures = item.map() orelse {
            usage.cost = item;
            return;
        };
        usage.cost = figures.find("total_cost") orelse usage.cost;
    }

    fn readPictures(usage: *Usage, level: *reading.Level, answer: *sdk.Answer) sdk.Refused!void {
        const item = try level.item(answer) orelse return;
        if (item.natural()) |size| usage.note(.pictures, size);
        if (item.items()) |list| usage.note(.pictures, list.count);
    }
};

const Held = struct { bytes: []const u8, place: Place, name: []const u8 };
const Major = enum(u8) { list = 4, map = 5 };
var places: [places_max]Held = undefined;
var places_count: usize = 0;

noinline fn meaningOf(place: Place, key: []const u8) ?Meaning {
    return switch (place) {
        .top, .usage => Meanings.find(&of_usage, key),
        .prompt_parts => Meanings.find(&of_prompt_parts, key),
        .output_parts => Meanings.find(&of_output_parts, key),
        .cached_parts => Meanings.find(&of_cached_parts, key),
        .written_parts => Meanings.find(&of_written_parts, key),
        .billed => Meanings.find(&of_billed, key),
        .tokens => Meanings.find(&of_tokens, key),
    };
}
