"""What a journal store does: append, read, verify (spec/07-journal.md, "Store").

Rule 1. One append is one durable transaction, all or nothing. `Conflict` and `Unknown` are answers:
        after `Conflict` nothing was written; after `Unknown` nobody knows until the world is opened again.
Rule 2. Beside each frame a store keeps the hash that was sealed with it. It finds rot in the frame
        itself, and the chain finds a frame put in the place of another.
Rule 3. A read that a decision rests on is `verified`: own hash, sequence, and the next frame's `prev`.
Rule 4. Of two sound frames that do not fit, the later is named if the one after it does not follow it
        either, else the earlier: no successor vouches for it.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from splittally.core.errors import JournalDamaged
from splittally.core.hashing import hash_frame
from splittally.journal.frame import Frame, Head, follows, open_frame, prev_of


class Conflict(NamedTuple):
    """Nothing was appended, because the journal ends at `head` and not where the caller thought."""

    head: Head


class Unknown(NamedTuple):
    """The transaction failed in a way that leaves its outcome open; the store takes no more frames."""

    reason: str


class Store(Protocol):
    """A sequence of frames; `MemoryStore` is the definition."""

    head: Head
    repairs: Sequence[str] = ()  # what had to be mended when it was opened, for people

    def append(self, expected: Head, frames: Sequence[Frame]) -> Head | Conflict | Unknown:
        """The new head once `frames` are durable after `expected`."""
        ...

    def entry(self, seq: int) -> tuple[bytes, bytes]:
        """The hash kept with frame `seq` and its bytes, neither checked; `JournalDamaged` if absent."""
        ...

    def entries(self, start: int, stop: int) -> Iterator[tuple[bytes, bytes]]:
        """`entry` of `start` ... `stop` - 1; `JournalDamaged` where the keys are not dense."""
        ...

    def refresh(self) -> Head:
        """The head after reading again what another process may have appended."""
        ...

    def close(self) -> None: ...

    def verify_pages(self) -> None:
        """Refuses a store in which the next writer would write over frames; one without pages never is."""
        return

    def read(self, seq: int) -> bytes:
        """The bytes of frame `seq`, which begin as frame `seq`; not checked against the chain."""
        data = self.entry(seq)[1]
        prev_of(seq, data)
        return data

    def verified(self, seq: int) -> tuple[bytes, list[Any]]:
        """Hash and body of frame `seq`, checked against its neighbour; `JournalDamaged` otherwise."""
        kept, data = self.entry(seq)
        hash_ = hash_frame(data)
        if kept != hash_:
            raise _rotten(seq)
        if seq + 1 == self.head.size:
            if hash_ != self.head.hash:
                raise _unfit(seq)
        else:
            next_kept, next_data = self.entry(seq + 1)
            if not follows(seq + 1, next_data, hash_):
                raise self._misfit(seq + 1) if hash_frame(next_data) == next_kept else _rotten(seq + 1)
        found, _, body = open_frame(data)
        if found != seq:
            raise JournalDamaged(f"frame {found} stands in the place of frame {seq}", seq=seq)
        return hash_, body

    def scan(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, bytes]]:
        """Sequence and bytes of each frame from `start` to before `stop`; hashes are not checked."""
        stop = self.head.size if stop is None else min(stop, self.head.size)
        for seq, (_, data) in enumerate(self.entries(start, stop), start):
            yield seq, data

    def chained(self, start: Head, stop: int | None = None) -> Iterator[tuple[int, bytes, bytes]]:
        """Sequence, hash and bytes of each frame after `start`, checked against the one before it.

        The last is checked against the head at the end, so nothing is vouched for before the iterator ends.
        """
        seq, last = start
        stop = self.head.size if stop is None else min(stop, self.head.size)
        for kept, data in self.entries(seq, stop):
            hash_ = hash_frame(data)
            if kept != hash_:
                raise _rotten(seq)
            if not follows(seq, data, last):
                raise self._misfit(seq) if seq > start.size else _unfit(seq)
            yield seq, hash_, data
            seq, last = seq + 1, hash_
        if seq == self.head.size and last != self.head.hash:
            raise _unfit(max(seq - 1, 0))

    def _misfit(self, seq: int) -> JournalDamaged:
        """Which frame is wrong when `seq` does not follow the one before it, both being sound."""
        kept, data = self.entry(seq)
        prev_of(seq, data)
        is_last = seq + 1 == self.head.size
        return _unfit(seq - 1 if is_last or follows(seq + 1, self.entry(seq + 1)[1], kept) else seq)


def absent(seq: int) -> JournalDamaged:
    return JournalDamaged(f"the journal holds no frame {seq}", seq=seq)


def _rotten(seq: int) -> JournalDamaged:
    return JournalDamaged(f"the bytes of frame {seq} are not those that were sealed", seq=seq)


def _unfit(seq: int) -> JournalDamaged:
    return JournalDamaged(f"frame {seq} does not fit the frames around it", seq=seq)
