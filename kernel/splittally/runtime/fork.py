"""A journal that reads through to another and keeps its own frames: what-if without a trace."""

from collections.abc import Iterator, Sequence

from splittally.journal.frame import Frame, Head, extend
from splittally.journal.index import Index
from splittally.journal.store import Conflict, Store, Unknown, absent


class ForkStore(Store):
    """`base` with frames of one's own behind its head; nothing is written to `base`."""

    def __init__(self, base: Store) -> None:
        self._base = base
        self._first = base.head.size
        self._own: list[Frame] = []
        self.head = base.head

    def append(self, expected: Head, frames: Sequence[Frame]) -> Head | Conflict | Unknown:
        if expected != self.head:
            return Conflict(self.head)
        self.head = extend(self.head, frames)
        self._own += frames
        return self.head

    def entry(self, seq: int) -> tuple[bytes, bytes]:
        if seq < self._first:
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
    """An index that reads through to `base` and keeps its own rows."""

    def __init__(self, base: Index) -> None:
        super().__init__(None)
        self._base_index = base

    def seqs(self, key: bytes) -> tuple[int, ...]:
        return self._base_index.seqs(key) + super().seqs(key)
