"""What the `per` of a limit means: a calendar window with its anchor and zone, a rolling window, a duration.

    day   week:sunday   month:15   quarter:02-01   year:04-06   day@Europe/Amsterdam   rolling:60s   90s
    day by params.user

Rule 1. One period has one spelling, because counters are found by it: `week:monday` is `week`, `month:1` is
        `month`, a quarter's month is 01, 02 or 03. The edge writes it so (`edge/periods.py`).
Rule 2. An anchor that a month does not have is the month's last day.
Rule 3. Periods of one kind are numbered. The number of the one that holds a day grows with the day, so how
        many lie between two days is a difference.
Rule 4. Behind a window may stand by which value of an intent it counts (`core/value_keys.py`). What rolls has
        slices and cannot.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from splittally.core.dates import day_number, year_and_month
from splittally.core.limits import NAME_BYTES_MAX, TIME_NS_MAX
from splittally.core.names import is_seen

HOUR, DAY, WEEK = "hour", "day", "week"
MONTHS_OF = {"month": 1, "quarter": 3, "year": 12}
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
ROLLING = "rolling:"
BY = " by "
ROLLING_SLICES = 60  # an amount counts at most a 60th longer than the window is

_MONDAY = 4  # 1970-01-05, the first Monday, in days
_UNITS_NS = {"ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_DAY_NS = 24 * _UNITS_NS["h"]
_DURATION = re.compile(r"([1-9][0-9]{0,9})(ms|s|m|h)")
_DAYS = re.compile(r"([1-9][0-9]{0,9})d")
_PATH = re.compile(r"params(?:\.[^ .@]+)+|labels\.[^ @]+")
_LATER_DAY = re.compile("[2-9]|[12][0-9]|3[01]")  # of a month
_CALENDAR = re.compile(
    r"(hour|day|week|month|quarter|year)(?::([a-z]+|[0-9]{1,2}|[0-9]{2}-[0-9]{2}))?(?:@([A-Za-z0-9_+/-]+))?"
)


class Period(NamedTuple):
    """A period that is understood.

    `base` is the calendar's word, empty where `length_ns` says how long it is. `zone` is empty for the
    world's. `month` (from 0, within the period) and `day` are where months, quarters and years begin; of a
    week `day` is the weekday, Monday being 0. `by` is empty, or the path of the value by which it counts.
    """

    base: str
    zone: str
    month: int
    day: int
    length_ns: int
    is_rolling: bool
    by: str = ""

    @property
    def slice_ns(self) -> int:
        """How long a slice of a rolling window is: a 60th of it, rounded up."""
        return -(-self.length_ns // ROLLING_SLICES)

    def number(self, day: int) -> int:
        """The number of the period that holds a day; not of hours."""
        if self.base == DAY:
            return day
        if self.base == WEEK:
            return (day - _MONDAY - self.day) // 7
        year, month = year_and_month(day)
        number = (year * 12 + month - 1 - self.month) // MONTHS_OF[self.base]
        return number if self.first_day(number) <= day else number - 1

    def first_day(self, number: int) -> int:
        """The day with which the period of this number begins."""
        if self.base == DAY:
            return number
        if self.base == WEEK:
            return number * 7 + _MONDAY + self.day
        year, month = divmod(number * MONTHS_OF[self.base] + self.month, 12)
        return day_number(year, month + 1, self.day)


@lru_cache(maxsize=4096)
def read_period(per: str) -> Period | None:
    """The period that `per` spells; None for `life`, `intent` and what is none."""
    if len(per) > NAME_BYTES_MAX:
        return None
    window, sign, path = per.partition(BY)
    if sign:
        period = read_period(window) if is_path(path) else None
        return None if period is None or period.is_rolling else period._replace(by=path)
    is_rolling = per.startswith(ROLLING)
    length_ns = rolling_ns(per.removeprefix(ROLLING)) if is_rolling else duration_ns(per)
    if length_ns:
        return Period("", "", 0, 0, length_ns, is_rolling) if length_ns <= TIME_NS_MAX else None
    match = _CALENDAR.fullmatch(per)
    if match is None:
        return None
    base, anchor, zone = match[1], match[2] or "", match[3] or ""
    place = _anchor_of(base, anchor) if anchor else (0, 0 if base == WEEK else 1)
    return None if place is None else Period(base, zone, *place, 0, False)


def period_of(per: str) -> Period:
    """The period of a limit or window that was checked before."""
    period = read_period(per)
    assert period is not None
    return period


def is_keyed(per: str) -> bool:
    """Whether a period counts by a value of an intent."""
    return BY in per


def is_path(text: object) -> bool:
    """Whether a text names a param, also one inside another, or a label."""
    return type(text) is str and _PATH.fullmatch(text) is not None and is_seen(text)


def _anchor_of(base: str, anchor: str) -> tuple[int, int] | None:
    """Month and day of an anchor that is not what the period has without one; None for no such anchor."""
    if base == WEEK:
        return (0, WEEKDAYS.index(anchor)) if anchor in WEEKDAYS[1:] else None
    if base == "month":
        return (0, int(anchor)) if _LATER_DAY.fullmatch(anchor) else None
    if base not in MONTHS_OF or "-" not in anchor or anchor == "01-01":
        return None
    month, day = map(int, anchor.split("-"))
    is_date = 1 <= month <= MONTHS_OF[base] and 1 <= day <= 31
    return (month - 1, day) if is_date else None


def duration_ns(text: str) -> int:
    """The length of a duration such as `250ms`, `60s`, `5m`, `2h`; 0 when `text` is not one."""
    match = _DURATION.fullmatch(text)
    return 0 if match is None else int(match[1]) * _UNITS_NS[match[2]]


def rolling_ns(text: str) -> int:
    """The length of what rolls: a duration, or days of 24 hours such as `30d`; 0 when `text` is neither."""
    match = _DAYS.fullmatch(text)
    return duration_ns(text) if match is None else int(match[1]) * _DAY_NS
