"""Where the windows of a world stand: at its offset from UTC, or in its zone as the journal has it."""

from functools import lru_cache
from typing import NamedTuple

import msgspec
from splittally.core.canonical import decode
from splittally.core.ledger.windows import DAY_NS, SECOND_NS, Zones, window_start
from splittally.core.zones import Zone, first_instant, offset_s


class Calendar(NamedTuple):
    """An offset from UTC, and the canonical bytes of a zone, empty where there is none."""

    offset_ns: int = 0
    zone: bytes = b""

    def start(self, per: str, now_ns: int) -> int:
        """The start of the window of this kind that holds an instant."""
        return window_start(per, now_ns, self.offset_ns, _zones(self.zone))

    def day_start(self, day: int) -> int:
        """The instant at which a day begins, in days since 1970."""
        zone = _zones(self.zone).get("")
        return day * DAY_NS - self.offset_ns if zone is None else first_instant(zone, day) * SECOND_NS

    def local(self, at_ns: int) -> int:
        """What the clock shows at an instant, as nanoseconds since its own 1970."""
        zone = _zones(self.zone).get("")
        ahead_ns = self.offset_ns if zone is None else offset_s(zone, at_ns // SECOND_NS) * SECOND_NS
        return at_ns + ahead_ns


@lru_cache(maxsize=16)
def _zones(zone: bytes) -> Zones:
    return {"": msgspec.convert(decode(zone), Zone)} if zone else {}
