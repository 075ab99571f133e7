//! The enforcer SDK, ABI version 1 (spec/03-abi.md): what an enforcer is given and how it is called.
//!
//! An enforcer is one file. Its structs say what it reads, its two functions what it refuses and counts:
//!
//!     const sdk = @import("splittally");
//!     pub const panic = sdk.panic;
//!     comptime {
//!         sdk.serve(@This());
//!     }
//!
//!     const Cap = struct { names: sdk.Texts = .none };
//!     const Params = struct { name: []const u8, size: u64 = 0 };
//!
//!     pub fn check(ask: *const sdk.Ask, answer: *sdk.Answer) sdk.Refused!void {
//!         try ask.kindIn(&.{"demo.put"}, answer);
//!         const cap = try ask.cap(Cap, answer);
//!         const params = try ask.params(Params, answer);
//!         if (!cap.names.allows(params.name)) return answer.refuse("name_not_allowed", .{
//!             "name ", sdk.quote(params.name), " is not on the grant's list",
//!         });
//!         answer.put("bytes", params.size);
//!     }
//!
//!     pub fn settle(ask: *const sdk.Ask, receipt: *const sdk.Receipt, answer: *sdk.Answer) sdk.Refused!void {
//!         try ask.kindIn(&.{"demo.put"}, answer);
//!         const payload = try receipt.read(struct { size: u64 = 0 }, answer);
//!         answer.use(ask, "bytes", payload.size);
//!     }
//!
//! 1. Integers only, no recursion, no allocation, no call through a table: admission refuses the rest.
//! 2. A broken message from the host is a trap, because nobody could read an answer to it. Broken
//!    params, cap params or payload are answered with a code and a message that names the field.
//! 3. Text of others reaches a message only through `quote`: bounded, escaped, between backticks.
//! 4. A bug is a trap too (the modules are built with every safety check on), and a trap denies.

const root = @import("root");
const std = @import("std");
const answers = @import("answer.zig");
const cbor = @import("cbor.zig");
const fields = @import("fields.zig");
const quoting = @import("quoting.zig");
const strict = @import("strict.zig");
pub const lists = @import("lists.zig");
pub const paths = @import("paths.zig");
pub const quick = @import("quick.zig");
pub const sets = @import("sets.zig");

pub const Answer = answers.Answer;
pub const freshAnswer = answers.fresh;
pub const Refused = answers.Refused;
pub const isDimension = cbor.isDimension;
pub const isLegible = quoting.isLegible;
pub const isUtf8 = quoting.isUtf8;
pub const list = answers.list;
pub const order = cbor.order;
pub const quote = answers.quote;
pub const Amounts = cbor.Amounts;
pub const Item = cbor.Item;
pub const Items = cbor.Items;
pub const Keys = cbor.Keys;
pub const Map = cbor.Map;
pub const Naturals = cbor.Naturals;
pub const Reader = cbor.Reader;
pub const Source = answers.Source;
pub const Texts = cbor.Texts;
pub const Token = strict.Token;
pub const Walk = strict.Walk;
pub const Writer = strict.Writer;
pub const writeCheck = answers.writeCheck;
pub const writeSettle = answers.writeSettle;

/// Turns a failed safety check into a trap. Every enforcer's own file must re-export it.
pub const panic = std.debug.no_panic;

/// How long an input may be; an enforcer whose inputs are longer says so in its own file, and takes more pages.
pub const input_bytes_max = if (@hasDecl(root, "input_bytes_max")) root.input_bytes_max else 24 * 1024;
const is_long = @hasDecl(root, "input_bytes_max");

/// The parts of the question that an enforcer reads; `reserve` is empty in a Check.
pub const Ask = struct {
    kind: []const u8,
    cap_params: []const u8,
    effect_params: []const u8,
    reserve: Map = .none,

    /// Refuses `effect_kind_mismatch` unless the intent's kind is one of `kinds`.
    pub fn kindIn(ask: *const Ask, kinds: []const []const u8, answer: *Answer) Refused!void {
        if (!isAmong(ask.kind, kinds)) return answer.kindMismatch(ask.kind);
    }

    /// The grant's params as a `T`; `cap_params_invalid` names the field that does not fit. A name that
    /// `T` lacks is refused too, because a misspelt restriction would restrict nothing.
    pub fn cap(ask: *const Ask, comptime T: type, answer: *Answer) Refused!T {
        return fields.read(T, .cap_params, "", ask.cap_params, answer);
    }

    /// The same, passing over names that `T` lacks; only where no cap param restricts anything.
    pub fn capLoosely(ask: *const Ask, comptime T: type, answer: *Answer) Refused!T {
        return fields.read(T, .open_cap_params, "", ask.cap_params, answer);
    }

    /// The intent's params as a `T`; `params_invalid` names the field that does not fit. Other names are
    /// passed over and null stands for an absent field.
    pub fn params(ask: *const Ask, comptime T: type, answer: *Answer) Refused!T {
        return fields.read(T, .params, "", ask.effect_params, answer);
    }

    /// A value of the cap params as a `T`; `path` names it in a message.
    pub fn capItem(_: *const Ask, item: Item, comptime T: type, path: []const u8, answer: *Answer) Refused!T {
        return fields.read(T, .cap_params, path, item.bytes, answer);
    }

    /// A value of the intent's params as a `T`; `path` names it in a message.
    pub fn paramsItem(_: *const Ask, item: Item, comptime T: type, path: []const u8, answer: *Answer) Refused!T {
        return fields.read(T, .params, path, item.bytes, answer);
    }

    /// The logical time of the Check, in nanoseconds since 1970; the Settle is given the same.
    /// It stands right behind the params, so it is read there and costs nothing where nobody asks.
    pub fn nowNs(ask: *const Ask) u64 {
        const behind = @intFromPtr(ask.effect_params.ptr) + ask.effect_params.len - @intFromPtr(room());
        var reader: cbor.Reader = .{ .bytes = room(), .at = behind };
        reader.expect("\x6Elogical_now_ns") catch @trap();
        return reader.natural() catch @trap();
    }

    /// The grant's name. It stands right behind the cap params and is read like `nowNs`.
    pub fn grantName(ask: *const Ask) []const u8 {
        const behind = @intFromPtr(ask.cap_params.ptr) + ask.cap_params.len - @intFromPtr(room());
        var reader: cbor.Reader = .{ .bytes = room(), .at = behind };
        reader.expect("\x6Agrant_name") catch @trap();
        return reader.text() catch @trap();
    }

    /// Where the intent comes from: the first value of the question, a map of `kind` and `name`.
    pub fn origin(_: *const Ask) Item {
        const start = if (room()[1] == 0x65) "\xA1\x65Check\xA7".len else "\xA1\x66Settle\xAA".len;
        var reader: cbor.Reader = .{ .bytes = room(), .at = start };
        reader.expect("\x66origin") catch @trap();
        return reader.item() catch @trap();
    }

    /// What the Check reserved for `dim`, 0 when it reserved nothing.
    pub fn reserved(ask: *const Ask, dim: []const u8) u64 {
        const amount = ask.reserve.find(dim) orelse return 0;
        return amount.natural() orelse 0;
    }
};

pub const Status = enum { ok, @"error", timeout };

pub const Receipt = struct {
    status: Status,
    payload: []const u8,
    cost_cents: ?u64,

    /// The payload as a `T`; the violation `receipt_unreadable` names the field that does not fit. Other
    /// names are passed over and null stands for an absent field.
    pub fn read(receipt: *const Receipt, comptime T: type, answer: *Answer) Refused!T {
        return fields.read(T, .receipt, "", receipt.payload, answer);
    }

    /// A value of the payload as a `T`; `path` names it in a message.
    pub fn readItem(_: *const Receipt, item: Item, comptime T: type, path: []const u8, answer: *Answer) Refused!T {
        return fields.read(T, .receipt, path, item.bytes, answer);
    }

    /// The whole receipt as one map with the payload's value in it; only for a payload that is canonical.
    /// The head of the payload's byte string is taken out by moving what stands before it.
    pub fn whole(receipt: *const Receipt) Map {
        const size = receipt.payload.len;
        const head: usize = if (size < 24) 1 else if (size < 256) 2 else 3;
        const before = "\x66status\x60\x67payload".len + @tagName(receipt.status).len;
        const start = @intFromPtr(receipt.payload.ptr) - @intFromPtr(room()) - before;
        var at = start + before;
        while (at > start) {
            at -= 1;
            room()[at] = room()[at - head];
        }
        const count: usize = if (receipt.cost_cents == null) 3 else 4;
        return .{ .rest = .{ .bytes = room(), .at = start }, .count = count };
    }
};

// --- comparing texts ---------------------------------------------------------------------------------

/// Whether `bytes` are exactly `wanted`, compared as one wide integer in place of a loop.
pub fn same(bytes: []const u8, comptime wanted: []const u8) bool {
    if (bytes.len != wanted.len) return false;
    const Bits = @Int(.unsigned, 8 * wanted.len);
    return @as(Bits, @bitCast(bytes[0..wanted.len].*)) == comptime @as(Bits, @bitCast(wanted[0..wanted.len].*));
}

/// Whether `bytes` are one of `names`.
pub fn isAmong(bytes: []const u8, names: []const []const u8) bool {
    for (names) |name| if (equal(bytes, name)) return true;
    return false;
}

pub fn equal(a: []const u8, b: []const u8) bool {
    return std.mem.eql(u8, a, b);
}

pub fn startsWith(bytes: []const u8, head: []const u8) bool {
    return bytes.len >= head.len and equal(bytes[0..head.len], head);
}

pub fn endsWith(bytes: []const u8, tail: []const u8) bool {
    return bytes.len >= tail.len and equal(bytes[bytes.len - tail.len ..], tail);
}

// --- the ABI -----------------------------------------------------------------------------------------

var input: [if (is_long) 0 else input_bytes_max]u8 align(16) = @splat(0);

/// A long input lies behind everything else, so that a short question touches the first page alone, which is kept and
/// cleared in place; the others are given back to the machine after a call, which takes longer.
extern var __heap_base: [input_bytes_max]u8 align(16);

inline fn room() *align(16) [input_bytes_max]u8 {
    return if (comptime is_long) &__heap_base else &input;
}

/// Exports the ABI for `enforcer`, a namespace with `check` and `settle`.
pub fn serve(comptime enforcer: type) void {
    serveMessages(struct {
        pub inline fn answerTo(message: []u8) []const u8 {
            return judge(enforcer, message);
        }
    });
}

/// The same for an enforcer that reads the question itself: `answerTo` is given its bytes and gives the answer's.
pub fn serveMessages(comptime enforcer: type) void {
    const abi = struct {
        fn version() callconv(.c) void {}

        fn alloc(len: u32) callconv(.c) u32 {
            if (comptime is_long) return if (len <= input_bytes_max) @intFromPtr(&__heap_base) else 0;
            return if (len <= input.len) @intFromPtr(&input) else 0;
        }

        fn run(ptr: u32, len: u32) callconv(.c) u64 {
            if (ptr != @intFromPtr(room()) or len > input_bytes_max) @trap();
            const written = enforcer.answerTo(room()[0..len]);
            return @as(u64, @intFromPtr(written.ptr)) << 32 | written.len;
        }
    };
    @export(&abi.version, .{ .name = "splittally_abi_1" });
    @export(&abi.alloc, .{ .name = "alloc" });
    @export(&abi.run, .{ .name = "run" });
}

fn judge(comptime enforcer: type, message: []const u8) []const u8 {
    const question = readQuestion(message) catch @trap();
    const answer = answers.fresh();
    if (question.receipt) |receipt| {
        enforcer.settle(&question.ask, &receipt, answer) catch {};
        return answers.writeSettle(answer);
    }
    enforcer.check(&question.ask, answer) catch {};
    return answers.writeCheck(answer);
}

const Question = struct { ask: Ask, receipt: ?Receipt };

// Canonical bytes have one order of keys, so each key is expected in its place, its head before it.
const check_keys = [_][]const u8{
    "\x66origin",      "\x67cap_def",       "\x6Acap_params",     "\x6Agrant_name",
    "\x6Beffect_kind", "\x6Deffect_params", "\x6Elogical_now_ns",
};
const settle_keys = [_][]const u8{
    "\x66origin",         "\x67cap_def",          "\x67receipt",     "\x6Acap_params",
    "\x6Agrant_name",     "\x6Beffect_kind",      "\x6Bintent_hash", "\x6Deffect_params",
    "\x6Elogical_now_ns", "\x70reserve_estimate",
};
const receipt_keys = [_][]const u8{ "\x66status", "\x67payload", "\x6Aadapter_id", "\x6Acost_cents" };
const Values = [settle_keys.len]Item;

/// Reads a CapEnforcerInput.
noinline fn readQuestion(message: []const u8) cbor.Malformed!Question {
    var reader: cbor.Reader = .{ .bytes = message };
    var values: Values = @splat(.{ .bytes = "" });
    if (message.len > 1 and message[1] == 0x65) {
        try reader.expect("\xA1\x65Check\xA7");
        try readValues(&reader, &check_keys, &values);
        return .{ .ask = try readAsk(values[2], values[4], values[5]), .receipt = null };
    }
    try reader.expect("\xA1\x66Settle\xAA");
    try readValues(&reader, &settle_keys, &values);
    var ask = try readAsk(values[3], values[5], values[7]);
    ask.reserve = values[9].map() orelse return error.Malformed;
    return .{ .ask = ask, .receipt = try readReceipt(values[2].bytes) };
}

noinline fn readValues(reader: *cbor.Reader, keys: []const []const u8, values: *Values) cbor.Malformed!void {
    for (keys, 0..) |key, i| {
        try reader.expect(key);
        values[i] = try reader.item();
    }
    if (reader.at != reader.bytes.len) return error.Malformed;
}

fn readAsk(cap_params: Item, kind: Item, effect_params: Item) cbor.Malformed!Ask {
    return .{
        .kind = kind.text() orelse return error.Malformed,
        .cap_params = cap_params.byteString() orelse return error.Malformed,
        .effect_params = effect_params.byteString() orelse return error.Malformed,
    };
}

fn readReceipt(bytes: []const u8) cbor.Malformed!Receipt {
    var reader: cbor.Reader = .{ .bytes = bytes };
    const count = try reader.count(.map);
    if (count != 3 and count != 4) return error.Malformed;
    var values: Values = @splat(.{ .bytes = "" });
    try readValues(&reader, receipt_keys[0..count], &values);
    return .{
        .status = statusOf(values[0].text() orelse "") orelse return error.Malformed,
        .payload = values[1].byteString() orelse return error.Malformed,
        .cost_cents = if (count == 4) values[3].natural() orelse return error.Malformed else null,
    };
}

fn statusOf(text: []const u8) ?Status {
    if (same(text, "ok")) return .ok;
    if (same(text, "error")) return .@"error";
    if (same(text, "timeout")) return .timeout;
    return null;
}

// --- copying -----------------------------------------------------------------------------------------

/// Stands in for the compiler's own routine, which goes byte by byte and would be most of the fuel.
fn memcpy(to: [*]u8, from: [*]const u8, size: usize) callconv(.c) [*]u8 {
    @setRuntimeSafety(false);
    const whole = size & ~@as(usize, 7);
    var at: usize = 0;
    while (at != whole) : (at += 8) to[at..][0..8].* = from[at..][0..8].*;
    while (at != size) : (at += 1) to[at] = from[at];
    return to;
}

comptime {
    @export(&memcpy, .{ .name = "memcpy", .visibility = .hidden });
}
