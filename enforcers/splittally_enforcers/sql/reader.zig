//! Where a reading of SQL stands: its tokens, its parentheses, what should come next, and what was found so far.

const sdk = @import("splittally");
const keywords = @import("keywords.zig");
const tables = @import("tables.zig");
const tokens = @import("tokens.zig");
const Keyword = keywords.Keyword;
const Token = tokens.Token;

const depth_max = 64;
const lookups_max = 256;
const tokens_max = 2048;
pub const shown_bytes_max = 80; // more than a message quotes

pub const Failed = error{ Unclear, TooLarge };
pub const Class = enum { select, insert, update, delete, ddl, transaction, other };
pub const class_count = 7;

/// What a text does; a text is empty where there is nothing to say.
pub const Findings = struct {
    statements: u64 = 0,
    needs: [class_count]bool = @splat(false),
    lacks_where: bool = false, // an UPDATE or DELETE has no WHERE
    unread: []const u8 = "", // why the tables are unknown
    table: []const u8 = "", // the first that is not listed
    function: []const u8 = "", // the first that is not listed
};

/// What the next token should be: a table that is read, one that is changed, one that is added to.
const Expected = enum { nothing, table, target, store, into, cte_name, cte_as };

/// What is known between two parentheses.
const Level = struct {
    lists_tables: bool = false, // a comma is followed by a table
    is_update: bool = false, // a list that the next SET ends
    is_extract: bool = false, // FROM names no table
    needs_where: bool = false,
};

/// What is known of one statement.
const Statement = struct {
    expected: Expected = .nothing,
    depth: usize = 0,
    is_empty: bool = true,
    has_begun: bool = false,
    has_class: bool = false,
    is_definition: bool = false,
    merges: bool = false,
    removes: bool = false,
    updates: usize = 0,
    sets: usize = 0,
    is_recursive: bool = false,
    is_in_cte: bool = false,
    cte_count: usize = 0, // of which the last may not be defined yet
    defined_count: usize = 0,
};

var levels: [depth_max]Level = @splat(.{});
var function_shown: [shown_bytes_max]u8 = @splat(0);

pub const Reader = struct {
    lexer: tokens.Lexer,
    tables: *const tables.Listed, // empty: any
    functions: *const tables.Listed, // empty: any, or the plain ones where tables are listed
    findings: Findings = .{},
    lookups: usize = 0,
    tokens: usize = 0,
    here: Statement = .{},

    token: Token = tokens.end,
    keyword: Keyword = .none,
    next: Token = tokens.end,
    next_keyword: Keyword = .none,
    last: [3]Keyword = @splat(.none), // of the tokens before, the nearest first
    is_opened: bool = false, // the token before is `(`

    // --- tokens --------------------------------------------------------------------------------------

    pub noinline fn advance(reader: *Reader) Failed!void {
        reader.tokens += 1;
        if (reader.tokens > tokens_max) return error.TooLarge;
        reader.last[2] = reader.last[1];
        reader.last[1] = reader.last[0];
        reader.last[0] = reader.keyword;
        reader.is_opened = reader.isSymbol('(');
        reader.token = reader.next;
        reader.keyword = reader.next_keyword;
        try reader.lexer.next();
        reader.next = reader.lexer.token;
        reader.next_keyword = if (reader.next.kind == .word) keywords.of(reader.next.text) else .none;
    }

    pub fn isSymbol(reader: *const Reader, wanted: u8) bool {
        return reader.token.kind == .symbol and reader.token.text[0] == wanted;
    }

    pub fn nextIs(reader: *const Reader, wanted: u8) bool {
        return reader.next.kind == .symbol and reader.next.text[0] == wanted;
    }

    pub fn nextIsName(reader: *const Reader) bool {
        return reader.next.kind == .word or reader.next.kind == .quoted;
    }

    /// Whether these are the keywords before the token, the nearest first.
    pub fn isBehind(reader: *const Reader, comptime wanted: []const Keyword) bool {
        inline for (wanted, 0..) |keyword, at| if (reader.last[at] != keyword) return false;
        return true;
    }

    pub fn isMergeAction(reader: *const Reader) bool {
        return reader.here.merges and reader.last[0] == .then;
    }

    // --- findings ------------------------------------------------------------------------------------

    pub fn need(reader: *Reader, class: Class) void {
        reader.findings.needs[@backingInt(class)] = true;
        reader.here.has_class = true;
    }

    pub fn unclear(reader: *Reader, comptime why: []const u8) Failed {
        reader.lexer.why = why;
        return error.Unclear;
    }

    pub fn unread(reader: *Reader, why: []const u8) void {
        if (reader.findings.unread.len == 0) reader.findings.unread = why;
        reader.here.expected = .nothing;
    }

    /// A verb begins, a parenthesis closes or a statement ends: an UPDATE or DELETE before it has had its WHERE.
    pub fn endWhere(reader: *Reader) void {
        if (reader.level().needs_where) reader.findings.lacks_where = true;
        reader.level().needs_where = false;
    }

    // --- parentheses and statements ------------------------------------------------------------------

    pub fn level(reader: *const Reader) *Level {
        return &levels[reader.here.depth];
    }

    pub fn open(reader: *Reader, inner: Level) Failed!void {
        if (reader.here.depth + 1 == depth_max) return error.TooLarge;
        reader.here.depth += 1;
        levels[reader.here.depth] = inner;
    }

    pub fn close(reader: *Reader) Failed!void {
        const here = &reader.here;
        if (here.depth == 0) return reader.unclear("parentheses do not match");
        reader.endWhere();
        here.depth -= 1;
        if (here.depth > 0 or !here.is_in_cte) return;
        here.is_in_cte = false;
        here.defined_count = here.cte_count;
        if (!reader.nextIs(',')) return;
        try reader.advance();
        here.expected = .cte_name;
    }

    pub fn comma(reader: *Reader) void {
        if (!reader.level().lists_tables or reader.next.kind == .number) return;
        reader.here.expected = if (reader.level().is_update) .target else .table;
    }

    pub fn endStatement(reader: *Reader) Failed!void {
        const here = &reader.here;
        if (here.is_empty) return;
        if (here.depth > 0) return reader.unclear("parentheses do not match");
        reader.endWhere();
        if (here.expected != .nothing) reader.unread("the statement ends where a table should stand");
        if (here.sets > here.updates or !here.has_class) reader.need(.other);
        reader.findings.statements += 1;
        levels[0] = .{};
        here.* = .{};
    }

    // --- what is expected ----------------------------------------------------------------------------

    pub fn expect(reader: *Reader, expected: Expected) void {
        reader.here.expected = expected;
    }

    /// A table, and more behind commas.
    pub fn list(reader: *Reader, expected: Expected) void {
        reader.level().lists_tables = true;
        reader.level().is_update = false;
        reader.here.expected = expected;
    }

    // --- names ---------------------------------------------------------------------------------------

    /// A name outside of the places of tables: a column, or a function where a parenthesis follows.
    pub fn readName(reader: *Reader) Failed!void {
        if (!reader.nextIs('.') and !reader.nextIs('(')) return;
        const chain = try reader.readChain();
        if (reader.nextIs('(')) try reader.checkFunction(&chain);
    }

    pub fn checkFunction(reader: *Reader, chain: *const tables.Chain) Failed!void {
        const are_listed = !reader.functions.isEmpty();
        if (!are_listed and reader.tables.isEmpty()) return;
        try reader.countLookup();
        const name = tables.nameOf(chain);
        const is_allowed = if (are_listed) reader.functions.covers(&name) else tables.isPlainFunction(&name);
        if (reader.findings.function.len > 0 or is_allowed) return;
        reader.findings.function = shown(&name, &function_shown);
    }

    /// The name that begins here, with all that follows behind dots; a word behind a dot is no keyword.
    pub fn readChain(reader: *Reader) Failed!tables.Chain {
        var chain: tables.Chain = .{};
        chain.add(reader.token);
        while (reader.nextIs('.')) {
            try reader.advance();
            if (!reader.nextIsName()) break;
            try reader.advance();
            chain.add(reader.token);
        }
        reader.keyword = .none;
        return chain;
    }

    /// So that no list of names, however long, runs out of fuel.
    pub fn countLookup(reader: *Reader) Failed!void {
        reader.lookups += 1;
        if (reader.lookups > lookups_max) return error.TooLarge;
    }
};

/// A copy of the name, which the next one will overwrite.
pub fn shown(name: *const tables.Name, to: *[shown_bytes_max]u8) []const u8 {
    const size = @min(name.text.len, to.len);
    if (size == 0) return "?";
    @memcpy(to[0..size], name.text[0..size]);
    return to[0..size];
}
