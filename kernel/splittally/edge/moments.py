"""A past moment as people say it: a sequence, a date, or a time (spec/08, "A past moment").

Rule 1. A number below 10^12 is the sequence of a frame, any other is nanoseconds since 1970: no journal has
        so many frames, and 10^12 ns are a quarter of an hour.
Rule 2. A date is the whole day, so what happened until then includes it and what happened since begins it.
Rule 3. A date, and a time without an offset, are of the world's calendar. A time is exact.
"""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from splittally.core.errors import InvalidInput
from splittally.core.ledger.windows import DAY_NS, HOUR_NS, SECOND_NS
from splittally.core.limits import TIME_NS_MAX

SEQ_LIMIT = 10**12
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE_NS = HOUR_NS // 60
_TEXT = re.compile(
    r"(?P<day>\d{4}-\d{2}-\d{2})"
    r"(?:[Tt ](?P<hour>[01]\d|2[0-3]):(?P<minute>[0-5]\d)(?::(?P<second>[0-5]\d)(?:\.(?P<part>\d{1,9}))?)?"
    r" ?(?P<zone>[Zz]|[+-](?:[01]\d|2[0-3]):?[0-5]\d)?)?",
    re.ASCII,
)
_ACCEPTED = (
    "a sequence, a date such as 2026-01-31, a time such as 2026-01-31T23:59:59Z, or nanoseconds since 1970"
)


class Moment(NamedTuple):
    """A frame, or the time from `first_ns` to `last_ns`, by the world's calendar where it is local."""

    seq: int | None
    first_ns: int = 0
    last_ns: int = 0
    is_local: bool = False


When = int | str | date | Moment  # what `read_moment` reads; a datetime is a date


def read_moment(value: Any, field: str = "at") -> Moment:
    """What a caller means by a past moment; `InvalidInput` that says what there is to say."""
    match value:
        case Moment():
            return value
        case bool():
            pass
        case int() if value < SEQ_LIMIT:
            return Moment(value)
        case int() if value <= TIME_NS_MAX:
            return Moment(None, value, value)
        case datetime():
            passed = value.replace(tzinfo=value.tzinfo or UTC) - _EPOCH
            at_ns = passed // timedelta(microseconds=1) * 1_000
            return Moment(None, at_ns, at_ns, value.tzinfo is None)
        case date():
            return _day(value)
        case str() if found := _TEXT.fullmatch(value):
            return _read_text(found, field)
    said = f"`{str(value)[:64]}`" if type(value) in (int, str) else type(value).__name__
    raise InvalidInput(f"`{field}` is {_ACCEPTED}, not {said}", field=field)


def _day(day: date) -> Moment:
    first_ns = (day.toordinal() - _EPOCH.toordinal()) * DAY_NS
    return Moment(None, first_ns, first_ns + DAY_NS - 1, True)


def _read_text(found: re.Match[str], field: str) -> Moment:
    try:
        day = _day(date.fromisoformat(found["day"]))
    except ValueError:
        raise InvalidInput(f"`{field}`: there is no day {found['day']}", field=field) from None
    if found["hour"] is None:
        return day
    at_ns = day.first_ns + int(found["hour"]) * HOUR_NS + int(found["minute"]) * _MINUTE_NS
    at_ns += int(found["second"] or 0) * SECOND_NS + int((found["part"] or "0").ljust(9, "0"))
    at_ns -= _offset_ns(found["zone"] or "Z")
    return Moment(None, at_ns, at_ns, found["zone"] is None)


def _offset_ns(zone: str) -> int:
    if zone in "Zz":
        return 0
    offset_ns = int(zone[1:3]) * HOUR_NS + int(zone[-2:]) * _MINUTE_NS
    return -offset_ns if zone[0] == "-" else offset_ns
