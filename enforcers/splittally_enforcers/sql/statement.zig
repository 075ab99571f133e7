//! Reads what a text of SQL does: which classes it needs, which tables and functions it names.
//!
//! 1. Every verb counts, wherever it stands, so that no CTE, no EXPLAIN and no missing semicolon hides one. What
//!    begins with an unknown word is `other`, and so is INTO without INSERT.
//! 2. Where a table is read or written stands a name, a subquery, or something that leaves the tables unknown. A
//!    list of tables goes on until a word ends it that no database takes for a name.
//! 3. A CTE of the statement's own WITH is no table behind its definition, unless it is written to.

const expected = @import("expected.zig");
const readers = @import("reader.zig");
const tables = @import("tables.zig");
const Keyword = @import("keywords.zig").Keyword;
const Failed = readers.Failed;
const Reader = readers.Reader;

const transaction_words_max = 16;

/// Reads the whole text; what it does is in the reader's findings.
pub fn read(reader: *Reader) Failed!void {
    try reader.advance();
    try reader.advance();
    while (reader.token.kind != .end) : (try reader.advance()) {
        if (reader.isSymbol(';')) {
            try reader.endStatement();
            continue;
        }
        if (!reader.here.has_begun and try tookLead(reader)) continue;
        if (reader.here.expected != .nothing and try expected.took(reader)) continue;
        switch (reader.token.kind) {
            .word, .quoted => if (reader.keyword == .none) try reader.readName() else try readKeyword(reader),
            .symbol => switch (reader.token.text[0]) {
                '(' => try reader.open(.{ .is_extract = reader.last[0] == .extract }),
                ')' => try reader.close(),
                ',' => reader.comma(),
                else => {},
            },
            else => {},
        }
    }
    try reader.endStatement();
    if (reader.findings.statements == 0) return reader.unclear("there is no statement in it");
}

/// The first word says the class where no verb does. A parenthesis may stand before it.
fn tookLead(reader: *Reader) Failed!bool {
    reader.here.is_empty = false;
    if (reader.isSymbol('(')) return false;
    reader.here.has_begun = true;
    switch (reader.keyword) {
        .select, .insert, .update, .delete, .replace, .merge, .explain => return false,
        .with => {
            if (reader.here.depth == 0) reader.expect(.cte_name);
            return true;
        },
        .values, .table => reader.need(.select),
        .create, .define, .truncate, .comment, .rename, .grant => {
            reader.here.is_definition = true;
            reader.need(.ddl);
        },
        .begin, .start, .commit, .rollback, .savepoint, .release, .end => {
            reader.need(.transaction);
            try readTransaction(reader);
            return true;
        },
        else => reader.need(.other),
    }
    return false;
}

/// BEGIN opens a block of statements in some databases, so what stands behind it is `other` unless it is known.
fn readTransaction(reader: *Reader) Failed!void {
    var names_left: usize = switch (reader.keyword) {
        .rollback, .savepoint, .release => 1,
        else => 0,
    };
    for (0..transaction_words_max) |_| {
        if (reader.next.kind == .end or reader.nextIs(';')) return;
        const is_known = reader.nextIs(',') or (reader.next.kind == .word and isTransactionWord(reader.next.text));
        if (!is_known and names_left == 0) break;
        if (!is_known) names_left -= 1;
        try reader.advance();
    }
    reader.need(.other);
}

const transaction_words = [_][]const u8{
    "and",          "chain",    "committed", "consistent", "deferrable",  "deferred",    "exclusive",  "immediate",
    "isolation",    "level",    "no",        "not",        "only",        "read",        "repeatable", "savepoint",
    "serializable", "snapshot", "to",        "tran",       "transaction", "uncommitted", "with",       "work",
    "write",
};

fn isTransactionWord(word: []const u8) bool {
    for (transaction_words) |known| if (tables.isSameFolded(known, word)) return true;
    return false;
}

fn readKeyword(reader: *Reader) Failed!void {
    const level = reader.level();
    const keyword = reader.keyword;
    const is_call = reader.nextIs('(') and !isSyntax(keyword);
    if (is_call) {
        var chain: tables.Chain = .{};
        chain.add(reader.token);
        try reader.checkFunction(&chain);
    }
    switch (keyword) {
        .select => {
            reader.need(.select);
            reader.endWhere();
            level.lists_tables = false;
            level.is_extract = false;
        },
        .insert => {
            reader.need(.insert);
            if (!reader.isMergeAction()) beginInto(reader);
        },
        .replace => if (!is_call and !reader.isBehind(&.{ .@"or", .create })) {
            reader.need(.insert);
            reader.need(.delete);
            beginInto(reader);
        },
        .merge => {
            reader.here.merges = true;
            beginInto(reader);
        },
        .update => readUpdate(reader),
        .delete => readDelete(reader),
        .from => if (!level.is_extract and !isDistinct(reader)) {
            reader.list(if (reader.last[0] == .delete) .target else .table);
        },
        .join, .apply => reader.list(.table),
        .using => if (!reader.nextIs('(') or reader.here.merges or reader.here.removes) reader.list(.table),
        .table => if (!reader.here.is_definition or reader.last[0] == .as) {
            reader.need(.select);
            reader.expect(.table);
        },
        .where => {
            level.lists_tables = false;
            level.needs_where = false;
        },
        .clause => level.lists_tables = false,
        .set => {
            reader.here.sets += 1;
            if (level.is_update) level.lists_tables = false;
            level.is_update = false;
        },
        .into, .run => reader.need(.other),
        .create, .define, .grant => reader.need(.ddl),
        .truncate => if (!is_call) reader.need(.ddl),
        .begin, .commit, .rollback, .savepoint => reader.need(.transaction),
        else => {},
    }
}

fn beginInto(reader: *Reader) void {
    reader.endWhere();
    reader.expect(.into);
}

/// FOR UPDATE locks what is read; the others change a row that INSERT or MERGE has named.
fn readUpdate(reader: *Reader) void {
    reader.need(.update);
    if (reader.isBehind(&.{.@"for"})) return;
    reader.here.updates += 1;
    if (reader.isBehind(&.{ .key, .duplicate, .on })) return;
    const is_action = reader.last[0] == .do or reader.last[0] == .then;
    if (is_action and reader.next_keyword == .set) return;
    reader.endWhere();
    reader.list(.target);
    reader.level().is_update = true;
    reader.level().needs_where = true;
}

fn readDelete(reader: *Reader) void {
    reader.need(.delete);
    if (reader.isMergeAction()) return;
    reader.endWhere();
    reader.here.removes = true;
    reader.level().needs_where = true;
    if (reader.next_keyword != .from) reader.unread("DELETE needs FROM right behind it");
}

/// IS DISTINCT FROM and IS NOT DISTINCT FROM compare.
fn isDistinct(reader: *const Reader) bool {
    return reader.isBehind(&.{ .distinct, .is }) or reader.isBehind(&.{ .distinct, .not, .is });
}

/// Whether a parenthesis behind the word opens something else than a call.
fn isSyntax(keyword: Keyword) bool {
    return switch (keyword) {
        .as, .apply, .clause, .delete, .distinct, .explain, .@"for", .from, .insert, .into, .is, .join => true,
        .lateral, .materialized, .merge, .not, .on, .@"or", .select, .set, .syntax, .table, .then => true,
        .update, .using, .values, .where, .with => true,
        else => false,
    };
}
