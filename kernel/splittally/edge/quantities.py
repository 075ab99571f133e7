"""Naturals, spans, instants, shares, arrays and tables as a manifest writes them.

Rule 1. Integers only: a date-time becomes nanoseconds since 1970, a share a numerator and a denominator.
Rule 2. What is not understood is refused with the place where it stands.
"""

import datetime
import re
from collections.abc import Mapping
from typing import Any

from splittally.core.errors import InvalidManifest
from splittally.core.periods import duration_ns
from splittally.edge.near import meant

_SHARE = re.compile(r"([0-9]{1,9})(?:%|/([0-9]{1,9}))")


def natural(where: str, value: Any) -> int:
    """The value, which is a natural below 2^64; `InvalidManifest` when it is anything else."""
    if type(value) is not int or not 0 <= value < 2**64:
        raise InvalidManifest(f"`{where}` is a natural below 2^64, not `{value!r}`", field=where)
    return value


def span(where: str, value: Any) -> int:
    """Nanoseconds, as a number or as text such as `15m`."""
    if isinstance(value, str) and duration_ns(value):
        return duration_ns(value)
    return natural(where, value)


def instant(where: str, value: Any) -> int:
    """A time in nanoseconds since 1970, as a number or as a date-time with an offset."""
    if isinstance(value, str):
        try:
            value = datetime.datetime.fromisoformat(value)
        except ValueError:
            raise InvalidManifest(f"`{where}` is a time in nanoseconds or a date-time", field=where) from None
    if isinstance(value, datetime.datetime):
        if value.tzinfo is None:
            raise InvalidManifest(f"`{where}` needs an offset such as Z or +02:00", field=where)
        since = value - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
        value = (since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1000
    return natural(where, value)


def utc_offset_ns(where: str, value: Any) -> int:
    """A fixed offset from UTC such as `+02:00`, in nanoseconds."""
    try:
        offset = datetime.datetime.strptime(value, "%z").utcoffset()
    except (ValueError, TypeError):
        offset = None
    if offset is None:
        hint = f", not `{value}`; a zone by name is a `timezone`" if isinstance(value, str) else ""
        raise InvalidManifest(f"`{where}` is like +02:00{hint}", field=where)
    return int(offset.total_seconds()) * 10**9


def share(where: str, value: Any) -> list[int]:
    """A share as numerator and denominator, from `50%`, `1/2` or [1, 2]."""
    if isinstance(value, str) and (found := _SHARE.fullmatch(value)):
        return [int(found[1]), int(found[2] or 100)]
    if isinstance(value, list) and len(value) == 2 and all(type(part) is int for part in value):
        return value
    raise InvalidManifest(f"`{where}` is a share such as 50% or 1/2", field=where)


def array(where: str, value: Any) -> list[Any]:
    """The value, which is an array."""
    if not isinstance(value, list):
        raise InvalidManifest(f"`{where}` is an array", field=where)
    return value


def table(where: str, value: Any) -> Mapping[str, Any]:
    """The value, which is a table."""
    if not isinstance(value, Mapping):
        raise InvalidManifest(f"`{where}` is a table", field=where)
    return value


def refuse_unknown(what: str, given: Mapping[str, Any], known: tuple[str, ...]) -> None:
    """`InvalidManifest` for the first key that is not known, with the nearest and all that are."""
    unknown = sorted(str(key) for key in given if key not in known)
    if unknown:
        raise InvalidManifest(
            f"{what} has no `{unknown[0]}`{meant(unknown[0], known)}; it has {', '.join(known)}",
            field=unknown[0],
            known=list(known),
        )


def scale_of(name: str, value: Any) -> int:
    """The decimals of a resource, from a number or `{ scale = N }`."""
    entry = value if isinstance(value, Mapping) else {"scale": value}
    refuse_unknown(f"resource `{name}`", entry, ("scale",))
    return natural(f"resources.{name}.scale", entry.get("scale", 0))
