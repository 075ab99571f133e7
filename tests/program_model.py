"""An obvious machine for programs: what each opcode does, by the page (spec/expressions.md, "Programs").

It counts no steps and bounds nothing, and it believes the program. A value is a Python value; a fault is
raised with its code and the character that the instruction names.
"""

from collections.abc import Callable
from typing import Any

from splittally.core.canonical import decode
from splittally.core.expr.program import KINDS, OPCODES

from tests.expr_model import ModelFault, kind, same, want

OPERANDS = ("push", "load", "key", "has", "need", "and", "or", "else", "skip", "list")


class ProgramFault(Exception):
    """The program has no value: a code and a character, counted from 1."""

    def __init__(self, code: str, at: int) -> None:
        super().__init__(code, at)
        self.code, self.at = code, at + 1


def instructions(code: bytes) -> list[tuple[int, str, int, Any]]:
    """Where each instruction begins, its opcode, its character and its operand."""
    items, found, at = decode(code), [], 0
    while at < len(items):
        name = OPCODES[items[at]]
        operand = items[at + 2] if name in OPERANDS else None
        found.append((at, name, items[at + 1], operand))
        at += 3 if name in OPERANDS else 2
    return found


def run(code: bytes, values: list[Any]) -> Any:
    """The value of a program; `values` are those of the names, in their order."""
    items = decode(code)
    rows = {at: row for at, *row in instructions(code)}
    stack: list[Any] = []
    at = 0
    while at < len(items):
        name, character, operand = rows[at]
        at += 3 if name in OPERANDS else 2
        try:
            at += _perform(name, operand, stack, values)
        except ModelFault as fault:
            raise ProgramFault(str(fault), character) from fault
    (value,) = stack
    return value


def _perform(name: str, operand: Any, stack: list[Any], values: list[Any]) -> int:
    """Does one instruction; how many items to pass over behind it."""
    match name:
        case "push":
            stack.append(operand)
        case "load":
            stack.append(values[operand])
        case "list":
            made = stack[len(stack) - operand :]
            del stack[len(stack) - operand :]
            stack.append(made)
        case "skip":
            return int(operand)
        case "and" | "or":
            if stack[-1] is (name == "or"):
                return int(operand)
            stack.pop()
        case "else":
            return 0 if stack.pop() else int(operand)
        case "key" | "has" | "need" | "size" | "not" | "negate":
            stack.append(_of_one(name, operand, stack.pop()))
        case _:
            other = stack.pop()
            stack.append(_OF_TWO[name](stack.pop(), other))
    return 0


def _of_one(name: str, operand: Any, value: Any) -> Any:
    match name:
        case "key":
            return _entry(want(value, "map"), operand)
        case "has":
            return operand in want(value, "map")
        case "need":
            return want(value, KINDS[operand])
        case "size":
            return len(want(value, "string", "list", "map"))
        case "not":
            return not want(value, "bool")
    return _bounded(-want(value, "int"))


def _entry(entries: dict[str, Any], key: str) -> Any:
    if key not in entries:
        raise ModelFault("missing_key")
    return entries[key]


def _bounded(value: int) -> int:
    if not -(2**63) <= value < 2**64:
        raise ModelFault("overflow")
    return value


def _alike(one: Any, other: Any, *kinds: str) -> None:
    want(one, *kinds)
    if kind(one) != kind(other):
        raise ModelFault("wrong_type")


def _index(base: Any, key: Any) -> Any:
    if type(base) is list and type(key) is int:
        if not 0 <= key < len(base):
            raise ModelFault("missing_key")
        return base[key]
    return _entry(want(base, "map"), want(key, "string"))


def _add(one: Any, other: Any) -> Any:
    _alike(one, other, "int", "string", "list")
    return _bounded(one + other) if type(one) is int else one + other


def _number(apply: Callable[[int, int], int]) -> Callable[[Any, Any], int]:
    return lambda one, other: _bounded(apply(want(one, "int"), want(other, "int")))


def _quotient(one: int, other: int) -> int:
    if other == 0:
        raise ModelFault("zero_divisor")
    size = abs(one) // abs(other)
    return size if (one < 0) == (other < 0) else -size


def _less(one: Any, other: Any) -> bool:
    _alike(one, other, "int", "string")
    return bool(one < other)


def _in(item: Any, container: Any) -> bool:
    if kind(container) == "map":
        return want(item, "string") in container
    return any(same(item, other) for other in want(container, "list"))


def _text(apply: Callable[[str, str], bool]) -> Callable[[Any, Any], bool]:
    return lambda one, other: apply(want(one, "string"), want(other, "string"))


_OF_TWO: dict[str, Callable[[Any, Any], Any]] = {
    "index": _index,
    "+": _add,
    "-": _number(lambda one, other: one - other),
    "*": _number(lambda one, other: one * other),
    "/": _number(_quotient),
    "%": _number(lambda one, other: one - other * _quotient(one, other)),
    "same": same,
    "equal": same,
    "less": _less,
    "more": lambda one, other: _less(other, one),
    "in": _in,
    "among": lambda item, items: item in items,
    "startsWith": _text(str.startswith),
    "endsWith": _text(str.endswith),
    "contains": _text(lambda one, other: other in one),
}
