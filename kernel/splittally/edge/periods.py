"""The `per` of a limit as people write it, to the one spelling that the core knows (`core/periods.py`).

    {per = "week", starts = "sunday"}                  week:sunday
    {per = "month", starts = 15}                       month:15
    {per = "quarter", starts = "02-01"}                quarter:02-01
    {per = "year", starts = "04-06"}                   year:04-06
    {per = "day", timezone = "Europe/Amsterdam"}       day@Europe/Amsterdam
    {per = "60s"}                                      rolling:60s
    {per = "60s", rolling = false}                     60s
    {per = "day", per_key = "params.user"}             day by params.user

Rule 1. What the core spells may be written as it is; `week:monday` is `week`.
Rule 2. A duration rolls, because people mean any 60 seconds. Where a limit stands already that does not, as
        in worlds of older releases, the same words mean what they meant.
Rule 3. `per_key`, or `by`, names the value by which a limit counts. Its windows end for all keys at once, so
        a duration does not roll there.
Rule 4. What is no anchor of its period is refused with those that are.
"""

import re
from collections.abc import Collection
from typing import Any

from splittally.core.dates import month_days
from splittally.core.errors import InvalidManifest
from splittally.core.periods import (
    BY,
    DAY,
    HOUR,
    MONTHS_OF,
    ROLLING,
    WEEK,
    WEEKDAYS,
    duration_ns,
    is_path,
    rolling_ns,
)
from splittally.core.types import LIFE, PER_INTENT
from splittally.core.zones import Zone
from splittally.edge.near import meant
from splittally.edge.zones import read_zone

PERIOD_KEYS = ("starts", "timezone", "rolling", "per_key", "by")
_BASES = (HOUR, DAY, WEEK, *MONTHS_OF)
_CALENDAR = re.compile(rf"(?:{'|'.join(_BASES)})(?=[:@]|$)")
_ANCHORS = {
    WEEK: f"a day such as {WEEKDAYS[-1]}",
    "month": "a day from 1 to 31",
    "quarter": "a day of a month such as 02-01, or a day of its first month",
    "year": "a day of a month such as 04-06",
}
_ROLLS = "what rolls has a length such as 60s, 24h or 30d"
_ROLLS_NOT = "what counts by a value does not roll; its windows begin with the first use of any"
_SAID = ("starts", "timezone", "rolling")
_LEAP_YEAR = 2000


def spelled_per(
    where: str, terms: dict[str, Any], zones: dict[str, Zone], standing: Collection[tuple[str, str]]
) -> None:
    """Take what a limit says of its windows into its `per`, and its zone into `zones`.

    `standing` are dimension and period of the limits that stand now. `InvalidManifest` says what is wrong and
    where.
    """
    by = _value_path(where, terms)
    if by:
        if terms.get("rolling") is True:
            raise InvalidManifest(f"`{where}.rolling`: {_ROLLS_NOT}", field=where)
        if duration_ns(str(terms.get("per", LIFE))):
            terms["rolling"] = False
    _spelled_window(where, terms, zones, standing)
    if by and type(terms.get("per")) is str:
        if terms["per"].startswith(ROLLING):
            raise InvalidManifest(f"`{where}.per`: {_ROLLS_NOT}", field=where)
        terms["per"] += BY + by


def _value_path(where: str, terms: dict[str, Any]) -> str:
    """The value by which a limit counts, taken out of its terms; empty for none."""
    said = [terms.pop(key) for key in ("per_key", "by") if key in terms]
    if not said:
        return ""
    if len(said) > 1:
        raise InvalidManifest(f"`{where}` says `per_key` twice", field=where)
    if not is_path(said[0]):
        text = f"`{where}.per_key` is a param or a label, such as params.user or labels.user, not `{said[0]}`"
        raise InvalidManifest(text, field=where)
    if terms.get("per", LIFE) in (LIFE, PER_INTENT):
        text = f'`{where}.per_key` needs a window that ends, such as `per = "day"`'
        raise InvalidManifest(text, field=where)
    return str(said[0])


def _spelled_window(
    where: str, terms: dict[str, Any], zones: dict[str, Zone], standing: Collection[tuple[str, str]]
) -> None:
    """The same for what is said of the window alone: `starts`, `timezone` and `rolling`."""
    said: dict[str, Any] = {key: terms.pop(key) for key in _SAID if key in terms}
    per = terms.get("per", LIFE)
    if type(per) is not str:
        return  # the core refuses it
    if said.get("rolling", False) not in (True, False):
        raise InvalidManifest(f"`{where}.rolling` is true or false", field=where)
    if _CALENDAR.match(per):
        terms["per"] = _calendar(where, per, said, zones)
        return
    for key in ("starts", "timezone"):
        if key in said:
            raise InvalidManifest(
                f"`{where}.{key}` needs a calendar window: {', '.join(_BASES)}", field=where
            )
    length = per.removeprefix(ROLLING)
    is_fixed = said.get("rolling") is False or ("rolling" not in said and (terms.get("dim"), per) in standing)
    if said.get("rolling") is True and not rolling_ns(length):
        raise InvalidManifest(f"`{where}`: {_ROLLS}", field=where)
    if said.get("rolling") is True or (duration_ns(per) and not is_fixed):
        terms["per"] = ROLLING + length


def _calendar(where: str, per: str, said: dict[str, Any], zones: dict[str, Zone]) -> str:
    """A calendar window with its anchor and zone, wherever they are said."""
    text, _, name = per.partition("@")
    base, _, anchor = text.partition(":")
    for said_in_per, key in ((anchor, "starts"), (name, "timezone")):
        if said_in_per and key in said:
            raise InvalidManifest(f"`{where}` says `{key}` twice", field=where)
    if said.get("rolling") is True:
        raise InvalidManifest(f"`{where}`: {_ROLLS}", field=where)
    starts, zone = said.get("starts", anchor or None), said.get("timezone", name or None)
    spelled = base if starts is None else _anchored(f"{where}.starts", base, starts)
    if zone is None:
        return spelled
    zones[str(zone)] = read_zone(f"{where}.timezone", zone)
    return f"{spelled}@{zone}"


def _anchored(where: str, base: str, starts: Any) -> str:
    """The period of this anchor; the plain one where it starts as that does."""
    if base not in _ANCHORS:
        raise InvalidManifest(f"`{where}`: no {base} starts anywhere else", field=where)
    if base == WEEK:
        day = str(starts).lower()
        if day not in WEEKDAYS:
            text = f"`{where}` is {_ANCHORS[base]}, not `{starts}`{meant(day, WEEKDAYS)}"
            raise InvalidManifest(text, field=where)
        return WEEK if day == WEEKDAYS[0] else f"{WEEK}:{day}"
    month, day_of_month = _month_and_day(starts)
    is_day = base in ("month", "quarter") if month is None else base != "month"
    if not is_day or not 1 <= day_of_month <= month_days(_LEAP_YEAR, month or 1):
        raise InvalidManifest(f"`{where}` is {_ANCHORS[base]}, not `{starts}`", field=where)
    if base == "month":
        return base if day_of_month == 1 else f"{base}:{day_of_month}"
    first = ((month or 1) - 1) % MONTHS_OF[base] + 1
    return base if (first, day_of_month) == (1, 1) else f"{base}:{first:02}-{day_of_month:02}"


def _month_and_day(starts: Any) -> tuple[int | None, int]:
    """A month, None where none is named, and a day; day 0 for what is neither."""
    if type(starts) is int:
        return None, starts
    found = re.fullmatch(r"(?:([0-9]{2})-)?([0-9]{1,2})", starts) if type(starts) is str else None
    if found is None or (found[1] and not 1 <= int(found[1]) <= 12):
        return None, 0
    return int(found[1]) if found[1] else None, int(found[2])
