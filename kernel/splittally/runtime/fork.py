"""A journal that reads through to another and keeps its own frames: what-if without a trace.

Rule 1. Nothing is written to the base, and what it got since the fork is not seen.
Rule 2. The base is read under its own lock: it may be written in another thread meanwhile.
"""

import threading
from collections.abc import Iterator, Sequence

from splittally.journal.frame import Frame, Head, extend
from splittally.journal.index import Index
from splittally.journal.store import Conflict, Store, Unknown, absent


class ForkStore(Store):
    """`base` with frames of one's own behind its head; `lock` guards `base`."""

    def __init__(self, base: Store, lock: threading.RLock) -> None:
        self._base = base
        self._lock = lock
        self._first = base.head.size
        self._own: list[Frame] = []
        self.head = base.head

    def append(self, expected: Head, frames: Sequence[Frame]) -> Head | Conflict | Unknown:
        if expected != self.head:
            return Conflict(self.head)
        self._own[self.head.size - self._first :] = frames
        self.head = extend(self.head, frames)
        return self.head

    def entry(self, seq: int) -> tuple[bytes, bytes]:
        if seq < self._first:
            with self._lock:
                return self._base.entry(seq)
        if seq >= self.head.size:
            raise absent(seq)
        frame = self._own[seq - self._first]
        return frame.hash, frame.data

    def entries(self, start: int, stop: int) -> Iterator[tuple[bytes, bytes]]:
        for seq in range(start, stop):
            yield self.entry(seq)

    def refresh(self) -> Head:
        return self.head

    def close(self) -> None:
        """Nothing is held."""


class ForkIndex(Index):
    """An index that reads through to `base`, as far as it spoke of frames before `first`."""

    def __init__(self, base: Index, lock: threading.RLock, first: int) -> None:
        super().__init__(None)
        self._base_index = base
        self._lock = lock
        self._first = first

    def keys(self, beginning: str) -> list[bytes]:
        with self._lock:
            found = self._base_index.keys(beginning)
        return sorted({*found, *super().keys(beginning)})

    def seqs(self, key: bytes) -> tuple[int, ...]:
        with self._lock:
            found = self._base_index.seqs(key)
        return tuple(seq for seq in found if seq < self._first) + super().seqs(key)
