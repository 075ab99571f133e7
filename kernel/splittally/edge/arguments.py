"""What a caller hands over is of the type that the signature says, or `InvalidInput` in words.

Rule 1. A list is a sequence or an iterator; a mapping, a set, text and bytes are none.
"""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Literal, TypeVar

from splittally.core.errors import InvalidInput

T = TypeVar("T")
Several = Sequence[T] | Iterator[T]
Mode = Literal["each", "all", "first"]
MODES = ("each", "all", "first")


def require(value: object, kind: type[T] | tuple[type, ...], field: str, expected: str) -> Any:
    """The value, where it is of this type; no bool is a number."""
    is_number = kind in (int, float, (int, float))
    if not isinstance(value, kind) or (is_number and type(value) is bool):
        raise InvalidInput(f"`{field}` is {expected}, not {type(value).__name__}", field=field)
    return value


def require_natural(value: object, field: str) -> int:
    """The value, where it is an integer and not negative."""
    number: int = require(value, int, field, "a natural")
    if number < 0:
        raise InvalidInput(f"`{field}` is a natural", field=field)
    return number


def require_frame(seq: object, size: int, kind: type[InvalidInput] = InvalidInput) -> int:
    """The value, where it is the sequence of one of the first `size` frames; else an error of this kind."""
    number: int = require(seq, int, "seq", "the sequence of a frame")
    if not 0 <= number < size:
        raise kind(f"there is no frame {number}; the last is {size - 1}", field="seq")
    return number


def require_mode(mode: object) -> str:
    """How a list is decided."""
    if type(mode) is not str or mode not in MODES:
        raise InvalidInput("`mode` is each, all or first", field="mode")
    return mode


def require_several(given: Any, expected: str) -> Any:
    """What can be gone through once, in an order."""
    if isinstance(given, str | bytes | bytearray | Mapping | AbstractSet) or not hasattr(given, "__iter__"):
        raise InvalidInput(f"{expected} is expected, not {type(given).__name__}")
    return given


def listed(given: Any, kind: type[T], expected: str) -> list[T]:
    """The items of a list, each of this type."""
    items = list(require_several(given, expected))
    for at, item in enumerate(items):
        if not isinstance(item, kind):
            raise InvalidInput(f"{expected} is expected; item {at} is of type {type(item).__name__}", item=at)
    return items
