"""A world opened for reading, while somebody else may write it.

Rule 1. Nothing is written and no lock is taken: a frozen writer keeps no reader out.
Rule 2. What is read is one committed journal: it grows only by `refresh`, and every frame that is handed
        out is verified on the way.
Rule 3. State and index are folded when they are first asked for; reading frames needs neither. The writer
        and its sandbox are loaded for a fork alone.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from functools import cached_property
from pathlib import Path
from types import TracebackType

from splittally import runtime
from splittally.core.calendars import Calendar
from splittally.core.commands import Open
from splittally.core.errors import JournalOlder
from splittally.core.intent_history import Trace
from splittally.core.state import State
from splittally.core.types import OPERATOR
from splittally.edge.hashes import require_hash
from splittally.edge.moments import When, read_moment
from splittally.journal.frame import Head
from splittally.journal.index import Index
from splittally.journal.lmdb import LmdbStore
from splittally.journal.snapshot import Snapshots
from splittally.journal.store import Store
from splittally.runtime.charges import Book
from splittally.runtime.clock import USED, WorldClock
from splittally.runtime.folder import NO_FOLDER, require_world
from splittally.runtime.health import health_row
from splittally.runtime.history import History
from splittally.runtime.moments import Frames, frame_at, frames_between
from splittally.runtime.queries import Queries
from splittally.runtime.record import Record, read_record
from splittally.runtime.recover import Recovered, head_at, recover, refuse_older, state_at
from splittally.runtime.rows import Row, outcome_row


class Reader:
    """The committed frames in `store`, and what they amount to; snapshots and index lie in `folder`.

    Made by `open_reader` and `read_store`.
    """

    def __init__(self, folder: Path, store: Store) -> None:
        self.folder = folder
        self.store = store
        self.snapshots = Snapshots(folder / "snapshots")
        self.index = Index(folder / "index", writable=False)

    def __enter__(self) -> "Reader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trail: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the files."""
        self.index.close()
        self.store.close()

    @property
    def head(self) -> Head:
        """How many frames there are, and the hash of the last."""
        return self.store.head

    @property
    def world(self) -> bytes:
        """The id that the world was given when it was made."""
        command = self.record(0).body.command
        assert isinstance(command, Open)
        return command.world

    def refresh(self) -> Head:
        """The head after looking again; only `records` and `record` see what came since."""
        return self.store.refresh()

    # --- frames --------------------------------------------------------------------------------

    def record(self, seq: int) -> Record:
        """The verified frame `seq`; `JournalDamaged` when it is absent or not what it was."""
        self.store.verified(seq)
        hash_, data = self.store.entry(seq)
        return read_record(seq, hash_, data)

    def records(self, start: int = 0, stop: int | None = None) -> Iterator[Record]:
        """The frames from `start` to before `stop`, each chained to the one before it."""
        for seq, hash_, data in self.entries(start, stop):
            yield read_record(seq, hash_, data)

    def entries(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, bytes, bytes]]:
        """Sequence, hash and canonical bytes of the same frames, not read any further."""
        if start >= min(self.head.size, self.head.size if stop is None else stop):
            return iter(())
        return self.store.chained(head_at(self.store, start), stop)

    # --- what they amount to -------------------------------------------------------------------

    @cached_property
    def _recovered(self) -> Recovered:
        try:
            refuse_older(self.head.size, self.index, self.snapshots)
        except JournalOlder:  # unless a writer went on since this was opened
            with closing(LmdbStore(self.folder / "journal", writable=False)) as now:
                refuse_older(now.head.size, self.index, self.snapshots)
        return recover(self.store, self.index, self.snapshots)

    @cached_property
    def history(self) -> History:
        """What the journal says of intents and of grants that are forgotten, found by the index."""
        assert self._recovered
        return History(self.store, self.index)

    @property
    def repairs(self) -> tuple[str, ...]:
        """Projections that could not be used, and why; a writer rebuilds them."""
        return tuple(self._recovered.repairs)

    def health(self) -> Row:
        """As `Kernel.health` says it; of a clock, what opening the world for writing would find of it."""
        state = self.folded
        clock = WorldClock(state.clock)
        clock.begin(max(state.now_ns, state.accepted_ns), USED, state.clock_jump_ns)
        return health_row(state, clock, self.repairs)

    @property
    def folded(self) -> State:
        """The state itself, at the head that was found on opening; not to be changed."""
        return self._recovered.state

    @property
    def state(self) -> Queries:
        """The same queries as on a kernel."""
        return self.queries_on(lambda: self.folded)

    def book(self) -> Book:
        """The frames, for what is summed over them."""
        return Book(self.store, self.history, nullcontext(), self._calendar)

    def state_before(self, seq: int) -> State:
        """The state after the first `seq` frames, which frame `seq` was decided in."""
        return self.folded if seq == self.folded.size else state_at(self.store, self.snapshots, seq)

    def state_after(self, moment: When) -> State:
        """The state as it stood at a past moment; `InvalidInput` before the first frame."""
        return self.state_before(frame_at(self.store, read_moment(moment), self._calendar) + 1)

    def at(self, moment: When) -> Queries:
        """Queries on the state at a past moment: the same as a fold of the frames up to it."""
        state = self.state_after(moment)
        return self.queries_on(lambda: state)

    def queries_on(self, current: Callable[[], State]) -> Queries:
        """The queries on a state of this journal."""
        return Queries(current, history=lambda: self.history, book=self.book)

    def frames_between(self, since: When | None = None, until: When | None = None) -> Frames:
        """The frames from one past moment to another, both included, for `records` and `entries`."""
        first, last = (None if at is None else read_moment(at) for at in (since, until))
        return frames_between(self.store, first, last, self._calendar)

    def _calendar(self) -> Calendar:
        return self.folded.calendar

    def trace(self, intent_hash: bytes | str) -> Trace | None:
        """The life of an intent; None when no frame decides it."""
        return self.history.trace(require_hash(intent_hash))

    def seqs(self, intent_hash: bytes) -> tuple[int, ...]:
        """The frames that speak of an intent."""
        assert self._recovered
        return self.index.seqs(intent_hash)

    def index_keys(self, beginning: str) -> list[bytes]:
        """What the index has whose hex begins so: hashes of intents, and digests of idempotency keys."""
        assert self._recovered
        return self.index.keys(beginning)

    def outcome(self, intent_hash: bytes | str) -> Row | None:
        """What happened to an intent, as `Kernel.outcome` says it."""
        found = self.trace(intent_hash)
        return outcome_row(found) if found is not None else None

    @cached_property
    def _kernel(self) -> "runtime.Kernel":
        return runtime.kernel_over(self.folded, self.store, self.index)

    def fork(self, principal: str = OPERATOR) -> "runtime.Kernel":
        """A what-if: a kernel for a principal over a copy; nothing it does is written here."""
        return self._kernel.as_principal(principal).fork()


def open_reader(path: str | os.PathLike[str]) -> Reader:
    """The world at `path` for reading; `NoWorld`, or `JournalDamaged` naming the first bad frame."""
    folder = Path(path)
    require_world(folder)
    return Reader(folder, LmdbStore(folder / "journal", writable=False))


class _Borrowing(Reader):
    """A reader of a store that belongs to somebody else."""

    def close(self) -> None:
        self.index.close()


def read_store(source: "Store | runtime.Kernel") -> Reader:
    """The frames of a store, or of the world that a kernel has open; closing it leaves the store open.

    Nothing but the frames is read: no snapshot and no index.
    """
    return _Borrowing(NO_FOLDER, source._world.store if isinstance(source, runtime.Kernel) else source)
