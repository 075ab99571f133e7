"""When a window starts and ends, in integers alone.

Rule 1. Windows of one period never overlap and leave no gap; each start is the start of the window that it is
        in.
Rule 2. Calendar windows stand in the zone that the period names, else in the world's, else at the world's
        fixed offset from UTC. Days, weeks, months, quarters and years begin as days do (`core/zones.py`).
Rule 3. An hour has sixty minutes in every zone: hours begin at the full hours of its standard time.
Rule 4. A duration window (`60s`) starts with its first use.
Rule 5. A rolling window is counted in slices, each named by its last instant: what was used counts until that
        instant has left, so no window of that length ever lets more through. Of the first 60 instants in a
        window each has a slice of its own, which is exact; the others share slices of a 60th of the window,
        so they count at most a 60th of it too long.

Example. `rolling:60s`, at most 60. 1 is used at 0 s and 59 at 59 s. At 61 s the 1 has left and the 59 have
not: 1 is free, and 60 are when the 59 leave, at 119 s.
"""

from collections.abc import Mapping

from splittally.core.dates import DAY_S
from splittally.core.periods import DAY, HOUR, ROLLING, ROLLING_SLICES, WEEK, Period, period_of
from splittally.core.zones import Zone, first_instant, local_day, standard_s

SECOND_NS = 10**9
HOUR_NS = 3600 * SECOND_NS
DAY_NS = DAY_S * SECOND_NS
LENGTHS_NS = {HOUR: HOUR_NS, DAY: DAY_NS, WEEK: 7 * DAY_NS}

Zones = Mapping[str, Zone]  # by name; the one of no name is the world's
NO_ZONES: Zones = {}


def window_start(per: str, now_ns: int, offset_ns: int, zones: Zones = NO_ZONES) -> int:
    """The start of the window of kind `per` that holds `now_ns`."""
    period = period_of(per)
    if not period.base:
        return now_ns
    clock = _clock(period, offset_ns, zones)
    return _start_of(period, _number(period, now_ns, clock), clock)


def window_end(per: str, start_ns: int, offset_ns: int, zones: Zones = NO_ZONES) -> int:
    """The end of the window that starts at `start_ns`, which is the start of the next.

    Of a slice of a rolling window it is when what was used in it counts no more.
    """
    period = period_of(per)
    if not period.base:
        return start_ns + period.length_ns
    clock = _clock(period, offset_ns, zones)
    if type(clock) is int and period.base in LENGTHS_NS:
        return start_ns + LENGTHS_NS[period.base]
    return _start_of(period, _number(period, start_ns, clock) + 1, clock)


def periods_until(
    per: str, start_ns: int, now_ns: int, offset_ns: int, zones: Zones = NO_ZONES
) -> tuple[int, int]:
    """How many windows end until `now_ns`, from the one at `start_ns` on, and when the next one starts.

    A day that its zone left out is one of them: nobody used it.
    """
    period = period_of(per)
    clock = _clock(period, offset_ns, zones)
    if type(clock) is int and period.base in LENGTHS_NS:
        length_ns = LENGTHS_NS[period.base]
        count = (now_ns - start_ns) // length_ns
        return count, start_ns + count * length_ns
    now = _number(period, now_ns, clock)
    return now - _number(period, start_ns, clock), _start_of(period, now, clock)


def slice_of(per: str, slices: tuple[int, ...], now_ns: int) -> int:
    """The slice of a rolling window in which what is used now counts: one of these, in their order, or a new
    one.

    A new one is of this very instant, and where many count already it is longer and has the end of its
    length.
    """
    if slices and slices[-1] >= now_ns:
        return slices[-1]
    if len(counting(per, slices, now_ns)) < ROLLING_SLICES:
        return now_ns
    slice_ns = period_of(per).slice_ns
    return -(-now_ns // slice_ns) * slice_ns


def counting(per: str, slices: tuple[int, ...], now_ns: int) -> list[int]:
    """Those of the slices of a rolling window that count now."""
    length_ns = period_of(per).length_ns
    return [at for at in slices if at + length_ns > now_ns]


def is_rolling(per: str) -> bool:
    """Whether a period is a rolling window."""
    return per.startswith(ROLLING)


def stands_in(per: str) -> str | None:
    """The zone in which windows of a period stand, empty for the world's; None where it has none."""
    period = period_of(per)
    return period.zone if period.base else None


def _clock(period: Period, offset_ns: int, zones: Zones) -> int | Zone:
    """The zone in which a period stands, or a fixed offset in nanoseconds."""
    zone = zones.get(period.zone) if zones else None
    if zone is None:
        assert not period.zone
        return offset_ns
    return standard_s(zone) * SECOND_NS if period.base == HOUR else zone


def _number(period: Period, now_ns: int, clock: int | Zone) -> int:
    if isinstance(clock, Zone):
        return period.number(local_day(clock, now_ns // SECOND_NS))
    if period.base == HOUR:
        return (now_ns + clock) // HOUR_NS
    return period.number((now_ns + clock) // DAY_NS)


def _start_of(period: Period, number: int, clock: int | Zone) -> int:
    if isinstance(clock, Zone):
        return first_instant(clock, period.first_day(number)) * SECOND_NS
    if period.base == HOUR:
        return number * HOUR_NS - clock
    return period.first_day(number) * DAY_NS - clock
