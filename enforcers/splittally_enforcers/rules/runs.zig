//! Operators that wait for an operand: a stack of runs, until one that binds less follows.
//!
//! 1. A run is the operators of one level, and one part of the expression; a relation is one each.
//! 2. Signs before an operand bind tighter than any run and wait apart from them.
//! 3. Each bracket has runs and signs of its own.

const meaning = @import("meaning.zig");
const program = @import("program.zig");
const refusal = @import("refusal.zig");
const tokens = @import("tokens.zig");
const types = @import("types.zig");
const Refused = refusal.Refused;
const word = &tokens.word;

const levels_max = 5;
const relation_level = 3;
const signs_max = 32; // of one operand; an expression with more is too deep before the others are looked at

const Run = struct {
    level: u8,
    at: u16, // of its first sign
    sign: tokens.Kind, // its last
    sign_at: u16,
    height: u8 = 0,
    check: ?u16 = null,
    jumps: program.Jumps = .{},
};

const Sign = packed struct(u16) { at: u15, is_not: bool };

/// What waits within one bracket: its runs from `floor` on, and the last of so many signs.
const Level = struct { floor: usize, signs: usize, last: [signs_max]Sign };

var runs: [levels_max * program.frames_max]Run = undefined;
var waiting: usize = 0;
var levels: [program.frames_max]Level = undefined;
var depth: usize = 0;

pub fn reset() void {
    waiting = 0;
    depth = 0;
}

/// Within a new bracket nothing waits.
pub fn enter() void {
    levels[depth].floor = waiting;
    levels[depth].signs = 0;
    depth += 1;
}

pub fn leave() void {
    depth -= 1;
}

fn inner() *Level {
    return &levels[depth - 1];
}

/// How tightly the sign that stands here binds; 0 where it joins no two sides.
pub fn levelHere() u8 {
    return switch (word.kind) {
        .either => 1,
        .both => 2,
        .equal, .unequal, .less, .at_most, .more, .at_least, .in => relation_level,
        .plus, .minus => 4,
        .times, .over, .rest => levels_max,
        else => 0,
    };
}

fn last() ?*Run {
    return if (waiting > inner().floor) &runs[waiting - 1] else null;
}

/// The `!` or `-` that stands here waits for the operand that follows it.
pub fn waitSign() void {
    const here = inner();
    here.last[here.signs % signs_max] = .{ .at = @intCast(word.at), .is_not = word.kind == .not };
    here.signs += 1;
}

/// Ends the signs before the last operand, the innermost first.
pub fn closeSigns() Refused!void {
    const here = inner();
    while (here.signs > 0) {
        here.signs -= 1;
        const sign = here.last[here.signs % signs_max];
        try meaning.unary(if (sign.is_not) .not else .negate, sign.at);
    }
}

/// Ends every run that binds at `least` or tighter.
pub fn close(least: u8) Refused!void {
    while (last()) |run| {
        if (run.level < least) return;
        try finish(run);
        try end(run);
    }
}

/// Takes the last operand into a run of this level, which the sign that stands here goes on with.
pub fn extend(wanted: u8) Refused!void {
    if (last()) |run| if (run.level == wanted) {
        try finish(run);
        if (wanted != relation_level) return begin(run);
        try end(run);
    };
    const run = &runs[waiting];
    run.* = .{ .level = wanted, .at = word.at, .sign = word.kind, .sign_at = word.at };
    waiting += 1;
    if (wanted < relation_level) meaning.need(.boolean);
    run.height = types.below(0).height;
    begin(run);
}

/// What stands behind an operand and before the next.
fn begin(run: *Run) void {
    run.sign = word.kind;
    run.sign_at = word.at;
    if (run.level == relation_level) run.check = meaning.keepCheck();
    if (run.level >= relation_level) return;
    run.jumps.emitFrom(if (run.level == 1) .or_to else .and_to, word.at);
    types.drop(1);
}

/// Takes the operand behind the last sign.
fn finish(run: *Run) Refused!void {
    run.height = @max(run.height, types.below(0).height);
    if (run.level < relation_level) return meaning.need(.boolean);
    if (run.level == relation_level) return;
    meaning.arithmetic(switch (run.sign) {
        .plus => .add,
        .minus => .subtract,
        .times => .multiply,
        .over => .divide,
        else => .remainder,
    }, run.sign_at);
}

/// Makes a run one operand and takes it from the stack.
fn end(run: *Run) Refused!void {
    waiting -= 1;
    if (run.level == relation_level) {
        return if (run.sign == .in) meaning.membership(run.at, run.check) else meaning.relation(switch (run.sign) {
            .equal => .equal,
            .unequal => .unequal,
            .less => .less,
            .at_most => .at_most,
            .more => .more,
            else => .at_least,
        }, run.at, run.check);
    }
    const found: types.Type = if (run.level < relation_level) .{ .base = .boolean } else types.below(0).type;
    const height = try meaning.part(run.at, @as(usize, run.height) + 1);
    types.below(0).* = .{ .type = found, .at = run.at, .height = height };
    run.jumps.land();
}
