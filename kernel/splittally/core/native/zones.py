"""The zones of a world: which a manifest brings, which limits need, and what another zone means for open
windows.

Rule 1. A zone comes with a manifest alone, and is data from then on. Who issues a grant uses those that are
        there.
"""

from collections.abc import Iterable, Mapping

import msgspec

from splittally.core.canonical import encode
from splittally.core.events import Defined, Event
from splittally.core.findings import Finding, find
from splittally.core.ledger.limit_changes import Moment, moved_window_events
from splittally.core.periods import read_period
from splittally.core.state import State
from splittally.core.types import Limit
from splittally.core.zones import Zone


def check_zones(state: State, limits: Iterable[Limit]) -> list[Finding]:
    """Whether the world knows the zones in which these limits have their windows."""
    periods = [(limit, read_period(limit.per)) for limit in limits]
    return [
        find("not_found", zone=period.zone, dim=limit.dim, per=limit.per)
        for limit, period in periods
        if period is not None and period.zone and period.zone not in state.ledger.zones
    ]


def zone_events(state: State, zones: Mapping[str, Zone]) -> list[Event]:
    """The zones that are new or differ in more than the version of the data, and the world's that is gone.

    A zone that a manifest no longer names stays: a limit that was issued may have its windows there.
    """
    events: list[Event] = []
    for name in sorted(zones):
        now, zone = state.ledger.zones.get(name), zones[name]
        if now is None or msgspec.structs.replace(now, version=zone.version) != zone:
            events.append(Defined("zones", name, encode(msgspec.to_builtins(zone))))
    if "" in state.ledger.zones and "" not in zones:
        events.append(Defined("zones", "", b""))
    return events


def moved_windows(state: State, fork: State, now_ns: int) -> list[Event]:
    """The open windows of zones that are others in the fork end now, and what was used goes on."""
    before, now = state.ledger.zones, fork.ledger.zones
    changed = {name for name in {*before, *now} if before.get(name) != now.get(name)}
    if state.offset_ns != fork.offset_ns:
        changed.add("")
    if not changed:
        return []
    return [*moved_window_events(fork.ledger, changed, Moment(now_ns, fork.offset_ns))]
