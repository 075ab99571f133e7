//! Brackets that are open, and the choice and the items within each.
//!
//! 1. An expression within brackets begins anew: its operators, its choice. At most 32 stand in each other.
//! 2. What a bracket is for (a value, a list, a key, a call) is known when it opens.

const meaning = @import("meaning.zig");
const program = @import("program.zig");
const refusal = @import("refusal.zig");
const runs = @import("runs.zig");
const tokens = @import("tokens.zig");
const types = @import("types.zig");
const refuse = refusal.refuse;
const Refused = refusal.Refused;
const word = &tokens.word;

const depth_max = program.frames_max - 2; // EXPR_DEPTH_MAX; the whole is around them, an empty list may be within

pub const Bracket = enum(u8) { whole, round, list, index, size, has, starts_with, ends_with, contains };

pub const Frame = struct {
    bracket: Bracket,
    at: u16, // of the part that the bracket makes
    start: u16, // where the expression within it begins
    misfit: ?refusal.Refusal, // of what stands before that
    arms: usize = 0,
    awaits_colon: bool = false,
    otherwise: program.Jumps = .{},
    exits: program.Jumps = .{},
    items: u32 = 0,
    item: types.Type = .{ .base = .never },
    height: u8 = 0,
    is_literal: bool = true,
};

var frames: [program.frames_max]Frame = undefined;
var count: usize = 0;

pub fn reset() void {
    count = 0;
}

pub fn isAnyOpen() bool {
    return count > 0;
}

pub fn top() *Frame {
    return &frames[count - 1];
}

/// Opens a bracket within which an expression begins here.
pub fn open(bracket: Bracket, at: u16) Refused!void {
    enter(bracket, at);
    if (count - 1 > depth_max) return refuse(word.at, .too_deep);
}

fn enter(bracket: Bracket, at: u16) void {
    frames[count] = .{ .bracket = bracket, .at = at, .start = word.at, .misfit = refusal.takeMisfit() };
    count += 1;
    runs.enter();
}

fn leave() void {
    count -= 1;
    runs.leave();
}

/// What did not fit before the expression is said before what does not fit in it.
fn putBefore(frame: *const Frame) void {
    if (frame.misfit) |before| refusal.misfit = before;
}

/// Opens a list; true when an item follows.
pub fn openList(at: u16) Refused!bool {
    if (word.kind == .close_square) {
        enter(.list, at);
        putBefore(top());
        try closeList(top());
        return false;
    }
    try open(.list, at);
    return true;
}

/// Ends the expression within a bracket; true when another one follows in it.
pub fn close(frame: *Frame) Refused!bool {
    if (frame.arms > 0) try closeChoice(frame);
    putBefore(frame);
    const bracket = frame.bracket;
    if (bracket == .list) return closeItem(frame);
    const wanted: tokens.Kind = switch (bracket) {
        .whole => .end,
        .index => .close_square,
        else => .close,
    };
    if (word.kind != wanted) return refuse(word.at, .no_place);
    leave();
    if (bracket != .whole) try tokens.advance();
    switch (bracket) {
        .index => try meaning.closeIndex(frame.at),
        .size => try meaning.size(frame.at),
        .has => try meaning.has(),
        .starts_with => try meaning.method(.starts_with, frame.at),
        .ends_with => try meaning.method(.ends_with, frame.at),
        .contains => try meaning.method(.contains, frame.at),
        else => {},
    }
    return false;
}

// --- choices -----------------------------------------------------------------------------------------

/// Behind a claim, at the `?`.
pub fn openArm(frame: *Frame) Refused!void {
    meaning.closeSide(true);
    frame.otherwise = .{};
    frame.otherwise.emitFrom(.else_to, word.at);
    frame.awaits_colon = true;
    try tokens.advance();
}

/// Behind the value of a claim, at what must be the `:`.
pub fn closeArm(frame: *Frame) Refused!void {
    if (word.kind != .colon) return refuse(word.at, .no_place);
    meaning.closeSide(false);
    frame.exits.emitFrom(.jump, word.at);
    frame.otherwise.land();
    frame.awaits_colon = false;
    frame.arms += 1;
    try tokens.advance();
}

fn closeChoice(frame: *Frame) Refused!void {
    try meaning.choice(frame.arms, frame.start);
    frame.exits.land();
    frame.exits = .{};
    frame.arms = 0;
}

// --- lists -------------------------------------------------------------------------------------------

fn closeItem(frame: *Frame) Refused!bool {
    const found = types.pop();
    frame.items += 1;
    frame.item = meaning.itemType(frame.item, found);
    frame.height = @max(frame.height, found.height);
    if (found.form != .literal and found.form != .string_literal) frame.is_literal = false;
    if (word.kind == .comma) {
        try tokens.advance();
        if (word.kind != .close_square) {
            frame.start = word.at;
            frame.misfit = refusal.takeMisfit();
            return true;
        }
    } else if (word.kind != .close_square) return refuse(word.at, .no_place);
    try closeList(frame);
    return false;
}

fn closeList(frame: *const Frame) Refused!void {
    leave();
    try tokens.advance();
    types.push(.{
        .type = frame.item.listed(),
        .at = frame.at,
        .height = try meaning.part(frame.at, @as(usize, frame.height) + 1),
        .form = if (frame.is_literal) .literals else .other,
    });
    program.emit(.{ .op = .list, .at = frame.at, .argument = frame.items });
}
