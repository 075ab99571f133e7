//! @NAME@: to whom one `@KIND@` may go, and how much of `@DIM@` it reserves and uses.
//!
//! `check` is asked before the effect and `settle` after it. Both see nothing but the question: no clock, no
//! file, no earlier call. See spec/03-abi.md for the rules and the SDK's README for every field type.

const sdk = @import("splittally");
pub const panic = sdk.panic;
comptime {
    sdk.serve(@This());
}

const kinds = [_][]const u8{"@KIND@"};
const Cap = struct { to: sdk.Texts = .none, count_max: ?u64 = null };
const Params = struct { to: []const u8, count: u64 = 1 };
const Payload = struct { count: ?u64 = null };

pub fn check(ask: *const sdk.Ask, answer: *sdk.Answer) sdk.Refused!void {
    try ask.kindIn(&kinds, answer);
    const cap = try ask.cap(Cap, answer);
    const params = try ask.params(Params, answer);
    if (!cap.to.allows(params.to)) return answer.refuse("to_not_allowed", .{
        "to ", sdk.quote(params.to), " is not on the grant's list; use a listed one or ask for a wider grant",
    });
    if (cap.count_max) |most| if (params.count > most) return answer.refuse("count_too_large", .{
        "count ", params.count, " is above the grant's ", most, "; ask for less at once",
    });
    answer.put("@DIM@", params.count);
}

pub fn settle(ask: *const sdk.Ask, receipt: *const sdk.Receipt, answer: *sdk.Answer) sdk.Refused!void {
    try ask.kindIn(&kinds, answer);
    const payload = try receipt.read(Payload, answer);
    const stated = if (receipt.status == .ok) ask.reserved("@DIM@") else 0;
    answer.use(ask, "@DIM@", payload.count orelse stated);
}
