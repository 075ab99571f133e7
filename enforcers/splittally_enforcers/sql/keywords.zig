//! The words that decide what a statement does and where its tables stand, whatever their case.

pub const Keyword = enum {
    // zig fmt: off
    none, // a name, or a word that decides nothing here
    apply, as, begin, comment, commit, create, delete, distinct, do, duplicate, end, explain, @"for", from, grant,
    insert, into, is, join, key, lateral, materialized, merge, not, on, @"or", recursive, release, rename, replace,
    rollback, savepoint, select, set, start, table, then, truncate, update, using, values, where, with,
    // zig fmt: on
    clause, // ends a list of tables: GROUP, HAVING, ORDER
    define, // changes what exists or who may use it: ALTER, DENY, DROP, REVOKE
    extract, // a function whose arguments may hold FROM
    modifier, // stands before a table and is none
    run, // does what no other class says, also without a semicolon before it
    syntax, // stands before a parenthesis and is no function
};

const word_bytes_max = 16;

pub noinline fn of(word: []const u8) Keyword {
    if (word.len < 2 or word.len > word_bytes_max) return .none;
    const head = folded(word[0..@min(word.len, 8)]);
    const tail = folded(word[@min(word.len, 8)..]);
    if (tail == 0) return shortWord(head);
    return switch (head) {
        pack("duplicat") => if (tail == pack("e")) .duplicate else .none,
        pack("high_pri"), pack("low_prio") => if (tail == pack("ority") or tail == pack("rity")) .modifier else .none,
        pack("intersec") => if (tail == pack("t")) .syntax else .none,
        pack("material") => if (tail == pack("ized")) .materialized else .none,
        pack("reconfig") => if (tail == pack("ure")) .run else .none,
        pack("recursiv") => if (tail == pack("e")) .recursive else .none,
        pack("returnin") => if (tail == pack("g")) .syntax else .none,
        pack("savepoin") => if (tail == pack("t")) .savepoint else .none,
        pack("straight") => if (tail == pack("_join")) .join else .none,
        pack("substrin") => if (tail == pack("g")) .extract else .none,
        pack("updatete") => if (tail == pack("xt")) .run else .none,
        pack("writetex") => if (tail == pack("t")) .run else .none,
        else => .none,
    };
}

fn shortWord(head: u64) Keyword {
    return switch (head) {
        pack("apply") => .apply,
        pack("as") => .as,
        pack("begin") => .begin,
        pack("comment") => .comment,
        pack("commit") => .commit,
        pack("create") => .create,
        pack("delete") => .delete,
        pack("distinct") => .distinct,
        pack("do") => .do,
        pack("end"), pack("abort") => .end,
        pack("explain") => .explain,
        pack("for") => .@"for",
        pack("from") => .from,
        pack("grant") => .grant,
        pack("insert") => .insert,
        pack("into") => .into,
        pack("is") => .is,
        pack("join") => .join,
        pack("key") => .key,
        pack("lateral") => .lateral,
        pack("merge") => .merge,
        pack("not") => .not,
        pack("on") => .on,
        pack("or") => .@"or",
        pack("release") => .release,
        pack("rename") => .rename,
        pack("replace") => .replace,
        pack("rollback") => .rollback,
        pack("select") => .select,
        pack("set") => .set,
        pack("start") => .start,
        pack("table") => .table,
        pack("then") => .then,
        pack("truncate") => .truncate,
        pack("update") => .update,
        pack("using") => .using,
        pack("values") => .values,
        pack("where") => .where,
        pack("with") => .with,
        pack("group"), pack("having"), pack("order") => .clause,
        pack("alter"), pack("deny"), pack("drop"), pack("revoke") => .define,
        pack("extract"), pack("overlay"), pack("trim") => .extract,
        pack("delayed"), pack("fail"), pack("ignore"), pack("only"), pack("quick") => .modifier,
        pack("backup"), pack("bulk"), pack("dbcc"), pack("declare"), pack("exec"), pack("execute") => .run,
        pack("kill"), pack("readtext"), pack("restore"), pack("revert"), pack("shutdown"), pack("use") => .run,
        pack("waitfor") => .run,
        pack("all"), pack("and"), pack("any"), pack("between"), pack("by"), pack("case"), pack("else") => .syntax,
        pack("except"), pack("exists"), pack("filter"), pack("in"), pack("like"), pack("limit") => .syntax,
        pack("offset"), pack("over"), pack("some"), pack("union"), pack("when") => .syntax,
        else => .none,
    };
}

/// At most eight bytes as one number, letters in lower case.
inline fn folded(word: []const u8) u64 {
    var number: u64 = 0;
    for (word) |byte| number = number << 8 | byte | 0x20;
    return number;
}

fn pack(comptime word: []const u8) u64 {
    return comptime folded(word);
}
