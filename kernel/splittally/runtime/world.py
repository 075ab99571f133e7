"""An open world: its state, its journal and what belongs to them; `pipeline.py` says what happens to it.

Rule 1. `state` is ahead of `store` by the frames in `group`, which are decided and not durable yet.
Rule 2. A projection that was written is anchored: the next frame names it. Nothing else makes an anchor.
Rule 3. A projection that cannot be saved is said in `repairs` and left out; the journal decides everything.
"""

import os
import threading
from collections.abc import Callable

from splittally.core.calendars import Calendar
from splittally.core.commands import Anchor
from splittally.core.errors import DiskFull, JournalDamaged, KernelStopped, WorldError
from splittally.core.evolve import remember
from splittally.core.frames import body_rows
from splittally.core.snapshot import dump_state, dumped_root
from splittally.core.state import State
from splittally.core.step import step
from splittally.core.types import KERNEL
from splittally.edge.moments import When, read_moment
from splittally.edge.seal import Entropy, Sealer
from splittally.edge.wording import Wording, wording_of
from splittally.journal.frame import Frame, Head, seal
from splittally.journal.index import Index
from splittally.journal.lock import WriterLock
from splittally.journal.snapshot import Snapshots
from splittally.journal.store import Store
from splittally.runtime.clock import RandomPool, WorldClock
from splittally.runtime.folder import NO_FOLDER
from splittally.runtime.fork import ForkIndex, ForkStore
from splittally.runtime.history import History
from splittally.runtime.judge import Judge
from splittally.runtime.line import Line
from splittally.runtime.moments import frame_at
from splittally.runtime.recover import state_at
from splittally.runtime.signals import Signals

SNAPSHOT_CLOSE_FRAMES = 1_000  # a shorter tail is folded faster than a snapshot is written


class World:
    """Everything that one open world consists of. Made by `opening.py` and `fork`."""

    def __init__(
        self,
        state: State,
        store: Store,
        index: Index,
        judge: Judge,
        clock: WorldClock,
        entropy: Entropy,
        open_max: int,
    ) -> None:
        self.state = state
        self.store = store
        self.index = index
        self.judge = judge
        self.clock = clock
        self.entropy = entropy
        self.open_max = open_max
        self.lock = threading.RLock()
        self.history = History(store, index)
        self.sealer = Sealer(entropy)
        self.group: list[Frame] = []
        self.tip = store.head
        self.commits = 0
        self.signals = Signals()
        self.line = Line()
        self.stopped = ""
        self.pid = os.getpid()
        self.is_closed = False
        self.repairs: list[str] = []
        self.snapshots: Snapshots | None = None
        self.snapshot_size = 0  # frames that the newest snapshot and its anchor take
        self.writer_lock: WriterLock | None = None
        self.is_frozen = False  # nobody writes here
        self._wording = Wording()
        self._worded_for: tuple[int, Calendar] | None = None  # how many resources it knows, and whose clock

    def refuse_stopped(self) -> None:
        """Raises `KernelStopped` once a commit has failed."""
        if self.stopped:
            raise KernelStopped(
                f"{self.stopped}; open the world again and ask for the outcome of what is open"
            )

    def kind_of(self, intent_hash: bytes) -> str:
        """The kind of an intent, also of one that has ended; empty where no frame decides it."""
        hold = self.state.ledger.holds.get(intent_hash)
        if hold is not None:
            return hold.kind
        found = self.history.trace(intent_hash)
        return found.member.kind if found is not None else ""

    def wording(self) -> Wording:
        """How values of this world are said. A resource keeps its scale, so only a new one changes it."""
        known = (len(self.state.ledger.resources), self.state.calendar)
        if known != self._worded_for:
            self._wording, self._worded_for = wording_of(self.state), known
        return self._wording

    def flush_index(self) -> None:
        """Write the index's rows in memory as a run of their own, and anchor it."""
        if self.snapshots is not None and self._keep_going(self._write_run):
            self._anchor(b"")

    def save_projections(self) -> None:
        """Write a snapshot and the index's rows, and anchor them; both can be rebuilt from the journal.

        Files first, synced, then the frame that names them: a crash between leaves files nobody believes.
        """
        if self.snapshots is None:
            return
        snapshots, head, data = self.snapshots, self.store.head, dump_state(self.state)
        root = dumped_root(data)
        if self._keep_going(
            lambda: snapshots.save(head.size - 1, head.hash, root, data)
        ) and self._keep_going(self._write_run):
            self._anchor(root)
        self.snapshot_size = self.state.size

    def _write_run(self) -> None:
        self.index.flush(self.store.head)

    def _keep_going(self, save: Callable[[], None]) -> bool:
        """Save a projection; when the disk refuses, say so and do without until the world is opened again."""
        try:
            save()
            return True
        except (WorldError, JournalDamaged) as error:  # the second: what was just written reads otherwise
            self.repairs.append(f"a projection could not be saved and will be rebuilt: {error}")
            self.snapshots = None
            return False

    def _anchor(self, root: bytes) -> None:
        """Record what was written beside the journal, in a frame and a commit of its own.

        It is remembered after its commit and not before, as what a request decides is: a full disk then
        costs the projection and not the kernel. Any other failure stops the kernel; what was answered
        before is durable.
        """
        assert not self.group
        state, principal = self.state, KERNEL
        command = Anchor(size=state.size, root=root, runs=self.index.digests)
        out = step(state, state.now_ns, principal, command, []).events
        frame = seal(state.size, self.tip.hash, body_rows(state.now_ns, principal, command, [], out))
        self.stopped = f"the anchor in frame {frame.seq} could not be written"
        try:
            result = self.store.append(self.store.head, [frame])
        except DiskFull as error:  # nothing was written
            self.stopped = ""
            self.repairs.append(f"a projection could not be anchored and will be rebuilt: {error}")
            self.snapshots = None
            return
        if type(result) is not Head:
            self.stopped = f"the anchor in frame {frame.seq} could not be written: {result}"
            return
        remember(state, state.now_ns, principal, out)
        self.tip = result
        self.commits += 1
        self.stopped = ""
        self._keep_going(self.index.remove_others)

    def state_after(self, moment: When) -> State:
        """The state as it stood at a past moment; `InvalidInput` where there is no such frame."""
        seq = frame_at(self.store, read_moment(moment), lambda: self.state.calendar)
        return state_at(self.store, self.snapshots or Snapshots(NO_FOLDER), seq + 1)

    def fork(self) -> "World":
        """A world over a fork of the state, to be used at once and under the lock of this one."""
        return self._forked(self.state.fork(), self.judge)

    def copy(self) -> "World":
        """A world of its own over a copy of the state; it writes nothing here and sees nothing of what comes.

        What it reads of the journal it reads under the lock of this world. Over a state that nobody
        changes (`is_frozen`) a fork that reads through is as good, and made at once.
        """
        return self._forked(self.state.fork() if self.is_frozen else self.state.copy(), self.judge.twin())

    def _forked(self, state: State, judge: Judge) -> "World":
        entropy = RandomPool() if type(self.entropy) is RandomPool else self.entropy  # serves one thread
        forked = World(
            state=state,
            store=ForkStore(self.store, self.lock),
            index=ForkIndex(self.index, self.lock, self.store.head.size),
            judge=judge,
            clock=self.clock.twin(),
            entropy=entropy,
            open_max=self.open_max,
        )
        forked.sealer = self.sealer.with_entropy(entropy)
        return forked

    def close(self) -> None:
        """Write the projections where that pays, and let go of the journal."""
        if self.is_closed:
            return
        self.is_closed = True
        try:
            is_whole = not self.stopped and self.state.size == self.store.head.size
            if is_whole and self.state.size - self.snapshot_size >= SNAPSHOT_CLOSE_FRAMES:
                self.save_projections()
        finally:
            self.index.close()
            self.store.close()
            if self.writer_lock is not None:
                self.writer_lock.release()
            self.signals.closed()
