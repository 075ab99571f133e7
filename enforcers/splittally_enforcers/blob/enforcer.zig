//! sys/CapEnforceBlob@1: which namespaces one `blob.put` or `blob.get` may touch, and how large a blob may be.
//!
//! A size that the intent states is reserved; a size nobody knows reserves nothing and is charged from the receipt.

const sdk = @import("splittally");
pub const panic = sdk.panic;
comptime {
    sdk.serve(@This());
}

const kinds = [_][]const u8{ "blob.put", "blob.get" };
const Cap = struct { namespaces: sdk.Texts = .none, max_bytes: ?u64 = null };
const Params = struct { namespace: ?[]const u8 = null, key: ?[]const u8 = null, size: ?u64 = null };
const Payload = struct { size: ?u64 = null, bytes: ?u64 = null };

pub fn check(ask: *const sdk.Ask, answer: *sdk.Answer) sdk.Refused!void {
    try ask.kindIn(&kinds, answer);
    const cap = try ask.cap(Cap, answer);
    const params = try ask.params(Params, answer);
    try checkNamespace(&cap, params.namespace, answer);
    const size = params.size orelse 0;
    if (cap.max_bytes) |most| if (size > most) return answer.refuse("blob_too_large", .{
        "size ", size, " is above the grant's ", most, " bytes; store less at once or ask for a wider grant",
    });
    answer.put("bytes", size);
}

pub fn settle(ask: *const sdk.Ask, receipt: *const sdk.Receipt, answer: *sdk.Answer) sdk.Refused!void {
    try ask.kindIn(&kinds, answer);
    const cap = try ask.cap(Cap, answer);
    const params = try ask.params(Params, answer);
    const payload = try receipt.read(Payload, answer);
    const stated = if (receipt.status == .ok) params.size else null;
    const size = payload.size orelse payload.bytes orelse stated orelse {
        if (receipt.status == .ok) answer.say("usage_missing", .{
            "the receipt is ok and gives no `size`, and neither did the intent; report it",
        });
        return;
    };
    answer.use(ask, "bytes", size);
    if (cap.max_bytes) |most| if (size > most) answer.say("blob_too_large", .{
        "the receipt's size ", size, " is above the grant's ", most, " bytes",
    });
}

fn checkNamespace(cap: *const Cap, named: ?[]const u8, answer: *sdk.Answer) sdk.Refused!void {
    if (cap.namespaces.isEmpty()) return;
    const namespace = named orelse return answer.refuse("namespace_not_allowed", .{
        "the grant lists its namespaces and the params name none; add `namespace`",
    });
    if (!cap.namespaces.has(namespace)) return answer.refuse("namespace_not_allowed", .{
        "namespace ", sdk.quote(namespace), " is not on the grant's list; use a listed one or ask for a wider grant",
    });
}
