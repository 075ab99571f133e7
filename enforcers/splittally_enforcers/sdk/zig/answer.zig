//! The answer: amounts and at most one refusal or violation, written as canonical CBOR.
//!
//! 1. Amounts stand in canonical order of their dimensions, each once; a message has at most 512 bytes.
//! 2. A deny carries no amounts. A violation carries those that were found before it.
//! 3. The first violation stays; a later one is not reported.

const cbor = @import("cbor.zig");
const quoting = @import("quoting.zig");
const Ask = @import("splittally.zig").Ask;

const message_bytes_max = 512;
const listed_max = 4; // so that a message with a list and two quotations more stays within its bytes
const output_bytes_max = 10 * 1024; // 64 dimensions of 128 bytes, one message and the frame around them

/// Returned once a refusal or a violation stands in the answer.
pub const Refused = error{Refused};

/// Text of others, to stand in a message.
pub const Quoted = struct { bytes: []const u8 };

pub fn quote(bytes: []const u8) Quoted {
    return .{ .bytes = bytes };
}

/// A list of others' texts, to stand in a message: the first few, and how many more there are.
pub const Listed = struct { texts: cbor.Texts };

pub fn list(texts: cbor.Texts) Listed {
    return .{ .texts = texts };
}

/// Where a value comes from decides the code of a misfit and how strictly its names are read.
pub const Source = enum {
    cap_params,
    open_cap_params,
    params,
    receipt,

    fn code(source: Source) []const u8 {
        return switch (source) {
            .cap_params, .open_cap_params => "cap_params_invalid",
            .params => "params_invalid",
            .receipt => "receipt_unreadable",
        };
    }

    fn noun(source: Source) []const u8 {
        return switch (source) {
            .cap_params, .open_cap_params => "the cap params",
            .params => "the params",
            .receipt => "the receipt's payload",
        };
    }

    pub fn nullIsAbsent(source: Source) bool {
        return source == .params or source == .receipt;
    }
};

const Amount = struct { dim: []const u8, amount: u64 };

pub const Answer = struct {
    amounts: [cbor.dims_max]Amount,
    count: usize,
    code: []const u8,
    message: [message_bytes_max]u8,
    message_len: usize,

    /// Gives an amount to a dimension that has none yet.
    pub fn put(answer: *Answer, dim: []const u8, amount: u64) void {
        var at = answer.count;
        while (at > 0 and cbor.order(dim, answer.amounts[at - 1].dim) == .before) : (at -= 1) {
            answer.amounts[at] = answer.amounts[at - 1];
        }
        answer.amounts[at] = .{ .dim = dim, .amount = amount };
        answer.count += 1;
    }

    pub fn putAll(answer: *Answer, amounts: cbor.Amounts) void {
        var rest = amounts.map;
        while (rest.next()) |entry| answer.put(entry.key, entry.value.natural().?);
    }

    /// Reports usage, and the violation `usage_exceeds_reserve` where it passes a reserve above 0.
    pub fn use(answer: *Answer, ask: *const Ask, dim: []const u8, amount: u64) void {
        const reserve = ask.reserved(dim);
        if (reserve > 0 and amount > reserve) answer.exceeds(dim, amount, reserve);
        answer.put(dim, amount);
    }

    pub fn useAll(answer: *Answer, ask: *const Ask, amounts: cbor.Amounts) void {
        var rest = amounts.map;
        while (rest.next()) |entry| answer.use(ask, entry.key, entry.value.natural().?);
    }

    pub fn exceeds(answer: *Answer, dim: []const u8, usage: u64, reserve: u64) void {
        answer.say("usage_exceeds_reserve", .{
            "usage of ", quote(dim), " is ", usage, ", above the reserve of ", reserve,
        });
    }

    /// Ends the judgement: a deny at Check, a violation at Settle. `parts` are texts of the enforcer's
    /// own, naturals, `quote`d texts and `list`s of texts of others.
    pub fn refuse(answer: *Answer, comptime code: []const u8, parts: anytype) Refused {
        answer.say(code, parts);
        return error.Refused;
    }

    /// Notes a violation and goes on.
    pub fn say(answer: *Answer, code: []const u8, parts: anytype) void {
        if (answer.code.len > 0) return;
        answer.code = code;
        inline for (parts) |part| switch (@TypeOf(part)) {
            u64 => answer.number(part),
            Quoted => answer.quoted(part.bytes),
            Listed => answer.listed(part.texts),
            else => answer.literal(part),
        };
    }

    pub noinline fn kindMismatch(answer: *Answer, kind: []const u8) Refused {
        return answer.refuse("effect_kind_mismatch", .{
            "this grant's enforcer does not judge ", quote(kind), "; use a grant whose cap covers that kind",
        });
    }

    pub noinline fn unreadable(answer: *Answer, source: Source) Refused {
        answer.say(source.code(), .{ source.noun(), " must be a map in canonical CBOR" });
        return error.Refused;
    }

    /// For a field of the intent's params that an enforcer looks at itself.
    pub fn misfitParams(answer: *Answer, field: []const u8, expected: []const u8) Refused {
        return answer.misfit(.params, "", field, expected);
    }

    pub noinline fn misfit(
        answer: *Answer,
        source: Source,
        path: []const u8,
        name: []const u8,
        expected: []const u8,
    ) Refused {
        if (path.len + name.len == 0) return answer.unreadable(source);
        const dot = if (path.len > 0 and name.len > 0) "." else "";
        answer.say(source.code(), .{ "field `", path, dot, name, "` of ", source.noun(), " must be ", expected });
        return error.Refused;
    }

    pub noinline fn unknownField(answer: *Answer, path: []const u8, key: []const u8) Refused {
        const place = if (path.len > 0) path else "cap params";
        return answer.refuse("cap_params_invalid", .{
            "the grant's ",                                                         place,
            " hold ",                                                               quote(key),
            ", which this enforcer does not know; correct the name or take it out",
        });
    }

    noinline fn literal(answer: *Answer, bytes: []const u8) void {
        @memcpy(answer.message[answer.message_len..][0..bytes.len], bytes);
        answer.message_len += bytes.len;
    }

    noinline fn quoted(answer: *Answer, bytes: []const u8) void {
        answer.message_len += quoting.write(answer.message[answer.message_len..], bytes);
    }

    noinline fn listed(answer: *Answer, texts: cbor.Texts) void {
        var rest = texts;
        for (0..@min(texts.items.count, listed_max)) |at| {
            if (at > 0) answer.literal(", ");
            answer.quoted(rest.next().?);
        }
        if (rest.items.count == 0) return;
        answer.literal(" and ");
        answer.number(rest.items.count);
        answer.literal(" more");
    }

    noinline fn number(answer: *Answer, natural: u64) void {
        var rest = natural;
        var size: usize = 1;
        while (rest >= 10) : (rest /= 10) size += 1;
        rest = natural;
        answer.message_len += size;
        for (1..size + 1) |back| {
            answer.message[answer.message_len - back] = '0' + @as(u8, @intCast(rest % 10));
            rest /= 10;
        }
    }
};

// --- writing -----------------------------------------------------------------------------------------

var memory: Answer = undefined;
var output: [output_bytes_max]u8 = @splat(0);

/// The one answer of this instance, empty.
pub fn fresh() *Answer {
    memory.count = 0;
    memory.code = "";
    memory.message_len = 0;
    return &memory;
}

pub fn writeCheck(answer: *const Answer) []const u8 {
    var writer: Writer = .{};
    if (answer.code.len > 0) {
        writer.raw("\xA1\x65Check\xA3\x64deny");
        writer.reason(answer);
        writer.raw("\x6Econstraints_ok\xF4\x70reserve_estimate\xA0");
    } else {
        writer.raw("\xA1\x65Check\xA2\x6Econstraints_ok\xF5\x70reserve_estimate");
        writer.amounts(answer);
    }
    return output[0..writer.size];
}

pub fn writeSettle(answer: *const Answer) []const u8 {
    const is_violated = answer.code.len > 0;
    var writer: Writer = .{};
    if (is_violated) writer.raw("\xA1\x66Settle\xA2\x65usage") else writer.raw("\xA1\x66Settle\xA1\x65usage");
    writer.amounts(answer);
    if (is_violated) {
        writer.raw("\x69violation");
        writer.reason(answer);
    }
    return output[0..writer.size];
}

const Writer = struct {
    size: usize = 0,

    noinline fn raw(writer: *Writer, bytes: []const u8) void {
        @memcpy(output[writer.size..][0..bytes.len], bytes);
        writer.size += bytes.len;
    }

    fn byte(writer: *Writer, value: u8) void {
        output[writer.size] = value;
        writer.size += 1;
    }

    /// A head in its shortest form.
    noinline fn head(writer: *Writer, major: cbor.Major, argument: u64) void {
        const first = @backingInt(major) << 5;
        if (argument < 24) return writer.byte(first | @as(u8, @intCast(argument)));
        const log: u2 = if (argument < 1 << 8) 0 else if (argument < 1 << 16) 1 else if (argument < 1 << 32) 2 else 3;
        writer.byte(first | (24 + @as(u8, log)));
        var left = @as(u7, 8) << log;
        while (left > 0) {
            left -= 8;
            writer.byte(@truncate(argument >> @intCast(left)));
        }
    }

    noinline fn text(writer: *Writer, bytes: []const u8) void {
        writer.head(.text, bytes.len);
        writer.raw(bytes);
    }

    noinline fn reason(writer: *Writer, answer: *const Answer) void {
        writer.raw("\xA2\x64code");
        writer.text(answer.code);
        writer.raw("\x67message");
        writer.text(answer.message[0..answer.message_len]);
    }

    noinline fn amounts(writer: *Writer, answer: *const Answer) void {
        writer.head(.map, answer.count);
        for (answer.amounts[0..answer.count]) |entry| {
            writer.text(entry.dim);
            writer.head(.natural, entry.amount);
        }
    }
};
