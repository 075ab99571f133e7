//! The words of an expression, one after the other (spec/expressions.md, "Syntax").
//!
//! 1. The text is UTF-8; a word knows its bytes and at which character, counted from 0, it begins.
//! 2. Nothing is copied but literals and keys, which go to the constants of the program.

const program = @import("program.zig");
const refusal = @import("refusal.zig");
const sdk = @import("splittally");
const refuse = refusal.refuse;
const Refused = refusal.Refused;

pub const Kind = enum(u8) {
    end,
    integer,
    string,
    name,
    yes,
    no,
    in,
    either,
    both,
    equal,
    unequal,
    less,
    at_most,
    more,
    at_least,
    plus,
    minus,
    times,
    over,
    rest,
    not,
    choice,
    colon,
    dot,
    comma,
    open,
    close,
    open_square,
    close_square,
};

/// A word: its bytes in the text, and the character, counted from 0, at which it begins.
pub const Token = struct { kind: Kind, start: u32, end: u32, at: u16 };

/// The word that is read now.
pub var word: Token = .{ .kind = .end, .start = 0, .end = 0, .at = 0 };

var text: []const u8 = "";
var inner: u32 = 0; // bytes so far that continue a character

/// Begins a text of at most `EXPR_BYTES_MAX` bytes.
pub fn open(whole: []const u8) Refused!void {
    text = whole;
    inner = 0;
    word.end = 0;
    return advance();
}

pub fn bytes(token: Token) []const u8 {
    return text[token.start..token.end];
}

/// Reads the next word. Where it is refused no more are read: it is the end.
pub fn advance() Refused!void {
    const start = passSpace(word.end);
    word.start = start;
    word.at = @intCast(start - inner);
    word.kind = .end;
    if (start == text.len) {
        word.end = start;
        return;
    }
    const first = text[start];
    const second = if (start + 1 < text.len) text[start + 1] else 0;
    switch (first) {
        '0'...'9' => {
            word.end = endOfInteger(start, second);
            word.kind = .integer;
        },
        'a'...'z', 'A'...'Z', '_' => {
            word.end = endOf(start + 1, isWord);
            word.kind = kindOfWord(bytes(word));
        },
        '"', '\'' => {
            word.end = try endOfString(start, first);
            word.kind = .string;
        },
        '&', '|' => {
            if (second != first) return refuse(word.at, .no_meaning);
            take(if (first == '&') .both else .either, 2);
        },
        '=' => {
            if (second != '=') return refuse(word.at, .no_meaning);
            take(.equal, 2);
        },
        '!' => if (second == '=') take(.unequal, 2) else take(.not, 1),
        '<' => if (second == '=') take(.at_most, 2) else take(.less, 1),
        '>' => if (second == '=') take(.at_least, 2) else take(.more, 1),
        '-' => take(.minus, 1),
        '+' => take(.plus, 1),
        '*' => take(.times, 1),
        '/' => take(.over, 1),
        '%' => take(.rest, 1),
        '?' => take(.choice, 1),
        ':' => take(.colon, 1),
        '.' => take(.dot, 1),
        ',' => take(.comma, 1),
        '(' => take(.open, 1),
        ')' => take(.close, 1),
        '[' => take(.open_square, 1),
        ']' => take(.close_square, 1),
        else => return refuse(word.at, .no_meaning),
    }
}

inline fn take(kind: Kind, size: u32) void {
    word.kind = kind;
    word.end = word.start + size;
}

/// Where the next word begins, behind spaces and comments.
fn passSpace(start: u32) u32 {
    var here = start;
    while (here < text.len) : (here += 1) switch (text[here]) {
        ' ', '\t', '\r', '\n', '\x0c' => {},
        '/' => {
            if (here + 1 == text.len or text[here + 1] != '/') return here;
            while (here < text.len and text[here] != '\n') : (here += 1) inner += @intFromBool(isInner(text[here]));
            if (here == text.len) return here;
        },
        else => return here,
    };
    return here;
}

fn endOfString(start: u32, quote: u8) Refused!u32 {
    var here = start + 1;
    while (here < text.len) : (here += 1) switch (text[here]) {
        '"', '\'' => |byte| if (byte == quote) return here + 1,
        '\r', '\n' => break,
        '\\' => {
            here += 1;
            if (here == text.len or text[here] == '\n') break;
        },
        else => |byte| inner += @intFromBool(isInner(byte)),
    };
    return refuse(word.at, .no_end_quote);
}

fn isInner(byte: u8) bool {
    return byte & 0xC0 == 0x80;
}

inline fn endOf(start: u32, comptime belongs: fn (u8) bool) u32 {
    var end = start;
    while (end < text.len and belongs(text[end])) end += 1;
    return end;
}

fn isWord(byte: u8) bool {
    return switch (byte) {
        'a'...'z', 'A'...'Z', '_', '0'...'9' => true,
        else => false,
    };
}

fn isDigit(byte: u8) bool {
    return byte >= '0' and byte <= '9';
}

fn isHexDigit(byte: u8) bool {
    return digitOf(byte) != null;
}

fn endOfInteger(start: u32, second: u8) u32 {
    if (text[start] == '0' and second | 0x20 == 'x') {
        const end = endOf(start + 2, isHexDigit);
        if (end > start + 2) return end;
    }
    return endOf(start + 1, isDigit);
}

fn kindOfWord(letters: []const u8) Kind {
    if (letters.len < 2 or letters.len > 5) return .name;
    if (sdk.same(letters, "in")) return .in;
    if (sdk.same(letters, "true")) return .yes;
    if (sdk.same(letters, "false")) return .no;
    return .name;
}

// --- literals ----------------------------------------------------------------------------------------

inline fn digitOf(byte: u8) ?u8 {
    return switch (byte) {
        '0'...'9' => byte - '0',
        'a'...'f' => byte - 'a' + 10,
        'A'...'F' => byte - 'A' + 10,
        else => null,
    };
}

/// The value of an integer word.
pub fn integerOf(letters: []const u8, at: u16) Refused!u64 {
    const is_hex = letters.len > 1 and letters[1] | 0x20 == 'x';
    const base: u64 = if (is_hex) 16 else 10;
    const most = ~@as(u64, 0) / base;
    var value: u64 = 0;
    for (if (is_hex) letters[2..] else letters) |byte| {
        if (value > most) return refuse(at, .too_large);
        const next = @addWithOverflow(value *% base, digitOf(byte).?);
        if (next[1] == 1) return refuse(at, .too_large);
        value = next[0];
    }
    return value;
}

/// The text that a string word means, written to the constants; `at` is the character of its quote.
pub fn textOf(quoted: []const u8, at: u16) Refused!program.Constant {
    const inside = quoted[1 .. quoted.len - 1];
    const start = program.begin();
    var has_surrogate = false;
    var passed: usize = 0; // bytes so far that continue a character
    var here: usize = 0;
    while (here < inside.len) {
        const byte = inside[here];
        if (byte != '\\') {
            passed += @intFromBool(isInner(byte));
            program.write(byte);
            here += 1;
            continue;
        }
        const digits: usize = switch (inside[here + 1]) {
            'u' => 4,
            'U' => 8,
            else => 0,
        };
        if (digits > 0) {
            const point = hexAt(inside, here + 2, digits) orelse return refuse(place(at, here - passed), .no_escape);
            if (point > 0x10FFFF) return refuse(place(at, here - passed), .no_code_point);
            if (point & ~@as(u32, 0x7FF) == 0xD800) has_surrogate = true else writePoint(point);
        } else {
            program.write(escaped(inside[here + 1]) orelse return refuse(place(at, here - passed), .no_escape));
        }
        here += 2 + digits;
    }
    if (has_surrogate) return refuse(at, .surrogate);
    return program.end(start);
}

/// The character of a string's text that stands at `inside`, where its quote stands at `at`.
fn place(at: u16, inside: usize) u16 {
    return @intCast(at + 1 + inside);
}

fn escaped(byte: u8) ?u8 {
    return switch (byte) {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        '\\', '"', '\'', '`', '?' => byte,
        else => null,
    };
}

fn hexAt(inside: []const u8, start: usize, digits: usize) ?u32 {
    if (inside.len - start < digits) return null;
    var value: u32 = 0;
    for (inside[start..][0..digits]) |byte| value = value << 4 | (digitOf(byte) orelse return null);
    return value;
}

/// A code point in UTF-8. It takes fewer bytes than its escape.
fn writePoint(point: u32) void {
    if (point < 0x80) return program.write(@intCast(point));
    const size: u5 = if (point < 0x800) 2 else if (point < 0x10000) 3 else 4;
    const mark: u8 = @truncate(@as(u32, 0xF00) >> size);
    program.write(mark | @as(u8, @truncate(point >> (6 * (size - 1)))));
    var left = 6 * (size - 1);
    while (left > 0) {
        left -= 6;
        program.write(0x80 | @as(u8, @truncate(point >> left & 0x3F)));
    }
}
