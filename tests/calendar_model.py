"""The obvious model of windows in a zone: look at minutes and ask the standard library for the clock."""

import datetime as dt
import zoneinfo
from functools import cache, lru_cache

zoneinfo.reset_tzpath(())  # the data of the package `tzdata`, as the product's
UTC = dt.UTC
MINUTE = dt.timedelta(minutes=1)
WEEKDAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


@cache
def zone_of(name):
    return zoneinfo.ZoneInfo(name)


@lru_cache(maxsize=100_000)
def begins(name, date):
    """The first minute at which the zone's clock shows a day's midnight or later."""
    zone, midnight = zone_of(name), dt.datetime(date.year, date.month, date.day)
    at = midnight.replace(tzinfo=UTC) - dt.timedelta(hours=15)  # no zone is further east
    step = dt.timedelta(hours=8)
    while step >= MINUTE:  # within a step nothing is set back by more than is looked at again
        while (at + step).astimezone(zone).replace(tzinfo=None) < midnight:
            at += step
        step //= 2
    at -= dt.timedelta(hours=3)
    at = at.replace(second=0, microsecond=0)
    while at.astimezone(zone).replace(tzinfo=None) < midnight:
        at += MINUTE
    return at


def first_date(per, anchor, date):
    """The date with which the period that holds a date begins."""
    if per == "day":
        return date
    if per == "week":
        return date - dt.timedelta(days=(date.weekday() - WEEKDAYS.index(anchor)) % 7)
    while not is_first(per, anchor, date):
        date -= dt.timedelta(days=1)
    return date


def is_first(per, anchor, date):
    month, day = anchor
    last = (date.replace(day=28) + dt.timedelta(days=4)).replace(day=1) - dt.timedelta(days=1)
    months = {"month": 1, "quarter": 3, "year": 12}[per]
    return (date.month - month) % months == 0 and date.day == min(day, last.day)


def window_of(name, per, anchor, at):
    """Start and end of the window that holds an instant."""
    date = at.astimezone(zone_of(name)).date()
    while begins(name, date + dt.timedelta(days=1)) <= at:
        date += dt.timedelta(days=1)
    first = after = first_date(per, anchor, date)
    while first_date(per, anchor, after) == first:
        after += dt.timedelta(days=1)
    return begins(name, first), begins(name, after)
