"""Within their bounds the rules enforcers always answer, with a code and never for want of fuel."""

from collections.abc import Callable
from functools import reduce
from typing import Any

import pytest
from splittally.core.abi import CheckVerdict
from splittally.core.canonical import encode
from splittally.core.caps.rules import RULES_BYTES_MAX, RULES_MAX, RULES_PARTS_MAX
from splittally.core.limits import CHECK_FUEL_MAX, EXPR_DEPTH_MAX

from tests.rule_asking import asked, enforced_claim, meant_claim
from tests.test_enforcers_abi import (
    INPUT_BYTES_BUILTIN_MAX,
    RULES,
    RULES_1,
    check,
    check_body,
    judge,
    sandbox,
    settle,
    settle_body,
)

KIND = "mail.send"
both = pytest.mark.parametrize("module", [RULES, RULES_1])


def denied(cap: dict[str, Any], params: Any = None, module: str = RULES_1) -> CheckVerdict:
    return check(module, KIND, asked(cap, module), {} if params is None else params)


def texts_of(size: int, count: int = 1) -> dict[str, Any]:
    """Rules of `size` bytes of expressions together."""
    each = [size // count + (at < size % count) for at in range(count)]
    return {"rules": [{"deny": "false" + " " * (bytes_each - 5)} for bytes_each in each]}


def parts_of(parts: int, count: int = 1) -> dict[str, Any]:
    """Reserves of so many parts together: of two operands and their sum, and so on."""
    each = [parts // count + (at < parts % count) for at in range(count)]
    return {"reserve": {f"d{at}": "1" + "+1" * (size - 2) for at, size in enumerate(each)}}


@pytest.mark.parametrize("count", [1, 7])
@pytest.mark.parametrize(("make", "most"), [(texts_of, RULES_BYTES_MAX), (parts_of, RULES_PARTS_MAX)])
def test_all_expressions_of_a_grant_share_a_bound_where_the_module_compiles_them(
    make: Callable[[int, int], dict[str, Any]], most: int, count: int
) -> None:
    for size in (most - 1, most):
        assert denied(make(size, count)).deny_code == ""
    verdict = denied(make(most + 1, count))
    assert verdict.deny_code == "cap_params_invalid"
    assert f"more than {most}" in verdict.deny_message


@both
@pytest.mark.parametrize(
    "make",
    [
        lambda size: "(" * size + "true" + ")" * size,
        lambda size: "!" * (size - 1) + "true",
        lambda size: "params" + ".a" * (size - 2) + " == 1",
        lambda size: "[" * (size - 2) + "1" + "]" * (size - 2) + " == params",
        lambda size: "[" * (size - 1) + "]" * (size - 1) + " == params",
        lambda size: "[" * (size + 1) + "]" * (size + 1) + "!= 1",
        lambda size: "true" + " == true" * (size - 1),
        lambda size: "-" * 4000 + "1 == 1",
        lambda size: "!" * 5 + "(" + "-" * size + "size(1 + 1))",
        lambda size: "(true ? " * (size - 1) + "true" + " : true)" * (size - 1),
        lambda size: "-(" * (size - 2) + "1" + ")" * (size - 2) + " == 1",
        lambda size: "size([" * (size // 2 - 1) + "kind" + "])" * (size // 2 - 1) + " == 1",
    ],
)
def test_nesting_is_bounded_as_in_the_language(make: Callable[[int], str], module: str) -> None:
    for size in (EXPR_DEPTH_MAX - 1, EXPR_DEPTH_MAX, EXPR_DEPTH_MAX + 1, EXPR_DEPTH_MAX + 2):
        assert enforced_claim(make(size), {}, module=module) == meant_claim(make(size), {})


def test_rules_kinds_values_and_dimensions_are_counted() -> None:
    for size, code in ((64, ""), (65, "cap_params_invalid")):
        assert denied({"kinds": ["mail.*"] * size}).deny_code == code
    for size, code in ((1497, ""), (1498, "cap_params_invalid")):  # beside the map, the name and the list
        assert denied({"x-note": [0] * size}).deny_code == code
    rules = [{"deny": "false"}]
    assert denied({"rules": rules * RULES_MAX}).deny_code == ""
    assert denied({"rules": rules * (RULES_MAX + 1)}).deny_code == "cap_params_invalid"
    some, more = {f"a{at}": 1 for at in range(40)}, {f"b{at}": "1" for at in range(25)}
    fitting = {"reserve": some, "usage": some | dict(list(more.items())[:24])}
    assert len(denied(fitting).reserve) == 64
    used = settle(RULES_1, KIND, fitting, {}, dict.fromkeys(fitting["usage"], 9), {}).usage
    assert used == dict.fromkeys(fitting["usage"], 1)
    assert denied({"reserve": some, "usage": some | more}).deny_code == "cap_params_invalid"


@both
@pytest.mark.parametrize(
    ("text", "params", "code"),
    [
        ("size(params.a + params.a) == 32768", {"a": "x" * 16384}, True),
        ("size(params.a + params.a + 'x') == 1", {"a": "x" * 16384}, "too_many_steps"),
        ("size(params.a + params.a) == 2048", {"a": [1] * 1024}, True),
        ("size(params.a + params.a + [1]) == 1", {"a": [1] * 1024}, "too_many_steps"),
        ("params.a == params.a", {"a": [7] * 1000}, True),
        ("params.a == params.a", {"a": [7] * 4000}, "too_many_steps"),
        ("params.a[9000] == 7", {"a": [7] * 9001}, True),
        ("7 in params.a", {"a": [8] * 3000}, False),
        ("7 in params.a", {"a": [8] * 6000}, "too_many_steps"),
        ("!params.a.contains('ab')", {"a": "x" * 20000}, True),
        ("params.a.contains('ab')", {"a": "a" * 20000}, "too_many_steps"),
    ],
)
def test_more_work_than_the_bound_is_a_fault(text: str, params: Any, code: Any, module: str) -> None:
    found = enforced_claim(text, params, module=module)
    assert found == code or (type(code) is str and found[:2] == ("fault", code))


# --- the worst that can be asked ----------------------------------------------------------------------

# Texts that take the most to compile, each within the bounds, and whatever they give is not looked at.
COSTLY = {
    "nothing": "",
    "brackets": "1==1" + "+((((1))))" * 360,
    "sums": "1==1" + "+1" * 400,
    "claims": "true" + "&&true" * 400,
    "keys": "params.a==1" + "||params.a==1" * 100,
    "calls": "size(kind)>1" + "||size(kind)>1" * 130,
    "methods": "''.contains('')" + "&&''.contains('')" * 130,
    "escapes": "''=='" + "\\u00e9" * 600 + "'",
    "items": "1 in [" + "1," * 400 + "]",
    "choices": "true?true:" * 200 + "true",
    "signs": "true" + "&&!true" * 200,
    "joins": "kind" + "+kind" * 300 + "==''",
    "refused at the end": "true" + "&& true" * 400 + " '",
}
DATA: dict[str, tuple[str, Any]] = {
    "small items": ("params.a[17999]==1", {"a": [0] * 18000}),
    "wide items": ("params.a[8999]==1", {"a": [200] * 9000}),
    "large items": ("params.a[1899]==1", {"a": [2**63] * 1900}),
    "texts": ("params.a[8999]==1", {"a": ["a"] * 9000}),
    "long texts": ("params.a[699]==1", {"a": ["a" * 24] * 700}),
    "maps": ("params.a[5999]==1", {"a": [{"": 1}] * 6000}),
    "floats": ("params.a[5999]==1", {"a": [1.5] * 6000}),
    "keys": ("params.zzz==1", {f"{at:03x}": 0 for at in range(3500)}),
    "inner keys": ("params.a.zzz==1", {"a": {f"{at:03x}": 0 for at in range(3500)}}),
    "long keys": (f"params.a.{'a' * 100}==1", {"a": {"a" * 97 + f"{at:03x}": 0 for at in range(170)}}),
    "characters": ("size(params.a)==1", {"a": "é" * 9000}),
    "search": ("params.a.contains('ab')", {"a": "a" * 18000}),
    "long search": ("params.a.contains(params.b)", {"a": "ab" * 7000, "b": "ab" * 50 + "bb"}),
    "equal items": ("params.a==params.a", {"a": [0] * 6000}),
    "equal texts": ("params.a==params.a", {"a": ["abcdefg"] * 2000}),
    "equal maps": ("params.a==params.a", {"a": {f"{at:03x}": 0 for at in range(3000)}}),
    "equal records": ("params.a==params.a", {"a": [{"a": 1, "b": 2}] * 2000}),
    "equal nests": ("params.a==params.a", {"a": [[[[[]]]]] * 2000}),
    "other values": ("params.a==params.b", {name: {f"{at:03x}": sign for at in range(1500)}
                                            for name, sign in (("a", 0), ("b", 1))}),
    "members": ("7 in params.a", {"a": [0] * 9000}),
    "text members": ("'x' in params.a", {"a": ["abc"] * 4000}),
    "record members": ("params.b in params.a", {"a": [{"a": 1, "b": 2}] * 2000, "b": {"a": 1, "b": 3}}),
    "joined texts": ("size(params.a+params.a)==1", {"a": "a" * 9000}),
    "joined lists": ("size(params.a" + "+params.a" * 14 + ")==1", {"a": [0] * 100}),
    "deep": ("params.a==params.b", {name: reduce(lambda x, _: {"a": x, "b": [0] * 40}, range(60), at)
                                    for at, name in enumerate("ab")}),
}  # fmt: skip


def fuel_of(module: str, cap: dict[str, Any], body: Callable[[Any], dict[str, Any]]) -> int:
    """What a question takes; 0 where the kernel refuses its rules or the module is given no such question."""
    found = asked(cap, module)
    if type(found) is tuple:
        return 0
    asking = body(found)
    data = encode({"Settle" if "receipt" in asking else "Check": asking})
    if len(data) > INPUT_BYTES_BUILTIN_MAX:
        return 0
    answer = judge(module, data)
    assert isinstance(answer, bytes), answer
    return sandbox().fuel_used


@both
@pytest.mark.parametrize("costly", COSTLY)
def test_a_check_within_the_bounds_never_runs_out_of_fuel(costly: str, module: str) -> None:
    used = []
    for text, params in DATA.values():
        rules = [{"require": f"({COSTLY[costly]}) || true"}] if costly != "nothing" else []
        room = RULES_BYTES_MAX - len(COSTLY[costly].encode()) - 20
        for count in {min(room // (len(text) + 12), RULES_MAX - 1), 12, 1}:
            cap = {"rules": [*rules, *[{"require": f"({text}) || true"}] * count]}
            used.append(fuel_of(module, cap, lambda found, params=params: check_body(KIND, found, params)))
    assert max(used) < 0.95 * CHECK_FUEL_MAX


NOTES: dict[str, dict[str, Any]] = {
    "in the grant": {"x-note": [0] * 1300},
    "in a rule": {"rules": [{"deny": "false", "x-note": [0] * 1300}]},
    "in every rule": {"rules": [{"deny": "false", "x-note": [0] * 15}] * 60},
    "kinds": {"kinds": ["a.*"] * 63 + [KIND]},
    "too many": {"x-note": [0] * 20_000},
    "too many kinds": {"kinds": ["a"] * 9_000},
}


@both
@pytest.mark.parametrize("notes", NOTES)
def test_what_else_a_grant_holds_never_runs_out_of_fuel(notes: str, module: str) -> None:
    for costly in COSTLY.values():
        for what in ("nothing", "long search", "text members", "equal maps", "wide items"):
            text, params = DATA.get(what, ("true", {}))
            rules = [{"require": f"({text or 'true'}) || true"} for text in (costly, text)]
            cap = NOTES[notes] | {"rules": [*NOTES[notes].get("rules", []), *rules]}
            given = {} if notes.startswith("too many") else params
            used = fuel_of(module, cap, lambda found, given=given: check_body(KIND, found, given))
            assert used < 0.95 * CHECK_FUEL_MAX


@both
@pytest.mark.parametrize("costly", COSTLY)
def test_a_settle_within_the_bounds_never_runs_out_of_fuel(costly: str, module: str) -> None:
    rules = [{"require": f"({COSTLY[costly]}) || true"}] if costly != "nothing" else []
    dims = {f"d{at}": 1 for at in range(64)}
    cap = {"rules": rules, "reserve": dims, "usage": dict.fromkeys(list(dims)[:30], "size(payload)")}
    payloads = [params for _, params in DATA.values()]
    payloads += [{"a": ["é"] * 6000}, {"a": [[0]] * 9000}, {"a": [b"ab"] * 6000}, {"a": "中" * 6000}]
    for payload in payloads:
        used = fuel_of(
            module, cap, lambda found, payload=payload: settle_body(KIND, found, {}, dims, payload)
        )
        assert used < CHECK_FUEL_MAX
