//! What should come at a place of a statement, and what does: a table, INTO, the head of a CTE.
//!
//! A place that should hold a table and holds anything else leaves the tables unknown; the token is then read like
//! any other, so that no verb is passed over.

const sdk = @import("splittally");
const readers = @import("reader.zig");
const tables = @import("tables.zig");
const tokens = @import("tokens.zig");
const Failed = readers.Failed;
const Reader = readers.Reader;
const Token = tokens.Token;

const ctes_max = 16;

var ctes: [ctes_max]Token = @splat(tokens.end);
var table_shown: [readers.shown_bytes_max]u8 = @splat(0);

/// Whether the token was what is expected, and so is done with.
pub fn took(reader: *Reader) Failed!bool {
    switch (reader.here.expected) {
        .nothing => return false,
        .into => return tookInto(reader),
        .cte_name => return tookCteName(reader),
        .cte_as => return tookCteAs(reader),
        .table, .target, .store => return tookTable(reader),
    }
}

fn tookInto(reader: *Reader) bool {
    switch (reader.keyword) {
        .into => reader.here.expected = .store,
        .@"or", .modifier => {},
        .rollback, .end, .replace => {
            if (!reader.isBehind(&.{.@"or"})) return fails(reader, "INSERT, REPLACE and MERGE need INTO before the table");
            if (reader.keyword == .replace) reader.need(.delete);
        },
        else => return fails(reader, "INSERT, REPLACE and MERGE need INTO before the table"),
    }
    return true;
}

fn fails(reader: *Reader, why: []const u8) bool {
    reader.unread(why);
    return false;
}

fn tookCteName(reader: *Reader) bool {
    const here = &reader.here;
    here.expected = .nothing;
    if (reader.keyword == .recursive and here.cte_count == 0 and reader.nextIsName()) {
        here.is_recursive = true;
        here.expected = .cte_name;
        return true;
    }
    const is_name = reader.keyword == .none and (reader.token.kind == .word or reader.token.kind == .quoted);
    if (!is_name or here.cte_count == ctes_max) return false;
    ctes[here.cte_count] = reader.token;
    here.cte_count += 1;
    here.expected = .cte_as;
    return true;
}

/// Names of columns in parentheses, AS, and then the body.
fn tookCteAs(reader: *Reader) Failed!bool {
    const here = &reader.here;
    if (reader.isSymbol('(')) {
        const is_body = here.depth == 0 and (reader.last[0] == .as or reader.last[0] == .materialized);
        try reader.open(.{});
        if (!is_body) return true;
        here.expected = .nothing;
        here.is_in_cte = true;
        if (here.is_recursive) here.defined_count = here.cte_count;
        return true;
    }
    if (here.depth > 0 and reader.isSymbol(')')) {
        here.depth -= 1;
        return true;
    }
    const is_head = switch (reader.keyword) {
        .as, .not, .materialized => here.depth == 0,
        .none => here.depth == 1 and reader.token.kind != .number and reader.token.kind != .string,
        else => false,
    };
    if (!is_head) here.expected = .nothing;
    return is_head;
}

fn tookTable(reader: *Reader) Failed!bool {
    const is_name = reader.token.kind == .word or reader.token.kind == .quoted;
    if (is_name and reader.keyword == .none) {
        try readTable(reader);
        return true;
    }
    const reads = reader.here.expected == .table;
    if (reads and reader.isSymbol('(')) {
        try reader.open(.{ .lists_tables = true });
        return true;
    }
    if (reads and reader.keyword == .lateral and reader.nextIs('(')) return true;
    const begins_query = switch (reader.keyword) {
        .select, .with, .values, .table => reads and reader.is_opened,
        else => false,
    };
    if (!begins_query) return fails(reader, "what stands in the place of a table is no plain name; put a name in double quotes");
    reader.here.expected = .nothing;
    if (reader.keyword == .values) reader.level().lists_tables = false;
    return false;
}

fn readTable(reader: *Reader) Failed!void {
    const expected = reader.here.expected;
    reader.here.expected = .nothing;
    const chain = try reader.readChain();
    if (reader.nextIs('@')) return reader.unread("a link to another database stands behind a table");
    if (reader.nextIs('(') and expected != .store) {
        try reader.checkFunction(&chain);
        if (expected == .target or reader.functions.isEmpty()) {
            reader.unread("a function stands in the place of a table and the grant lists no functions");
        }
        return;
    }
    if (reader.tables.isEmpty()) return;
    try reader.countLookup();
    if (expected == .table and chain.count == 1 and isCte(reader, chain.parts[0])) return;
    const name = tables.nameOf(&chain);
    if (reader.findings.table.len > 0 or reader.tables.covers(&name)) return;
    reader.findings.table = readers.shown(&name, &table_shown);
}

/// A name is that of a CTE where it is written like it, quotes and case too: databases fold them in different ways.
fn isCte(reader: *const Reader, name: Token) bool {
    for (ctes[0..reader.here.defined_count]) |cte| {
        if (cte.kind == name.kind and sdk.equal(cte.text, name.text)) return true;
    }
    return false;
}
