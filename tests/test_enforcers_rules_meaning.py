"""The rules enforcers and the kernel's own expressions mean the same by every text, value and fault."""

import os
import random
import secrets
from collections import Counter
from typing import Any

import pytest
from splittally.core import expr
from splittally.core.caps.rules import CONDITION_NAMES
from splittally.core.expr.values import Run
from splittally.core.limits import EXPR_STEPS_MAX

from tests import rule_asking as asking
from tests.rule_texts import Texts, changed, some_map, some_value
from tests.test_enforcers_abi import RULES, RULES_1
from tests.test_expr_spec import PARAMS, table

SEED = int(os.environ.get("SPLITTALLY_SEED", secrets.randbelow(2**32)))
ROUNDS = int(os.environ.get("SPLITTALLY_ROUNDS", "3000"))
both = pytest.mark.parametrize("module", [RULES, RULES_1])
FAULTS = {"missing_key", "wrong_type", "overflow", "zero_divisor"}


def kind_of(answer: Any) -> str:
    return answer[1] if type(answer) is tuple and answer[0] == "fault" else type(answer).__name__


@both
def test_generated_expressions_have_the_same_value_or_fault_at_the_same_character(module: str) -> None:
    rng = random.Random(SEED)
    texts, seen = Texts(rng), Counter[str]()
    for _ in range(ROUNDS):
        kind, params = rng.choice("bbi"), some_map(rng)
        text = texts.of(kind, rng.randrange(1, 6))
        ask, mean = (
            (asking.enforced_int, asking.meant_int)
            if kind == "i"
            else (asking.enforced_claim, asking.meant_claim)
        )
        found, expected = ask(text, params, module=module), mean(text, params)
        assert asking.agrees(found, expected), f"seed {SEED}: {text!r} {params} {found} {expected}"
        seen[kind_of(expected)] += 1
    assert seen.keys() >= FAULTS | {"bool", "int"}, "the generator must make all sorts"


def test_damaged_texts_are_refused_at_the_same_character_or_still_mean_the_same() -> None:
    rng = random.Random(SEED)
    texts, refusals = Texts(rng), 0
    for _ in range(ROUNDS):
        text, params = texts.damaged(texts.of("b", rng.randrange(1, 5))), some_map(rng, 1)
        found = asking.enforced_claim(text, params, module=RULES_1)
        expected = asking.meant_claim(text, params)
        assert asking.agrees(found, expected), f"seed {SEED}: {text!r} {params} {found} {expected}"
        refusals += type(expected) is tuple and expected[0] == "refused"
    assert ROUNDS // 3 < refusals < ROUNDS


def test_words_in_any_order_are_refused_at_the_same_character() -> None:
    rng = random.Random(SEED)
    texts = Texts(rng)
    for _ in range(ROUNDS):
        text, params = texts.any_words(), some_map(rng, 1)
        found = asking.enforced_claim(text, params, module=RULES_1)
        expected = asking.meant_claim(text, params)
        assert asking.agrees(found, expected), f"seed {SEED}: {text!r} {params} {found} {expected}"


@both
def test_a_usage_reads_the_receipt_and_the_reserve_as_the_language_does(module: str) -> None:
    rng = random.Random(SEED)
    texts, seen = Texts(rng, is_usage=True), Counter[str]()
    for _ in range(ROUNDS):
        text = texts.of("i", rng.randrange(1, 5)) if rng.random() < 0.8 else texts.any_words()
        settling = {
            "params": some_map(rng, 1),
            "reserve": {key: rng.randrange(2**64) for key in "ab" if rng.random() < 0.8},
            "payload": some_map(rng, 2) if rng.random() < 0.9 else {"a": "x" * rng.randrange(300)},
            "status": rng.choice(["ok", "error", "timeout"]),
            "cost_cents": rng.choice([None, 0, 7, 2**64 - 1]),
        }
        settling["reserve"].pop("x", None)
        found, expected = asking.enforced_usage(text, settling, module), asking.meant_usage(text, settling)
        assert asking.agrees(found, expected), f"seed {SEED}: {text!r} {settling} {found} {expected}"
        seen[kind_of(expected)] += 1
    assert seen.keys() >= {"missing_key", "wrong_type", "int"}


# --- equality and steps -------------------------------------------------------------------------------

COMPARISONS = [
    "params.x == params.y", "params.x != params.y", "[params.x] == [params.y]", "params.x in [params.y]",
    "params.y in [1, params.x]", "params.x in params.y", "[params.x] + [1] == [params.y, 1]",
]  # fmt: skip
LISTS = {f"l{size}": [1] * size for size in (100, 50, 20, 8)}


def steps_of(text: str, params: Any) -> int:
    run = Run(asking.condition_values(params))
    expr.compile(text, CONDITION_NAMES)._meaning(run)
    return EXPR_STEPS_MAX - run.steps


def spending(steps: int) -> str:
    """A true claim that takes exactly so many steps, by joining lists, and makes fewer than 2048 items."""
    claims, room = ["true"], 2000
    while steps > 16:
        for size in (100, 50, 20, 8):
            lists, taken = 1, 0
            while taken + size * (lists + 1) <= steps and size * (lists + 1) <= room:
                lists += 1
                taken += size * lists
            if taken:
                break
        claims.append("size(" + " + ".join([f"params.l{size}"] * lists) + ") > 0")
        steps, room = steps - taken, room - size * lists
    return " && ".join([*claims, *["size([1] + []) > 0"] * steps])


@both
def test_equality_is_decided_by_the_same_difference_and_takes_the_same_steps(module: str) -> None:
    """Keys stand in another order in canonical bytes, so what is met first there does not decide."""
    rng = random.Random(SEED)
    seen = Counter[str]()
    for _ in range(ROUNDS // 4):
        one = some_value(rng, rng.randrange(1, 4))
        params = {"x": one, "y": changed(rng, one) if rng.random() < 0.8 else one} | LISTS
        text = rng.choice(COMPARISONS)
        found = asking.enforced_claim(text, params, module=module)
        expected = asking.meant_claim(text, params)
        assert asking.agrees(found, expected), f"seed {SEED}: {text!r} {params} {found} {expected}"
        seen[kind_of(expected)] += 1
        if type(expected) is not bool or rng.random() < 0.7:
            continue
        left = EXPR_STEPS_MAX - steps_of(text, params)
        claim = f"({text}) == {str(expected).lower()}"
        assert asking.enforced_claim(f"{claim} && {spending(left)}", params, module=module) is True
        beyond = f"{claim} && {spending(left + 1)}"
        assert asking.enforced_claim(beyond, params, module=module) == asking.meant_claim(beyond, params)
        seen[kind_of(asking.meant_claim(beyond, params))] += 1
    assert seen.keys() >= {"bool", "wrong_type", "too_many_steps"}


@both
@pytest.mark.parametrize(
    "text",
    [
        "params.a.contains('x')", "params.b.contains('x')", "params.b.contains(params.b)",
        "size(params.a + params.b) > 0", "size(params.b + 'x' + params.b) > 0", "params.l8 == params.l8",
        "7 in [1, 2, 3]", "7 in [1, 2, -3]", "'x' in ['a', 'b']", "true in [false]", "'x' in params.c",
        "params.d == params.d", "params.d == params.e", "kind in params.d",
        "[params.d, params.e] == [params.d, params.e]", "params.l8 + params.l8 == params.l20",
    ],
)  # fmt: skip
def test_what_the_language_counts_as_steps_is_counted_alike(text: str, module: str) -> None:
    wide = {"k": {"é": 1, "b": [1, {"aa": 2}]}, "aa": "x"}
    params = LISTS | {"a": "x" * 700, "b": "é" * 700, "c": ["a", "b"], "d": wide, "e": wide | {"b": 1}}
    value = asking.meant_claim(text, params)
    assert type(value) is bool
    left = EXPR_STEPS_MAX - steps_of(text, params)
    claim = f"({text}) == {str(value).lower()}"
    within, beyond = (f"{claim} && {spending(steps)}" for steps in (left, left + 1))
    assert asking.enforced_claim(within, params, module=module) is True
    assert asking.enforced_claim(beyond, params, module=module)[1] == "too_many_steps"


@both
@pytest.mark.parametrize("around", [2, 3, 4, 5, 6])
def test_what_is_nested_deeper_than_the_data_model_is_not_compared(around: int, module: str) -> None:
    """A value has 64 levels at most, and a text can put some lists around it."""
    nested: Any = 1
    for _ in range(60):
        nested = [nested]
    side = "[" * around + "params.a" + "]" * around
    expected = True if around <= 4 else ("fault", "too_many_steps", len(side) + 2)
    asked = f"{side} == {side}", {"a": nested}
    assert asking.enforced_claim(*asked, module=module) == asking.meant_claim(*asked) == expected


# One a line, with `⏎` for a line's end within.
ODD = r"""
kind == '\ud800'
kind == '\udfff'
kind == '\ud83d\ude00'
kind == '\U0000dfff'
kind == '\U00110000'
kind == '\U0010ffff'
kind == '\u12'
kind == '\x41'
kind == 'é\q'
kind == '😀\u00e'
'\
'a⏎b'
'\⏎'
"\'"
'\"'
'"'
'é' == 'e' + '\u0301'
kind // é
kind == 'é' // 'é⏎ && 1
/ / 1
0x
0xg
0X1f == 31
00 == 0
1 .a
1.
1in [1]
params.true
params.if
params.null
params.in
if
in
params.size(1)
size
has
size()
has(params)
has((params.a))
has(params['a'])
has(kind.a)
has(origin.a)
[1,]
[,]
[1 2]
[
[]
[[]] == [[],[]]
[][0]
[][0] + 1
1 + [][0] == 1
[][0] == 1
![][0]
'a' in [][0]
[][0] in ['a']
[1, true ? 'a' : 'b'] == []
[1, true ? 'a' : 'b', false ? 1 : kind]
[1 - 'a', true ? 2 - 'a' : 3 - 'a'] == []
[true ? 1 - 'a' : 2 - 'a', 3 - 'a'] == []
true ? 1 : 'a'
1 ? kind - 1 : kind - 2
true ? kind - 1 : true ? kind - 2 : kind - 3
true ? 1 : true ? 'a' : kind - 3
true ? kind - 1 : 2 ? 'a' : 3
(1 ? 2 : 3) + (true ? kind - 1 : 4)
kind - 1 + (true ? kind - 2 : kind - 3)
(true ? kind - 2 : kind - 3) + (kind - 1)
params[true ? kind - 1 : kind - 2]
kind[true ? kind - 1 : kind - 2]
size(true ? kind - 1 : kind - 2)
true ? (true ? kind - 1 : kind - 2) : (true ? kind - 3 : kind - 4)
true ? 1 : params.x
true ? params.a : 'a'
true ? 1 : 2 ? 'a' : params.x
true ? true ? 1 : 2 : 3
true ? 1
1 < 2 < 3
1 == 1 == true
!1
-true
- - 1 == 1
!!true
1 - -1 == 2
true && 1
1 || true
&& true
()
(1
1)
(1]
params[1]['a'].b
origin['x']
origin[kind]
origin[1]
kind[0]
params[true]
now_ns.a
$
=
1 = 1
""".strip().splitlines()


@both
@pytest.mark.parametrize("text", ODD)
def test_an_odd_text_is_refused_at_the_same_character_or_means_the_same(text: str, module: str) -> None:
    text, params = text.replace("⏎", "\n"), {"a": [{"b": 1}], "if": True, "in": True}
    assert asking.agrees(asking.enforced_claim(text, params, module=module), asking.meant_claim(text, params))
    assert asking.agrees(asking.enforced_int(text, params, module), asking.meant_int(text, params))


# --- the page -----------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize(("text", "value"), table("expression | value"))
def test_an_expression_of_the_page_has_the_value_of_the_page(text: str, value: str, module: str) -> None:
    assert asking.enforced_claim(f"({text}) == ({value})", PARAMS, module=module) is True


@both
def test_the_faults_of_the_page_are_the_faults_of_the_enforcer(module: str) -> None:
    for code, _, text in table("code | when | example"):
        if text:
            assert asking.enforced_claim(text, PARAMS, module=module)[:2] == ("fault", code)
