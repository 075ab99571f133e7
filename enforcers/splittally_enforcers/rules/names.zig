//! The question, and the values that code loads of it by their places in the kernel's `USAGE_NAMES`.

const sdk = @import("splittally");
const values = @import("values.zig");
const Value = values.Value;

pub var question: sdk.quick.Question = undefined;

/// Set once the payload was found canonical; until then what follows `now_ns` has no value.
pub var is_receipt_read = false;

var whole: ?Value = null;

/// The value of a name; null where there is none.
pub fn load(place: u32) ?Value {
    if (place > 4 and !is_receipt_read) return null;
    return switch (place) {
        0 => values.read(question.params.ptr).value,
        1 => values.textOf(question.kind),
        2 => values.textOf(question.grant),
        3 => values.read(question.origin).value,
        4 => values.natural(question.now_ns),
        5 => wholeReceipt(&question.receipt.?),
        6 => values.read(question.receipt.?.payload.ptr).value,
        7 => values.read(question.reserve).value,
        else => null,
    };
}

/// The receipt as one map, which is made where it stands and only once.
fn wholeReceipt(receipt: *const sdk.quick.Receipt) Value {
    if (whole == null) whole = .{ .bits = @intFromPtr(receipt.whole()), .len = receipt.count, .tag = .map };
    return whole.?;
}
