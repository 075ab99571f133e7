//! What the counts of a usage come to: each part inside its whole, each whole once.
//!
//! The rules are those of `usage.zig`. Worked example, Anthropic: 21 input, 188,086 written to the cache and 393 output
//! are a prompt of 188,107, of which 188,086 are priced as written, and a completion of 393.

const usages = @import("usage.zig");
const Count = usages.Count;

/// What was used, each part inside its whole; a side that is not known is null.
pub const Sums = struct {
    prompt: ?u64,
    completion: ?u64,
    cached: u64,
    written: u64,
    audio_prompt: u64,
    image_prompt: u64,
    reasoning: u64,
    audio_completion: u64,
    only_total: ?u64, // where the total alone is stated
};

pub fn sumsOf(usage: *const usages.Usage) Sums {
    const total = usage.stated[@backingInt(Count.total)];
    var sums: Sums = .{
        .prompt = promptOf(usage),
        .completion = completionOf(usage),
        .cached = @max(usage.get(.cached), usage.get(.cached_apart)),
        .written = @max(usage.get(.written), writtenApart(usage)),
        .audio_prompt = usage.get(.audio_prompt) -| usage.get(.cached_audio),
        .image_prompt = usage.get(.image_prompt) -| usage.get(.cached_image),
        .reasoning = @max(usage.get(.reasoning), usage.get(.thoughts)),
        .audio_completion = usage.get(.audio_completion),
        .only_total = null,
    };
    const all = total orelse return sums;
    if (sums.prompt) |prompt| {
        sums.completion = @max(sums.completion orelse 0, all -| prompt);
    } else if (sums.completion) |completion| {
        sums.prompt = all -| completion;
    } else sums.only_total = all;
    return sums;
}

fn writtenApart(usage: *const usages.Usage) u64 {
    return @max(usage.get(.written_apart), usage.get(.written_short) +| usage.get(.written_long));
}

fn promptOf(usage: *const usages.Usage) ?u64 {
    const apart = usage.get(.cached_apart) +| writtenApart(usage);
    var prompt = usage.stated[@backingInt(Count.prompt)];
    if (prompt) |whole| prompt = if (apart > whole) whole +| apart else whole;
    if (inputOf(usage)) |input| prompt = @max(prompt orelse 0, input +| apart);
    const parts = usage.get(.cached) +| usage.get(.written);
    const whole = prompt orelse return null;
    const held = if (parts > whole) whole +| parts else whole;
    return @max(held, usage.get(.audio_prompt) +| usage.get(.image_prompt)) +| usage.get(.tool_prompt);
}

/// Of the two counts of one provider the one that it bills.
fn inputOf(usage: *const usages.Usage) ?u64 {
    const own = usage.stated[@backingInt(Count.billed_input)] orelse usage.stated[@backingInt(Count.tokens_input)];
    const input = usage.stated[@backingInt(Count.input)];
    return if (own == null) input else @max(own.?, input orelse 0);
}

fn completionOf(usage: *const usages.Usage) ?u64 {
    const own = usage.stated[@backingInt(Count.billed_output)] orelse usage.stated[@backingInt(Count.tokens_output)];
    const output = usage.stated[@backingInt(Count.output)];
    const whole = if (own == null) output orelse return null else @max(own.?, output orelse 0);
    const inside_parts = usage.get(.reasoning);
    const held = if (inside_parts > whole) whole +| inside_parts else whole;
    return @max(held, usage.get(.audio_completion)) +| usage.get(.thoughts);
}
