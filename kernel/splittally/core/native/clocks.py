"""`clock.accept`: the operator's word that a host's clock which jumped is right.

Rule 1. Whether a clock jumped the host knows, and no record: here it is only said up to which reading it is
        believed. Logical time moves with the next record.
Rule 2. It belongs to the root grant, and to a world whose clock is the host's.
"""

from msgspec import Struct

from splittally.core.canonical import encode
from splittally.core.events import Defined, Event
from splittally.core.findings import Finding, find
from splittally.core.limits import TIME_NS_MAX
from splittally.core.native.row import Native, NativeCall, Touches
from splittally.core.state import State
from splittally.core.types import CLOCKS, ROOT

CLOCK_ACCEPT = "clock.accept"
# What is decided while time stands: the word that lets it go on, and what ends a hold.
WHILE_TIME_STANDS = frozenset((CLOCK_ACCEPT, "outcome.attest", "reservation.release"))


class AcceptClock(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The reading up to which the clock is believed; what it reads when this is asked, where it is absent."""

    up_to_ns: int | None = None

    def __post_init__(self) -> None:
        if self.up_to_ns is not None and not 0 <= self.up_to_ns <= TIME_NS_MAX:
            raise ValueError("`up_to_ns` is a natural below 2^63")


def _touches(state: State, call: NativeCall, params: AcceptClock) -> Touches:
    return Touches()


def _check(state: State, call: NativeCall, params: AcceptClock) -> list[Finding]:
    if call.grant != ROOT:
        return [find("root_only", grant=call.grant)]
    host = CLOCKS[0]
    return [] if state.clock == host else [find("cannot_change", field="clock", needed=host)]


def _make(state: State, call: NativeCall, params: AcceptClock) -> list[Event]:
    if params.up_to_ns is None or params.up_to_ns <= state.accepted_ns:
        return []
    return [Defined("world", "accepted_ns", encode(params.up_to_ns))]


ROWS = {CLOCK_ACCEPT: Native(AcceptClock, _touches, _check, _make, "believe a clock that jumped")}
