"""No question that is filled to the last byte uses up the fuel: it is answered, or a bound denies it."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from splittally.core.abi import CheckVerdict, read_check
from splittally.core.canonical import encode

from tests.test_enforcers_abi import (
    EMAIL,
    FS,
    INPUT_BYTES_BUILTIN_MAX,
    MCP,
    SHELL,
    SQL,
    check_body,
    judge,
    words,
)

KINDS = {EMAIL: "email.send", FS: "fs.read", MCP: "mcp.call", SHELL: "shell.run", SQL: "sql.execute"}
FULL_BYTES_MIN = INPUT_BYTES_BUILTIN_MAX - 300
Question = tuple[Any, Any]  # cap params and params


def question(name: str, cap: Any, params: Any) -> bytes:
    return encode({"Check": check_body(KINDS[name], cap, params)})


def filled(name: str, make: Callable[[int], Question]) -> bytes:
    """The largest question that `make` gives; what is left is filled with a param that nobody reads."""
    low, high = 1, INPUT_BYTES_BUILTIN_MAX
    while low < high:
        middle = (low + high + 1) // 2
        if len(question(name, *make(middle))) <= INPUT_BYTES_BUILTIN_MAX:
            low = middle
        else:
            high = middle - 1
    cap, params = make(low)
    left = INPUT_BYTES_BUILTIN_MAX - len(question(name, cap, params)) - 20
    return question(name, cap, params | ({"zz-filler": "z" * left} if left > 0 else {}))


def code_of(name: str, data: bytes) -> str:
    assert FULL_BYTES_MIN <= len(data) <= INPUT_BYTES_BUILTIN_MAX
    answer = judge(name, data)
    assert isinstance(answer, bytes), answer
    verdict = read_check(answer)
    assert isinstance(verdict, CheckVerdict)
    return verdict.deny_code


def rule(**arguments: Any) -> dict[str, Any]:
    return {"server": "*", "tool": "*", "arguments": arguments}


MAIL, RUN, CALL = {"to": ["a@b.c"]}, {"argv": ["a"]}, {"server": "s", "tool": "t"}
LONG_DOMAIN = "a@" + "b." * 15 + "c"
NAMES = [f"{i:03}" for i in range(256)]
DEEP = "/" + "a/" * 20

FULL: dict[str, tuple[str, Callable[[int], Question], str]] = {
    "a path": (FS, lambda n: ({}, {"path": "/" + "a" * n}), "path_invalid"),
    "dot segments": (
        FS,
        lambda n: ({"read": ["/q"] * min(n, 512)}, {"path": "/" + "a/../" * 819}),
        "path_not_allowed",
    ),
    "short prefixes": (
        FS,
        lambda n: ({"read": ["/aa"] * 512, "write": ["/"] * min(n, 512)}, {"path": "/b"}),
        "path_not_allowed",
    ),
    "long prefixes": (
        FS,
        lambda n: ({"read": [f"{DEEP}{i}" for i in range(min(n, 512))]}, {"path": f"{DEEP}x"}),
        "path_not_allowed",
    ),
    "one prefix": (
        FS,
        lambda n: ({"read": ["/" + "a" * 4000] * min(n, 5)}, {"path": "/" + "a" * 3999}),
        "path_not_allowed",
    ),
    "empty prefixes": (FS, lambda n: ({"read": [""] * n}, {"path": "/b"}), "cap_params_invalid"),
    "patterns": (SHELL, lambda n: ({"commands": [["a"]] * n}, RUN), "cap_params_invalid"),
    "most patterns": (
        SHELL,
        lambda n: ({"commands": [["b", "c", "d", "e"]] * min(n, 256)}, RUN),
        "command_not_allowed",
    ),
    "a long pattern": (
        SHELL,
        lambda n: ({"commands": [["a"] * n]}, {"argv": ["a"] * 512}),
        "cap_params_invalid",
    ),
    "long texts": (
        SHELL,
        lambda n: ({"commands": [["a", "b" * 58]] * min(n, 256)}, {"argv": ["a", "b" * 57]}),
        "command_not_allowed",
    ),
    "prefixes of paths": (
        SHELL,
        lambda n: ({"commands": [["a", "/*"]] * 256}, {"argv": ["a", "/x" * n + "/.."]}),
        "command_not_allowed",
    ),
    "arguments": (SHELL, lambda n: ({"commands": [["a", "**"]]}, {"argv": ["a"] * n}), "params_invalid"),
    "an argument": (SHELL, lambda n: ({"commands": [["a", "**"]]}, {"argv": ["a", "x" * n]}), ""),
    "variables": (
        SHELL,
        lambda n: ({"env": NAMES[:1]}, RUN | {"env": {f"E{i}": "" for i in range(n)}}),
        "cap_params_invalid",
    ),
    "most variables": (
        SHELL,
        lambda n: (
            {"env": [f"E{i}" for i in range(256)]},
            RUN | {"env": {f"E{i}": "x" * (n % 70) for i in range(256)}},
        ),
        "",
    ),
    "rules": (MCP, lambda n: ({"tools": [{"server": "a", "tool": "b"}] * n}, CALL), "cap_params_invalid"),
    "most rules": (
        MCP,
        lambda n: (
            {"tools": [rule(p={"required": True})] * min(n, 128)},
            CALL | {"arguments": dict.fromkeys(NAMES, "")},
        ),
        "argument_not_allowed",
    ),
    "closed rules": (
        MCP,
        lambda n: (
            {"tools": [{"server": "*", "tool": "*", "only": True}] * min(n, 128)},
            CALL | {"arguments": dict.fromkeys(NAMES, "")},
        ),
        "argument_not_allowed",
    ),
    "constraints": (
        MCP,
        lambda n: ({"tools": [rule(**{f"{i:04}": {} for i in range(n)})]}, CALL),
        "cap_params_invalid",
    ),
    "most constraints": (
        MCP,
        lambda n: (
            {"tools": [rule(**{f"{i:04}": {"min": 1} for i in range(min(n, 256))})]},
            CALL | {"arguments": dict.fromkeys(NAMES, "/c")},
        ),
        "",
    ),
    "listed paths": (
        MCP,
        lambda n: ({"tools": [rule(p={"under": ["/a"] * min(n, 1023)})]}, CALL | {"arguments": {"p": "/b"}}),
        "argument_not_allowed",
    ),
    "listed values": (
        MCP,
        lambda n: ({"tools": [rule(p={"one_of": [1] * n})]}, CALL | {"arguments": {"p": 2}}),
        "cap_params_invalid",
    ),
    "paths": (
        MCP,
        lambda n: ({"tools": [rule()]}, CALL | {"arguments": dict.fromkeys(NAMES, "/" + "a" * (n % 86))}),
        "",
    ),
    "recipients": (EMAIL, lambda n: ({"recipients": ["q@w.x"]}, {"to": ["a@b.c"] * n}), "params_invalid"),
    "long domains": (
        EMAIL,
        lambda n: ({"domains": ["*.c"]}, {"to": [LONG_DOMAIN] * 256, "subject": "€" * n}),
        "",
    ),
    "long labels": (
        EMAIL,
        lambda n: ({"domains": ["z"]}, {"to": ["a@" + "b" * 60 + ".c"] * min(n, 256)}),
        "recipient_not_allowed",
    ),
    "listed domains": (
        EMAIL,
        lambda n: (
            {"domains": [f"a{i}.b" for i in range(256)]},
            {"to": ["x@a1.b"] * 256, "subject": "x" * n},
        ),
        "",
    ),
    "headers": (EMAIL, lambda n: ({}, MAIL | {"headers": {f"h{i}": "" for i in range(n)}}), "params_invalid"),
    "most headers": (
        EMAIL,
        lambda n: ({}, MAIL | {"headers": {f"h{i}": "x" * (n % 80) for i in range(256)}}),
        "",
    ),
    "a subject": (EMAIL, lambda n: ({}, MAIL | {"subject": "\u2030" * n}), ""),
}


@pytest.mark.req("S4-31")
@pytest.mark.parametrize("case", FULL)
def test_a_full_question_is_answered_or_denied_by_a_bound(case: str) -> None:
    name, make, code = FULL[case]
    assert code_of(name, filled(name, make)) == code


UNITS = [
    "a ",
    "ab ",
    "abcdefg ",
    "abcdefghijklmnop ",
    "or ",
    "and ",
    "set ",
    "select ",
    "replace ",
    "straight_join ",
    "+",
    ",",
    " ",
    "()",
    "((",
    "''",
    "'' ",
    "1 ",
    "1.5e+1 ",
    "a.",
    "a.b ",
    '"a"',
    "[a]",
    "`a` ",
    "/**/",
    "-- \n",
    "$1 ",
    "from a ",
    "from abcdefgh ",
    "from a, a ",
    ",a",
    "f()",
    "last_value(b),",
    "a;",
    "update a ",
    "update a set b ",
    "join a ",
    "insert into a ",
    "insert into longer_a ",
    "delete from a ",
    "longer_name_x.longer_name_x ",
    "extract(",
    "E'a' ",
]
LISTS = (
    {},
    {"tables": [f"{'x' * 24}{i}" for i in range(256)]},
    {"functions": [f"{'x' * 24}{i}" for i in range(256)]},
)


def sql_question(head: str, unit: str, cap: Any) -> bytes:
    statement = (head + unit * (16 * 1024))[: 16 * 1024]
    return filled(SQL, lambda _: (cap, {"statement": statement}))


@pytest.mark.req("S4-31")
@pytest.mark.parametrize("cap", LISTS, ids=["any", "tables", "functions"])
@pytest.mark.parametrize("unit", UNITS)
def test_a_full_statement_is_answered_or_denied_by_a_bound(unit: str, cap: Any) -> None:
    code_of(SQL, sql_question("select ", unit, cap))


@pytest.mark.req("S4-31")
@given(
    parts=st.lists(st.sampled_from([*UNITS, *words("( ) with as where table into")]), min_size=1, max_size=5),
    cap=st.sampled_from(LISTS),
)
def test_a_statement_of_any_units_is_answered(parts: list[str], cap: Any) -> None:
    code_of(SQL, sql_question("with ", " ".join(parts) + " ", cap))
