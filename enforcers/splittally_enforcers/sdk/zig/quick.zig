//! Reads a question for an enforcer that reads its values itself, because it must spend little fuel on that.
//!
//! 1. Canonical bytes have one order of keys, so each key is expected in its place and each byte is met once.
//! 2. What does not fit is a trap, because nobody could read an answer to it.
//! 3. Heads are believed to be the shortest: the kernel sends canonical bytes only.

const cbor = @import("cbor.zig");
const same = @import("splittally.zig").same;

/// The values of a question; `origin` and `reserve` are where a map stands.
pub const Question = struct {
    kind: []const u8,
    grant: []const u8,
    origin: [*]const u8,
    now_ns: u64,
    cap_params: []const u8,
    params: []const u8,
    receipt: ?Receipt = null,
    reserve: [*]const u8 = "\xA0",

    pub fn read(question: *Question, message: []u8) void {
        var reader: Reader = .{ .at = message.ptr, .end = message.ptr + message.len };
        const is_settle = message.len > 1 and message[1] == 0x66;
        question.receipt = null;
        if (is_settle) reader.expect("\xA1\x66Settle\xAA") else reader.expect("\xA1\x65Check\xA7");
        reader.expect("\x66origin");
        question.origin = reader.at;
        _ = reader.inside("\xA2\x64kind", .text);
        _ = reader.inside("\x64name", .text);
        _ = reader.inside("\x67cap_def", .text);
        if (is_settle) question.receipt = Receipt.read(&reader);
        question.cap_params = reader.inside("\x6Acap_params", .bytes);
        question.grant = reader.inside("\x6Agrant_name", .text);
        question.kind = reader.inside("\x6Beffect_kind", .text);
        if (is_settle) _ = reader.inside("\x6Bintent_hash", .bytes);
        question.params = reader.inside("\x6Deffect_params", .bytes);
        question.now_ns = reader.argument("\x6Elogical_now_ns", .natural);
        if (is_settle) {
            question.reserve = reader.at + "\x70reserve_estimate".len;
            const count = reader.argument("\x70reserve_estimate", .map);
            for (0..reader.within(count)) |_| {
                _ = reader.inside("", .text);
                _ = reader.argument("", .natural);
            }
        }
        if (reader.at != reader.end) @trap();
    }
};

pub const Receipt = struct {
    start: [*]const u8,
    count: u32,
    payload: []const u8,

    fn read(reader: *Reader) Receipt {
        const count: u32 = @intCast(reader.within(reader.argument("\x67receipt", .map)));
        const start = reader.at;
        const status = reader.inside("\x66status", .text);
        if (!same(status, "ok") and !same(status, "error") and !same(status, "timeout")) @trap();
        const payload = reader.inside("\x67payload", .bytes);
        _ = reader.inside("\x6Aadapter_id", .text);
        if (count == 4) _ = reader.argument("\x6Acost_cents", .natural) else if (count != 3) @trap();
        return .{ .start = start, .count = count, .payload = payload };
    }

    /// Where the entries of the receipt stand with the payload's value in it; to be asked for once, of a payload
    /// that is canonical. The head of the payload's byte string is taken out by moving what stands before it.
    pub fn whole(receipt: *const Receipt) [*]const u8 {
        const size: usize = if (receipt.payload.len < 24) 1 else if (receipt.payload.len < 256) 2 else 3;
        const bytes = @constCast(receipt.start);
        var at = receipt.payload.ptr - size - receipt.start;
        while (at > 0) {
            at -= 1;
            bytes[at + size] = bytes[at];
        }
        return bytes + size;
    }
};

const Reader = struct {
    at: [*]const u8,
    end: [*]const u8,

    inline fn expect(reader: *Reader, comptime wanted: []const u8) void {
        if (!same(reader.at[0..wanted.len], wanted)) @trap();
        reader.at += wanted.len;
    }

    inline fn argument(reader: *Reader, comptime key: []const u8, comptime major: cbor.Major) u64 {
        reader.expect(key);
        const found = head(reader.at, major) orelse @trap();
        reader.at = found.body;
        return found.argument;
    }

    /// What is inside the text or byte string under a key.
    inline fn inside(reader: *Reader, comptime key: []const u8, comptime major: cbor.Major) []const u8 {
        const size = reader.within(reader.argument(key, major));
        defer reader.at += size;
        return reader.at[0..size];
    }

    fn within(reader: *const Reader, claimed: u64) usize {
        if (claimed > @intFromPtr(reader.end) -| @intFromPtr(reader.at)) @trap();
        return @intCast(claimed);
    }
};

const Head = struct { argument: u64, body: [*]const u8 };

/// The head at `at`, null where it is of another major type; a short one is read in place.
inline fn head(at: [*]const u8, comptime major: cbor.Major) ?Head {
    const info = at[0] -% (@backingInt(major) << 5);
    if (info < 24) return .{ .argument = info, .body = at + 1 };
    return if (info > 27) null else longHead(at);
}

noinline fn longHead(at: [*]const u8) Head {
    const size = @as(usize, 1) << @intCast((at[0] & 31) - 24);
    var argument: u64 = 0;
    for (at[1..][0..size]) |byte| argument = argument << 8 | byte;
    return .{ .argument = argument, .body = at + 1 + size };
}

/// What is inside the text or byte string at `at`, null where there is none.
pub inline fn inside(at: [*]const u8, comptime major: cbor.Major) ?[]const u8 {
    const found = head(at, major) orelse return null;
    return found.body[0..@as(usize, @truncate(found.argument))];
}
