//! sys/CapAllowAll@1: allows every kind with any params, reserves what the grant says.

const sdk = @import("splittally");
pub const panic = sdk.panic;
comptime {
    sdk.serve(@This());
}

/// Nothing here restricts, so other names in the cap params cannot be a misspelt restriction.
const Cap = struct { reserve: ?sdk.Amounts = null };

pub fn check(ask: *const sdk.Ask, answer: *sdk.Answer) sdk.Refused!void {
    const cap = try ask.capLoosely(Cap, answer);
    if (cap.reserve) |reserve| answer.putAll(reserve);
}

/// A grant that reserves nothing charges nothing, whatever the receipt says.
pub fn settle(ask: *const sdk.Ask, receipt: *const sdk.Receipt, answer: *sdk.Answer) sdk.Refused!void {
    const cap = try ask.capLoosely(Cap, answer);
    if (cap.reserve == null) return;
    const seen = try receipt.read(struct { usage: ?sdk.Amounts = null }, answer);
    if (seen.usage) |usage| answer.useAll(ask, usage);
}
