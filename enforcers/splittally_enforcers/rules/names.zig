//! The values that code loads, by their places in the kernel's `USAGE_NAMES`, each read when it is first asked for.

const sdk = @import("splittally");
const values = @import("values.zig");
const Value = values.Value;

pub var ask: *const sdk.Ask = undefined;

/// Set once the payload was found canonical; until then what follows `now_ns` has no value.
pub var receipt: ?*const sdk.Receipt = null;

var whole: ?Value = null;

/// The value of a name; null where there is none.
pub fn load(place: u32) ?Value {
    return switch (place) {
        0 => values.read(ask.effect_params.ptr).value,
        1 => values.textOf(ask.kind),
        2 => values.textOf(ask.grantName()),
        3 => values.read(ask.origin().bytes.ptr).value,
        4 => values.natural(ask.nowNs()),
        5 => wholeOf(receipt orelse return null),
        6 => values.read((receipt orelse return null).payload.ptr).value,
        7 => if (receipt == null) null else values.mapOf(ask.reserve),
        else => null,
    };
}

/// The receipt as one map, which the SDK makes where the receipt stands and only once.
fn wholeOf(found: *const sdk.Receipt) Value {
    if (whole == null) whole = values.mapOf(found.whole());
    return whole.?;
}
