//! sys/CapEnforceCost@1: what an effect of any kind may cost, in cents that the receipt states.
//!
//! A bound that the grant states is reserved; without one nothing is, and the receipt's cost is charged.

const sdk = @import("splittally");
pub const panic = sdk.panic;
comptime {
    sdk.serve(@This());
}

const Cap = struct {
    kinds: sdk.Texts = .none,
    max_cost_cents: ?u64 = null,
    dimension: []const u8 = "cost_cents",
};

pub fn check(ask: *const sdk.Ask, answer: *sdk.Answer) sdk.Refused!void {
    const cap = try readCap(ask, answer);
    answer.put(cap.dimension, cap.max_cost_cents orelse 0);
}

pub fn settle(ask: *const sdk.Ask, receipt: *const sdk.Receipt, answer: *sdk.Answer) sdk.Refused!void {
    const cap = try readCap(ask, answer);
    const cost = receipt.cost_cents orelse 0;
    answer.use(ask, cap.dimension, cost);
    // A bound of 0 reserves 0, which alone would read as no bound.
    if (cap.max_cost_cents) |most| if (cost > most) answer.exceeds(cap.dimension, cost, most);
}

fn readCap(ask: *const sdk.Ask, answer: *sdk.Answer) sdk.Refused!Cap {
    const cap = try ask.cap(Cap, answer);
    if (!sdk.isDimension(cap.dimension)) return answer.refuse("cap_params_invalid", .{
        "field `dimension` of the cap params must be a name of 1 to 128 bytes",
    });
    if (!cap.kinds.allows(ask.kind)) return answer.kindMismatch(ask.kind);
    return cap;
}
