"""From the arguments of a decorated function to the params of an intent.

Rule 1. Arguments are bound as the call binds them, defaults included, so that spelling a call otherwise
        gives the same intent. `self` and `cls` are left out, and whatever `leave_out` names.
Rule 2. They become values of the data model as everywhere (`edge/host_values.py`); what has none is refused
        by name, and the body does not run.
Rule 3. A text or byte string that is longer than `LONG_VALUE_BYTES` stands as `{"$digest": 64 hex digits of
        BLAKE3, "bytes": size}`: what is judged and recorded has its size and its identity. A condition of a
        policy that reads it as text faults, which denies.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from blake3 import blake3

from splittally.core.errors import InvalidInput
from splittally.edge.host_values import plain

LONG_VALUE_BYTES = 8 * 1024  # two pages of text; modules of most kinds take 24 KiB in all
BOUND = ("self", "cls")


class Parameters:
    """The parameters of a function that are params of its effect."""

    def __init__(self, function: Callable[..., Any], leave_out: tuple[str, ...] = ()) -> None:
        self._signature = inspect.signature(function)
        names = list(self._signature.parameters)
        bound = [name for name in names[:1] if name in BOUND]
        self._left_out = {*bound, *leave_out}
        if unknown := set(leave_out) - set(names):
            raise InvalidInput(f"`leave_out` names no parameter with `{min(unknown)}`", field="leave_out")
        self.names = tuple(name for name in names if name not in self._left_out)

    def of(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The plain value of each argument by name; a call that does not fit is the `TypeError` it always
        was.
        """
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        given = {name: value for name, value in bound.arguments.items() if name not in self._left_out}
        found: dict[str, Any] = plain(given, "params")
        return found


def with_digests(value: Any, bytes_max: int | None) -> Any:
    """A plain value with a digest in place of every long text and byte string; None leaves all as they
    are.
    """
    if bytes_max is None:
        return value
    match value:
        case str() | bytes():
            data = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
            return value if len(data) <= bytes_max else digest_of(data)
        case dict():
            return {name: with_digests(each, bytes_max) for name, each in value.items()}
        case list():
            return [with_digests(each, bytes_max) for each in value]
    return value


def digest_of(data: bytes) -> dict[str, Any]:
    """What stands for a long value: the BLAKE3 of its bytes, or of its UTF-8, and how many they are."""
    return {"$digest": blake3(data).hexdigest(), "bytes": len(data)}
