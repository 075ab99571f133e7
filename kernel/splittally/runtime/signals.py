"""Who waits for a commit is told of it, in whatever thread or loop it waits.

Rule 1. A call is made after the commit, under the world's lock, so it only wakes somebody: it never waits,
        asks or raises.
Rule 2. Whoever waits for one intent is called when its hold has another phase or is gone, not at each commit.
Rule 3. Closing a world calls everybody once: what they ask then says that it is closed.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from splittally.core.ledger.state import Hold

Wake = Callable[[], object]


class _Waiting(NamedTuple):
    wake: Wake
    intent_hash: bytes | None
    phase: str


class Signals:
    """The waiting calls of one world."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[int, _Waiting] = {}
        self._made = 0

    @contextmanager
    def waking(self, wake: Wake, intent_hash: bytes | None = None, phase: str = "") -> Iterator[None]:
        """While this lasts, `wake` is called at each commit, or at one after which an intent's hold is in
        another phase than this."""
        with self._lock:
            self._made += 1
            number = self._made
            self._waiting[number] = _Waiting(wake, intent_hash, phase)
        try:
            yield
        finally:
            with self._lock:
                del self._waiting[number]

    def committed(self, holds: Mapping[bytes, Hold]) -> None:
        """Frames became durable, and these are the holds after them."""
        if self._waiting:
            for each in self._every():
                if each.intent_hash is None or phase_of(holds, each.intent_hash) != each.phase:
                    each.wake()

    def closed(self) -> None:
        """Nothing will be committed any more."""
        for each in self._every():
            each.wake()

    def _every(self) -> list[_Waiting]:
        with self._lock:
            return list(self._waiting.values())


def phase_of(holds: Mapping[bytes, Hold], intent_hash: bytes) -> str:
    """The phase of an intent's hold; empty where nothing is held."""
    hold = holds.get(intent_hash)
    return hold.phase if hold is not None else ""
