//! Whether two values are equal, and the steps that finding it takes (spec/expressions.md, rules 8 and 14).
//!
//! 1. The first difference in the order of the language decides: items as they stand, keys by code point.
//!    Canonical bytes hold the keys in another order, shorter ones first. So all entries are compared and
//!    the one that decides is the non-equal one with the least key; the steps are those up to it.
//! 2. Nothing recurses: what is open stands in frames, one for each list or map that is being compared.

const values = @import("values.zig");
const Fault = values.Fault;
const Value = values.Value;

const depth_max = 64; // DEPTH_MAX: what is nested deeper is not compared

const Outcome = enum(u8) { equal, different, wrong_type, too_deep };

/// What comparing two values gave and the steps it took.
const Result = struct { outcome: Outcome, steps: u32 };

const Side = struct { start: [*]const u8, next: [*]const u8, is_made: bool };

const Frame = struct {
    is_map: bool,
    count: u32,
    left: u32,
    steps: u32,
    one: Side,
    other: Side,
    first: [*]const u8,
    key: []const u8 = "",
    is_inside: bool = false, // the two values that are compared are lists or maps
    has_other_keys: bool = false,
    decided_by: ?[]const u8 = null,
    decision: Result = .{ .outcome = .equal, .steps = 0 },
};

var frames: [depth_max]Frame = undefined;
var depth: usize = 0;

/// Whether the values are equal, taking the steps from `steps`.
pub fn equal(one: *const Value, other: *const Value, steps: *u32) Fault!bool {
    depth = 0;
    try values.spend(6);
    var result = try meet(one, other);
    while (depth > 0) {
        const frame = &frames[depth - 1];
        if (result) |found| {
            if (found.outcome != .equal and !frame.is_map) {
                result = .{ .outcome = found.outcome, .steps = frame.steps + found.steps };
                depth -= 1;
                continue;
            }
            try take(frame, found);
        }
        if (frame.left == 0) {
            result = try close(frame);
            depth -= 1;
        } else result = try advance(frame);
    }
    const found = result.?;
    if (found.steps > steps.*) return error.TooManySteps;
    steps.* -= found.steps;
    return switch (found.outcome) {
        .equal => true,
        .different => false,
        .wrong_type => error.WrongType,
        .too_deep => error.TooManySteps,
    };
}

/// The result of what is no list or map; null when a frame was opened for it.
fn meet(one: *const Value, other: *const Value) Fault!?Result {
    const is_list = one.isList() and other.isList();
    if (one.tag == .alien or (one.tag != other.tag and !is_list)) return .{ .outcome = .wrong_type, .steps = 1 };
    const is_same = switch (one.tag) {
        .int => one.bits == other.bits and one.is_negative == other.is_negative,
        .boolean => one.bits == other.bits,
        .text => try values.isSame(one.text(), other.text()),
        else => {
            if (depth == depth_max) return .{ .outcome = .too_deep, .steps = 1 };
            if (one.len != other.len) return .{ .outcome = .different, .steps = 1 };
            try values.spend(12);
            open(one, other);
            return null;
        },
    };
    return .{ .outcome = if (is_same) .equal else .different, .steps = 1 };
}

fn open(one: *const Value, other: *const Value) void {
    const is_map = one.tag == .map;
    frames[depth] = .{
        .is_map = is_map,
        .count = one.len,
        .left = one.len,
        .steps = if (is_map) 1 + 2 * one.len else 1,
        .one = sideOf(one),
        .other = sideOf(other),
        .first = one.bytes(),
    };
    depth += 1;
}

fn sideOf(value: *const Value) Side {
    return .{ .start = value.bytes(), .next = value.bytes(), .is_made = value.tag == .made };
}

/// Compares the next two values; a map whose keys differ is decided.
fn advance(frame: *Frame) Fault!?Result {
    frame.left -= 1;
    if (frame.is_map) {
        const key = values.read(frame.one.next);
        const other = values.read(frame.other.next);
        frame.key = key.value.text();
        if (!try values.isSame(frame.key, other.value.text())) {
            frame.has_other_keys = true;
            frame.left = 0;
            return null;
        }
        frame.one.next = key.next;
        frame.other.next = other.next;
    }
    const a = step(&frame.one);
    const b = step(&frame.other);
    try values.spend(20);
    const result = try meet(&a, &b);
    frame.is_inside = result == null;
    return result;
}

fn step(side: *Side) Value {
    side.start = side.next;
    if (side.is_made) {
        const item: *const Value = @ptrCast(@alignCast(side.next));
        side.next += @sizeOf(Value);
        return item.*;
    }
    const found = values.read(side.next);
    side.next = found.next;
    return found.value;
}

/// Takes the result of an item or entry and goes behind it.
fn take(frame: *Frame, found: Result) Fault!void {
    if (found.outcome == .equal) {
        frame.steps += found.steps;
        if (frame.is_inside) goBehind(frame, &frames[depth]);
        return;
    }
    if (frame.decided_by == null or try values.isBefore(frame.key, frame.decided_by.?)) {
        frame.decided_by = frame.key;
        frame.decision = found;
    }
    frame.one.next = try values.skip(frame.one.start, 1);
    frame.other.next = try values.skip(frame.other.start, 1);
}

/// Goes behind two lists or maps that were found equal: to where comparing them has ended.
fn goBehind(frame: *Frame, inside: *const Frame) void {
    if (!frame.one.is_made) frame.one.next = inside.one.next;
    if (!frame.other.is_made) frame.other.next = inside.other.next;
}

fn close(frame: *const Frame) Fault!Result {
    const own = 1 + 2 * frame.count; // of a map: its own step and both its sets of keys
    if (frame.has_other_keys) return .{ .outcome = .different, .steps = own };
    const key = frame.decided_by orelse return .{ .outcome = .equal, .steps = frame.steps };
    var steps = own + frame.decision.steps;
    var at = frame.first;
    for (0..frame.count) |_| {
        try values.spend(4);
        const found = values.read(at);
        if (try values.isBefore(found.value.text(), key)) steps += try stepsOf(found.next);
        at = try values.skip(found.next, 1);
    }
    return .{ .outcome = frame.decision.outcome, .steps = steps };
}

/// The steps of comparing the value at `start` with an equal one.
fn stepsOf(start: [*]const u8) Fault!u32 {
    var at = start;
    var owed: usize = 1;
    var steps: u32 = 0;
    while (owed > 0) : (owed -= 1) {
        try values.spend(4);
        const found = values.read(at);
        at = found.next;
        steps += 1;
        owed += values.held(&found.value);
        if (found.value.tag == .map) steps += found.value.len; // a key counts twice and is among the owed once
    }
    return steps;
}
