//! What expressions make: joined texts and lists, in a room that every expression gets empty.
//!
//! 1. A text is joined by copying, but what was made last is lengthened where it stands.
//! 2. Where the room is full the fault is `too_many_steps`.

const values = @import("values.zig");
const itemsOf = values.itemsOf;
const spend = values.spend;
const Fault = values.Fault;
const Value = values.Value;

var bytes: [32 * 1024]u8 align(8) = undefined;
var used: usize = 0;

pub fn empty() void {
    used = 0;
}

/// Room for so many bytes behind what was made last.
fn take(size: usize) Fault![]u8 {
    if (size > bytes.len - used) return error.TooManySteps;
    const start = used;
    used += size;
    return bytes[start..used];
}

fn isLast(value: *const Value, size: usize) bool {
    return value.address() + size == @intFromPtr(&bytes) + used;
}

/// `one` and then `other`, in place of `one`; what was made last is lengthened where it stands.
pub fn joinTexts(one: *Value, other: *const Value) Fault!void {
    if (other.len == 0) return;
    if (one.len == 0) {
        one.* = other.*;
        return;
    }
    try spend((one.len + other.len) / 8);
    if (!isLast(one, one.len)) {
        const copy = try take(one.len);
        @memcpy(copy, one.text());
        one.bits = @intFromPtr(copy.ptr);
    }
    @memcpy(try take(other.len), other.text());
    one.len += other.len;
}

/// A list of these values.
pub fn list(items: []const Value) Fault!Value {
    const start = openList();
    for (items) |item| try append(item);
    return .{ .bits = start, .len = @intCast(items.len), .tag = .made };
}

pub fn joinLists(one: *Value, other: *const Value) Fault!void {
    if (other.len == 0) return;
    if (one.len == 0) {
        one.* = other.*;
        return;
    }
    if (one.tag != .made or !isLast(one, one.len * @sizeOf(Value))) {
        const start = openList();
        try appendAll(one);
        one.bits = start;
        one.tag = .made;
    }
    try appendAll(other);
    one.len += other.len;
}

fn openList() usize {
    used = (used + 7) & ~@as(usize, 7);
    return @intFromPtr(&bytes) + used;
}

fn append(item: Value) Fault!void {
    try spend(1);
    const place: *Value = @ptrCast(@alignCast(try take(@sizeOf(Value))));
    place.* = item;
}

fn appendAll(items: *const Value) Fault!void {
    var rest = itemsOf(items);
    while (try rest.next()) |item| try append(item);
}
