"""Python's own values to values of the data model: what frameworks pass as arguments of tools.

Rule 1. Asked only where a value has no canonical bytes as it is, so a plain value costs nothing here and
        its bytes stay what they were.
Rule 2. A value is taken where it means one thing under every interpreter and in every zone; else it is
        refused by its place and type, with what to write instead. Nothing is rounded.
Rule 3. Keys of a map become text: integers as their digits, unless the map holds that text already.

    (1, 2)  ->  [1, 2]                      {7: "a"}        ->  {"7": "a"}
    Decimal("1.50")  ->  "1.50"             an aware datetime  ->  "2026-03-01T09:00:00+00:00"
    {"b", "a"}  ->  a set, where the schema says `x-set`; refused elsewhere, because it has no order
"""

import datetime
import math
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

import msgspec

from splittally.core.errors import InvalidInput
from splittally.core.limits import DEPTH_MAX, INT_MAX, INT_MIN
from splittally.edge.schema.places import NO_SCHEMA, Place, escaped, shown
from splittally.edge.schema.structure import SET

_TYPE_CHARACTERS_MAX = 80


class _NoValue(Exception):
    """What has no value of the data model: why, and where, as keys and indexes from the inside out."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.path: list[str | int] = []

    @property
    def pointer(self) -> str:
        return "".join(f"/{escaped(key)}" for key in reversed(self.path))


def plain(value: Any, field: str = "params", at: Place = NO_SCHEMA) -> Any:
    """The value of the data model that a host's value stands for, the same object where it is one.

    `InvalidInput` names the place of what has no such value, and what to write instead.
    """
    try:
        return _plain(value, at, DEPTH_MAX)
    except _NoValue as refused:
        pointer, why = refused.pointer, str(refused)
        where = f"`{shown(pointer)}` in `{field}`" if pointer else f"`{field}`"
        raise InvalidInput(
            f"{where} is {why}", field=field, pointers=[shown(pointer)], reasons=[why]
        ) from None


def _plain(value: Any, at: Place, left: int) -> Any:
    kind = type(value)
    if kind in (str, bool, bytes, type(None)):
        return value
    if kind in (int, float):
        return _number(value)
    if kind in (dict, list):
        return _inside(value, at, left)
    for taken, form in _FORMS:
        if isinstance(value, taken):
            return _plain(form(value), at, left)
    if isinstance(value, AbstractSet):
        if at.ours != SET:
            raise _NoValue("a set, which has no order: write sorted(...), or `x-set` in the schema")
        return _inside(list(value), at, left)
    return _inside(_entries_of(value), at, left)


def _number(value: int | float) -> int | float:
    if type(value) is float:
        if not math.isfinite(value):
            raise _NoValue("not a number or infinite: leave it out or write null")
    elif not INT_MIN <= value <= INT_MAX:
        raise _NoValue("an integer beyond 64 bits: write it as text")
    return value


def _inside(value: dict[Any, Any] | list[Any], at: Place, left: int) -> Any:
    """A list or map with its parts in plain form, the same object where they all were."""
    if not left:
        raise _NoValue(f"nested deeper than {DEPTH_MAX}, or holds itself: send an excerpt")
    is_map = type(value) is dict
    rest = at.rest if is_map else at.items
    parts = value.items() if isinstance(value, dict) else enumerate(value)
    found: dict[Any, Any] = {}
    is_same = True
    for key, part in parts:
        name: Any = _key(key) if is_map else key
        try:
            form = _plain(part, at.named.get(name, rest), left - 1)
        except _NoValue as refused:
            refused.path.append(name)
            raise
        if name in found:
            raise _NoValue(f"a map with two keys that read `{name}`: keep one of them")
        found[name] = form
        is_same = is_same and form is part and name is key
    if is_same:
        return value
    return found if is_map else list(found.values())


def _key(key: Any) -> str:
    """The text that a key is."""
    if type(key) is str:
        return key
    if isinstance(key, Enum):
        return _key(key.value)
    if isinstance(key, str):
        return str.__str__(key)
    if isinstance(key, int) and not isinstance(key, bool):
        return str(int.__int__(key))
    if isinstance(key, UUID):
        return str(key)
    raise _NoValue(f"a map with a key of type `{_named(key)}`: keys are text")


def _entries_of(value: Any) -> dict[Any, Any]:
    """The fields of a record by name."""
    if isinstance(value, type):
        raise _NoValue(f"the type `{value.__name__[:_TYPE_CHARACTERS_MAX]}` and no value of it")
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.asdict(value)
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return _dumped(dump)
    if hasattr(type(value), "__attrs_attrs__"):
        return {each.name: getattr(value, each.name) for each in type(value).__attrs_attrs__}
    raise _NoValue(f"of type `{_named(value)}`: {_instead_of(value)}")


def _dumped(dump: Callable[[], Any]) -> dict[Any, Any]:
    try:
        found = dump()
    except Exception as error:
        raise _NoValue(f"a model whose `model_dump` fails: {type(error).__name__}") from None
    if type(found) is not dict:
        raise _NoValue("a model whose `model_dump` gives no map: write a map")
    return found


def _instead_of(value: Any) -> str:
    """What to write in place of a value that has no form."""
    if hasattr(value, "dtype"):
        return "write .item(), or .tolist() of an array"
    if isinstance(value, datetime.timedelta):
        return "write whole nanoseconds"
    if hasattr(value, "__iter__"):
        return "write list(...)"
    return "write a number, text, list or map"


def _named(value: Any) -> str:
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return name[:_TYPE_CHARACTERS_MAX]


def _datetime(value: datetime.datetime) -> str:
    if value.utcoffset() is None:
        raise _NoValue("a datetime without a zone: give it one, such as datetime.now(UTC)")
    return value.isoformat()


def _time(value: datetime.time) -> str:
    if value.utcoffset() is None:
        raise _NoValue("a time of day without a zone: write it as text")
    return value.isoformat()


def _decimal(value: Decimal) -> str:
    if not value.is_finite():
        raise _NoValue("not a number or infinite: leave it out or write null")
    if abs(value.adjusted()) > _TYPE_CHARACTERS_MAX:
        raise _NoValue("a decimal of too many digits: write it as text")
    return f"{value:f}"


# What is taken, and what it becomes; the first that fits. A subclass of a plain type loses what it adds.
_FORMS: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (Enum, lambda value: value.value),
    (str, str.__str__),
    (bool, bool),
    (int, int.__int__),
    (float, float.__float__),
    ((bytes, bytearray, memoryview), bytes),
    (datetime.datetime, _datetime),
    (datetime.date, lambda value: value.isoformat()),
    (datetime.time, _time),
    (Decimal, _decimal),
    (UUID, str),
    (PurePath, str),
    (Mapping, lambda value: dict(value.items())),
    ((list, tuple), list),
)
