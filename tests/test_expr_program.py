"""A program means what its text means: generated expressions run on an obvious machine for programs."""

import json
import random
import re
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from splittally.core import expr
from splittally.core.canonical import decode, encode
from splittally.core.errors import ExpressionError
from splittally.core.expr import ANY, BOOL, INT, ExprFault
from splittally.core.expr.program import KINDS, OPCODES
from splittally.core.limits import EXPR_NODES_MAX

from tests import program_model as machine
from tests import test_expr
from tests.expr_maker import EDGES, Maker, some_values, text_of
from tests.expr_model import NAMES
from tests.test_expr_spec import PAGE, table

ITEMS_PER_PART_MAX = 9  # a key that is checked has three; of a claim of `&&` and a choice there are more


def by_program(text: str, values: dict[str, Any], result: expr.Type, names: Any = NAMES) -> Any:
    """The value of the program of a text; of a fault its code and character."""
    code = expr.program(text, names, result).code
    try:
        return machine.run(code, [values[name] for name in names])
    except machine.ProgramFault as fault:
        return "fault", fault.code, fault.at


def by_text(text: str, values: dict[str, Any], result: expr.Type, names: Any = NAMES) -> Any:
    found = expr.compile(text, names, result).evaluate(values)
    if type(found) is ExprFault:
        return "fault", found.code, int(found.text.split(":")[0].removeprefix("at character "))
    return found


@given(st.randoms(use_true_random=False), st.sampled_from([0.0, 0.25]), st.sampled_from([BOOL, BOOL, INT]))
def test_a_program_gives_the_value_or_the_fault_of_its_text(
    rng: random.Random, any_share: float, result: expr.Type
) -> None:
    tree = Maker(rng, any_share).tree(result, rng.randrange(5))
    text, values = text_of(tree, rng), some_values(rng, EDGES)
    expected = by_text(text, values, result)
    found = by_program(text, values, result)
    if expected[1:2] != ("too_many_steps",) if type(expected) is tuple else True:
        assert (type(found), found) == (type(expected), expected), text


def test_each_row_of_the_language_has_a_program_of_the_same_value_or_fault() -> None:
    count = 0
    for text, _ in [*test_expr.MEANS, *test_expr.FAULTS]:
        for result in (BOOL, INT):
            asked = (text, test_expr.VALUES, result, test_expr.NAMES)
            try:
                expected = by_text(*asked)
            except ExpressionError:
                continue  # it has another type
            found = by_program(*asked)
            assert (type(found), found) == (type(expected), expected), text
            count += 1
    assert count > 90, "most rows are a claim or a number"


@given(st.randoms(use_true_random=False))
def test_a_program_is_one_flat_canonical_list_that_only_goes_forward(rng: random.Random) -> None:
    text = text_of(Maker(rng, 0.2).tree(BOOL, rng.randrange(6)), rng)
    program = expr.program(text, NAMES)
    items = decode(program.code)
    assert encode(items) == program.code == expr.program(text, NAMES).code
    rows = machine.instructions(program.code)
    starts = {at for at, *_ in rows} | {len(items)}
    for at, name, character, operand in rows:
        assert character < len(text)
        if name in ("and", "or", "else", "skip"):
            assert at + 3 + operand in starts, "what is passed over ends where an instruction does"
    assert len(items) <= ITEMS_PER_PART_MAX * program.parts


def test_every_opcode_has_a_program_that_holds_it() -> None:
    rng, seen = random.Random(7), Counter[str]()
    for _ in range(600):
        text = text_of(Maker(rng, 0.2).tree(BOOL, 4), rng)
        seen.update(name for _, name, _, _ in machine.instructions(expr.program(text, NAMES).code))
    assert set(seen) == set(OPCODES)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("true", "push true"),
        ("!b", "load 4, not"),
        ("p.x == 1", "load 10, key 'x', need 0, push 1, same"),
        ("p == p", "load 10, load 10, equal"),
        ("i <= j", "load 0, load 1, more, not"),
        ("i in [1, 2]", "load 0, push [1, 2], among"),
        ("i in ints", "load 0, load 6, in"),
        ("b && c", "load 4, and 3, load 5"),
        ("b ? c : true", "load 4, else 6, load 5, skip 3, push true"),
        ("m.x > 0", "load 8, key 'x', push 0, more"),
        ("size([i, 2]) == 2", "load 0, push 2, list 2, size, push 2, same"),
    ],
)
def test_a_program_reads_as_its_page_says(text: str, shown: str) -> None:
    rows = machine.instructions(expr.program(text, NAMES).code)
    spelled = {True: "true", False: "false"}
    words = [
        name if operand is None else f"{name} {spelled[operand] if type(operand) is bool else repr(operand)}"
        for _, name, _, operand in rows
    ]
    assert ", ".join(words) == shown


def test_a_claim_can_be_compiled_as_its_contrary() -> None:
    values = some_values(random.Random(1), EDGES) | {"b": True}
    code = expr.program("b", NAMES, BOOL, is_denied=True).code
    assert machine.run(code, [values[name] for name in NAMES]) is False


def test_what_does_not_compile_has_no_program() -> None:
    for text in ("1 +", "b + 1", "unknown", "b &&"):
        with pytest.raises(ExpressionError) as refused:
            expr.program(text, NAMES)
        with pytest.raises(ExpressionError) as also:
            expr.compile(text, NAMES)
        assert str(refused.value) == str(also.value)


def test_the_largest_expression_has_a_program_of_bounded_size() -> None:
    for text in (
        "b" + " && b" * (EXPR_NODES_MAX - 2),
        "i in [" + "1," * (EXPR_NODES_MAX - 3) + "]",
        "b ? b : " * ((EXPR_NODES_MAX - 2) // 2) + "b",
        "i" + " + i" * (EXPR_NODES_MAX // 2) + " == 1",
    ):
        program = expr.program(text, NAMES)
        assert program.parts <= EXPR_NODES_MAX
        assert len(decode(program.code)) <= ITEMS_PER_PART_MAX * program.parts


def test_the_opcodes_of_the_page_are_those_of_the_compiler() -> None:
    rows = table("code | opcode | operand | what it does")
    assert [(int(number), name) for number, name, *_ in rows] == list(enumerate(OPCODES))
    assert [bool(operand) for _, _, operand, _ in rows] == [name in machine.OPERANDS for name in OPCODES]
    need = next(row[3] for row in rows if row[1] == "need")
    assert all(f"{kind} ({place})" in need for place, kind in enumerate(KINDS))


def test_the_program_of_the_page_is_what_the_compiler_gives() -> None:
    found = re.search(r"So `(.*)`, where `params` is the first\nname, is `(.*)`:", PAGE)
    assert found
    assert decode(expr.program(found[1], {"params": ANY}).code) == json.loads(found[2])
