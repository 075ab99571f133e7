"""sys/CapEnforceSql@1 on generated texts, compared with what others see in them.

Statements are made together with what they do (`sql_maker`), texts are split a second time by one regular
expression, and whatever is allowed is compiled by SQLite, whose authorizer names what it reads and writes.
"""

import re
import sqlite3
from random import Random
from typing import Any

import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from tests.enforcer_models import words
from tests.sql_maker import FIXED, LENGTH_MAX, Truth, made, statements
from tests.test_enforcers_sql import needs, verdict_on

# --- statements that were made ------------------------------------------------------------------------


@settings(max_examples=400)
@given(one=statements)
def test_a_statement_is_allowed_by_exactly_what_it_needs(one: tuple[str, Truth]) -> None:
    text, truth = one
    event(" ".join(sorted(truth.needs)))
    assert needs(text) == truth.needs
    assert verdict_on(text, classes=sorted(truth.needs)) == ""


@settings(max_examples=400)
@given(one=statements)
def test_a_statement_is_allowed_by_exactly_the_tables_that_it_names(one: tuple[str, Truth]) -> None:
    text, truth = one
    assume(not truth.needs & {"ddl", "other"})
    event(f"{len(truth.tables)} tables")
    called = sorted(truth.functions | {"verbose", "sub", "recent", "conflict"})
    assert verdict_on(text, tables=[*truth.tables, "zz"], functions=called) == ""
    for name in truth.tables:
        others = ["zz", *(truth.tables - {name})]
        assert verdict_on(text, tables=others, functions=called) == "table_not_allowed"


@settings(max_examples=400)
@given(one=statements)
def test_a_statement_is_allowed_by_exactly_the_functions_that_it_calls(one: tuple[str, Truth]) -> None:
    text, truth = one
    assume(not truth.needs & {"ddl", "transaction", "other"})
    listed = truth.functions | {"verbose", "sub", "recent", "conflict"}
    assert verdict_on(text, functions=sorted(listed)) == ""
    for name in truth.functions - {"conflict"}:
        assert verdict_on(text, functions=sorted(listed - {name})) == "function_not_allowed"


@settings(max_examples=400)
@given(one=statements)
def test_a_where_is_missing_where_none_was_made(one: tuple[str, Truth]) -> None:
    text, truth = one
    assert verdict_on(text, require_where=True) == ("where_missing" if truth.lacks_where else "")


# --- a second reader of texts -------------------------------------------------------------------------

BLANK = r"[ \t\n\r\x0b\x0c]"
PLAIN = r"(?:(?!--)[A-Za-z0-9_$ ,.:\-\u0080-\U0010ffff])*"
NO_NAME = r"(?![A-Za-z0-9_$'\"`])"
TOKEN = re.compile(
    rf"""
    (?P<blank>{BLANK}+ | --(?={BLANK}|\Z)[^\n]* | /\*(?![!+]|M!)(?:(?!/\*|\*/).)*\*/)
    | (?P<string>[eEnNbBxX]?'(?:[^'\\] | \\\\ | \\(?!['\\]) | '')*'(?!'))
    | (?P<quoted>"(?:[^"\\] | \\\\ | \\(?!["\\]) | "")*"(?!") | `{PLAIN}`(?!`) | \[{PLAIN}\](?!\]))
    | (?P<word>(?![uU]&['"])[A-Za-z_][A-Za-z0-9_$]*{NO_NAME})
    | (?P<number>(?:0[xX][0-9a-fA-F]* | [0-9]+\.?[0-9]*(?:[eE][+-]?[0-9]+)?){NO_NAME}(?!\.))
    | (?P<symbol>\$[A-Za-z0-9_]*(?![A-Za-z0-9_$]) | (?!--|/\*|//)[!%&()*+,\-./:;<=>?@^|~])
    """,
    re.VERBOSE | re.DOTALL,
)
VERBS = {
    "select": "select",
    "insert": "insert",
    "update": "update",
    "delete": "delete",
    "drop": "ddl",
    "exec": "other",
}


def tokens_of(text: str) -> list[tuple[str, str]] | None:
    """Kinds and texts; None where the text has no single reading."""
    found, at = [], 0
    while at < len(text):
        match = TOKEN.match(text, at)
        if match is None or (
            match[0].startswith("--") and re.search(r"\r(?!\n)", text[at : match.end() + 1])
        ):
            return None
        at = match.end()
        found.append((str(match.lastgroup), match[0]))
    return [token for token in found if token[0] != "blank"]


def is_balanced(tokens: list[tuple[str, str]]) -> bool:
    depth = 0
    for _, text in tokens:
        depth += (text == "(") - (text == ")")
        if depth < 0 or (text == ";" and depth > 0):
            return False
    return depth == 0


PIECES = (
    words("SELECT from WHERE a b secret delete UPDATE set INTO insert join with AS ( ) , ; . * = drop exec"),
    words("' ' ' \" ` [ ] '' 'a' \"a\" \\ \\\\ \\' $ $$ $1 $a E' q' U&"),
    [*words("-- - /* */ / /*! /*+ M! # { } @ :"), "-- ", "\n", "\r", "\r\n", "\t"],
    [*words("1 1. 1.e 1e5 0x 0xg .5 é _ + | %"), "\u00a0", "\x00", "\x7f"],
)
SOUPS = 20  # of each seed


def soup_of(chance: Random) -> str:
    head = chance.choice(["SELECT ", "SELECT ", "", "DELETE FROM a "])
    kinds = chance.choices(PIECES, weights=(4, 3, 1, 1), k=chance.randrange(9))
    return head + "".join(chance.choice(kind) + chance.choice(["", "", " ", " ", "\n"]) for kind in kinds)


@given(seed=st.integers(0, 2**64))
def test_a_text_is_clear_where_the_second_reader_finds_one_reading(seed: int) -> None:
    chance = Random(seed)
    for text in (soup_of(chance) for _ in range(SOUPS)):
        tokens = tokens_of(text)
        is_clear = tokens is not None and is_balanced(tokens) and any(each != ";" for _, each in tokens)
        code = verdict_on(text, allow_several=True)
        event(code or "allowed")
        assert code == ("" if is_clear else "statement_unclear"), text


@given(seed=st.integers(0, 2**64))
def test_no_verb_that_the_second_reader_sees_is_passed_over(seed: int) -> None:
    chance = Random(seed)
    for text in (soup_of(chance) for _ in range(SOUPS)):
        tokens = tokens_of(text)
        if tokens is None or verdict_on(text, allow_several=True):
            continue
        before = [("symbol", ""), *tokens]
        seen = {
            VERBS[each.lower()]
            for (_, last), (kind, each) in zip(before, tokens, strict=False)
            if kind == "word" and each.lower() in VERBS and last != "."
        }
        event(" ".join(sorted(seen)))
        assert seen <= needs(text), text


# --- what SQLite does ---------------------------------------------------------------------------------

READS = {sqlite3.SQLITE_READ}
WRITES = {sqlite3.SQLITE_INSERT: "insert", sqlite3.SQLITE_UPDATE: "update", sqlite3.SQLITE_DELETE: "delete"}
CHANGES = {getattr(sqlite3, name) for name in dir(sqlite3) if re.match("SQLITE_(CREATE|DROP|ALTER)", name)}
sqlite_words = words(
    "a a b b secret x y SELECT SELECT FROM FROM , , ( ) JOIN ON WHERE AS WITH UNION ALL INSERT INTO VALUES "
    "UPDATE SET DELETE USING OR REPLACE IN EXISTS NOT NATURAL LEFT CROSS GROUP ORDER BY LIMIT OFFSET 1 1 = . "
    "* * c c id RECURSIVE RETURNING FOR EACH NO OF ROW KEY DO CONFLICT TABLE DISTINCT IS replace trim "
    "\"a\" [secret] `b` 'secret' 'a'"
)
templates = [
    "SELECT {} FROM a {}",
    "SELECT * FROM a {}",
    "WITH x AS ({}) SELECT * FROM {}",
    "SELECT * FROM a {} , secret {}",
    "INSERT INTO a {}",
    "UPDATE a {} SET c = 1 {}",
    "DELETE FROM a {}",
    "SELECT * FROM ({}) {}",
    "SELECT ({}) FROM a",
    "REPLACE INTO a {}",
    "WITH secret AS (SELECT 1 AS c) {}",
    "SELECT * FROM a WHERE c IN ({})",
]


def compiled(text: str) -> tuple[set[str], set[str]] | None:
    """The tables that SQLite reads or writes and the classes that it uses; None when it does not compile."""
    tables: set[str] = set()
    classes: set[str] = set()

    def authorize(action: int, first: str | None, *_: Any) -> int:
        if action in READS or action in WRITES:
            tables.add(str(first))
            classes.add(WRITES.get(action, "select"))
        if action in CHANGES:
            classes.add("ddl")
        return sqlite3.SQLITE_OK

    database = sqlite3.connect(":memory:")
    for name in ("a", "b", "secret"):
        database.execute(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, c, x, y)")
    database.set_authorizer(authorize)
    try:
        database.execute("EXPLAIN " + text)
    except (sqlite3.Error, sqlite3.Warning, ValueError):
        return None
    finally:
        database.close()
    return {name for name in tables if not name.startswith("sqlite_")}, classes


def sqlite_text(chance: Random) -> str:
    template = chance.choice(templates)
    sizes = [chance.choice((0, 0, 1, 1, 2, 3, 5)) for _ in range(template.count("{}"))]
    return template.format(*(" ".join(chance.choices(sqlite_words, k=size)) for size in sizes))


@given(seed=st.integers(0, 2**64))
def test_whatever_is_allowed_sqlite_reads_and_writes_no_other_table(seed: int) -> None:
    chance = Random(seed)
    texts = [sqlite_text(chance) for _ in range(30)] + [made(chance.getrandbits(64))[0].rstrip("; ")]
    for text in texts:
        done = compiled(text)
        if done is None or len(text) > LENGTH_MAX:
            continue
        tables, classes = done
        code = verdict_on(text, tables=["a", "b"])
        event(f"compiled, {code or 'allowed'}")
        assert code or tables <= {"a", "b"}, text
        assert verdict_on(text) or classes - {"select"} <= needs(text), text


@pytest.mark.parametrize(
    ("kind", "statement"), [(kind, each) for kind, texts in FIXED.items() for each in texts]
)
def test_each_fixed_statement_needs_its_class(kind: str, statement: str) -> None:
    assert kind in needs(statement)
