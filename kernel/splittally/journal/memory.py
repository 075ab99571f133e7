"""A journal in memory: the definition of what a store answers (spec/07-journal.md, "Store").

Rule 1. It is as durable as the process. Tests, dry runs and forks use it.
"""

from collections.abc import Iterator, Sequence

from splittally.core.errors import KernelStopped
from splittally.journal.frame import EMPTY, Frame, Head, extend
from splittally.journal.store import Conflict, Store, Unknown, absent


class MemoryStore(Store):
    """Frames in a list."""

    def __init__(self) -> None:
        self.head = EMPTY
        self._frames: list[Frame] = []
        self._closed = False

    def append(self, expected: Head, frames: Sequence[Frame]) -> Head | Conflict | Unknown:
        self._refuse_closed()
        if expected != self.head:
            return Conflict(self.head)
        head = extend(expected, frames)
        self._frames[expected.size :] = frames  # also over what an interrupted append left
        self.head = head
        return head

    def entry(self, seq: int) -> tuple[bytes, bytes]:
        self._refuse_closed()
        if not 0 <= seq < self.head.size:
            raise absent(seq)
        frame = self._frames[seq]
        return frame.hash, frame.data

    def entries(self, start: int, stop: int) -> Iterator[tuple[bytes, bytes]]:
        for seq in range(start, stop):
            yield self.entry(seq)

    def refresh(self) -> Head:
        return self.head

    def close(self) -> None:
        self._closed = True

    def _refuse_closed(self) -> None:
        if self._closed:
            raise KernelStopped("the journal is closed; open the world again")
