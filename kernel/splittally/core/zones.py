"""Local time of a zone, in integers alone: its recorded transitions, and its rule after the last of them.

Rule 1. A zone is data that the journal holds. Nothing here reads a clock, a file or a library of zones.
Rule 2. A day begins at the first instant at which the zone's clock shows its midnight or later. Where
        midnight is left out it begins at the first instant after the gap; where midnight comes twice, with
        the first.
Rule 3. A day that the zone left out (Samoa, 30 December 2011) begins and ends at once: it holds no instant.

Example. Europe/Amsterdam, 29 March 2026: 02:00 became 03:00. The day began on 28 March at 23:00 UTC and ended
on 29 March at 22:00 UTC, so it had 23 hours. 25 October 2026 had 25.
"""

from bisect import bisect_right
from functools import lru_cache

from msgspec import Struct

from splittally.core.dates import DAY_S, day_number, is_leap, month_days, year_and_month
from splittally.core.limits import NAME_BYTES_MAX, ZONE_TRANSITIONS_MAX

OFFSET_S_MAX = 26 * 3600  # of any zone from UTC; RFC 8536 allows 25:59:59
_RULE_ITEMS = 12
_RULE_TIME_S_MAX = 167 * 3600  # RFC 8536, 3.3.1
_INSTANT_S_MAX = 2**40  # about the year 36800
_MONTH_WEEKDAY, _NO_LEAP_DAY, _DAY_OF_YEAR = 0, 1, 2  # the kinds of a rule's day: Mm.w.d, Jn, n
FAR_S = 2**62


class Zone(Struct, frozen=True, array_like=True, gc=False):
    """A zone by name and version of the data: seconds east of UTC, from 1970 on.

    `first_s` holds before the first transition. The transition at `at_s[n]` makes it `offsets_s[n]`. `rule`
    is empty where the last of them stays, else standard offset, summer offset, and twice the day and time at
    which summer begins and ends, as `kind, a, b, c, time_s` (POSIX: `Ma.b.c`, `Ja` or `a`).
    """

    name: str
    version: str
    first_s: int
    at_s: list[int]
    offsets_s: list[int]
    rule: list[int]

    def require_valid(self) -> None:
        """Raises `ValueError` naming the first thing that no zone can be."""
        what = f"the zone `{self.name}`"
        _require(
            0 < len(self.name) <= NAME_BYTES_MAX and len(self.version) <= NAME_BYTES_MAX, f"{what} has a name"
        )
        _require(
            len(self.at_s) == len(self.offsets_s) <= ZONE_TRANSITIONS_MAX, f"{what} has too many transitions"
        )
        _require(
            all(x < y for x, y in zip(self.at_s, self.at_s[1:], strict=False)), f"{what} goes back in time"
        )
        _require(all(abs(at) <= _INSTANT_S_MAX for at in self.at_s), f"{what} has a transition beyond time")
        offsets = [self.first_s, *self.offsets_s, *self.rule[:2]]
        _require(all(abs(offset) <= OFFSET_S_MAX for offset in offsets), f"{what} is too far from UTC")
        _require(not self.rule or _is_rule(self.rule), f"{what} has no such rule")


def standard_s(zone: Zone) -> int:
    """The offset of its standard time as it is now: the rule's, else the last."""
    if zone.rule:
        return zone.rule[0]
    return zone.offsets_s[-1] if zone.offsets_s else zone.first_s


def offset_s(zone: Zone, at_s: int) -> int:
    """How far its clock is ahead of UTC at an instant."""
    return _span(zone, at_s)[0]


def local_day(zone: Zone, at_s: int) -> int:
    """The day that holds an instant, in days since 1970-01-01."""
    day = (at_s + offset_s(zone, at_s)) // DAY_S
    while first_instant(zone, day + 1) <= at_s:  # the clock was set back over a midnight, or a date left out
        day += 1
    return day


def first_instant(zone: Zone, day: int) -> int:
    """The instant, in seconds since 1970, at which a day begins."""
    return first_shown(zone, day * DAY_S)


def first_shown(zone: Zone, local_s: int) -> int:
    """The first instant at which its clock shows this time or a later one."""
    at_s = local_s - 2 * DAY_S  # before it, whatever the offset
    while True:
        ahead_s, until_s = _span(zone, at_s)
        at_s = max(at_s, local_s - ahead_s)
        if at_s < until_s:
            return at_s
        at_s = until_s


def _span(zone: Zone, at_s: int) -> tuple[int, int]:
    """The offset at an instant, and the instant until which it holds."""
    after = bisect_right(zone.at_s, at_s)
    if after < len(zone.at_s):
        return zone.offsets_s[after - 1] if after else zone.first_s, zone.at_s[after]
    if not zone.rule:
        return standard_s(zone), FAR_S
    year = year_and_month(at_s // DAY_S)[0]
    rule = tuple(zone.rule)
    changes = [change for near in (year - 1, year, year + 1) for change in _changes(rule, near)]
    place = bisect_right(changes, (at_s, FAR_S))
    return changes[place - 1][1], changes[place][0]


@lru_cache(maxsize=4096)
def _changes(rule: tuple[int, ...], year: int) -> list[tuple[int, int]]:
    """The two changes of a year by a rule, each as an instant and the offset from then on."""
    standard, summer = rule[:2]
    begins = _rule_day(rule[2:6], year) * DAY_S + rule[6] - standard
    ends = _rule_day(rule[7:11], year) * DAY_S + rule[11] - summer
    return sorted([(begins, summer), (ends, standard)])


def _rule_day(spec: tuple[int, ...], year: int) -> int:
    """The day of a year that one half of a rule names."""
    kind, first, week, weekday = spec
    if kind == _DAY_OF_YEAR:
        return day_number(year, 1) + first
    if kind == _NO_LEAP_DAY:
        return day_number(year, 1) + first - 1 + (is_leap(year) and first >= 60)
    begins = day_number(year, first)
    day = (weekday - (begins + 4)) % 7 + 7 * (week - 1)  # 1970-01-01 was a Thursday, Sunday being 0
    return begins + (day if day < month_days(year, first) else day - 7)


def _is_rule(rule: list[int]) -> bool:
    return len(rule) == _RULE_ITEMS and rule[0] != rule[1] and all(map(_is_half, (rule[2:7], rule[7:12])))


def _is_half(half: list[int]) -> bool:
    kind, first, week, weekday, time_s = half
    if abs(time_s) > _RULE_TIME_S_MAX:
        return False
    if kind == _MONTH_WEEKDAY:
        return 1 <= first <= 12 and 1 <= week <= 5 and 0 <= weekday <= 6
    least, most = (1, 365) if kind == _NO_LEAP_DAY else (0, 365)
    return kind in (_NO_LEAP_DAY, _DAY_OF_YEAR) and least <= first <= most and (week, weekday) == (0, 0)


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ValueError(message)
