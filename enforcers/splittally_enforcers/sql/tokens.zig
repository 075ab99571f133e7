//! Reads a statement's text as tokens where databases agree, and refuses it where they do not.
//!
//! 1. Quotes of all kinds, comments and numbers end where every database ends them, or the text is unclear: a
//!    quote behind an odd number of backslashes, a comment in a comment, `--` without a space, `#`, `//`, `{`,
//!    a dollar quote, a quote behind a word that may be its prefix.
//! 2. Comments that some database runs or obeys (`/*!`, `/*M!`, `/*+`) are unclear.
//! 3. Outside of quotes and comments everything is ASCII.

pub const Kind = enum { end, word, quoted, string, number, symbol };

/// `text` is what was written, of a quoted name what stands inside. A symbol is its one byte.
pub const Token = struct { kind: Kind, text: []const u8 };

pub const end: Token = .{ .kind = .end, .text = "" };

pub const Unclear = error{Unclear};

const Class = enum { bad, blank, letter, digit, string, quote, tick, bracket, dollar, symbol };

pub const Lexer = struct {
    bytes: []const u8,
    at: usize = 0,
    token: Token = end,
    why: []const u8 = "", // what is unclear

    /// Reads the next token.
    pub noinline fn next(lexer: *Lexer) Unclear!void {
        try lexer.skipBlanks();
        const start = lexer.at;
        if (start == lexer.bytes.len) {
            lexer.token = end;
            return;
        }
        switch (classes[lexer.bytes[start]]) {
            .letter => return lexer.word(start),
            .digit => return lexer.number(start),
            .string => return lexer.quoted(.string, '\''),
            .quote => return lexer.quoted(.quoted, '"'),
            .tick => return lexer.plainName('`'),
            .bracket => return lexer.plainName(']'),
            .dollar => return lexer.placeholder(start),
            .symbol, .blank => {
                lexer.at += 1;
                lexer.found(.symbol, start, lexer.at);
            },
            .bad => return lexer.unclear("a character that databases read in different ways stands outside of quotes"),
        }
    }

    inline fn found(lexer: *Lexer, kind: Kind, start: usize, stop: usize) void {
        lexer.token = .{ .kind = kind, .text = lexer.bytes[start..stop] };
    }

    fn unclear(lexer: *Lexer, comptime why: []const u8) Unclear {
        lexer.why = why;
        return error.Unclear;
    }

    fn peek(lexer: *const Lexer, ahead: usize) u8 {
        const at = lexer.at + ahead;
        return if (at < lexer.bytes.len) lexer.bytes[at] else 0;
    }

    fn skipBlanks(lexer: *Lexer) Unclear!void {
        while (true) {
            const first = lexer.peek(0);
            if (classes[first] == .blank and lexer.at < lexer.bytes.len) {
                lexer.at += 1;
            } else if (first == '-' and lexer.peek(1) == '-') {
                try lexer.skipLine();
            } else if (first == '/' and lexer.peek(1) == '*') {
                try lexer.skipComment();
            } else if (first == '/' and lexer.peek(1) == '/') {
                return lexer.unclear("`//` begins a comment in some databases");
            } else return;
        }
    }

    /// A line ends at LF; a lone CR ends it in some databases only.
    fn skipLine(lexer: *Lexer) Unclear!void {
        lexer.at += 2;
        if (lexer.at < lexer.bytes.len and classes[lexer.peek(0)] != .blank) {
            return lexer.unclear("`--` without a space behind it is no comment in some databases");
        }
        while (lexer.at < lexer.bytes.len) : (lexer.at += 1) {
            const byte = lexer.bytes[lexer.at];
            if (byte == '\n') return;
            if (byte == '\r' and lexer.peek(1) != '\n') return lexer.unclear("a lone CR ends a comment in some databases");
        }
    }

    fn skipComment(lexer: *Lexer) Unclear!void {
        lexer.at += 2;
        const first = lexer.peek(0);
        if (first == '!' or first == '+' or (first == 'M' and lexer.peek(1) == '!')) {
            return lexer.unclear("some databases run or obey a comment that begins with `/*!`, `/*M!` or `/*+`");
        }
        while (lexer.at < lexer.bytes.len) : (lexer.at += 1) {
            const byte = lexer.bytes[lexer.at];
            if (byte == '/' and lexer.peek(1) == '*') return lexer.unclear("a comment in a comment ends it in some databases");
            if (byte != '*' or lexer.peek(1) != '/') continue;
            lexer.at += 2;
            return;
        }
        return lexer.unclear("a comment does not end");
    }

    /// A word, or a string with the prefix E, N, B or X.
    fn word(lexer: *Lexer, start: usize) Unclear!void {
        const bytes = lexer.bytes;
        var at = start + 1;
        while (at < bytes.len) : (at += 1) switch (classes[bytes[at]]) {
            .letter, .digit, .dollar => {},
            else => break,
        };
        lexer.at = at;
        const text = bytes[start..at];
        const behind = lexer.peek(0);
        switch (classes[behind]) {
            .string => {
                const prefix = text[0] | 0x20;
                const is_known = text.len == 1 and (prefix == 'e' or prefix == 'n' or prefix == 'b' or prefix == 'x');
                if (is_known) return lexer.quoted(.string, '\'');
                return lexer.unclear("a quote stands right behind a word; put a space between them");
            },
            .quote, .tick => return lexer.unclear("a quote stands right behind a word; put a space between them"),
            else => {},
        }
        const is_unicode = text.len == 1 and text[0] | 0x20 == 'u' and behind == '&';
        if (is_unicode and (lexer.peek(1) == '\'' or lexer.peek(1) == '"')) {
            return lexer.unclear("the escapes of `U&` are read by some databases only");
        }
        lexer.found(.word, start, at);
    }

    /// Digits, a fraction and an exponent, or `0x` and digits; nothing that could be a name stands right behind.
    fn number(lexer: *Lexer, start: usize) Unclear!void {
        if (lexer.peek(0) == '0' and lexer.peek(1) | 0x20 == 'x') {
            lexer.at += 2;
            while (isHex(lexer.peek(0))) lexer.at += 1;
        } else {
            lexer.skipDigits();
            if (lexer.peek(0) == '.') lexer.at += 1;
            lexer.skipDigits();
            const sign = lexer.peek(1);
            const digit = if (sign == '+' or sign == '-') lexer.peek(2) else sign;
            if (lexer.peek(0) | 0x20 == 'e' and classes[digit] == .digit) {
                lexer.at += 2;
                lexer.skipDigits();
            }
        }
        const behind = lexer.peek(0);
        const goes_on = switch (classes[behind]) {
            .letter, .digit, .dollar, .string, .quote, .tick => true,
            else => behind == '.',
        };
        if (goes_on) return lexer.unclear("a number goes over into a name");
        lexer.found(.number, start, lexer.at);
    }

    fn skipDigits(lexer: *Lexer) void {
        while (classes[lexer.peek(0)] == .digit) lexer.at += 1;
    }

    /// A doubled quote stands for one. A backslash escapes a quote in some databases only.
    fn quoted(lexer: *Lexer, kind: Kind, quote: u8) Unclear!void {
        const bytes = lexer.bytes;
        const start = lexer.at + 1;
        var at = start;
        var is_escaped = false;
        while (at < bytes.len) : (at += 1) {
            const byte = bytes[at];
            if (byte == '\\') {
                is_escaped = !is_escaped;
                continue;
            }
            if (byte == quote) {
                if (is_escaped) return lexer.unclear("a backslash stands before a quote; double the quote or send a parameter");
                lexer.at = at + 1;
                if (lexer.peek(0) != quote) return lexer.found(kind, start, at);
                at += 1;
            }
            is_escaped = false;
        }
        return lexer.unclear("a quote does not end");
    }

    /// A name in backticks or brackets. Where these are no quotes it is harmless too: no call, no string, no comment.
    fn plainName(lexer: *Lexer, closing: u8) Unclear!void {
        const start = lexer.at + 1;
        lexer.at = start;
        while (lexer.at < lexer.bytes.len) : (lexer.at += 1) {
            const byte = lexer.bytes[lexer.at];
            if (byte == closing) {
                lexer.at += 1;
                if (lexer.peek(0) == closing) break;
                return lexer.found(.quoted, start, lexer.at - 1);
            }
            if (!isPlain(byte) or (byte == '-' and lexer.peek(1) == '-')) break;
        }
        return lexer.unclear("a name in backticks or brackets holds more than letters, digits, spaces and `_$,.:-`");
    }

    /// `$1` and `$name` are placeholders; `$$` and `$name$` open a body that some databases read as SQL.
    fn placeholder(lexer: *Lexer, start: usize) Unclear!void {
        lexer.at += 1;
        while (classes[lexer.peek(0)] == .letter or classes[lexer.peek(0)] == .digit) lexer.at += 1;
        if (lexer.peek(0) == '$') return lexer.unclear("a body in dollar quotes is SQL to some databases; send a parameter");
        lexer.found(.symbol, start, lexer.at);
    }
};

/// A stray `]` would have closed a name that was opened otherwise; `\` and braces are commands of some clients.
const classes: [256]Class = fill: {
    var table: [256]Class = @splat(.bad);
    for (" \t\n\r\x0B\x0C") |byte| table[byte] = .blank;
    for ("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_") |byte| table[byte] = .letter;
    for ("0123456789") |byte| table[byte] = .digit;
    for ("!%&()*+,-./:;<=>?@^|~") |byte| table[byte] = .symbol;
    table['\''] = .string;
    table['"'] = .quote;
    table['`'] = .tick;
    table['['] = .bracket;
    table['$'] = .dollar;
    break :fill table;
};

fn isPlain(byte: u8) bool {
    return switch (classes[byte]) {
        .letter, .digit, .dollar => true,
        else => byte >= 0x80 or byte == ' ' or byte == ',' or byte == '.' or byte == ':' or byte == '-',
    };
}

fn isHex(byte: u8) bool {
    return (byte >= '0' and byte <= '9') or (byte | 0x20 >= 'a' and byte | 0x20 <= 'f');
}
