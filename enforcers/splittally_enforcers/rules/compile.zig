//! Reads an expression in one pass and compiles it (spec/expressions.md, "Syntax").
//!
//! 1. Operators wait on a stack of runs until one that binds less follows; brackets wait on a stack of
//!    frames. Nothing recurses.
//! 2. A run of `&&`, of `||`, of sums, of products or of `? :` is one part, a relation is one each.
//! 3. A word that has no meaning anywhere is refused before what cannot be parsed, that before a type
//!    that does not fit: in the order in which the kernel's own reader refuses.

const meaning = @import("meaning.zig");
const program = @import("program.zig");
const refusal = @import("refusal.zig");
const sdk = @import("splittally");
const tokens = @import("tokens.zig");
const types = @import("types.zig");
const values = @import("values.zig");
const refuse = refusal.refuse;
const Refused = refusal.Refused;
const Token = tokens.Token;
const word = &tokens.word;

const depth_max = 32; // EXPR_DEPTH_MAX
const unaries_max = 31; // one more is always too deep
const levels_max = 5;
const units_per_byte = 9; // of the account, for reading, compiling and running a byte of text

const Bracket = enum(u8) { whole, round, list, index, size, has, starts_with, ends_with, contains };

/// A bracket that is open, and the choice within it.
const Frame = struct {
    bracket: Bracket,
    at: u16, // of the node that the bracket makes
    runs: usize, // how many are outside of it
    start: u16 = 0, // where the expression within it begins
    arms: usize = 0,
    awaits_colon: bool = false,
    otherwise: program.Jumps = .{},
    exits: program.Jumps = .{},
    items: u32 = 0,
    item: types.Type = .{ .base = .never },
    height: u8 = 0,
    is_literal: bool = true,
};

/// Operators of one level that wait for their next operand, or one unary sign.
const Run = struct {
    level: u8,
    at: u16, // of its first sign
    sign: tokens.Kind,
    sign_at: u16,
    height: u8 = 0,
    check: ?u16 = null,
    jumps: program.Jumps = .{},
};

const unary_level = levels_max + 1;
const relation_level = 3;

var frames: [depth_max + 2]Frame = undefined;
var open: usize = 0;
var runs: [unaries_max + levels_max * frames.len]Run = undefined;
var waiting: usize = 0;
var unaries: usize = 0;
var names: types.Names = .conditions;
var bytes: usize = 0; // of all texts so far

/// Compiles a text to the instructions for its value, or leaves the refusal in `refusal.found`.
pub fn compile(text: []const u8, may_name: types.Names, result: types.Base) Refused!void {
    if (text.len > program.texts_bytes_max) return refuse(program.texts_bytes_max, .too_long);
    bytes += text.len;
    if (bytes > program.texts_bytes_max) return refuse(0, .too_long_together);
    values.spend(units_per_byte * text.len) catch unreachable; // the account is larger than all texts
    meaning.beginExpression();
    names = may_name;
    read(text) catch |refused| {
        while (word.kind != .end) try tokens.advance(); // a word without meaning is said first
        return refused;
    };
    meaning.need(result);
    if (refusal.misfit) |found| return refuse(found.at, found.reason);
}

/// Compiles a natural that stands in place of an expression; it is one part.
pub fn compileNatural(natural: u64) Refused!void {
    meaning.beginExpression();
    try meaning.pushLiteral(.int, 0);
    program.emitNatural(natural, 0);
}

fn read(text: []const u8) Refused!void {
    open = 0;
    waiting = 0;
    unaries = 0;
    try tokens.open(text);
    openFrame(.whole, 0);
    var awaits_operand = true;
    while (open > 0) awaits_operand = if (awaits_operand) try operand() else try operator();
}

fn at() u16 {
    return word.at;
}

fn top() *Frame {
    return &frames[open - 1];
}

// --- operands ----------------------------------------------------------------------------------------

/// Reads up to where an operator may stand; true when another operand must come first.
fn operand() Refused!bool {
    const place = at();
    const found = word.*;
    switch (found.kind) {
        .not, .minus => {
            if (unaries == unaries_max) return refuse(place, .too_deep);
            unaries += 1;
            wait(.{ .level = unary_level, .at = place, .sign = found.kind, .sign_at = place });
            try tokens.advance();
            return true;
        },
        .integer => try integer(found),
        .string => {
            try tokens.advance();
            const text = try tokens.textOf(tokens.bytes(found), place);
            try meaning.pushLiteral(.string, place);
            program.emitText(.text, place, text);
        },
        .yes, .no => {
            try tokens.advance();
            try meaning.pushLiteral(.boolean, place);
            program.emit(.{ .op = .boolean, .at = place, .argument = @intFromBool(found.kind == .yes) });
        },
        .name => return name(tokens.bytes(found), place),
        .open => {
            try tokens.advance();
            try openDeep(.round, place);
            return true;
        },
        .open_square => {
            try tokens.advance();
            openFrame(.list, place);
            if (word.kind != .close_square) {
                try requireDepth();
                return true;
            }
            try closeList();
        },
        else => return refuse(place, .no_value),
    }
    return false;
}

fn integer(found: Token) Refused!void {
    const place = at();
    try tokens.advance();
    const is_suffix = switch (word.kind) {
        .dot, .name, .in, .yes, .no => true,
        else => false,
    };
    if (is_suffix and word.start == found.end) return refuse(word.at, .no_integer);
    const value = try tokens.integerOf(tokens.bytes(found), place);
    try meaning.pushLiteral(.int, place);
    program.emitNatural(value, place);
}

fn name(letters: []const u8, place: u16) Refused!bool {
    const known = types.nameOf(letters, names);
    if (known == null and isReserved(letters)) return refuse(place, .no_value);
    try tokens.advance();
    if (word.kind != .open) {
        try meaning.pushName(known, place);
        return false;
    }
    const is_size = sdk.same(letters, "size");
    try tokens.advance();
    if (!is_size and !sdk.same(letters, "has")) return refuse(place, .no_function);
    try openDeep(if (is_size) .size else .has, place);
    return true;
}

const reserved = [_][]const u8{
    "as",       "break", "const",  "continue",  "else",   "for", "function", "if",    "import", "let",
    "loop",     "null",  "package", "namespace", "return", "var", "void",     "while",
};

fn isReserved(letters: []const u8) bool {
    return letters.len < 10 and sdk.isAmong(letters, &reserved);
}

// --- operators ---------------------------------------------------------------------------------------

/// Reads what follows an operand; true when an operand must come next.
fn operator() Refused!bool {
    const place = at();
    switch (word.kind) {
        .dot => return member(),
        .open_square => {
            try tokens.advance();
            meaning.openIndex();
            try openDeep(.index, place);
            return true;
        },
        else => {},
    }
    try closeUnaries();
    const level = levelOf(word.kind);
    if (level > 0) {
        try closeRuns(level + 1);
        try extend(level);
        try tokens.advance();
        return true;
    }
    try closeRuns(0);
    const frame = top();
    if (frame.awaits_colon) {
        if (word.kind != .colon) return refuse(place, .no_place);
        frame.exits.emitFrom(.jump, place);
        frame.otherwise.land();
        frame.awaits_colon = false;
        frame.arms += 1;
        try tokens.advance();
        return true;
    }
    if (word.kind == .choice) {
        try openArm(frame);
        return true;
    }
    if (frame.arms > 0) try closeChoice(frame);
    return close(frame);
}

fn member() Refused!bool {
    try tokens.advance();
    const key = tokens.bytes(word.*);
    const place = at();
    if (word.kind != .name or sdk.same(key, "null")) return refuse(place, .no_key);
    try tokens.advance();
    if (word.kind != .open) {
        try meaning.select(key, place);
        return false;
    }
    try tokens.advance();
    const bracket: Bracket = if (sdk.same(key, "startsWith"))
        .starts_with
    else if (sdk.same(key, "endsWith"))
        .ends_with
    else if (sdk.same(key, "contains"))
        .contains
    else
        return refuse(place, .no_method);
    meaning.need(.string);
    try openDeep(bracket, place);
    return true;
}

fn levelOf(kind: tokens.Kind) u8 {
    return switch (kind) {
        .either => 1,
        .both => 2,
        .equal, .unequal, .less, .at_most, .more, .at_least, .in => relation_level,
        .plus, .minus => 4,
        .times, .over, .rest => 5,
        else => 0,
    };
}

fn wait(run: Run) void {
    runs[waiting] = run;
    waiting += 1;
}

/// The last run of the innermost bracket; null when it has none.
fn last() ?*Run {
    return if (waiting > top().runs) &runs[waiting - 1] else null;
}

fn closeUnaries() Refused!void {
    while (unaries > 0) {
        const run = last() orelse return;
        if (run.level != unary_level) return;
        waiting -= 1;
        unaries -= 1;
        try meaning.unary(if (run.sign == .not) .not else .negate, run.at);
    }
}

/// Ends every run that binds at `level` or tighter.
fn closeRuns(level: u8) Refused!void {
    while (last()) |run| {
        if (run.level < level) return;
        try finish(run);
        try closeRun(run);
        waiting -= 1;
    }
}

/// Takes the last operand into a run of `level`, which the sign that stands here goes on with.
fn extend(level: u8) Refused!void {
    if (last()) |run| if (run.level == level) {
        try finish(run);
        if (level == relation_level) {
            try closeRun(run);
            waiting -= 1;
        } else return begin(run);
    };
    wait(.{ .level = level, .at = at(), .sign = word.kind, .sign_at = at() });
    const run = &runs[waiting - 1];
    if (level < relation_level) meaning.need(.boolean);
    run.height = types.below(0).height;
    begin(run);
}

/// What stands behind an operand and before the next.
fn begin(run: *Run) void {
    run.sign = word.kind;
    run.sign_at = at();
    if (run.level == relation_level) run.check = meaning.keepCheck();
    if (run.level > 2) return;
    run.jumps.emitFrom(if (run.level == 1) .or_to else .and_to, at());
    types.drop(1);
}

/// Takes the operand behind the last sign.
fn finish(run: *Run) Refused!void {
    run.height = @max(run.height, types.below(0).height);
    switch (run.level) {
        1, 2 => meaning.need(.boolean),
        relation_level => {},
        else => meaning.arithmetic(switch (run.sign) {
            .plus => .add,
            .minus => .subtract,
            .times => .multiply,
            .over => .divide,
            else => .remainder,
        }, run.sign_at),
    }
}

fn closeRun(run: *Run) Refused!void {
    switch (run.level) {
        relation_level => switch (run.sign) {
            .in => try meaning.membership(run.at, run.check),
            .equal => try meaning.relation(.equal, run.at, run.check),
            .unequal => try meaning.relation(.unequal, run.at, run.check),
            .less => try meaning.relation(.less, run.at, run.check),
            .at_most => try meaning.relation(.at_most, run.at, run.check),
            .more => try meaning.relation(.more, run.at, run.check),
            else => try meaning.relation(.at_least, run.at, run.check),
        },
        else => {
            const operand_type = types.below(0).type;
            const found: types.Type = if (run.level < relation_level) .{ .base = .boolean } else operand_type;
            types.below(0).* = .{ .type = found, .at = run.at, .height = try meaning.part(run.at, @as(usize, run.height) + 1) };
            run.jumps.land();
        },
    }
}

// --- choices and brackets ----------------------------------------------------------------------------

fn openFrame(bracket: Bracket, place: u16) void {
    frames[open] = .{ .bracket = bracket, .at = place, .runs = waiting, .start = at() };
    open += 1;
}

fn requireDepth() Refused!void {
    if (open - 1 > depth_max) return refuse(word.at, .too_deep);
}

fn openDeep(bracket: Bracket, place: u16) Refused!void {
    openFrame(bracket, place);
    try requireDepth();
}

fn openArm(frame: *Frame) Refused!void {
    meaning.checkClaim();
    frame.otherwise = .{};
    frame.otherwise.emitFrom(.else_to, at());
    frame.awaits_colon = true;
    try tokens.advance();
}

fn closeChoice(frame: *Frame) Refused!void {
    try meaning.choice(frame.arms, frame.start);
    frame.exits.land();
    frame.exits = .{};
    frame.arms = 0;
}

/// Ends the expression within a bracket; true when another one follows in it.
fn close(frame: *Frame) Refused!bool {
    const bracket = frame.bracket;
    if (bracket == .list) return closeItem(frame);
    const wanted: tokens.Kind = switch (bracket) {
        .whole => .end,
        .index => .close_square,
        else => .close,
    };
    if (word.kind != wanted) return refuse(word.at, .no_place);
    open -= 1;
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

fn closeItem(frame: *Frame) Refused!bool {
    const found = types.pop();
    frame.items += 1;
    frame.item = meaning.itemType(frame.item, found);
    frame.height = @max(frame.height, found.height);
    if (found.form != .literal and found.form != .string_literal) frame.is_literal = false;
    if (word.kind != .comma) {
        if (word.kind != .close_square) return refuse(word.at, .no_place);
        try closeList();
        return false;
    }
    try tokens.advance();
    if (word.kind == .close_square) {
        try closeList();
        return false;
    }
    frame.start = at();
    return true;
}

fn closeList() Refused!void {
    const frame = top();
    open -= 1;
    try tokens.advance();
    types.push(.{
        .type = frame.item.listed(),
        .at = frame.at,
        .height = try meaning.part(frame.at, @as(usize, frame.height) + 1),
        .form = if (frame.is_literal) .literals else .other,
    });
    program.emit(.{ .op = .list, .at = frame.at, .argument = frame.items });
}
