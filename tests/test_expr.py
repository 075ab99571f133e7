"""The expression language, row by row: what a text means, what it faults with, what does not compile."""

from typing import Any

import pytest
from splittally.core import expr
from splittally.core.errors import ExpressionError
from splittally.core.expr import ANY, BOOL, INT, STRING, ExprFault, Type, list_of, map_of, record
from splittally.core.limits import INT_MAX, INT_MIN

NAMES: dict[str, Type] = {
    "n": INT,
    "s": STRING,
    "b": BOOL,
    "p": ANY,
    "l": list_of(INT),
    "m": map_of(INT),
    "r": record({"x": INT, "sub": record({"y": STRING})}),
    "q": record({"one": INT, "two": INT}),
}
VALUES: dict[str, Any] = {
    "n": 5,
    "s": "pay",
    "b": True,
    "p": {
        "to": ["a@x.com", "b@y.org"],
        "amount": 12,
        "half": 1.5,
        "most": INT_MAX,
        "yes": True,
        "none": None,
        "raw": b"x",
        "maps": [{"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 1, "c": 2}, {"a": 1, "b": 3}],
    },
    "l": [1, 2, 3],
    "m": {"usd": 7},
    "r": {"x": 1, "sub": {"y": "z"}},
    "q": {"one": 1, "two": 2},
}


def value_of(text: str, result: Type = ANY, **values: Any) -> Any:
    return expr.compile(text, NAMES, result).evaluate(VALUES | values)


MEANS = [
    ("1 + 2 * 3", 7),
    ("(1 + 2) * 3", 9),
    ("10 - 3 - 2", 5),
    ("-7 / 2", -3),
    ("7 / -2", -3),
    ("-7 % 2", -1),
    ("7 % -2", 1),
    ("-(-5)", 5),
    ("--5", 5),
    ("0x10 + 007", 23),
    (f"{INT_MAX}", INT_MAX),
    (f"{INT_MIN}", INT_MIN),
    ("'a' + \"b\"", "ab"),
    (r"'\n\t\\\'\u00e9\U0001f600'", "\n\t\\'é😀"),
    ("[1, 2] + [3]", [1, 2, 3]),
    ("[1, 2,]", [1, 2]),
    ("size('é😀')", 2),
    ("size(l) + size(m) + size([])", 4),
    ("l[0]", 1),
    ("m.usd", 7),
    ("m['usd']", 7),
    ("r.sub.y", "z"),
    ("p.to[1]", "b@y.org"),
    ("p[s.startsWith('p') ? 'amount' : 'to']", 12),
    ("has(m.usd) && !has(m.eur)", True),
    ("has(p.none)", True),
    ("'usd' in m && !('eur' in m)", True),
    ("2 in l && !(9 in l) && s in ['pay', 'get']", True),
    ("p.amount in [11, 12]", True),
    ("p.to[0].endsWith('@x.com') && p.to[1].contains('@') && s.startsWith('')", True),
    ("l == [1, 2, 3] && l != [1, 2]", True),
    ("p.to == ['a@x.com', 'b@y.org']", True),
    ("'Z' < 'a' && '\\ue000' < '\\U00010000'", True),
    ("n < 6 == true", True),
    ("n <= 5 && n >= 5 && !(n <= 4) && !(n >= 6) && !(n < 5) && !(n > 5)", True),
    ("[p.amount] == [12] && [[1]] + [[]] == [[1], []]", True),
    ("p.maps[0] == p.maps[1]", True),
    ("p.maps[0] == p.maps[2] || p.maps[0] == p.maps[3]", False),
    ("q[s == 'pay' ? 'one' : 'two'] + 1", 2),
    ("r[b ? 'x' : 'sub'] == 1 && r[b ? 'sub' : 'x'].y == 'z'", True),
    ("b ? 1 : 2", 1),
    ("!b ? 1 : n == 5 ? 2 : 3", 2),
    ("true || 1 / 0 == 1", True),
    ("true || false && false", True),
    ("false && size(s) > 9 && b", False),
    ("true || size(s) > 9 || b", True),
    ("b && false && size(s) > 9 && b", False),
    ("false && false || true", True),
    ("true && true && false", False),
    ("false || false || true", True),
    ("true && false && p.missing", False),
    ("false && p.missing", False),
    ("n > 0 // and nothing more", True),
]


@pytest.mark.parametrize(("text", "meant"), MEANS, ids=[text for text, _ in MEANS])
def test_an_expression_means(text: str, meant: object) -> None:
    found = value_of(text)
    assert (type(found), found) == (type(meant), meant)


FAULTS = [
    ("1 / 0 == 1", "zero_divisor"),
    ("1 % 0 == 1", "zero_divisor"),
    (f"{INT_MAX} + 1 == 0", "overflow"),
    (f"{INT_MIN} - 1 == 0", "overflow"),
    (f"-{INT_MIN - 1} == 0".replace("--", "-"), "overflow"),
    ("-n == 0", "overflow"),
    (f"{INT_MAX} * 2 == 0", "overflow"),
    (f"2 * {INT_MIN} == 0", "overflow"),
    ("p.most + p.most == 0", "overflow"),
    ("p.most * p.amount == 0", "overflow"),
    ("-p.most == 0", "overflow"),
    ("size(p.yes) == 1", "wrong_type"),
    ("size(p.amount) == 1", "wrong_type"),
    ("p.yes + 1 == 2", "wrong_type"),
    ("p.yes + p.yes == 2", "wrong_type"),
    ("p.amount in [true]", "wrong_type"),
    ("m.eur == 1", "missing_key"),
    ("p.missing", "missing_key"),
    ("p['missing']", "missing_key"),
    ("l[3] == 1", "missing_key"),
    ("l[-1] == 1", "missing_key"),
    ("p.to[2] == 'a'", "missing_key"),
    ("p.half == 1", "wrong_type"),
    ("p.half == p.half", "wrong_type"),
    ("p.none == p.none", "wrong_type"),
    ("p.raw == p.raw", "wrong_type"),
    ("p.amount == true", "wrong_type"),
    ("p.amount == 'a'", "wrong_type"),
    ("p.amount == p.to", "wrong_type"),
    ("p.amount < p.to", "wrong_type"),
    ("p < p", "wrong_type"),
    ("p.amount + p.to == 1", "wrong_type"),
    ("p.amount", "wrong_type"),
    ("p.amount.usd == 1", "wrong_type"),
    ("size(p.amount) == 1", "wrong_type"),
    ("size(p.raw) == 1", "wrong_type"),
    ("p.amount in ['a']", "wrong_type"),
    ("1 in p", "wrong_type"),
    ("1 in p.amount", "wrong_type"),
    ("has(p.amount.usd)", "wrong_type"),
    ("p.missing || true", "missing_key"),
    ("p.missing && false", "missing_key"),
    ("p.missing ? true : true", "missing_key"),
]


@pytest.mark.parametrize(("text", "code"), FAULTS, ids=[text for text, _ in FAULTS])
def test_an_expression_without_a_value_faults(text: str, code: str) -> None:
    """Left to right: a fault on the left is not hidden by what stands on the right, as CEL would."""
    found = value_of(text, BOOL, n=INT_MAX)
    assert type(found) is ExprFault
    assert found.code == code
    assert found.text.startswith("at character ")


def test_every_fault_code_has_an_expression_that_faults_with_it() -> None:
    assert {code for _, code in FAULTS} | {"too_many_steps"} == set(expr.FAULT_CODES)


REFUSED = [
    ("", 1, "a value"),
    ("1 +", 4, "a value"),
    ("(1", 3, "`)`"),
    ("1 2", 3, "an operator or the end"),
    ("n = 1", 3, "a value or an operator"),
    ("n ? 1 : 2", 1, "bool"),
    ("b ? 1", 6, "`:`"),
    ("b ? 1 : 'a'", 5, "one type"),
    ("'open", 1, "a closing quote"),
    ("'a\nb'", 1, "a closing quote"),
    (r"'\x41'", 2, r"one of \n \r \t \\ \" \' \` \?"),
    (r"'\ud800'", 1, "characters"),
    (r"'\U00110000'", 2, "a character"),
    ("1.5", 2, "an operator"),
    ("1e3", 2, "an operator"),
    ("1u", 2, "an operator"),
    (f"{INT_MAX + 1}", 1, "a smaller integer"),
    ("9" * 5000, 1, "a smaller integer"),
    ("null == p", 1, "a value"),
    ("{'a': 1}", 1, "a value or an operator"),
    ("b'ab'", 2, "an operator or the end"),
    ("x > 1", 1, "one of `b`, `l`, `m`, `n`, `p`, `q`, `r`, `s`"),
    ("r.z", 3, "one of `sub`, `x`"),
    ("r['z']", 3, "one of `sub`, `x`"),
    ("has(r.z)", 7, "one of `sub`, `x`"),
    ("n.x", 1, "a map"),
    ("n[0]", 1, "a map or a list"),
    ("l['a']", 3, "int"),
    ("m[1]", 3, "string"),
    ("s.matches('a')", 3, "one of `contains`, `endsWith`, `startsWith`"),
    ("l.all(x, x > 0)", 3, "one of `contains`, `endsWith`, `startsWith`"),
    ("int('1')", 1, "`has` or `size`"),
    ("size(n)", 6, "a string, list or map"),
    ("has(p)", 5, "`has(map.key)`"),
    ("has(p['a'])", 6, "`has(map.key)`"),
    ("n == 'a'", 3, "values of one type"),
    ("l == m", 3, "values of one type"),
    ("[l] == [m]", 5, "values of one type"),
    ("n == true", 3, "values of one type"),
    ("l < l", 3, "two ints or two strings"),
    ("b < b", 3, "two ints or two strings"),
    ("n + 'a'", 3, "two ints, two strings or two lists"),
    ("l[0] == 'a'", 6, "values of one type"),
    ("m[s] == 'a'", 6, "values of one type"),
    ("q[s] == 'a'", 6, "values of one type"),
    ("[[1]] == [['a']]", 7, "values of one type"),
    ("m + m", 3, "two ints, two strings or two lists"),
    ("b - 1", 1, "int"),
    ("!n", 2, "bool"),
    ("-s", 2, "int"),
    ("n && b", 1, "bool"),
    ("[1, 'a']", 5, "int as the items before it"),
    ("'a' in l", 1, "int, as in the list"),
    ("1 in m", 1, "string"),
    ("1 in n", 6, "a list or a map"),
    ("n", 1, "bool"),
    ("s\u202e", 2, "a value or an operator"),
    ("n\u00a0> 1", 2, "a value or an operator"),
    ("\ud800", 1, "a value or an operator"),
    ("p.true", 3, "the name of a key"),
]


@pytest.mark.parametrize(
    ("text", "at", "expected"), REFUSED, ids=[ascii(text[:30]) for text, _, _ in REFUSED]
)
def test_what_does_not_compile_says_where_and_what_was_expected(text: str, at: int, expected: str) -> None:
    with pytest.raises(ExpressionError) as refusal:
        expr.compile(text, NAMES)
    assert refusal.value.facts == {"at": at, "expected": expected}
    assert str(refusal.value).startswith(f"at character {at}: ")
    assert str(refusal.value).isascii()


def test_only_text_is_an_expression() -> None:
    for odd in (None, 1, b"true", ["true"]):
        with pytest.raises(ExpressionError):
            expr.compile(odd, NAMES)  # type: ignore[arg-type]


def test_lists_of_different_size_differ_before_any_item_is_used() -> None:
    assert value_of("p == [1]", p=[1.0, 2]) is False
    assert value_of("p == p.x", p={"x": {}}) is False


def test_a_stated_type_that_the_value_has_not_is_a_fault() -> None:
    for text, given in (
        ("n == 1", {"n": True}),
        ("b", {"b": 1}),
        ("s == 'a'", {"s": b"a"}),
        ("2 in l", {"l": ["a"]}),
    ):
        found = value_of(text, **given)
        assert type(found) is ExprFault and found.code == "wrong_type"
    assert value_of("r.x == 1", r={"x": 1, "extra": 1.5}) is True
    found = expr.compile("r", NAMES, NAMES["r"]).evaluate({"r": {"x": 1, "extra": 1}})
    assert type(found) is ExprFault and found.code == "wrong_type"


def test_a_name_without_a_value_is_a_fault() -> None:
    found = expr.compile("n == 1", NAMES).evaluate({})
    assert found == ExprFault("missing_key", "at character 1: no value for `n`")


def test_the_result_has_the_type_that_was_asked_for() -> None:
    assert value_of("p.to", list_of(STRING)) == ["a@x.com", "b@y.org"]
    assert value_of("p.amount", INT) == 12
    for text, result in (("p.to", list_of(INT)), ("p.amount", STRING), ("p", map_of(INT))):
        assert value_of(text, result).code == "wrong_type"


def test_an_expression_leaves_its_values_as_they_were() -> None:
    before = repr(VALUES)
    for text, _ in MEANS:
        value_of(text)
    assert repr(VALUES) == before


def test_a_fault_names_no_value_of_the_input() -> None:
    """Fault texts go into records and are read by agents."""
    for text in ("p[s] == 1", "p[s].a == 1", "p.to == s"):
        found = value_of(text, s="hunter2")
        assert type(found) is ExprFault and "hunter2" not in found.text
