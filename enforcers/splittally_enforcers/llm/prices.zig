//! What a call costs, by one row of a price table.
//!
//! 1. A cost is rounded up once, for the whole call, in exact arithmetic of 128 bits; past 2^64−1 there is none.
//! 2. Each part of prompt and completion has its own price and is counted once. Where parts overlap, so that together
//!    they are larger than their whole, the dearest is counted first.
//! 3. The whole call is priced by the last tier whose `above` is below its prompt tokens; what the tier does not state
//!    is as in the row.
//! 4. The cost of bounds is the largest that any outcome within them can have.
//!
//! Example. Prompt 2.50, cached 1.25 and completion 10.00 USD, scale 6: 2,006 prompt tokens with 1,920 of them cached
//! and 300 of completion are (86 × 2500000 + 1920 × 1250000 + 300 × 10000000) / 10^6 = 5615.

const Bill = @import("bill.zig").Bill;
const decimal = @import("decimal.zig");
const reading = @import("reading.zig");
const sdk = @import("splittally");
const Sums = @import("sums.zig").Sums;
const Meanings = @import("names.zig").Table(Meaning);

const tiers_max = 16;
const tier_work = 80;
const share_max = (1 << 32) - 1;

/// What has a price for 10^6 tokens; the first five are parts of the prompt.
const Part = enum(u8) { prompt, cached, cache_write, audio_prompt, image_prompt, completion, reasoning, audio_completion };
const parts_count = 8;
const Stated = [parts_count]?u64;

const Meaning = union(enum) {
    part: Part,
    resource,
    model,
    scale,
    call,
    image,
    batch,
    tiers,
    above,
    models,
    row,
    hash,
};

const meanings = [_]Meanings{
    .{ .meaning = .{ .part = .prompt }, .names = &.{"prompt"} },
    .{ .meaning = .{ .part = .cached }, .names = &.{"cached"} },
    .{ .meaning = .{ .part = .cache_write }, .names = &.{"cache_write"} },
    .{ .meaning = .{ .part = .audio_prompt }, .names = &.{"audio_prompt"} },
    .{ .meaning = .{ .part = .image_prompt }, .names = &.{"image_prompt"} },
    .{ .meaning = .{ .part = .completion }, .names = &.{"completion"} },
    .{ .meaning = .{ .part = .reasoning }, .names = &.{"reasoning"} },
    .{ .meaning = .{ .part = .audio_completion }, .names = &.{"audio_completion"} },
    .{ .meaning = .resource, .names = &.{"resource"} },
    .{ .meaning = .model, .names = &.{"model"} },
    .{ .meaning = .scale, .names = &.{"scale"} },
    .{ .meaning = .call, .names = &.{"call"} },
    .{ .meaning = .image, .names = &.{"image"} },
    .{ .meaning = .batch, .names = &.{"batch"} },
    .{ .meaning = .tiers, .names = &.{"tiers"} },
    .{ .meaning = .above, .names = &.{"above"} },
    .{ .meaning = .models, .names = &.{"models"} },
    .{ .meaning = .row, .names = &.{"row"} },
    .{ .meaning = .hash, .names = &.{"prices"} },
};

/// A row of a price table, or a tier of one.
pub const Row = struct {
    resource: []const u8 = "",
    scale: ?u64 = null,
    stated: Stated = @splat(null),
    call: u64 = 0,
    image: u64 = 0,
    share: [2]u64 = .{ 1, 1 },
    tiers: ?sdk.Item = null,
    above: ?u64 = null,
    models: ?sdk.Item = null,
    picked: ?sdk.Item = null, // of a recorded table the row that the kernel took
    is_recorded: bool = false,

    fn read(row: *Row, item: sdk.Item, path: []const u8, answer: *sdk.Answer) sdk.Refused!void {
        var level: reading.Level = try .of(item.bytes, .cap_params, path, answer);
        while (try level.next(answer)) |key| {
            const meaning = find(key) orelse {
                if (!sdk.startsWith(key, "x-") or key.len < 3) return answer.unknownField(path, key);
                try level.skip(answer);
                continue;
            };
            switch (meaning) {
                .part => |part| row.stated[@backingInt(part)] = try level.natural(key, answer),
                .resource => row.resource = try level.text(key, answer) orelse "",
                .model => _ = try level.text(key, answer),
                .scale => row.scale = try level.natural(key, answer),
                .call => row.call = try level.natural(key, answer) orelse 0,
                .image => row.image = try level.natural(key, answer) orelse 0,
                .batch => if (!level.isNull()) {
                    row.share = try readShare(&level, answer);
                },
                .tiers => row.tiers = try level.listOf(key, answer),
                .above => row.above = try level.natural(key, answer),
                .models => row.models = try level.mapOf(key, answer),
                .row => {
                    row.is_recorded = true;
                    row.picked = try level.mapOf(key, answer);
                },
                .hash => {
                    row.is_recorded = true;
                    try level.skip(answer);
                },
            }
        }
        if (row.stated[@backingInt(Part.prompt)] == null and row.stated[@backingInt(Part.completion)] == null) return;
        if (row.above == null and (row.at(.prompt) == null or row.at(.completion) == null)) {
            return answer.misfit(.cap_params, path, "", "with `prompt` and `completion` together");
        }
    }

    fn at(row: *const Row, part: Part) ?u64 {
        return row.stated[@backingInt(part)];
    }

    fn shareOf(row: *const Row, is_batch: bool) [2]u64 {
        return if (is_batch) row.share else .{ 1, 1 };
    }

    fn isPriced(row: *const Row) bool {
        return row.at(.prompt) != null;
    }
};

noinline fn find(key: []const u8) ?Meaning {
    return Meanings.find(&meanings, key);
}

/// `[num, den]`, a share of at most the whole.
fn readShare(level: *reading.Level, answer: *sdk.Answer) sdk.Refused![2]u64 {
    const expected = "two natural numbers below 2^32, the first at most the second";
    var reader = level.reader;
    const is_pair = (reader.count(.list) catch 0) == 2;
    const num = reader.natural() catch share_max + 1;
    const den = reader.natural() catch 0;
    if (!is_pair or num > den or den > share_max or den == 0) return level.misfit("batch", expected, answer);
    level.reader = reader;
    return .{ num, den };
}

/// The row that prices a model: of a recorded table the one that the kernel picked, of a table in the cap params the
/// model's own or the one for all. Null in `row.stated` where there is none.
pub fn read(item: sdk.Item, model: ?[]const u8, answer: *sdk.Answer) sdk.Refused!Row {
    var table: Row = .{};
    try table.read(item, "prices", answer);
    if (table.is_recorded) {
        var row: Row = .{};
        if (table.picked) |picked| {
            try row.read(picked, "prices.row", answer);
            try checkResource(&row, "prices.row", answer);
        }
        return row;
    }
    try checkResource(&table, "prices", answer);
    const name = model orelse return table;
    const models = table.models orelse return table;
    const own = try ownOf(models, name, answer) orelse return table;
    var row: Row = .{};
    try row.read(own, "prices.models", answer);
    if (!row.isPriced()) return answer.misfit(.cap_params, "prices.models", "prompt", "present");
    row.resource = table.resource;
    row.scale = row.scale orelse table.scale;
    return row;
}

/// What a table says of one model.
fn ownOf(models: sdk.Item, name: []const u8, answer: *sdk.Answer) sdk.Refused!?sdk.Item {
    var level: reading.Level = try .of(models.bytes, .cap_params, "prices.models", answer);
    while (try level.next(answer)) |key| {
        if (sdk.equal(key, name)) return level.item(answer);
        try level.skip(answer);
    }
    return null;
}

fn checkResource(row: *const Row, path: []const u8, answer: *sdk.Answer) sdk.Refused!void {
    if (!sdk.isDimension(row.resource) or sdk.same(row.resource, "tokens")) return answer.misfit(
        .cap_params,
        path,
        "resource",
        "a name of 1 to 128 bytes other than `tokens`",
    );
    if ((row.scale orelse 0) > decimal.scale_max) return answer.misfit(.cap_params, path, "scale", "at most 18");
}

pub fn requirePrice(row: *const Row, model: ?[]const u8, answer: *sdk.Answer) sdk.Refused!void {
    if (row.isPriced()) return;
    return answer.refuse("price_missing", .{
        "model ",                                                                         sdk.quote(model orelse ""),
        " has no price in the grant's table; use a priced model or have its price added",
    });
}

// --- pricing -----------------------------------------------------------------------------------------

const Prices = [parts_count]u64;

/// The price of each part, where a tier is stated with what it changes.
fn pricesOf(row: *const Row, tier: ?*const Row) Prices {
    var prices: Prices = undefined;
    inline for (.{ .{ Part.prompt, 0, 5 }, .{ Part.completion, 5, 8 } }) |side| {
        var whole: u64 = 0;
        inline for (side[1]..side[2]) |part| {
            const changed = if (tier) |found| found.stated[part] else null;
            const stated = changed orelse row.stated[part];
            if (part == @backingInt(side[0])) whole = stated orelse 0;
            prices[part] = stated orelse whole;
        }
    }
    return prices;
}

/// The bounds of a call; what a request does not hold has no price of its own.
pub const Bounds = struct {
    prompt: u64,
    completion: u64,
    pictures: u64,
    is_batch: bool,
    has_audio: bool,
    has_picture: bool,
};

/// The most that a call within these bounds can cost; null above 2^64−1.
pub fn mostOf(row: *const Row, bounds: *const Bounds, answer: *sdk.Answer) sdk.Refused!?u64 {
    var most = boundCost(row, &pricesOf(row, null), bounds);
    var tiers: Tiers = try .of(row, answer);
    while (try tiers.next(answer)) |tier| {
        if (tier.above.? >= bounds.prompt) break;
        const other = boundCost(row, &pricesOf(row, tier), bounds);
        most = if (most != null and other != null) @max(most.?, other.?) else null;
    }
    return most;
}

fn boundCost(row: *const Row, prices: *const Prices, bounds: *const Bounds) ?u64 {
    var prompt = @max(prices[0], prices[1], prices[2]);
    if (bounds.has_audio) prompt = @max(prompt, prices[@backingInt(Part.audio_prompt)]);
    if (bounds.has_picture) prompt = @max(prompt, prices[@backingInt(Part.image_prompt)]);
    var bill: Bill = .{};
    bill.add(bounds.prompt, prompt);
    bill.add(bounds.completion, @max(prices[5], prices[6], prices[7]));
    return bill.close(row.call, row.image, bounds.pictures, row.shareOf(bounds.is_batch));
}

/// What the sums cost; null above 2^64−1. `total` of either side stands where its parts are not known.
pub fn costOf(
    row: *const Row,
    sums: *const Sums,
    pictures: u64,
    is_batch: bool,
    answer: *sdk.Answer,
) sdk.Refused!?u64 {
    var found: Row = .{};
    var tier: ?*const Row = null;
    var tiers: Tiers = try .of(row, answer);
    while (try tiers.next(answer)) |each| {
        if (each.above.? >= sums.prompt.?) break;
        found = each.*;
        tier = &found;
    }
    const prices = pricesOf(row, tier);
    var bill: Bill = .{};
    bill.addSide(sums.prompt.?, prices[0], &.{
        .{ .count = sums.cached, .price = prices[1] },
        .{ .count = sums.written, .price = prices[2] },
        .{ .count = sums.audio_prompt, .price = prices[3] },
        .{ .count = sums.image_prompt, .price = prices[4] },
    });
    bill.addSide(sums.completion.?, prices[5], &.{
        .{ .count = sums.reasoning, .price = prices[6] },
        .{ .count = sums.audio_completion, .price = prices[7] },
    });
    return bill.close(row.call, row.image, pictures, row.shareOf(is_batch));
}

/// The tiers of a row, ascending.
const Tiers = struct {
    list: sdk.Items,
    last: ?u64 = null,
    tier: Row = .{},

    fn of(row: *const Row, answer: *sdk.Answer) sdk.Refused!Tiers {
        const item = row.tiers orelse return .{ .list = .none };
        const list = item.items() orelse return answer.unreadable(.cap_params);
        if (list.count > tiers_max) return answer.misfit(.cap_params, "prices", "tiers", "a list of at most 16 tiers");
        return .{ .list = list };
    }

    fn next(tiers: *Tiers, answer: *sdk.Answer) sdk.Refused!?*const Row {
        const item = tiers.list.next() orelse return null;
        if (!reading.spend(tier_work)) return reading.tooMany(.cap_params, answer);
        tiers.tier = .{};
        try tiers.tier.read(item, "prices.tiers", answer);
        const above = tiers.tier.above orelse return answer.misfit(.cap_params, "prices.tiers", "above", "present");
        if (tiers.last) |last| if (above <= last) {
            return answer.misfit(.cap_params, "prices", "tiers", "ascending by `above`");
        };
        tiers.last = above;
        return &tiers.tier;
    }
};
