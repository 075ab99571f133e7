"""What values do while an expression runs (spec/expressions.md, "Faults").

Rule 1. A value is used only as the type it has: bool is not int, and a float, bytes or null is none of
        the language's types, so using one is a fault.
Rule 2. Work that grows with the data (comparing lists and maps, joining, searching) is paid in steps.
Rule 3. Inside a run a fault travels as `Stop`; it never leaves `Expression.evaluate`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from splittally.core.expr.types import ANY, Type, field_type
from splittally.core.limits import DEPTH_MAX, EXPR_STEPS_MAX, INT_MAX, INT_MIN

FAULT_CODES = ("missing_key", "wrong_type", "overflow", "zero_divisor", "too_many_steps")
CHARACTERS_PER_STEP = 64


class ExprFault(Struct, frozen=True):
    """Why an expression has no value; `code` is one of `FAULT_CODES`, `text` is for people."""

    code: str
    text: str


class Stop(Exception):
    """Carries a fault out of a run."""

    def __init__(self, code: str, at: int, why: str) -> None:
        super().__init__(code)
        self.fault = ExprFault(code, f"at character {at + 1}: {why}")


class Run:
    """One evaluation: the named values and the steps that are left."""

    __slots__ = ("steps", "values")

    def __init__(self, values: Mapping[str, object]) -> None:
        self.values = values
        self.steps = EXPR_STEPS_MAX

    def spend(self, steps: int, at: int) -> None:
        self.steps -= steps
        if self.steps < 0:
            raise Stop("too_many_steps", at, f"more than {EXPR_STEPS_MAX} steps of work")


Meaning = Callable[[Run], Any]
KINDS: dict[type, str] = {bool: "bool", int: "int", str: "string", list: "list", dict: "map"}
CLASSES: dict[str, Any] = {**{kind: cls for cls, kind in KINDS.items()}, "record": dict}


def kind_of(value: Any, at: int) -> str:
    """The kind of `value`; a fault when it has none in this language."""
    kind = KINDS.get(type(value))
    if kind is None or (kind == "int" and not INT_MIN <= value <= INT_MAX):
        raise Stop("wrong_type", at, "a value that is not an int, bool, string, list or map")
    return kind


def expect(value: Any, kind: str, at: int) -> Any:
    """`value` when it is of this kind of `Type`; otherwise a fault."""
    if type(value) is not CLASSES[kind] or (kind == "int" and not INT_MIN <= value <= INT_MAX):
        raise Stop("wrong_type", at, f"a value that is not {kind}")
    return value


def checked(run: Meaning, kind: str, at: int) -> Meaning:
    """`run` with its value checked at this place; `any` is left unchecked until it is used."""
    if kind in ("any", "never"):
        return run
    if kind == "int":
        return lambda r: expect(run(r), "int", at)
    wanted = CLASSES[kind]

    def check(r: Run) -> Any:
        value = run(r)
        if type(value) is not wanted:
            raise Stop("wrong_type", at, f"a value that is not {kind}")
        return value

    return check


def in_range(value: int, at: int) -> int:
    """An int result; a fault outside -2^63 ... 2^64-1."""
    if not INT_MIN <= value <= INT_MAX:
        raise Stop("overflow", at, "the result is outside -2^63 ... 2^64-1")
    return value


def quotient(one: int, other: int, at: int) -> int:
    """`one / other` rounded towards zero, as in CEL."""
    if not other:
        raise Stop("zero_divisor", at, "division by zero")
    size = abs(one) // abs(other)
    return in_range(size if (one < 0) == (other < 0) else -size, at)


def remainder(one: int, other: int, at: int) -> int:
    """What `quotient` leaves: it has the sign of `one`, as in CEL."""
    if not other:
        raise Stop("zero_divisor", at, "division by zero")
    size = abs(one) % abs(other)
    return -size if one < 0 else size


def joined(run: Run, one: Any, other: Any, at: int) -> Any:
    """Two texts or two lists as one."""
    length = len(one) + len(other)
    run.spend(length // CHARACTERS_PER_STEP if type(one) is str else length, at)
    return one + other


def searched(run: Run, text: str, part: str, at: int) -> bool:
    """Whether `part` stands in `text`."""
    run.spend((len(text) + len(part)) // CHARACTERS_PER_STEP, at)
    return part in text


def item_at(items: list[Any], index: int, at: int) -> Any:
    """The item counted from 0; a fault outside the list (there is no counting from the end)."""
    if not 0 <= index < len(items):
        raise Stop("missing_key", at, "no item at this index")
    return items[index]


def has_item(run: Run, item: Any, items: list[Any], at: int) -> bool:
    """Whether an item is equal, from the first on; a fault at the first one of another type."""
    return any(equal(run, item, other, at) for other in items)


def ordered(compare: Callable[[Any, Any], bool], one: Any, other: Any, at: int) -> bool:
    """An order of two values whose types are known only now."""
    kind = kind_of(one, at)
    if kind not in ("int", "string") or kind != kind_of(other, at):
        raise Stop("wrong_type", at, "only two ints or two strings have an order")
    return compare(one, other)


def equal(run: Run, one: Any, other: Any, at: int, left: int = DEPTH_MAX) -> bool:
    """Equality of two values of one kind: lists in order, maps by sorted keys, ended by a difference.

    Lists or maps of different size are unequal before any item is used. Different kinds are a fault.
    """
    run.spend(1, at)
    kind = kind_of(one, at)
    if kind != kind_of(other, at):
        raise Stop("wrong_type", at, "values of different types are never compared")
    if kind not in ("list", "map"):
        return bool(one == other)
    if not left:
        raise Stop("too_many_steps", at, f"values nested deeper than {DEPTH_MAX}")
    if len(one) != len(other):
        return False
    if kind == "list":
        return all(equal(run, a, b, at, left - 1) for a, b in zip(one, other, strict=True))
    keys = sorted_keys(run, one, at)
    return keys == sorted_keys(run, other, at) and all(
        equal(run, one[key], other[key], at, left - 1) for key in keys
    )


def sorted_keys(run: Run, entries: dict[Any, Any], at: int) -> list[str]:
    run.spend(len(entries), at)
    if any(type(key) is not str for key in entries):
        raise Stop("wrong_type", at, "map keys are text")
    return sorted(entries)


def is_text(value: str) -> bool:
    return value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value)


def conforming(run: Run, value: Any, wanted: Type, at: int, left: int = DEPTH_MAX) -> Any:
    """`value` when all of it is of type `wanted`; a fault otherwise. Results pass here."""
    run.spend(1, at)
    kind = kind_of(value, at) if wanted.kind in ("any", "never") else wanted.kind
    expect(value, kind, at)
    if kind == "string" and not is_text(value):
        raise Stop("wrong_type", at, "text with a lone surrogate")
    if kind not in ("list", "map", "record"):
        return value
    if not left:
        raise Stop("too_many_steps", at, f"values nested deeper than {DEPTH_MAX}")
    if kind == "list":
        for item in value:
            conforming(run, item, wanted.item or ANY, at, left - 1)
        return value
    for key in sorted_keys(run, value, at):
        inner = field_type(wanted, key)
        if inner is None:
            raise Stop("wrong_type", at, "a record with a key that its type does not have")
        conforming(run, value[key], inner, at, left - 1)
    return value
