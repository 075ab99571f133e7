"""sys/CapEnforceSql@1: what a statement does is told from its text, or the worst is assumed."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.enforcer_models import Usage, exceeded, is_natural, read, require, usage_of, words
from tests.test_enforcers_abi import NATURAL_MAX, SQL, check, settle

KIND = "sql.execute"
CLASSES = words("select insert update delete ddl transaction other")


def verdict_on(statement: str, **cap: Any) -> str:
    """The deny code, empty when the statement may be executed."""
    return check(SQL, KIND, cap, {"statement": statement}).deny_code


def needs(statement: str) -> set[str]:
    """The classes without which the statement is denied."""
    open_cap = {"allow_several": True}
    assert verdict_on(statement, **open_cap) == ""
    return {
        each
        for each in CLASSES
        if verdict_on(statement, classes=[name for name in CLASSES if name != each], **open_cap)
    }


# --- hostile texts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        ";",
        "-- a",
        "/* a */",
        "SELECT 'a",
        'SELECT "a',
        "SELECT `a",
        "SELECT [a",
        "SELECT /* a",
        "SELECT (1",
        "SELECT 1)",
        "SELECT ((1)",
        "SELECT (1; SELECT 1)",
        "SELECT 1 /*! FROM secret */",
        "SELECT 1 /*!50000 FROM secret */",
        "SELECT 1 /*M! FROM secret */",
        "SELECT /*+ SET_VAR(sql_mode='') */ 1",
        "SELECT /* /* */ FROM secret */ 1",
        "SELECT 1--1",
        "SELECT 1 --1",
        "SELECT 1 --\r FROM secret",
        "SELECT 1 -- a\rFROM secret\n",
        "SELECT 1 # a\n",
        "SELECT 1 // '\n; DELETE FROM secret -- '",
        "SELECT 1 { ' } FROM secret { ' }",
        "SELECT '\\' FROM secret --'",
        "SELECT '\\\\\\' FROM secret --'",
        'SELECT "\\" FROM secret --"',
        "SELECT E'\\' FROM secret --'",
        "SELECT ''''\\' FROM secret",
        "SELECT $$ FROM secret $$",
        "SELECT $a$ FROM secret $a$",
        "SELECT $1$ FROM secret $1$",
        "SELECT q'[ ' FROM secret ]'",
        "SELECT nq'! ' FROM secret !'",
        "SELECT _utf8'a'",
        "SELECT a'b'",
        "SELECT U&'d\\0061'",
        'SELECT * FROM U&"d\\0061ta"',
        "SELECT * FROM u&'a'",
        'SELECT a"b"',
        "SELECT a`b`",
        "SELECT ARRAY[(SELECT 1 FROM secret)]",
        "SELECT a[b[1]]",
        "SELECT [a]]'] FROM secret --'",
        "SELECT a]",
        "SELECT `a``b`",
        "SELECT `a(b)`",
        "SELECT `a--b`",
        "SELECT [a'b]",
        "SELECT [a;b]",
        "SELECT 1.e(secret)",
        "SELECT 1 FROM a 1.e.b",
        "SELECT 1a",
        "SELECT 1.2.3",
        "SELECT 0x1g",
        "SELECT 1_000",
        "SELECT 1'a'",
        "SELECT a\\g",
        "SELECT a\x00b",
        "SELECT\u00a01",
        "SELECT\u20031",
        "SELECT größe",
        "SELECT \u2018a\u2019",
        "SELECT 1 \ufeff",
        "SELECT \x7f1",
    ],
)
def test_a_text_that_databases_read_in_different_ways_is_refused(text: str) -> None:
    assert verdict_on(text) == "statement_unclear"
    assert verdict_on("SELECT 1; " + text, allow_several=True) in ("statement_unclear", "")
    assert verdict_on(text, classes=["select"], tables=["a"]) == "statement_unclear"


@pytest.mark.parametrize(
    ("statement", "classes"),
    [
        ("SELECT 1", "select"),
        ("(SELECT 1)", "select"),
        ("((select 1) union (select 2))", "select"),
        ("VALUES (1)", "select"),
        ("TABLE a", "select"),
        ("SELECT * FROM a FOR UPDATE", "select update"),
        ("SELECT * FROM a FOR SHARE", "select"),
        ("SELECT replace(a, 'b', 'c') FROM t", "select"),
        ("SELECT truncate(1.5, 1)", "select"),
        ("SELECT t.delete, t . drop FROM t", "select"),
        ('SELECT "delete", [drop], `insert` FROM t', "select"),
        ("SELECT 'DELETE FROM a'", "select"),
        ("SELECT 1 -- DELETE FROM a", "select"),
        ("INSERT INTO a VALUES (1)", "insert"),
        ("INSERT INTO a SELECT 1", "insert select"),
        ("INSERT INTO a TABLE b", "insert select"),
        ("INSERT OR REPLACE INTO a VALUES (1)", "insert delete"),
        ("INSERT INTO a VALUES (1) ON CONFLICT (b) DO UPDATE SET c = 1", "insert update"),
        ("INSERT INTO a VALUES (1) ON DUPLICATE KEY UPDATE c = 1", "insert update"),
        ("REPLACE INTO a VALUES (1)", "insert delete"),
        ("UPDATE a SET b = 1", "update"),
        ("DELETE FROM a", "delete"),
        ("MERGE INTO a USING b ON 1 = 1 WHEN MATCHED THEN DELETE", "delete"),
        ("WITH x AS (DELETE FROM a RETURNING *) SELECT * FROM x", "delete select"),
        ("WITH x AS (INSERT INTO a VALUES (1)) SELECT 1", "insert select"),
        ("SELECT (WITH x AS (UPDATE a SET b = 1 RETURNING 1) SELECT 1)", "update select"),
        ("EXPLAIN SELECT 1", "select"),
        ("EXPLAIN ANALYZE DELETE FROM a", "delete"),
        ("EXPLAIN (ANALYZE, VERBOSE) UPDATE a SET b = 1", "update"),
        ("EXPLAIN ANALYZE EXECUTE f", "other"),
        ("EXPLAIN a", "other"),
        ("SELECT * INTO b FROM a", "select other"),
        ("SELECT 1 INTO OUTFILE '/tmp/x'", "select other"),
        ("UPDATE a SET b = 1 OUTPUT deleted.b INTO c", "update other"),
        ("SELECT 1 DELETE FROM a", "select delete"),
        ("SELECT 1 EXEC xp_cmdshell 'dir'", "select other"),
        ("SELECT 1 DROP TABLE a", "select ddl"),
        ("SELECT 1 SET ROWCOUNT 1", "select other"),
        ("UPDATE a SET b = 1 SET ROWCOUNT 1", "update other"),
        ("SELECT 1 BEGIN TRAN", "select transaction"),
        ("SELECT 1 SHUTDOWN", "select other"),
        ("CREATE TABLE a (b int)", "ddl"),
        ("CREATE TABLE a AS SELECT 1", "ddl select"),
        ("CREATE TABLE a AS TABLE b", "ddl select"),
        ("CREATE OR REPLACE VIEW a AS SELECT 1", "ddl select"),
        ("CREATE TRIGGER a BEFORE UPDATE ON b EXECUTE FUNCTION c()", "ddl update other"),
        ("TRUNCATE a", "ddl"),
        ("GRANT SELECT ON a TO b", "ddl select"),
        ("BEGIN", "transaction"),
        ("BEGIN DELETE FROM a END", "transaction other delete"),
        ("BEGIN drop_everything", "transaction other"),
        ("BEGIN EXECUTE IMMEDIATE 'DROP TABLE a'", "transaction other"),
        ("START SLAVE", "transaction other"),
        ("ROLLBACK TO a", "transaction"),
        ("ROLLBACK TO a.b", "transaction other"),
        ("COMMIT a", "transaction other"),
        ("COPY a TO '/tmp/x'", "other"),
        ("CALL f()", "other"),
        ("SET ROLE admin", "other"),
        ("SHOW TABLES", "other"),
        ("DESCRIBE DELETE FROM a", "other delete"),
        ("PRAGMA writable_schema = 1", "other"),
        ("ATTACH 'x' AS y", "other"),
        ("LOAD DATA INFILE 'x' INTO TABLE a", "other select"),
        ("DO $1", "other"),
        ("FROM a SELECT 1", "other select"),
        ("xp_cmdshell 'dir'", "other"),
        ("1", "other"),
        ("'SELECT 1'", "other"),
        ("()", "other"),
        ("WITH x AS (1)", "other"),
    ],
)
def test_every_verb_of_a_statement_is_needed(statement: str, classes: str) -> None:
    assert needs(statement) == set(classes.split())


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM a, secret",
        "SELECT * FROM a x, secret",
        "SELECT * FROM a AS x, secret y",
        "SELECT * FROM a JOIN b ON a.x = b.x, secret",
        "SELECT * FROM a set, secret",  # some databases take these words for aliases
        "SELECT * FROM a limit, secret",
        "SELECT * FROM a offset, secret",
        "SELECT * FROM a values, secret",
        "SELECT * FROM a for, secret",
        "SELECT * FROM a x (y), secret",
        "SELECT * FROM a (NOLOCK), secret",
        "SELECT * FROM a STRAIGHT_JOIN secret",
        "SELECT * FROM a CROSS APPLY secret",
        "SELECT * FROM (a, secret)",
        "SELECT * FROM (a JOIN secret ON 1 = 1)",
        "SELECT * FROM ((secret))",
        "SELECT * FROM (SELECT * FROM secret) x",
        "SELECT * FROM (SELECT 1) x, secret",
        "SELECT * FROM (VALUES (1)) x, secret",
        "SELECT (SELECT x FROM secret)",
        "SELECT * FROM a WHERE x IN (SELECT y FROM secret)",
        "SELECT * FROM a ORDER BY (SELECT y FROM secret)",
        "SELECT 1 UNION SELECT 2 FROM secret",
        "SELECT 1 UNION TABLE secret",
        "SELECT * FROM (TABLE secret) x",
        "TABLE secret",
        "SELECT f(SELECT x FROM secret)",
        "SELECT trim(SELECT x FROM secret)",
        "SELECT trim((SELECT x FROM secret))",
        "SELECT extract(year FROM (SELECT x FROM secret))",
        "SELECT DISTINCT FROM secret",
        "SELECT a DISTINCT FROM secret",
        'SELECT * FROM "secret"',
        "SELECT * FROM [secret]",
        "SELECT * FROM `secret`",
        "SELECT * FROM 'secret'",
        "SELECT * FROM a.secret",
        "SELECT * FROM secret.a",
        "SELECT * FROM a@remote",
        "SELECT * FROM @secret",
        "SELECT * FROM ONLY secret",
        "SELECT * FROM LATERAL secret",
        "SELECT * FROM dblink('x', 'SELECT 1')",
        "SELECT * FROM a, dblink('x', 'SELECT 1')",
        "SELECT * FROM ?",
        "SELECT * FROM a, ?",
        "SELECT * FROM",
        "SELECT * FROM WHERE",
        'SELECT * FROM "a.b"',
        'SELECT * FROM "a""b"',
        'SELECT * FROM ""',
        "WITH secret AS (SELECT * FROM secret) SELECT * FROM secret",
        'WITH "secret" AS (SELECT 1) SELECT * FROM secret',
        "WITH SECRET AS (SELECT 1) SELECT * FROM secret",
        "WITH secret AS (SELECT 1) DELETE FROM secret",
        "WITH secret AS (SELECT 1) UPDATE secret SET x = 1",
        "WITH secret AS (SELECT 1) INSERT INTO secret SELECT 1",
        "WITH secret AS (SELECT 1) SELECT * FROM a.secret",
        "SELECT * FROM secret WHERE EXISTS (WITH secret AS (SELECT 1) SELECT 1)",
        "WITH x AS (SELECT * FROM y), y AS (SELECT 1) SELECT 1",
        "INSERT INTO secret VALUES (1)",
        "INSERT secret VALUES (1)",
        "INSERT IGNORE INTO secret VALUES (1)",
        "INSERT INTO a SELECT * FROM secret",
        "REPLACE secret VALUES (1)",
        "UPDATE secret SET a = 1",
        "UPDATE a, secret SET a = 1",
        "UPDATE a JOIN secret ON 1 = 1 SET a = 1",
        "UPDATE a SET x = 1 FROM secret",
        "UPDATE a SET x = 1 FROM b set, secret",
        "UPDATE LOW_PRIORITY secret SET a = 1",
        "UPDATE set SET a = 1",
        "UPDATE TOP (5) secret SET a = 1",
        "SELECT 1 AS key UPDATE secret SET x = 1",
        "DELETE FROM secret",
        "DELETE secret",
        "DELETE secret FROM a",
        "DELETE FROM a USING secret",
        "DELETE FROM a USING (secret CROSS JOIN b)",
        "DELETE FROM a USING b, secret",
        "MERGE INTO a USING secret ON 1 = 1 WHEN MATCHED THEN DELETE",
        "MERGE secret USING a ON 1 = 1 WHEN MATCHED THEN DELETE",
        "SELECT * FROM a AS OF TIMESTAMP x, secret",
        "SELECT * FROM a TABLESAMPLE system (5), secret",
        "SELECT * FROM a WINDOW w AS (ORDER BY x), secret",
        "COPY secret TO '/tmp/x'",
        "DROP TABLE secret",
        "DROP TABLE a",
        "EXPLAIN SELECT * FROM secret",
    ],
)
def test_no_table_is_read_or_written_past_the_grants_list(statement: str) -> None:
    cap = {"tables": ["a", "b"], "allow_several": True}
    assert verdict_on(statement, **cap) == "table_not_allowed"


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("SELECT * FROM a, A, b WHERE a.x IN (1, 2) ORDER BY 1, 2", ""),
        ("SELECT * FROM a LIMIT 5, 10", ""),
        ("SELECT extract(year FROM created), trim(both ' ' FROM x) FROM a", ""),
        ("SELECT a.x IS NOT DISTINCT FROM b.x FROM a JOIN b USING (id)", ""),
        ("SELECT * FROM a LEFT JOIN LATERAL (SELECT 1) x ON true", ""),
        ("SELECT * FROM public.items, s.t", ""),
        ("SELECT * FROM public.items.x", "table_not_allowed"),
        ("SELECT * FROM items", "table_not_allowed"),
        ("SELECT * FROM s.other", "table_not_allowed"),
        ("SELECT * FROM PUBLIC.Items", ""),
        ('SELECT * FROM "PUBLIC".items', "table_not_allowed"),
        ('SELECT * FROM "a"', ""),
        ('SELECT * FROM "A"', "table_not_allowed"),
        ("WITH RECURSIVE x (n) AS (SELECT 1 UNION SELECT n FROM x) SELECT * FROM x", ""),
        ("WITH x AS NOT MATERIALIZED (SELECT 1), y AS (SELECT * FROM x) SELECT * FROM y, x", ""),
        ("BEGIN", ""),
    ],
)
def test_listed_tables_are_allowed_as_they_are_listed(statement: str, code: str) -> None:
    assert verdict_on(statement, tables=["a", "b", "public.*", "s.t"]) == code


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("SELECT count(*), COUNT (x), app.f(1), pg.any(1)", ""),
        ("SELECT * FROM a WHERE x IN (1) AND (y OR z) AND EXISTS (SELECT 1)", ""),
        ("SELECT * FROM count(1)", ""),
        ("INSERT INTO a (b) VALUES (1)", ""),
        ("SELECT pg_read_file('x')", "function_not_allowed"),
        ("SELECT pg . count(1)", ""),
        ("SELECT app.g(1)", "function_not_allowed"),
        ('SELECT "Count"(1)', "function_not_allowed"),
        ("SELECT [count](1)", ""),
        ("SELECT * FROM pg_ls_dir('x')", "function_not_allowed"),
        ("SELECT count(pg_sleep(5))", "function_not_allowed"),
        ("SELECT replace(a, b, c)", "function_not_allowed"),
        ("SELECT start(1)", "function_not_allowed"),
        ("SELECT pg_sleep /* a */ (5)", "function_not_allowed"),
        ("SELECT `pg_sleep`(5)", "function_not_allowed"),
    ],
)
def test_functions_are_restricted_where_the_grant_lists_them(statement: str, code: str) -> None:
    assert verdict_on(statement, functions=["count", "app.f", "pg.*"]) == code


@pytest.mark.parametrize(
    ("statement", "is_missing"),
    [
        ("UPDATE a SET b = 1", True),
        ("UPDATE a SET b = 1 WHERE c", False),
        ("UPDATE a SET b = (SELECT 1 WHERE x)", True),
        ("UPDATE a SET b = (SELECT 1) WHERE x", False),
        ("DELETE FROM a", True),
        ("DELETE FROM a -- WHERE x", True),
        ("DELETE FROM a 'WHERE'", True),
        ("DELETE FROM a SELECT 1 WHERE x", True),
        ("DELETE FROM a UPDATE b SET c = 1 WHERE x", True),
        ("DELETE FROM a WHERE x; DELETE FROM b", True),
        ("DELETE FROM a; SELECT 1 WHERE x", True),
        ("WITH x AS (DELETE FROM a) SELECT 1 WHERE y", True),
        ("WITH x AS (DELETE FROM a WHERE y) SELECT 1", False),
        ("SELECT 1 FROM a FOR UPDATE", False),
        ("INSERT INTO a VALUES (1) ON CONFLICT DO UPDATE SET b = 1", False),
        ("DELETE FROM a WHERE 1 = 1", False),
    ],
)
def test_an_update_or_delete_has_a_where_of_its_own(statement: str, is_missing: bool) -> None:
    code = verdict_on(statement, require_where=True, allow_several=True)
    assert code == ("where_missing" if is_missing else "")


def test_several_statements_are_counted_and_need_a_permission() -> None:
    assert verdict_on("SELECT 1; SELECT 2") == "several_statements"
    assert verdict_on("SELECT 1;;") == ""
    assert verdict_on("SELECT 1; DROP TABLE a", allow_several=True, classes=["select"]) == "class_not_allowed"
    verdict = check(SQL, KIND, {"allow_several": True}, {"statement": ";SELECT 1;;SELECT ';';"})
    assert verdict.reserve == {"statements": 2, "rows": 0}


@pytest.mark.parametrize(
    "cap",
    [
        {"classes": ["SELECT"]},
        {"classes": ["read"]},
        {"classes": [*CLASSES, "select"]},
        {"tables": [""]},
        {"tables": ["*"]},
        {"tables": [".*"]},
        {"tables": ["a.*.b"]},
        {"tables": ["a*"]},
        {"tables": ["a."]},
        {"tables": [".a"]},
        {"tables": ["a..b"]},
        {"tables": ['"a"']},
        {"tables": [f"t{i}" for i in range(257)]},
        {"functions": ["f", ""]},
        {"require_where": 1},
    ],
)
def test_a_grant_that_cannot_be_read_denies(cap: Any) -> None:
    assert verdict_on("SELECT 1", **cap) == "cap_params_invalid"


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("SELECT " + " " * (16 * 1024 - 8) + "1", ""),
        ("SELECT " + " " * (16 * 1024 - 7) + "1", "statement_too_large"),
        ("SELECT " + "(" * 63 + "1" + ")" * 63, ""),
        ("SELECT " + "(" * 64 + "1" + ")" * 64, "statement_too_large"),
        ("SELECT " + "+1" * 1000, ""),
        ("SELECT " + "+1" * 1100, "statement_too_large"),
        ("SELECT 1 FROM a" + ", a" * 255, ""),
        ("SELECT 1 FROM a" + ", a" * 256, "statement_too_large"),
    ],
)
def test_a_statement_past_a_bound_is_refused(statement: str, code: str) -> None:
    assert verdict_on(statement, tables=["a"]) == code


@pytest.mark.req("S4-59")
def test_rows_that_are_bounded_are_reserved() -> None:
    for cap, params, rows in (({}, {}, 0), ({"max_rows": 9}, {}, 9), ({"max_rows": 9}, {"max_rows": 5}, 5)):
        verdict = check(SQL, KIND, cap, {"statement": "SELECT 1"} | params)
        assert verdict.reserve == {"statements": 1, "rows": rows}
    assert (
        check(SQL, KIND, {"max_rows": 9}, {"statement": "SELECT 1", "max_rows": 10}).deny_code
        == "max_rows_exceeded"
    )


# --- settling -----------------------------------------------------------------------------------------


def sql_settle(
    kind: str, cap: Any, params: Any, reserve: dict[str, int], payload: Any, status: str, cost: int | None
) -> Usage:
    require(kind == KIND, "effect_kind_mismatch")
    cap = read(cap, {"max_rows": is_natural}, "cap_params_invalid")
    payload = read(payload, {"rows": is_natural}, "receipt_unreadable")
    usage = {"statements": reserve.get("statements", 0)}
    if "rows" not in payload:
        return usage, "usage_missing" if status == "ok" else ""
    usage["rows"] = payload["rows"]
    too_many = "max_rows_exceeded" if usage["rows"] > cap.get("max_rows", NATURAL_MAX) else ""
    return usage, exceeded(usage, reserve) or too_many


edges = st.sampled_from([0, 1, 5, 6, NATURAL_MAX])


@given(
    cap=st.fixed_dictionaries({}, optional={"max_rows": edges}),
    reserve=st.dictionaries(st.sampled_from(["rows", "statements"]), edges),
    payload=st.fixed_dictionaries({}, optional={"rows": st.one_of(edges, st.just(-1))}),
    status=st.sampled_from(["ok", "error", "timeout"]),
)
def test_a_settle_agrees_with_the_model(cap: Any, reserve: dict[str, int], payload: Any, status: str) -> None:
    settled = settle(SQL, KIND, cap, {"statement": "SELECT 1"}, reserve, payload, status)
    expected = usage_of(sql_settle, KIND, cap, {}, reserve, payload, status, None)
    assert (settled.usage, settled.violation_code) == expected


PLAIN = [
    "count(*)",
    "coalesce(max(b), 0)",
    "cast(b AS numeric(10, 2))",
    "UPPER(lower(b))",
    "extract(year FROM b)",
]


@pytest.mark.parametrize("call", PLAIN)
def test_a_grant_that_lists_tables_allows_functions_that_read_only_their_arguments(call: str) -> None:
    assert verdict_on(f"SELECT {call} FROM a", tables=["a"]) == ""


@pytest.mark.parametrize(
    "call",
    [
        "query_to_xml('SELECT * FROM secret', true, true, '')",
        "pg_read_file('/etc/passwd')",
        "load_extension('x')",
        "public.count(b)",
        '"Count"(b)',
        "count(dblink('x', 'SELECT 1'))",
    ],
)
def test_a_function_is_no_way_around_the_tables_of_a_grant(call: str) -> None:
    assert verdict_on(f"SELECT {call} FROM a", tables=["a"]) == "function_not_allowed"
    assert verdict_on(f"SELECT {call} FROM a") == ""
    assert verdict_on(f"SELECT * FROM a WHERE b = {call}", tables=["a"], functions=["f"]) != ""
