"""What the obvious model of histories is made of: limits, grants, counters, holds, and the calendar.

A counter stands under (grant, dim, per, start) and has limit (-1 where nothing limits it), reserved, spent,
refunded, told. `life` starts at 0. A window is open from its first use, or as another rolled into it.
"""

import datetime
from dataclasses import dataclass, field

SECOND, DAY = 10**9, 86_400 * 10**9
LENGTHS = {"hour": 3_600 * SECOND, "day": DAY, "90s": 90 * SECOND}


@dataclass(frozen=True)
class Limit:
    dim: str
    per: str
    amount: int
    over: str = "deny"
    share: int = 0  # hundredths of what is left that the next window gets


@dataclass
class Grant:
    parent: str | None
    limits: list
    expiry: int = 0
    hold_max: int = 0
    approval: int = 0
    unknown: int = 0
    above: str = "charge"
    draws: bool = False
    revoked: bool = False
    forgotten: bool = False


@dataclass
class Counter:
    limit: int = -1
    reserved: int = 0
    spent: int = 0
    refunded: int = 0
    told: int = 0


@dataclass
class Hold:
    chain: list
    reserve: dict
    windows: dict  # grant -> the keys of the windows that its leg names
    payer: str | None
    drawn: int
    phase: str
    due: int
    expires: int
    at: int
    status: str = "reserved"
    cause: str = ""
    attempt: bytes = b""
    is_late: bool = False
    charged: dict = field(default_factory=dict)  # grant -> dim -> amount
    refunded: dict = field(default_factory=dict)
    counted: set = field(default_factory=set)  # (grant, dim) that a counter for life counted
    paid: int = 0
    story: list = field(default_factory=list)  # what happened to it, in order, and how
    credited: int = 0  # all that was ever paid, whatever came back


@dataclass
class Answer:
    outcome: str
    codes: list
    made: object = None  # what admitting it does
    noted: object = None  # what the governor said, also where it did not admit


@dataclass
class Found:
    """What the limits of one scope found."""

    codes: list = field(default_factory=list)
    outcomes: list = field(default_factory=list)
    opened: dict = field(default_factory=dict)
    told: list = field(default_factory=list)
    windows: list = field(default_factory=list)


def start_of(per, at):
    """When the window that holds this moment began."""
    if per == "90s":
        return at
    if per in LENGTHS:
        return at - at % LENGTHS[per]
    day = datetime.date(1970, 1, 1) + datetime.timedelta(days=at // DAY)
    first = day - datetime.timedelta(days=day.weekday()) if per == "week" else day.replace(day=1)
    return (first - datetime.date(1970, 1, 1)).days * DAY


def end_of(per, start):
    if per in LENGTHS:
        return start + LENGTHS[per]
    if per == "week":
        return start + 7 * DAY
    return start_of("month", start + 32 * DAY)
