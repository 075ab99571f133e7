//! The grant's params: what is allowed, and how much one answer may have.

const prompts = @import("prompt.zig");
const reading = @import("reading.zig");
const sdk = @import("splittally");
const Meanings = @import("names.zig").Table(Meaning);

const Meaning = enum { providers, models, tools, ceiling, default_tokens, prices, bounds };

const meanings = [_]Meanings{
    .{ .meaning = .providers, .names = &.{"providers"} },
    .{ .meaning = .models, .names = &.{"models"} },
    .{ .meaning = .tools, .names = &.{"tools"} },
    .{ .meaning = .ceiling, .names = &.{ "max_tokens_max", "max_tokens" } },
    .{ .meaning = .default_tokens, .names = &.{"default_tokens"} },
    .{ .meaning = .prices, .names = &.{"prices"} },
    .{ .meaning = .bounds, .names = &.{"bounds"} },
};

pub const Cap = struct {
    providers: sdk.Texts = .none,
    models: sdk.Texts = .none,
    tools: sdk.Texts = .none,
    ceiling: ?u64 = null, // the lower of its two names
    default_tokens: ?u64 = null,
    prices: ?sdk.Item = null,
    bounds: prompts.Bounds = .{},

    pub fn read(cap: *Cap, params: []const u8, answer: *sdk.Answer) sdk.Refused!void {
        var level: reading.Level = try .of(params, .cap_params, "", answer);
        while (try level.next(answer)) |key| {
            const meaning = find(key) orelse {
                if (!sdk.startsWith(key, "x-") or key.len < 3) return answer.unknownField("", key);
                try level.skip(answer);
                continue;
            };
            switch (meaning) {
                .providers => cap.providers = try level.texts(key, answer),
                .models => cap.models = try level.texts(key, answer),
                .tools => cap.tools = try level.texts(key, answer),
                .ceiling => if (try level.natural(key, answer)) |most| {
                    cap.ceiling = @min(most, cap.ceiling orelse most);
                },
                .default_tokens => cap.default_tokens = try level.natural(key, answer),
                .prices => cap.prices = try level.mapOf(key, answer),
                .bounds => if (try level.mapOf(key, answer)) |item| try cap.readBounds(item, answer),
            }
        }
    }

    fn readBounds(cap: *Cap, item: sdk.Item, answer: *sdk.Answer) sdk.Refused!void {
        var level: reading.Level = try .of(item.bytes, .cap_params, "bounds", answer);
        while (try level.next(answer)) |key| {
            inline for (.{ "picture", "audio", "video", "document", "hosted_tool" }) |name| {
                if (sdk.same(key, name)) {
                    if (try level.natural(name, answer)) |most| @field(cap.bounds, name) = most;
                    break;
                }
            } else return answer.unknownField("bounds", key);
        }
    }
};

noinline fn find(key: []const u8) ?Meaning {
    return Meanings.find(&meanings, key);
}
