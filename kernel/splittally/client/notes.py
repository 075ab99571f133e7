"""What a client remembers between calls: who started what a pause left open, and what it could not tell.

Rule 1. A note of a pause is taken once: of two calls that resume one intent, one does.
Rule 2. It is memory of this process. A host that resumes in another one keeps `call.attempt` itself.
Rule 3. Of pauses that nobody resumes the oldest notes go; what could not be told never does.
"""

import threading
from collections.abc import Sequence
from typing import Any

from splittally.edge.records import Receipt, Release

PAUSES_MAX = 65_536  # notes of some hundred bytes


class Notes:
    """Both kinds of notes, for threads and tasks alike."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a collected stream may end inside of another call
        self._paused: dict[bytes, bytes] = {}
        self._unsettled: dict[bytes, Receipt | Release] = {}

    def keep_paused(self, intent_hash: bytes, attempt: bytes) -> None:
        """Note who started an intent that goes on later."""
        with self._lock:
            self._paused[intent_hash] = attempt
            while len(self._paused) > PAUSES_MAX:
                del self._paused[next(iter(self._paused))]

    def take_paused(self, intent_hash: bytes) -> bytes | None:
        """The attempt that started it, for the one who goes on; None where there is no such note."""
        with self._lock:
            return self._paused.pop(intent_hash, None)

    @property
    def unsettled(self) -> tuple[Receipt | Release, ...]:
        """What could not be told, oldest first."""
        with self._lock:
            return tuple(self._unsettled.values())

    def keep_unsettled(self, request: Receipt | Release) -> None:
        """Note what is still to be told."""
        with self._lock:
            self._unsettled[request.intent_hash] = request

    def take_told(self, requests: Sequence[Receipt | Release], answers: Sequence[Any]) -> None:
        """Forget those of these that were answered."""
        with self._lock:
            for request, answer in zip(requests, answers, strict=True):
                is_same = self._unsettled.get(request.intent_hash) is request
                if is_same and not isinstance(answer, BaseException):
                    del self._unsettled[request.intent_hash]
