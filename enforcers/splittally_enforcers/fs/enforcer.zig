//! sys/CapEnforceFs@1: which paths one `fs.read`, `fs.write`, `fs.delete` or `fs.list` may touch, and how many bytes.
//!
//! 1. A path is resolved as text and refused where programs read it in different ways (sdk/paths.zig).
//! 2. The four lists are one restriction: where the grant gives any, an operation without a list is denied.
//! 3. Known bytes are reserved: those that the intent states, else the grant's most.

const sdk = @import("splittally");
pub const panic = sdk.panic;
comptime {
    sdk.serve(@This());
}

const kinds = [_][]const u8{ "fs.read", "fs.write", "fs.delete", "fs.list" };
const prefixes_max = 512;

const CapFields = struct {
    base: ?[]const u8 = null,
    read: ?sdk.Item = null,
    write: ?sdk.Item = null,
    delete: ?sdk.Item = null,
    list: ?sdk.Item = null,
    max_bytes: ?u64 = null,
};

const Cap = struct {
    base: ?[]const u8,
    prefixes: sdk.Texts, // of the operation that is asked for
    is_open: bool, // no operation has any
    max_bytes: ?u64,
};

const Params = struct { path: []const u8, bytes: ?u64 = null };

pub fn check(ask: *const sdk.Ask, answer: *sdk.Answer) sdk.Refused!void {
    const cap = try readCap(ask, answer);
    const params = try ask.params(Params, answer);
    try checkPath(&cap, ask.kind, params.path, answer);
    answer.put("calls", 1);
    const dim = dimensionOf(ask.kind) orelse return;
    const size = params.bytes orelse cap.max_bytes orelse 0;
    if (cap.max_bytes) |most| if (size > most) return answer.refuse("max_bytes_exceeded", .{
        "bytes ", size, " is above the grant's ", most, "; use fewer at once or ask for a wider grant",
    });
    answer.put(dim, size);
}

/// A call that failed was a call too; the bytes it moved are those that the receipt states.
pub fn settle(ask: *const sdk.Ask, receipt: *const sdk.Receipt, answer: *sdk.Answer) sdk.Refused!void {
    const cap = try readCap(ask, answer);
    const params = try ask.params(struct { bytes: ?u64 = null }, answer);
    const payload = try receipt.read(struct { bytes: ?u64 = null }, answer);
    answer.use(ask, "calls", 1);
    const dim = dimensionOf(ask.kind) orelse return;
    const stated = if (receipt.status == .ok) params.bytes else null;
    const size = payload.bytes orelse stated orelse {
        if (receipt.status == .ok) answer.say("usage_missing", .{
            "the receipt is ok and gives no `bytes`, and neither did the intent; report it",
        });
        return;
    };
    answer.use(ask, dim, size);
    if (cap.max_bytes) |most| if (size > most) answer.say("max_bytes_exceeded", .{
        "the receipt's bytes ", size, " is above the grant's ", most,
    });
}

fn dimensionOf(kind: []const u8) ?[]const u8 {
    if (sdk.same(kind, "fs.read")) return "bytes_read";
    return if (sdk.same(kind, "fs.write")) "bytes_written" else null;
}

fn readCap(ask: *const sdk.Ask, answer: *sdk.Answer) sdk.Refused!Cap {
    try ask.kindIn(&kinds, answer);
    const cap = try ask.cap(CapFields, answer);
    if (cap.base) |base| if (!sdk.paths.isPrefix(base)) return answer.refuse("cap_params_invalid", .{
        "field `base` of the cap params must be an absolute path without dot segments, not ", sdk.quote(base),
    });
    const fields = [kinds.len]?sdk.Item{ cap.read, cap.write, cap.delete, cap.list };
    var found: Cap = .{ .base = cap.base, .prefixes = .none, .is_open = true, .max_bytes = cap.max_bytes };
    for (fields, kinds) |field, kind| {
        const prefixes = try readPrefixes(kind["fs.".len..], field, answer);
        if (!prefixes.isEmpty()) found.is_open = false;
        if (sdk.equal(kind, ask.kind)) found.prefixes = prefixes;
    }
    return found;
}

noinline fn readPrefixes(name: []const u8, field: ?sdk.Item, answer: *sdk.Answer) sdk.Refused!sdk.Texts {
    const prefixes = try sdk.lists.texts(field, &.{
        .name = name,
        .most = prefixes_max,
        .expected = "a list of at most 512 absolute paths; name a folder above them",
    }, answer);
    var rest = prefixes;
    while (rest.next()) |prefix| {
        if (!sdk.paths.isPrefix(prefix)) return answer.refuse("cap_params_invalid", .{
            "field `", name, "` of the cap params must list absolute paths without dot segments, not ", sdk.quote(prefix),
        });
    }
    return prefixes;
}

fn checkPath(cap: *const Cap, kind: []const u8, stated: []const u8, answer: *sdk.Answer) sdk.Refused!void {
    const prefixes = cap.prefixes;
    if (prefixes.isEmpty() and !cap.is_open) return answer.refuse("operation_not_allowed", .{
        "the grant lists no path for ", sdk.quote(kind), "; use an operation that it lists or ask for a wider grant",
    });
    const path = sdk.paths.resolve(stated, cap.base) catch return answer.refuse("path_invalid", .{
        "path ",                                                                                             sdk.quote(stated),
        " cannot be read in one way only; write an absolute path of at most 4096 bytes with plain segments",
    });
    if (prefixes.isEmpty()) return;
    var rest = prefixes;
    while (rest.next()) |prefix| if (sdk.paths.isUnder(path, prefix)) return;
    return answer.refuse("path_not_allowed", .{
        "path ", sdk.quote(path), " is under none of the grant's paths; use a listed one or ask for a wider grant",
    });
}
