//! sys/CapEnforceSql@1: which classes of statements, tables and functions one `sql.execute` may use, and how many rows.
//!
//! 1. The text is read where databases agree and refused where they do not (tokens.zig).
//! 2. What cannot be told from the text counts as the worst that it could be (statement.zig).
//! 3. The statements are reserved, and the rows: those that the intent states, else the grant's most.

const sdk = @import("splittally");
const readers = @import("reader.zig");
const statement = @import("statement.zig");
const tables = @import("tables.zig");
pub const panic = sdk.panic;
comptime {
    sdk.serve(@This());
}

const statement_bytes_max = 16 * 1024;
const class_names = [_][]const u8{ "select", "insert", "update", "delete", "ddl", "transaction", "other" };

const Cap = struct {
    classes: ?sdk.Item = null,
    tables: ?sdk.Item = null,
    functions: ?sdk.Item = null,
    require_where: bool = false,
    allow_several: bool = false,
    max_rows: ?u64 = null,
};

const Params = struct { statement: []const u8, max_rows: ?u64 = null };

var listed_tables: tables.Listed = .{};
var listed_functions: tables.Listed = .{};

pub fn check(ask: *const sdk.Ask, answer: *sdk.Answer) sdk.Refused!void {
    try ask.kindIn(&.{"sql.execute"}, answer);
    const cap = try ask.cap(Cap, answer);
    const classes = try readCap(&cap, answer);
    const params = try ask.params(Params, answer);
    const found = try readStatement(params.statement, answer);
    if (found.statements > 1 and !cap.allow_several) return answer.refuse("several_statements", .{
        "the text holds ", found.statements, " statements; send them one by one or ask for a grant that allows several",
    });
    try checkClasses(classes, &found, answer);
    if (cap.require_where and found.lacks_where) return answer.refuse("where_missing", .{
        "an UPDATE or DELETE has no WHERE of its own; say which rows it is for",
    });
    try checkNames(&found, answer);
    const rows = params.max_rows orelse cap.max_rows orelse 0;
    if (cap.max_rows) |most| if (rows > most) return answer.refuse("max_rows_exceeded", .{
        "max_rows ", rows, " is above the grant's ", most, "; state fewer or ask for a wider grant",
    });
    answer.put("statements", found.statements);
    answer.put("rows", rows);
}

/// A statement that failed was one too; the rows are those that the receipt states.
pub fn settle(ask: *const sdk.Ask, receipt: *const sdk.Receipt, answer: *sdk.Answer) sdk.Refused!void {
    try ask.kindIn(&.{"sql.execute"}, answer);
    const cap = try ask.cap(Cap, answer);
    const payload = try receipt.read(struct { rows: ?u64 = null }, answer);
    answer.use(ask, "statements", ask.reserved("statements"));
    const rows = payload.rows orelse {
        if (receipt.status == .ok) answer.say("usage_missing", .{
            "the receipt is ok and gives no `rows`; report how many were returned or changed",
        });
        return;
    };
    answer.use(ask, "rows", rows);
    if (cap.max_rows) |most| if (rows > most) answer.say("max_rows_exceeded", .{
        "the receipt's rows ", rows, " is above the grant's ", most,
    });
}

/// The classes that are listed; the names are in their sets.
fn readCap(cap: *const Cap, answer: *sdk.Answer) sdk.Refused!sdk.Texts {
    const expected = "a list of select, insert, update, delete, ddl, transaction and other";
    const field: sdk.lists.Field = .{ .name = "classes", .most = class_names.len, .expected = expected };
    const classes = try sdk.lists.texts(cap.classes, &field, answer);
    var rest = classes;
    while (rest.next()) |class| {
        if (!sdk.isAmong(class, &class_names)) return refuseListed("classes", expected, class, answer);
    }
    try fill(&listed_tables, "tables", cap.tables, answer);
    try fill(&listed_functions, "functions", cap.functions, answer);
    return classes;
}

noinline fn fill(listed: *tables.Listed, name: []const u8, stated: ?sdk.Item, answer: *sdk.Answer) sdk.Refused!void {
    const expected = "a list of at most 256 names, or `schema.*` for all in one schema";
    const field: sdk.lists.Field = .{ .name = name, .most = tables.listed_max, .expected = expected };
    var rest = try sdk.lists.texts(stated, &field, answer);
    while (rest.next()) |pattern| {
        if (!listed.add(pattern)) return refuseListed(name, expected, pattern, answer);
    }
}

noinline fn refuseListed(name: []const u8, expected: []const u8, found: []const u8, answer: *sdk.Answer) sdk.Refused {
    return answer.refuse("cap_params_invalid", .{
        "field `", name, "` of the cap params must be ", expected, ", not ", sdk.quote(found),
    });
}

fn readStatement(text: []const u8, answer: *sdk.Answer) sdk.Refused!readers.Findings {
    if (text.len > statement_bytes_max) return refuseSize(answer);
    var reader: readers.Reader = .{
        .lexer = .{ .bytes = text },
        .tables = &listed_tables,
        .functions = &listed_functions,
    };
    statement.read(&reader) catch |failed| switch (failed) {
        error.TooLarge => return refuseSize(answer),
        error.Unclear => return answer.refuse("statement_unclear", .{
            "the statement cannot be read in one way only: ", reader.lexer.why,
        }),
    };
    return reader.findings;
}

noinline fn refuseSize(answer: *sdk.Answer) sdk.Refused {
    return answer.refuse("statement_too_large", .{
        "a statement has at most 16384 bytes, 2048 tokens, 63 parentheses in each other and 256 names that the grant ",
        "must list; split it or send values as parameters",
    });
}

fn checkClasses(classes: sdk.Texts, found: *const readers.Findings, answer: *sdk.Answer) sdk.Refused!void {
    for (class_names, found.needs) |class, is_needed| {
        if (is_needed and !classes.allows(class)) return answer.refuse("class_not_allowed", .{
            "the statement is, or could be, of class `",   class, "`, which the grant does not list; ",
            "use a listed class or ask for a wider grant",
        });
    }
}

fn checkNames(found: *const readers.Findings, answer: *sdk.Answer) sdk.Refused!void {
    if (!listed_tables.isEmpty()) {
        const is_unknown = found.needs[@backingInt(readers.Class.ddl)] or found.needs[@backingInt(readers.Class.other)];
        if (is_unknown) return answer.refuse("table_not_allowed", .{
            "the grant lists its tables, and those of a `ddl` or `other` statement are not known; use a grant without `tables`",
        });
        if (found.table.len > 0) return answer.refuse("table_not_allowed", .{
            "table ", sdk.quote(found.table), " is not on the grant's list; use a listed one or ask for a wider grant",
        });
        if (found.unread.len > 0) return answer.refuse("table_not_allowed", .{
            "the grant lists its tables, and not all of the statement's are known: ", found.unread,
        });
    }
    if (found.function.len > 0) return answer.refuse("function_not_allowed", .{
        "function ", sdk.quote(found.function), " is not on the grant's list; use a listed one or ask for a wider grant",
    });
}
