"""sys/CapEnforceMcp@1: the first rule that fits a call permits it, and the closest one says why none does."""

import re
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from splittally.core.canonical import encode
from splittally.core.limits import LONG_PARAMS_BYTES_MAX

from tests.enforcer_models import (
    Fields,
    Usage,
    exceeded,
    is_anything,
    is_bool,
    is_list,
    is_map,
    is_natural,
    is_text,
    is_texts,
    read,
    require,
    reserve_of,
    usage_of,
)
from tests.path_model import is_prefix, is_under
from tests.test_enforcers_abi import MCP, NATURAL_MAX, check, settle

KIND, OWN = "mcp.call", "tool.call"
RULES_MAX, CONSTRAINTS_MAX, VALUES_MAX, ARGUMENTS_MAX = 128, 256, 1024, 256


def rule(**arguments: Any) -> dict[str, Any]:
    return {"server": "s", "tool": "t", "arguments": arguments}


def call(**arguments: Any) -> dict[str, Any]:
    return {"server": "s", "tool": "t", "arguments": arguments}


def verdict_on(params: Any, *rules: Any) -> str:
    """The deny code, empty when the call may be made."""
    return check(MCP, KIND, {"tools": list(rules)}, params).deny_code


@pytest.mark.parametrize(
    ("server", "tool", "code"),
    [
        ("files", "read_file", ""),
        ("files", "read_", ""),
        ("files", "read", "tool_not_allowed"),
        ("files", "write_file", "tool_not_allowed"),
        ("files", "Read_file", "tool_not_allowed"),
        ("files ", "read_file", "server_not_allowed"),
        ("fileserver", "read_file", "server_not_allowed"),
        ("dev-1", "anything", ""),
        ("dev-", "anything", ""),
        ("dev", "anything", "server_not_allowed"),
        ("", "read_file", "params_invalid"),
        ("files", "", "params_invalid"),
        ("files", "*", "tool_not_allowed"),
        ("*", "read_file", "server_not_allowed"),
    ],
)
def test_a_rule_names_servers_and_tools(server: str, tool: str, code: str) -> None:
    rules = ({"server": "files", "tool": "read_*"}, {"server": "dev-*", "tool": "*"})
    assert verdict_on({"server": server, "tool": tool}, *rules) == code


@pytest.mark.parametrize(
    ("tool", "code"),
    [
        ("read_file", ""),
        ("write_file", ""),
        ("anything", "tool_not_allowed"),
        ("", "params_invalid"),
    ],
)
def test_a_tool_of_the_hosts_own_has_no_server_and_no_rules_server_is_compared(tool: str, code: str) -> None:
    rules = [{"server": "files", "tool": "read_*"}, {"tool": "write_*"}]
    assert check(MCP, OWN, {"tools": rules}, {"tool": tool}).deny_code == code
    assert check(MCP, OWN, {"tools": rules}, {"tool": tool, "server": 5}).deny_code == code
    remote = {"server": "files", "tool": "read_file"}
    assert check(MCP, KIND, {"tools": rules}, remote).deny_code == "cap_params_invalid"
    assert check(MCP, KIND, {"tools": rules[:1]}, remote).deny_code == ""


def test_what_denies_a_tool_of_the_hosts_own_speaks_of_no_server() -> None:
    message = check(MCP, OWN, {"tools": [{"tool": "a"}]}, {"tool": "b"}).deny_message
    assert message == "tool `b` is in no rule of the grant; use a listed one or ask for a wider grant"


@pytest.mark.parametrize("kind", [KIND, OWN])
@pytest.mark.parametrize(
    "arguments",
    [
        {"text": "x" * 262_000},
        {"text": "\u00e9" * 131_000},
        {"rows": [{"name": "row", "count": index} for index in range(8_000)]},
        {f"{index:03}": "y" * 1_000 for index in range(250)},
    ],
)
def test_long_arguments_are_judged_and_settled_within_the_fuel(kind: str, arguments: Any) -> None:
    params = {"server": "s", "tool": "t", "arguments": arguments}
    assert len(encode(params)) <= LONG_PARAMS_BYTES_MAX
    cap = {"tools": [rule(text={"max_length": 262_000}, rows={"max_length": 8_000})]}
    assert check(MCP, kind, cap, params).reserve == {"calls": 1}
    settled = settle(MCP, kind, cap, params, {"calls": 1}, {"text": "z" * 65_000}, "ok", None)
    assert (settled.usage, settled.violation_code) == ({"calls": 1}, "")


@pytest.mark.parametrize(
    ("constraint", "value", "is_allowed"),
    [
        ({"equals": "a"}, "a", True),
        ({"equals": "a"}, "A", False),
        ({"equals": 1}, True, False),
        ({"equals": 0}, False, False),
        ({"equals": None}, None, True),
        ({"equals": None}, False, False),
        ({"equals": [1, {"a": 2}]}, [1, {"a": 2}], True),
        ({"equals": [1, {"a": 2}]}, [1, {"a": 3}], False),
        ({"one_of": ["a", 1, None]}, None, True),
        ({"one_of": ["a", 1]}, "1", False),
        ({"one_of": []}, "anything", True),
        ({"prefix": "https://"}, "https://x", True),
        ({"prefix": "https://"}, "http://x", False),
        ({"prefix": "https://"}, ["https://x"], False),
        ({"prefix": ""}, 5, False),
        ({"under": ["/data"]}, "/data", True),
        ({"under": ["/data"]}, "/data/x", True),
        ({"under": ["/data"]}, "/database", False),
        ({"under": ["/data"]}, "/data/../etc", False),
        ({"under": ["/data"]}, "/data/./x", False),
        ({"under": ["/data"]}, "data/x", False),
        ({"under": ["/data"]}, "/data/%2e%2e/x", False),
        ({"under": ["/data"]}, ["/data"], False),
        ({"under": ["/data", "/tmp"]}, "/tmp/x", True),
        ({"min": 1, "max": 5}, 1, True),
        ({"min": 1, "max": 5}, 5, True),
        ({"min": 1, "max": 5}, 0, False),
        ({"min": 1, "max": 5}, 6, False),
        ({"min": -5}, -5, True),
        ({"min": -5}, -6, False),
        ({"max": 5}, NATURAL_MAX, False),
        ({"min": 5}, NATURAL_MAX, False),  # past 2^63-1 a number is not compared
        ({"max": 5}, "5", False),
        ({"max": 5}, True, False),
        ({"max_length": 3}, "abc", True),
        ({"max_length": 3}, "abcd", False),
        ({"max_length": 3}, "éé", False),  # bytes, not characters
        ({"max_length": 3}, b"abc", True),
        ({"max_length": 3}, [1, 2, 3, 4], False),
        ({"max_length": 1}, {"a": "long enough"}, True),
        ({"max_length": 3}, 5, False),
        ({"max_length": 3}, None, False),
        ({"required": True}, None, True),
        ({"forbidden": True}, None, False),
        ({"required": True, "min": 1}, 1, True),
        ({}, "anything", True),
    ],
)
def test_an_argument_is_compared(constraint: Any, value: Any, is_allowed: bool) -> None:
    assert verdict_on(call(a=value), rule(a=constraint)) == ("" if is_allowed else "argument_not_allowed")


def test_an_absent_argument_breaks_required_alone() -> None:
    bound = {"equals": 1, "one_of": [1], "prefix": "a", "under": ["/a"], "min": 1, "max": 1, "max_length": 1}
    assert verdict_on(call(), rule(a=bound)) == ""
    assert verdict_on(call(), rule(a={"forbidden": True})) == ""
    assert verdict_on(call(), rule(a={"required": True})) == "argument_not_allowed"
    assert verdict_on({"server": "s", "tool": "t"}, rule(a={"required": True})) == "argument_not_allowed"


def test_a_closed_rule_permits_no_argument_that_it_does_not_name() -> None:
    closed = rule(a={}, c={}) | {"only": True}
    assert verdict_on(call(), closed) == ""
    assert verdict_on(call(a=1, c=2), closed) == ""
    assert verdict_on(call(a=1, b=None), closed) == "argument_not_allowed"
    assert verdict_on(call(a=1), rule() | {"only": True}) == "argument_not_allowed"
    assert verdict_on(call(b=1), closed, rule()) == ""


def test_the_closest_rule_says_why_no_rule_permits() -> None:
    rules = [
        {"server": "s", "tool": "other"},
        rule(a={"max": 1}, b={"required": True}),
        rule(c={"required": True}),
    ]
    message = check(MCP, KIND, {"tools": rules}, call(a=5)).deny_message
    assert message.startswith("argument `a` of tool `t` breaks rule 2 of the grant, because it is above")
    message = check(MCP, KIND, {"tools": rules}, call()).deny_message
    assert message.startswith("argument `b` of tool `t` breaks rule 2 of the grant, because it is missing")


@pytest.mark.parametrize(
    "tools",
    [
        [5],
        [{"server": "s"}],
        [{"tool": "t"}],
        [{"server": "", "tool": "t"}],
        [{"server": "s", "tool": "a*b"}],
        [{"server": "**", "tool": "t"}],
        [{"server": "s", "tool": "t", "args": {}}],
        [rule(a=5)],
        [rule(a={"minimum": 5})],
        [rule(a={"min": "5"})],
        [rule(a={"max": NATURAL_MAX})],
        [rule(a={"under": ["data"]})],
        [rule(a={"under": ["/data/.."]})],
        [rule(a={"one_of": "abc"})],
        [rule(a={"required": 1})],
        [rule() | {"only": None}],
        [rule(), {"server": "other", "tool": "t", "arguments": {"a": {"prefx": "x"}}}],
        [rule()] * (RULES_MAX + 1),
        [rule(**{f"a{i}": {} for i in range(CONSTRAINTS_MAX + 1)})],
        [rule(a={"one_of": [1] * (VALUES_MAX + 1)})],
    ],
)
def test_a_rule_that_cannot_be_read_denies_every_call(tools: Any) -> None:
    for cap in ({"tools": tools}, {"tools": [*tools, {"server": "s", "tool": "*"}]}):
        assert check(MCP, KIND, cap, call()).deny_code == "cap_params_invalid"


def test_more_arguments_than_a_tool_has_are_refused() -> None:
    arguments = {f"a{i}": i for i in range(ARGUMENTS_MAX + 1)}
    assert verdict_on({"server": "s", "tool": "t", "arguments": arguments}) == "params_invalid"
    arguments.popitem()
    assert verdict_on({"server": "s", "tool": "t", "arguments": arguments}, rule()) == ""


@pytest.mark.req("S4-59")
def test_a_cost_that_the_grant_bounds_is_reserved() -> None:
    assert check(MCP, KIND, {"max_cost_cents": 20}, call()).reserve == {"calls": 1, "cost_cents": 20}
    assert check(MCP, KIND, {}, call()).reserve == {"calls": 1}
    settled = settle(
        MCP, KIND, {"max_cost_cents": 0}, call(), {"calls": 1, "cost_cents": 0}, {}, cost_cents=1
    )
    assert settled.violation_code == "usage_exceeds_reserve"


# --- the model ----------------------------------------------------------------------------------------

RULE: Fields = {"server": is_text, "tool": is_text, "arguments": is_map, "only": is_bool}
CONSTRAINT: Fields = {
    "required": is_bool,
    "forbidden": is_bool,
    "equals": is_anything,
    "one_of": is_list,
    "prefix": is_text,
    "under": is_texts,
    "min": lambda value: is_integer(value),
    "max": lambda value: is_integer(value),
    "max_length": is_natural,
}
PATTERN = re.compile(r"(?=.)[^*]*\*?", re.DOTALL)


def is_integer(value: Any) -> bool:
    return type(value) is int and -(2**63) <= value < 2**63


def size_of(value: Any) -> int | None:
    if is_text(value):
        return len(value.encode())
    return len(value) if type(value) in (bytes, list, dict) else None


def holds(constraint: dict[str, Any], value: Any) -> bool:
    """Whether an argument that is given is what it must be."""
    size = size_of(value)
    under = constraint.get("under")
    return all(
        [
            not constraint.get("forbidden"),
            "equals" not in constraint or encode(value) == encode(constraint["equals"]),
            not constraint.get("one_of") or encode(value) in map(encode, constraint["one_of"]),
            "prefix" not in constraint or (is_text(value) and value.startswith(constraint["prefix"])),
            not under
            or (is_text(value) and is_prefix(value) and any(is_under(value, prefix) for prefix in under)),
            "min" not in constraint or (is_integer(value) and value >= constraint["min"]),
            "max" not in constraint or (is_integer(value) and value <= constraint["max"]),
            "max_length" not in constraint or (size is not None and size <= constraint["max_length"]),
        ]
    )


def constraints_of(item: Any) -> dict[str, Any]:
    found = {
        name: read(each, CONSTRAINT, "cap_params_invalid") for name, each in item.get("arguments", {}).items()
    }
    prefixes = [prefix for each in found.values() for prefix in each.get("under", [])]
    require(all(map(is_prefix, prefixes)), "cap_params_invalid")
    return found


def permits(constraints: dict[str, Any], is_closed: bool, arguments: dict[str, Any]) -> bool:
    if is_closed and not set(arguments) <= set(constraints):
        return False
    return all(
        holds(each, arguments[name]) if name in arguments else not each.get("required")
        for name, each in constraints.items()
    )


def names(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def mcp_check(kind: str, cap: Any, params: Any) -> dict[str, int]:
    require(kind in (KIND, OWN), "effect_kind_mismatch")
    cap = read(cap, {"tools": is_list, "max_cost_cents": is_natural}, "cap_params_invalid")
    fields: Fields = {"tool": is_text, "arguments": is_map} | ({"server": is_text} if kind == KIND else {})
    required = ("server", "tool") if kind == KIND else ("tool",)
    params = read(params, fields, "params_invalid", required)
    require(all(params[name] for name in required), "params_invalid")
    rules = []
    for item in cap.get("tools", []):
        each = read(item, RULE, "cap_params_invalid", required)
        require("server" not in each or bool(PATTERN.fullmatch(each["server"])), "cap_params_invalid")
        require(bool(PATTERN.fullmatch(each["tool"])), "cap_params_invalid")
        rules.append((each, constraints_of(each)))
    of_server = [row for row in rules if kind == OWN or names(row[0]["server"], params["server"])]
    of_tool = [row for row in of_server if names(row[0]["tool"], params["tool"])]
    arguments = params.get("arguments", {})
    fitting = [row for row in of_tool if permits(row[1], row[0].get("only", False), arguments)]
    if rules and not fitting:
        require(kind == OWN or bool(of_server), "server_not_allowed")
        require(bool(of_tool), "tool_not_allowed")
        require(False, "argument_not_allowed")
    return {"calls": 1} | ({"cost_cents": cap["max_cost_cents"]} if "max_cost_cents" in cap else {})


def mcp_settle(
    kind: str, cap: Any, params: Any, reserve: dict[str, int], payload: Any, status: str, cost: int | None
) -> Usage:
    require(kind in (KIND, OWN), "effect_kind_mismatch")
    most = read(cap, {"max_cost_cents": is_natural}, "cap_params_invalid").get("max_cost_cents")
    usage = {"calls": 1}
    if most is not None or cost is not None:
        usage["cost_cents"] = cost or 0
    is_over = most is not None and usage["cost_cents"] > most
    return usage, exceeded(usage, reserve) or ("usage_exceeds_reserve" if is_over else "")


# --- what is generated --------------------------------------------------------------------------------

argument_values = st.sampled_from(
    [
        *(0, 1, 5, -1, -(2**63), 2**63, NATURAL_MAX, "", "a", "abc", "é", "/data", "/data/x", "/data/../x"),
        *(None, True, False, b"ab", [], [1, 2], {"a": 1}),
    ]
)
constraints = st.fixed_dictionaries(
    {},
    optional={
        "required": st.booleans(),
        "forbidden": st.sampled_from([False, False, True]),
        "equals": argument_values,
        "one_of": st.lists(argument_values, max_size=3),
        "prefix": st.sampled_from(["", "a", "/data"]),
        "under": st.lists(st.sampled_from(["/data", "/data/", "/", "data"]), max_size=2),
        "min": st.sampled_from([0, 1, -1, -(2**63), 2**63]),
        "max": st.sampled_from([0, 1, 5, 2**63 - 1, "5"]),
        "max_length": st.sampled_from([0, 1, 2, NATURAL_MAX]),
    },
)
argument_names = st.sampled_from(["a", "b", "ab", "path"])
rules = st.fixed_dictionaries(
    {"tool": st.sampled_from(["t", "t*", "*", "u", "a*b"])},
    optional={
        "server": st.sampled_from(["s", "s*", "*", "x", ""]),
        "arguments": st.dictionaries(argument_names, constraints, max_size=3),
        "only": st.booleans(),
    },
)
one_constraint = constraints.map(
    lambda each: {name: each[name] for name in list(each)[:2]}
)  # few at once, or nothing would ever be permitted
single_rules = st.builds(
    lambda each, only: rule(**each) | {"only": only},
    st.dictionaries(argument_names, one_constraint, max_size=2),
    st.booleans(),
)
calls = st.fixed_dictionaries(
    {"server": st.sampled_from(["s", "s", "s2", ""]), "tool": st.sampled_from(["t", "t", "t2", ""])},
    optional={"arguments": st.dictionaries(argument_names, argument_values, max_size=3)},
)
edges = st.sampled_from([0, 1, 5, 6, NATURAL_MAX])


@given(
    cap=st.fixed_dictionaries(
        {}, optional={"tools": st.lists(st.one_of(rules, single_rules), max_size=3), "max_cost_cents": edges}
    ),
    params=calls,
    kind=st.sampled_from([KIND, OWN]),
)
def test_a_check_agrees_with_the_model(cap: Any, params: Any, kind: str) -> None:
    verdict = check(MCP, kind, cap, params)
    event(verdict.deny_code or "allowed")
    assert (verdict.deny_code or verdict.reserve) == reserve_of(mcp_check, kind, cap, params)


@given(constraint=one_constraint, value=argument_values)
def test_an_argument_is_what_the_model_says(constraint: Any, value: Any) -> None:
    cap = {"tools": [rule(a=constraint)]}
    verdict = check(MCP, KIND, cap, call(a=value))
    event(verdict.deny_code or "allowed")
    assert (verdict.deny_code or verdict.reserve) == reserve_of(mcp_check, KIND, cap, call(a=value))


@given(
    cap=st.fixed_dictionaries({}, optional={"max_cost_cents": edges}),
    reserve=st.dictionaries(st.sampled_from(["calls", "cost_cents"]), edges),
    status=st.sampled_from(["ok", "error", "timeout"]),
    cost=st.one_of(st.none(), edges),
)
def test_a_settle_agrees_with_the_model(
    cap: Any, reserve: dict[str, int], status: str, cost: int | None
) -> None:
    settled = settle(MCP, KIND, cap, call(), reserve, {}, status, cost)
    expected = usage_of(mcp_settle, KIND, cap, call(), reserve, {}, status, cost)
    assert (settled.usage, settled.violation_code) == expected
