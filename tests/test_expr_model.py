"""Generated expressions: the kernel agrees with an obvious interpreter, and with CEL where they overlap."""

import os
import random
import secrets
import warnings
from typing import Any

import pytest
from splittally.core import expr
from splittally.core.expr import BOOL, INT, STRING, ExprFault, list_of

from tests.expr_maker import EDGES, Maker, some_values, text_of
from tests.expr_model import NAMES, Model, ModelFault

SEED = int(os.environ.get("SPLITTALLY_SEED", secrets.randbelow(2**32)))
ROUNDS = int(os.environ.get("SPLITTALLY_ROUNDS", "4000"))
RESULTS = [BOOL, BOOL, BOOL, INT, STRING, list_of(INT)]


def agrees(found: Any, expected: Any) -> bool:
    """Alike in value and in every type within."""
    return type(found) is type(expected) and repr(found) == repr(expected)


def test_typed_expressions_mean_what_the_model_says() -> None:
    rng = random.Random(SEED)
    kinds = set()
    for _ in range(ROUNDS):
        result = rng.choice(RESULTS)
        tree = Maker(rng).tree(result, rng.randrange(5))
        text, values = text_of(tree, rng), some_values(rng, EDGES)
        expected = Model(values).result(tree, result)
        found = expr.compile(text, NAMES, result).evaluate(values)
        if isinstance(expected, ModelFault):
            is_same = type(found) is ExprFault and found.code == str(expected)
        else:
            is_same = agrees(found, expected)
        assert is_same, f"seed {SEED}: {text!r} {values} {found} {expected!r}"
        kinds.add(str(expected) if isinstance(expected, ModelFault) else type(expected))
    assert kinds >= {"missing_key", "overflow", "zero_divisor", bool, int, str, list}


def test_a_value_of_unknown_type_is_used_as_its_type_or_faults() -> None:
    """The type of `p` is `any`: null, floats, bytes, 2^70 and values of the wrong type are never used."""
    rng = random.Random(SEED)
    faults = wrong = 0
    for _ in range(ROUNDS):
        result = rng.choice(RESULTS)
        tree = Maker(rng, any_share=0.25).tree(result, rng.randrange(4))
        text, values = text_of(tree, rng), some_values(rng, EDGES)
        expected = Model(values).result(tree, result)
        found = expr.compile(text, NAMES, result).evaluate(values)
        if isinstance(expected, ModelFault):
            faults += 1
            wrong += str(expected) == "wrong_type"
            is_same = type(found) is ExprFault
        else:
            is_same = agrees(found, expected)
        assert is_same, f"seed {SEED}: {text!r} {values} {found} {expected!r}"
    assert 0 < wrong < faults < ROUNDS, "the generator must make all sorts"


@pytest.mark.filterwarnings("ignore")
def test_cel_gives_the_same_values_where_the_languages_overlap() -> None:
    """What the oracle does otherwise is left out: integers above 2^63-1, `&&` and `||` that hide an error,
    a negative index counted from the end, sums of strings that have lost their methods.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import celpy  # noqa: PLC0415 - importing it warns, and warnings are errors
        from celpy.adapter import json_to_cel  # noqa: PLC0415
    environment = celpy.Environment()
    edges = [edge for edge in EDGES if -(2**63) < edge < 2**63]
    rng = random.Random(SEED)
    compared = 0
    for _ in range(ROUNDS // 16):
        result = rng.choice([BOOL, BOOL, INT, STRING])
        tree = Maker(rng, edges=edges, methods_on=0).tree(result, rng.randrange(4))
        text, values = text_of(tree, rng), some_values(rng, edges)
        model = Model(values)
        model.result(tree, result)
        if any(not -(2**63) <= seen < 2**63 for seen in model.seen):
            continue
        found = expr.compile(text, NAMES, result).evaluate(values)
        names = {name: json_to_cel(value) for name, value in values.items() if name != "p"}
        try:
            meant = environment.program(environment.compile(text)).evaluate(names)
        except celpy.CELEvalError:
            assert type(found) is ExprFault, f"seed {SEED}: {text!r} {values} {found}"
            continue
        if type(found) is ExprFault:
            if "no item" in found.text:
                continue
            assert "&&" in text or "||" in text, f"seed {SEED}: {text!r} {values} {found} {meant!r}"
            continue
        compared += 1
        assert found == type(found)(meant), f"seed {SEED}: {text!r} {values} {found} {meant!r}"
    assert compared > ROUNDS // 64
