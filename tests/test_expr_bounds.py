"""Expressions cannot be made to cost more than their bounds, whatever the text and the values are."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from splittally.core import expr
from splittally.core.errors import ExpressionError
from splittally.core.expr import ANY, BOOL, ExprFault
from splittally.core.limits import (
    DEPTH_MAX,
    EXPR_BYTES_MAX,
    EXPR_DEPTH_MAX,
    EXPR_NODES_MAX,
    EXPR_STEPS_MAX,
)

from tests.test_expr import NAMES, value_of


@pytest.mark.parametrize(
    ("make", "most"),
    [
        (lambda size: "b" + " " * (size - 1), EXPR_BYTES_MAX),
        (lambda size: "b" + " //" + "é" * ((size - 4) // 2) + "a" * (size % 2), EXPR_BYTES_MAX),
        (lambda size: "(" * size + "b" + ")" * size, EXPR_DEPTH_MAX),
        (lambda size: "!" * (size - 1) + "b", EXPR_DEPTH_MAX),
        (lambda size: "p" + ".a" * (size - 1), EXPR_DEPTH_MAX),
        (lambda size: "p" + "['a']" * (size - 1), EXPR_DEPTH_MAX),
        (lambda size: "p" + "[0]" * (size - 1), EXPR_DEPTH_MAX),
        (lambda size: "[" * (size - 1) + "1" + "]" * (size - 1) + " == p", EXPR_DEPTH_MAX - 1),
        (lambda size: "b" + " && b" * (size - 2), EXPR_NODES_MAX),
        (lambda size: "[" + "1," * (size - 1) + "]", EXPR_NODES_MAX),
    ],
    ids=[
        "bytes",
        "bytes of two-byte characters",
        "brackets",
        "signs",
        "keys",
        "quoted keys",
        "indexes",
        "lists",
        "operands",
        "items",
    ],
)
def test_each_bound_admits_its_number_and_refuses_one_more(make: Any, most: int) -> None:
    for size in (most - 1, most):
        expr.compile(make(size), NAMES, ANY)
    with pytest.raises(ExpressionError):
        expr.compile(make(most + 1), NAMES, ANY)


def test_a_long_chain_is_wide_and_not_deep() -> None:
    assert value_of("n" + " + n" * 900, n=1) == 901
    assert value_of("b" + " && b" * 900) is True
    assert value_of("!b ? 1 : " * 300 + "2") == 2


DEEP: Any = 1
for _ in range(10_000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("text", "value", "code"),
    [
        ("p == p", DEEP, "too_many_steps"),
        ("p", DEEP, "too_many_steps"),
        ("p == p", [0] * EXPR_STEPS_MAX, "too_many_steps"),
        ("p == p", {str(at): 0 for at in range(EXPR_STEPS_MAX)}, "too_many_steps"),
        ("7 in p", [0] * (EXPR_STEPS_MAX + 1), "too_many_steps"),
        ("size(p + p)", [0] * EXPR_STEPS_MAX, "too_many_steps"),
        ("p.contains('b')", "a" * (64 * EXPR_STEPS_MAX + 64), "too_many_steps"),
        ("size(p + 'a') == 0", "a" * (64 * EXPR_STEPS_MAX + 64), "too_many_steps"),
        ("p == 1", 2**70, "wrong_type"),
        ("p == p", 2**70, "wrong_type"),
        ("p < p", -(2**64), "wrong_type"),
        ("p + 1 == 1", -(2**70), "wrong_type"),
        ("p == p", {1: 2}, "wrong_type"),
        ("p == p", (1,), "wrong_type"),
        ("p", "\ud800", "wrong_type"),
        ("p", [{"a": 1.0}], "wrong_type"),
        ("p", {"a": b""}, "wrong_type"),
    ],
)
def test_a_hostile_value_faults(text: str, value: object, code: str) -> None:
    found = value_of(text, p=value)
    assert type(found) is ExprFault
    assert found.code == code


def test_values_up_to_the_bound_are_used() -> None:
    nested: Any = 1
    for _ in range(DEPTH_MAX):
        nested = [nested]
    assert value_of("p == p", p=nested) is True
    assert value_of("7 in p", p=[0] * (EXPR_STEPS_MAX - 1)) is False
    assert value_of("p.contains('b')", p="a" * (64 * EXPR_STEPS_MAX - 64)) is False


@pytest.mark.parametrize(
    ("text", "make", "most"),
    [
        ("p == p", lambda size: [0] * size, EXPR_STEPS_MAX - 1),
        ("p == p", lambda size: {str(at): 0 for at in range(size)}, (EXPR_STEPS_MAX - 1) // 3),
        ("7 in p", lambda size: [0] * size, EXPR_STEPS_MAX),
        ("size(p + p) > 0", lambda size: [0] * size, EXPR_STEPS_MAX // 2),
        ("size(p + p) > 0", lambda size: "a" * size, 32 * EXPR_STEPS_MAX + 31),
        ("p.contains('b')", lambda size: "a" * size, 64 * EXPR_STEPS_MAX + 62),
    ],
)
def test_a_run_takes_as_many_steps_as_are_stated_and_not_one_more(text: str, make: Any, most: int) -> None:
    """One a value, one a key of each map, one an item that is joined, one a 64 characters."""
    assert type(value_of(text, BOOL, p=make(most))) is bool
    found = value_of(text, BOOL, p=make(most + 1))
    assert (type(found), found.code) == (ExprFault, "too_many_steps")


_ELSEWHERE = """
from splittally.core import expr
value = {"p": {"b": 1, "a": 1.5, "c": [1, "x"]}}
for text in ("p == p", "'x' in p.c", "p", "1 in p.c", "p.b in [3, 1, 2]", "p.zz"):
    print(expr.compile(text, {"p": expr.ANY}, expr.ANY).evaluate(value))
"""


def test_the_answer_is_the_same_in_every_process() -> None:
    """Published CEL libraries differ here: their maps have the order of the process."""
    seen = set()
    for seed in "123":
        env = {"PYTHONHASHSEED": seed, "PYTHONPATH": _source()}
        run = subprocess.run(
            [sys.executable, "-c", _ELSEWHERE], env=env, capture_output=True, text=True, check=True
        )
        seen.add(run.stdout)
    assert len(seen) == 1
    assert len(seen.pop().splitlines()) == 6


def _source() -> str:
    return str(Path(expr.__file__).parents[3])
