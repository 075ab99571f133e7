"""Where the windows of a world stand, as the store keeps it: offset from UTC, and the bytes of its zone."""

from functools import lru_cache
from typing import NamedTuple

import msgspec
from splittally.core.calendars import Calendar
from splittally.core.canonical import decode
from splittally.core.ledger.windows import window_start
from splittally.core.types import CALENDAR_WINDOWS
from splittally.core.zones import Zone

MINUTE = "minute"  # only of values of metrics: postings have hours as their finest
MINUTE_NS = 60 * 10**9
WINDOWS = (MINUTE, *CALENDAR_WINDOWS)  # the finest first


class Kept(NamedTuple):
    """An offset from UTC, and the canonical bytes of a zone, empty where there is none."""

    offset_ns: int = 0
    zone: bytes = b""

    @property
    def calendar(self) -> Calendar:
        """The calendar that it is."""
        return _calendar(self.offset_ns, self.zone)

    def start(self, per: str, now_ns: int) -> int:
        """The start of the window of this kind that holds an instant; minutes are those of UTC."""
        if per == MINUTE:
            return now_ns - now_ns % MINUTE_NS
        zone = self.calendar.zone
        return window_start(per, now_ns, self.offset_ns, {} if zone is None else {"": zone})


@lru_cache(maxsize=16)
def _calendar(offset_ns: int, zone: bytes) -> Calendar:
    return Calendar(offset_ns, msgspec.convert(decode(zone), Zone) if zone else None)
