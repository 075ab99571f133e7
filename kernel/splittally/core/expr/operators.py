"""What the operators of two sides do when they run (spec/expressions.md, "Operators").

Rule 1. The form of an operator is the typed tree's: what it is certain of is not checked here.
Rule 2. There is no conversion: int, bool and string are never compared or joined with one another.
"""

import operator
from collections.abc import Callable
from typing import Any

from splittally.core.expr.typed import Typed
from splittally.core.expr.values import (
    Meaning,
    Run,
    Stop,
    equal,
    expect,
    has_item,
    in_range,
    joined,
    kind_of,
    ordered,
    quotient,
    remainder,
)

Step = Callable[[Run, Any, Any], Any]
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def related(part: Typed, first: Meaning, second: Meaning) -> Meaning:
    """The claim that a relation makes of its two sides."""
    at = part.at
    match part.op:
        case "compare":
            compare = _COMPARISONS[part.atom]
            return lambda run: compare(first(run), second(run))
        case "order":
            compare = _COMPARISONS[part.atom]
            return lambda run: ordered(compare, first(run), second(run), at)
        case "equal":
            is_wanted = part.atom == "=="
            return lambda run: equal(run, first(run), second(run), at) is is_wanted
        case "key_in":
            return lambda run: first(run) in second(run)
        case "among":
            chosen = frozenset(item.atom for item in part.args[1].args)
            return lambda run: first(run) in chosen
        case "item_in":
            return lambda run: has_item(run, first(run), second(run), at)
    return lambda run: _contained(run, first(run), second(run), at)


def _contained(run: Run, item: Any, container: Any, at: int) -> bool:
    if kind_of(container, at) == "map":
        return expect(item, "string", at) in container
    return has_item(run, item, expect(container, "list", at), at)


def chain(signs: tuple[tuple[str, int, str], ...], runs: list[Meaning]) -> Meaning:
    """The value of operands that are joined by these signs, from left to right."""
    first, *others = runs
    steps = [(_step(*sign), operand) for sign, operand in zip(signs, others, strict=True)]
    if len(steps) == 1:
        ((step, operand),) = steps
        return lambda run: step(run, first(run), operand(run))

    def run_chain(run: Run) -> Any:
        value = first(run)
        for apply, following in steps:
            value = apply(run, value, following(run))
        return value

    return run_chain


def _step(sign: str, at: int, form: str) -> Step:
    if form == "join":
        return lambda run, a, b: joined(run, a, b, at)
    if form == "add":
        return lambda run, a, b: _added(run, a, b, at)
    apply = _NUMERIC[sign]
    if form == "int":
        return lambda _, a, b: apply(a, b, at)
    return lambda _, a, b: apply(expect(a, "int", at), expect(b, "int", at), at)


def _added(run: Run, a: Any, b: Any, at: int) -> Any:
    kind = kind_of(a, at)
    if kind not in ("int", "string", "list") or kind != kind_of(b, at):
        raise Stop("wrong_type", at, "`+` joins two ints, two strings or two lists")
    return in_range(a + b, at) if kind == "int" else joined(run, a, b, at)


_NUMERIC: dict[str, Callable[[int, int, int], int]] = {
    "+": lambda a, b, at: in_range(a + b, at),
    "-": lambda a, b, at: in_range(a - b, at),
    "*": lambda a, b, at: in_range(a * b, at),
    "/": quotient,
    "%": remainder,
}
