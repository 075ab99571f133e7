"""Waiting for what others do to a world: for the answer to an intent, for the next frames.

Rule 1. What is looked at before waiting may not be durable yet; what is given is.
Rule 2. What falls due while somebody waits, such as the end of an approval, happens at its time: the
        wait works through it where the runtime reads the clock.
"""

import threading
import time
from collections.abc import Callable, Iterator

from splittally.core.errors import InvalidInput
from splittally.core.types import APPROVAL
from splittally.edge.arguments import require
from splittally.runtime.clock import GIVEN
from splittally.runtime.record import Record, read_record
from splittally.runtime.signals import phase_of
from splittally.runtime.world import World

PAUSE_SECONDS_MAX = 60.0  # looked at again at the latest, whatever the clocks say
PAUSE_SECONDS_MIN = 0.01
RECORDS_MAX = 64  # read under one lock


class Patience:
    """How long one wait lasts, and whether what it waits for is still to come."""

    def __init__(self, world: World, intent_hash: bytes, timeout_s: float | None, is_for_end: bool) -> None:
        if timeout_s is not None:
            require(timeout_s, (int, float), "timeout_s", "a number of seconds")
            if not timeout_s >= 0:
                raise InvalidInput("`timeout_s` is a number of seconds, not negative", field="timeout_s")
        self._world = world
        self._intent_hash = intent_hash
        self._end = None if timeout_s is None else time.monotonic() + timeout_s
        self._is_for_end = is_for_end

    @property
    def phase(self) -> str:
        """The phase of the hold, which may not be durable yet; empty where there is none."""
        return phase_of(self._world.state.ledger.holds, self._intent_hash)

    def is_over(self, phase: str) -> bool:
        """Whether a hold in this phase is what was waited for, or time is up."""
        is_still = bool(phase) if self._is_for_end else phase == APPROVAL
        return not is_still or self._left() <= 0

    def pause_s(self) -> float:
        """How long to wait for a signal before looking again: until time is up or something falls due."""
        pauses = [self._left(), PAUSE_SECONDS_MAX]
        world = self._world
        if world.clock.kind != GIVEN:  # the first item may have lapsed, which costs a look
            pauses += [(due.due_ns - time.time_ns()) / 1e9 for due in world.state.ledger.agenda[:1]]
        return max(PAUSE_SECONDS_MIN, min(pauses))

    def _left(self) -> float:
        return float("inf") if self._end is None else self._end - time.monotonic()


def wait(patience: Patience, world: World, intent_hash: bytes, tick: Callable[[], object]) -> None:
    """Returns once the wait is over; `tick` works through what falls due meanwhile."""
    while not patience.is_over(phase := patience.phase):
        signal = threading.Event()
        with world.signals.waking(signal.set, intent_hash, phase):
            if patience.phase == phase and not world.is_closed and not signal.wait(patience.pause_s()):
                tick()
        if world.is_closed:
            return


def records_after(world: World, seq: int) -> list[Record]:
    """The next durable frames after frame `seq`, none where there are none; the caller holds the lock."""
    stop = min(world.store.head.size, seq + 1 + RECORDS_MAX)
    return [read_record(at, *world.store.entry(at)) for at in range(seq + 1, stop)]


def watch(world: World, after_seq: int, read: Callable[[int], list[Record]]) -> Iterator[Record]:
    """The frames after `after_seq`, as they come; it ends where the world is closed."""
    while not world.is_closed:
        signal = threading.Event()
        with world.signals.waking(signal.set):
            found = read(after_seq)
            if not found and not world.is_closed:
                signal.wait(PAUSE_SECONDS_MAX)
        for record in found:
            after_seq = record.seq
            yield record
