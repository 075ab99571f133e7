//! Reads an expression in one pass and compiles it (spec/expressions.md, "Syntax").
//!
//! 1. Words are read one by one, and either an operand or an operator may stand at each. Nothing recurses:
//!    operators wait in `runs`, brackets in `brackets`.
//! 2. A word that has no meaning anywhere is refused before what cannot be parsed, that before a type
//!    that does not fit: in the order in which the kernel's own reader refuses.

const brackets = @import("brackets.zig");
const meaning = @import("meaning.zig");
const program = @import("program.zig");
const refusal = @import("refusal.zig");
const runs = @import("runs.zig");
const sdk = @import("splittally");
const tokens = @import("tokens.zig");
const types = @import("types.zig");
const values = @import("values.zig");
const refuse = refusal.refuse;
const Refused = refusal.Refused;
const word = &tokens.word;

const units_per_byte = 9; // of the account, for reading it

var names: types.Names = .conditions;
var bytes: usize = 0; // of all texts so far

/// Compiles a text to the instructions for its value, or leaves the refusal in `refusal.found`.
pub fn compile(text: []const u8, may_name: types.Names, result: types.Base) Refused!void {
    bytes += text.len;
    if (bytes > program.texts_bytes_max) return refuse(0, .too_long_together);
    values.spend(units_per_byte * text.len) catch unreachable; // the account is larger than the bounds are
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
    brackets.reset();
    runs.reset();
    try tokens.open(text);
    try brackets.open(.whole, 0);
    var awaits_operand = true;
    while (brackets.isAnyOpen()) awaits_operand = if (awaits_operand) try operand() else try operator();
}

// --- operands ----------------------------------------------------------------------------------------

/// Reads up to where an operator may stand; true when another operand must come first.
fn operand() Refused!bool {
    const found = word.*;
    const at = found.at;
    switch (found.kind) {
        .not, .minus => {
            runs.waitSign();
            try tokens.advance();
            return true;
        },
        .integer => try integer(found),
        .string => {
            try tokens.advance();
            const text = try tokens.textOf(tokens.bytes(found), at);
            try meaning.pushLiteral(.string, at);
            program.emitText(.text, at, text);
        },
        .yes, .no => {
            try tokens.advance();
            try meaning.pushLiteral(.boolean, at);
            program.emit(.{ .op = .boolean, .at = at, .argument = @intFromBool(found.kind == .yes) });
        },
        .name => return name(tokens.bytes(found), at),
        .open => {
            try tokens.advance();
            try brackets.open(.round, at);
            return true;
        },
        .open_square => {
            try tokens.advance();
            return brackets.openList(at);
        },
        else => return refuse(at, .no_value),
    }
    return false;
}

fn integer(found: tokens.Token) Refused!void {
    try tokens.advance();
    const is_suffix = switch (word.kind) {
        .dot, .name, .in, .yes, .no => true,
        else => false,
    };
    if (is_suffix and word.start == found.end) return refuse(word.at, .no_integer);
    const value = try tokens.integerOf(tokens.bytes(found), found.at);
    try meaning.pushLiteral(.int, found.at);
    program.emitNatural(value, found.at);
}

/// A named value, or a call; true when the call's argument must come next.
fn name(letters: []const u8, at: u16) Refused!bool {
    const known = types.nameOf(letters, names);
    if (known == null and isReserved(letters)) return refuse(at, .no_value);
    try tokens.advance();
    if (word.kind != .open) {
        try meaning.pushName(known, at);
        return false;
    }
    try tokens.advance();
    const is_size = sdk.same(letters, "size");
    if (!is_size and !sdk.same(letters, "has")) return refuse(at, .no_function);
    try brackets.open(if (is_size) .size else .has, at);
    return true;
}

/// CEL's reserved words but `in`, `true` and `false`, which are kinds of words of their own.
const reserved = [_][]const u8{
    "as",   "break", "const",   "continue",  "else",   "for", "function", "if",    "import", "let",
    "loop", "null",  "package", "namespace", "return", "var", "void",     "while",
};

fn isReserved(letters: []const u8) bool {
    return letters.len < 10 and sdk.isAmong(letters, &reserved);
}

// --- operators ---------------------------------------------------------------------------------------

/// Reads what follows an operand; true when an operand must come next.
fn operator() Refused!bool {
    const at = word.at;
    if (word.kind == .dot) return member();
    if (word.kind == .open_square) {
        try tokens.advance();
        meaning.openIndex();
        try brackets.open(.index, at);
        return true;
    }
    try runs.closeSigns();
    const level = runs.levelHere();
    if (level > 0) {
        try runs.close(level + 1);
        try runs.extend(level);
        try tokens.advance();
        return true;
    }
    try runs.close(0);
    const frame = brackets.top();
    if (frame.awaits_colon) {
        try brackets.closeArm(frame);
    } else if (word.kind == .choice) {
        try brackets.openArm(frame);
    } else return brackets.close(frame);
    return true;
}

/// A key, or a method; true when the method's argument must come next.
fn member() Refused!bool {
    try tokens.advance();
    const key = tokens.bytes(word.*);
    const at = word.at;
    if (word.kind != .name or sdk.same(key, "null")) return refuse(at, .no_key);
    try tokens.advance();
    if (word.kind != .open) {
        try meaning.select(key, at);
        return false;
    }
    try tokens.advance();
    const bracket = methodOf(key) orelse return refuse(at, .no_method);
    meaning.need(.string);
    try brackets.open(bracket, at);
    return true;
}

fn methodOf(letters: []const u8) ?brackets.Bracket {
    if (sdk.same(letters, "startsWith")) return .starts_with;
    if (sdk.same(letters, "endsWith")) return .ends_with;
    if (sdk.same(letters, "contains")) return .contains;
    return null;
}
