"""What a client remembers between calls: who may go on with what was left, which key follows one that is used
up, and what could not be told.

Rule 1. A note of a pause is taken once: of two calls that go on with one intent, one does.
Rule 2. It is memory of this process. A host that goes on in another one keeps `call.attempt` itself; keys
        that follow are found by asking.
Rule 3. Of pauses and keys the oldest notes go; what could not be told never does.
"""

import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

from splittally.edge.records import Receipt, Release

NOTES_MAX = 65_536  # of each kind, of some hundred bytes


class Left(NamedTuple):
    """An intent that was left: by which attempt, and whether that had started it."""

    attempt: bytes
    is_started: bool


class Notes:
    """Both kinds of notes, for threads and tasks alike."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a collected stream may end inside of another call
        self._left: dict[bytes, Left] = {}
        self._keys: dict[bytes, bytes] = {}
        self._unsettled: dict[bytes, Receipt | Release] = {}

    def keep_left(self, intent_hash: bytes, left: Left) -> None:
        """Note who may go on with an intent later."""
        with self._lock:
            _keep(self._left, intent_hash, left)

    def take_left(self, intent_hash: bytes) -> Left | None:
        """Who left it, for the one who goes on; None where there is no such note."""
        with self._lock:
            return self._left.pop(intent_hash, None)

    def keep_key(self, key: bytes, latest: bytes) -> None:
        """Note the key that is asked under by now where a host says `key`."""
        with self._lock:
            _keep(self._keys, key, latest)

    def latest_key(self, key: bytes) -> bytes:
        """The key to ask under: the host's own where nothing is noted."""
        with self._lock:
            return self._keys.get(key, key)

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


def _keep(notes: dict[bytes, Any], name: bytes, note: Any) -> None:
    notes.pop(name, None)
    notes[name] = note
    while len(notes) > NOTES_MAX:
        del notes[next(iter(notes))]
