"""A store that fails on purpose, and what outlives a kernel that failed with it.

Rule 1. `before_commit`: nothing of the group was written. `after_commit`: all of it was, and nobody was
        told. Either way the kernel that asked is over; what it had in memory is gone with it.
Rule 2. `unknown` and `conflict` are the other answers that a store may give (spec/07-journal.md).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from splittally.journal.frame import Frame, Head
from splittally.journal.lmdb import LmdbStore
from splittally.journal.memory import MemoryStore
from splittally.journal.store import Conflict, Store, Unknown
from splittally.runtime import Kernel, open_store

BEFORE, AFTER, UNKNOWN, CONFLICT = "before_commit", "after_commit", "unknown", "conflict"
FATES = (BEFORE, AFTER, UNKNOWN, CONFLICT)


class Crash(Exception):
    """The process of the kernel ended here; `when` says on which side of the commit."""

    def __init__(self, when: str) -> None:
        super().__init__(f"the kernel crashed {when.replace('_', ' the ')}")
        self.when = when


class FaultyStore(Store):
    """Another store, with the next commit failing where somebody said so."""

    def __init__(self, base: Store) -> None:
        self.base = base
        self.head = base.head
        self._fate = ""

    def fail(self, fate: str) -> None:
        """Let the next commit fail; an empty fate takes that back."""
        if fate not in ("", *FATES):
            raise ValueError(f"a fate is one of {', '.join(FATES)}, not `{fate}`")
        self._fate = fate

    def append(self, expected: Head, frames: Sequence[Frame]) -> Head | Conflict | Unknown:
        fate, self._fate = self._fate, ""
        if fate == BEFORE:
            raise Crash(fate)
        if fate == CONFLICT:
            return Conflict(self.head)
        answer = self.base.append(expected, frames)
        self.head = self.base.head
        if fate == AFTER:
            raise Crash(fate)
        return Unknown("the store was told to fail") if fate == UNKNOWN else answer

    def entry(self, seq: int) -> tuple[bytes, bytes]:
        return self.base.entry(seq)

    def entries(self, start: int, stop: int) -> Iterator[tuple[bytes, bytes]]:
        return self.base.entries(start, stop)

    def refresh(self) -> Head:
        self.head = self.base.refresh()
        return self.head

    def verify_pages(self) -> None:
        self.base.verify_pages()

    def close(self) -> None:
        """Nothing is held here; `Disk` closes what it opened."""


class Disk:
    """The committed frames of a world: in memory, or in the folder of a world that `tally` opens.

    `open` gives a kernel over them, after a crash the next one; `store` is what can be told to fail.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._journal = None if folder is None else folder / "journal"
        self._base: Store | None = None
        self.store: FaultyStore

    def open(self, clock: Any = None, **options: Any) -> Kernel:
        """A kernel that knows nothing but what was committed; one that was open before is over."""
        if self._journal is not None:
            self.close()
            self._journal.parent.mkdir(parents=True, exist_ok=True)
            self._base = LmdbStore(self._journal, writable=True)
        elif self._base is None:
            self._base = MemoryStore()
        self.store = FaultyStore(self._base)
        return open_store(self.store, clock, **options)

    def close(self) -> None:
        """Let go of the folder; frames in memory stay."""
        if self._base is not None and self._journal is not None:
            self._base.close()
            self._base = None
