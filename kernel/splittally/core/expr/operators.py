"""What the binary operators mean for the types of their two sides (spec/expressions.md, "Operators").

Rule 1. Two sides that can never be of one type do not compile.
Rule 2. A side of type `ANY` is checked as the other side's type, or at run time when both are `ANY`.
Rule 3. There is no conversion: int, bool and string are never compared or joined with one another.
"""

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

from splittally.core.expr.syntax import Node, refuse
from splittally.core.expr.types import ANY, BOOL, INT, STRING, Type, meeting
from splittally.core.expr.values import (
    Meaning,
    Run,
    Stop,
    checked,
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


class Operand(NamedTuple):
    """One side of an operator: its type, its meaning, and where it stands."""

    type: Type
    run: Meaning
    node: Node

    def known_as(self, wanted: Type) -> "Operand":
        """This side with an `ANY` value checked as `wanted`."""
        if self.type != ANY:
            return self
        return Operand(wanted, checked(self.run, wanted.kind, self.node.at), self.node)


Step = Callable[[Run, Any, Any], Any]
_SCALARS = (INT, BOOL, STRING)
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def relation(sign: str, at: int, one: Operand, other: Operand) -> Meaning:
    """The claim `one sign other`; `ExpressionError` when no two such values can be related."""
    if sign == "in":
        return _membership(at, one, other)
    if other.type in _SCALARS:
        one = one.known_as(other.type)
    if one.type in _SCALARS:
        other = other.known_as(one.type)
    both = meeting(one.type, other.type)
    if both is None:
        refuse(at, f"{one.type} and {other.type} are never compared", "values of one type")
    first, second, compare = one.run, other.run, _COMPARISONS[sign]
    if both in (INT, STRING) or (both == BOOL and sign in ("==", "!=")):
        return lambda run: compare(first(run), second(run))
    if sign in ("==", "!="):
        is_wanted = sign == "=="
        return lambda run: equal(run, first(run), second(run), at) is is_wanted
    if both != ANY:
        refuse(at, f"{both} has no order", "two ints or two strings")
    return lambda run: ordered(compare, first(run), second(run), at)


def _membership(at: int, one: Operand, other: Operand) -> Meaning:
    if other.type.kind in ("map", "record"):
        return _has_key(at, one, other)
    if other.type.kind == "list":
        return _is_item(at, one, other, other.type.item or ANY)
    if other.type != ANY:
        refuse(other.node.at, f"this is {other.type}", "a list or a map")
    first, second = one.run, other.run

    def contained(run: Run) -> bool:
        item, container = first(run), second(run)
        if kind_of(container, at) == "map":
            return expect(item, "string", at) in container
        return has_item(run, item, expect(container, "list", at), at)

    return contained


def _has_key(at: int, one: Operand, other: Operand) -> Meaning:
    key, entries = one.known_as(STRING), other.run
    if key.type != STRING:
        refuse(one.node.at, f"this is {one.type}", "string")
    return lambda run: key.run(run) in entries(run)


def _is_item(at: int, one: Operand, other: Operand, item: Type) -> Meaning:
    if item in _SCALARS:
        one = one.known_as(item)
    if meeting(one.type, item) is None:
        refuse(one.node.at, f"this is {one.type}", f"{item}, as in the list")
    first, second = one.run, other.run
    parts = other.node.args
    if other.node.op == "list" and item in (INT, STRING) and all(part.op == "literal" for part in parts):
        chosen = frozenset(part.atom for part in parts)
        return lambda run: first(run) in chosen
    return lambda run: has_item(run, first(run), second(run), at)


def arithmetic(sign: str, at: int, one: Operand, other: Operand) -> tuple[Type, Step]:
    """The type of `one sign other` and the step from the value so far; `ExpressionError` when it has none."""
    if sign == "+":
        return _sum(at, one, other)
    for side in (one, other):
        if side.type not in (INT, ANY):
            refuse(side.node.at, f"this is {side.type}", "int")
    return INT, _numeric(sign, at, one, other)


def _sum(at: int, one: Operand, other: Operand) -> tuple[Type, Step]:
    known = one.type if one.type != ANY else other.type
    both = meeting(one.type, other.type)
    if both is None or known.kind not in ("int", "string", "list", "any"):
        refuse(at, f"`+` does not join {one.type} and {other.type}", "two ints, two strings or two lists")
    if known == INT:
        return INT, _numeric("+", at, one, other)
    if both != ANY:
        return both, lambda run, a, b: joined(run, a, b, at)

    def added(run: Run, a: Any, b: Any) -> Any:
        kind = kind_of(a, at)
        if kind not in ("int", "string", "list") or kind != kind_of(b, at):
            raise Stop("wrong_type", at, "`+` joins two ints, two strings or two lists")
        return in_range(a + b, at) if kind == "int" else joined(run, a, b, at)

    return (STRING if known == STRING else ANY), added


_NUMERIC: dict[str, Callable[[int, int, int], int]] = {
    "+": lambda a, b, at: in_range(a + b, at),
    "-": lambda a, b, at: in_range(a - b, at),
    "*": lambda a, b, at: in_range(a * b, at),
    "/": quotient,
    "%": remainder,
}


def _numeric(sign: str, at: int, one: Operand, other: Operand) -> Step:
    apply = _NUMERIC[sign]
    if one.type == INT == other.type:
        return lambda _, a, b: apply(a, b, at)
    return lambda _, a, b: apply(expect(a, "int", at), expect(b, "int", at), at)
