"""A world that is open: its state, journal, index, clock, and how it is opened, forked and closed.

Rule 1. Opening verifies what it reads: the snapshot against its root and its frame, and every frame
        after it. What does not match is rebuilt from the journal, and said in `repairs`.
Rule 2. Opening for writing under another engine appends an `Opened` record first.
"""

import os
import threading
from collections.abc import Callable
from pathlib import Path

from splittally.core.commands import Open
from splittally.core.errors import InvalidInput, NoWorld, WorldError
from splittally.core.events import Event
from splittally.core.expr import EXPRESSION_VERSION
from splittally.core.limits import OPEN_HOLDS_MAX, SNAPSHOT_FRAMES
from splittally.core.native.manifest import read_manifest, release_events
from splittally.core.state import FORMAT, State, dump_state, state_root
from splittally.core.types import OPERATOR
from splittally.edge.release import release_manifest
from splittally.edge.seal import Chance, Sealer
from splittally.journal.index import Index
from splittally.journal.lmdb import LmdbStore
from splittally.journal.lock import WriterLock
from splittally.journal.memory import MemoryStore
from splittally.journal.snapshot import Snapshots
from splittally.journal.store import Store
from splittally.runtime.chance import Pool
from splittally.runtime.clock import GIVEN, HOST, WorldClock
from splittally.runtime.fork import ForkIndex, ForkStore
from splittally.runtime.recover import INDEX_FLUSH_ROWS, recover, state_at
from splittally.runtime.writer import KERNEL, Judge, Writer
from splittally.sandbox import Sandbox, engine_id
from splittally.sandbox.registry import builtin, builtin_names

SNAPSHOT_CLOSE_FRAMES = 1_000  # a shorter tail is folded faster than a snapshot is written
MEMORY = ":memory:"
NO_FOLDER = Path(os.devnull)  # of a world that keeps nothing beside its store


class World:
    """Everything that one open world consists of. Made by `open_or_create` and `fork`."""

    def __init__(
        self,
        writer: Writer,
        clock: WorldClock,
        chance: Chance,
        open_max: int,
        lock: threading.RLock,
    ) -> None:
        self.writer = writer
        self.clock = clock
        self.chance = chance
        self.open_max = open_max
        self.lock = lock
        self.sealer = Sealer(chance)
        self.pid = os.getpid()
        self.is_closed = False
        self.repairs: list[str] = []
        self.snapshots: Snapshots | None = None
        self.snapshot_size = 0
        self.writer_lock: WriterLock | None = None

    @property
    def state(self) -> State:
        return self.writer.state

    def commit(self) -> None:
        """Make what was decided durable, and keep the projections from growing."""
        self.writer.commit()
        if self.state.size - self.snapshot_size >= SNAPSHOT_FRAMES:
            self.save_projections()
        elif self.writer.index.size_in_memory >= INDEX_FLUSH_ROWS and self.snapshots is not None:
            self._keep_going(lambda: self.writer.index.flush(self.writer.store.head))

    def commit_if_running(self) -> None:
        """After a caller's failure: what was decided becomes durable, because every query shows it."""
        if not self.writer.stopped:
            self.commit()

    def save_projections(self) -> None:
        """Write a snapshot and the index's rows; both can be rebuilt from the journal."""
        if self.snapshots is None:
            return
        snapshots, head = self.snapshots, self.writer.store.head
        root, data = state_root(self.state), dump_state(self.state)
        self._keep_going(lambda: snapshots.save(head.size - 1, head.hash, root, data))
        self._keep_going(lambda: self.writer.index.flush(head))
        self.snapshot_size = head.size

    def _keep_going(self, save: Callable[[], None]) -> None:
        """Save a projection; when the disk refuses, say so and do without until the world is opened again."""
        try:
            save()
        except WorldError as error:
            self.repairs.append(f"a projection could not be saved and will be rebuilt: {error}")
            self.snapshots = None

    def state_after(self, seq: int) -> State:
        """The state after frame `seq`; `InvalidInput` where there is no such frame."""
        store = self.writer.store
        if not 0 <= seq < store.head.size:
            raise InvalidInput(f"there is no frame {seq}; the last is {store.head.size - 1}", field="seq")
        return state_at(store, self.snapshots or Snapshots(NO_FOLDER), seq + 1)

    def upgrade(self) -> int | None:
        """Record what this release defines otherwise; the frame, None where everything stands already."""
        if not release_changes(self.state):
            return None
        state = self.state
        command = Open(state.world, state.clock, FORMAT, current_engine(), current_release())
        seq, _ = self.writer.run(OPERATOR, command, self.clock.read(state.now_ns, None))
        self.writer.commit()
        return seq

    def fork(self) -> "World":
        """A world over a fork of the state, which reads through and writes nothing here."""
        writer = self.writer
        store = ForkStore(writer.store)
        forked = Writer(self.state.fork(), store, ForkIndex(writer.index), writer.judge)
        chance = Pool() if type(self.chance) is Pool else self.chance  # a pool serves one thread at a time
        world = World(forked, self.clock, chance, self.open_max, threading.RLock())
        world.sealer = self.sealer.drawing(chance)
        return world

    def close(self) -> None:
        """Write the projections where that pays, and let go of the journal."""
        if self.is_closed:
            return
        self.is_closed = True
        try:
            is_whole = not self.writer.stopped and self.state.size == self.writer.store.head.size
            if is_whole and self.state.size - self.snapshot_size >= SNAPSHOT_CLOSE_FRAMES:
                self.save_projections()
        finally:
            self.writer.store.close()
            if self.writer_lock is not None:
                self.writer_lock.release()


def current_engine() -> str:
    """The engine id of this release: what can change a verdict."""
    return f"{engine_id()} expr {EXPRESSION_VERSION}"


def current_release() -> bytes:
    """The manifest of this release: the caps, kinds and modules of `sys/`."""
    return release_manifest({name: builtin(name) for name in builtin_names()})


def release_changes(state: State) -> list[Event]:
    """What this release defines otherwise than the world does."""
    return release_events(state, read_manifest(current_release()))


def open_or_create(
    path: str | Path | None,
    clock: str | Callable[[], int] | None = None,
    *,
    create: bool = True,
    chance: Chance | None = None,
    open_max: int = OPEN_HOLDS_MAX,
    lock_seconds: float | None = None,
) -> World:
    """The world at `path`, opened for writing; a new one where there is none and `create` says so.

    `path` None or `:memory:` is a world that is gone when it is closed. `clock` is `host`, `given` or a
    callable; it is fixed when the world is made. `chance` draws keys and ids.
    """
    kind, source = _clock_of(clock)
    chance = Pool() if chance is None else chance
    if path is None or path == MEMORY:
        return open_over(MemoryStore(), clock, chance=chance, open_max=open_max)
    folder = Path(path)
    exists = is_world(folder)
    if not exists and not create:
        raise NoWorld(f"there is no world at `{folder}`; make one with `tally init`", path=str(folder))
    if not exists and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise NoWorld(f"`{folder}` is not empty and holds no world", path=str(folder))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = WriterLock(folder / "lock") if lock_seconds is None else WriterLock(folder / "lock", lock_seconds)
    lock.acquire()
    try:
        world = _open_locked(folder, kind, source, chance, open_max)
    except BaseException:
        lock.release()
        raise
    world.writer_lock = lock
    return world


def open_over(
    store: Store,
    clock: str | Callable[[], int] | None = None,
    *,
    chance: Chance | None = None,
    open_max: int = OPEN_HOLDS_MAX,
) -> World:
    """The world whose frames `store` holds, opened for writing; a new one where it holds none.

    Nothing is kept beside the store: state and index are folded from its frames.
    """
    kind, source = _clock_of(clock)
    chance = Pool() if chance is None else chance
    return _recovered(store, Index(None), Snapshots(NO_FOLDER), kind, source, chance, open_max)


def is_world(folder: Path) -> bool:
    """Whether there is a world in this folder."""
    return (folder / "journal").is_dir()


def _open_locked(
    folder: Path, kind: str | None, source: Callable[[], int] | None, chance: Chance, open_max: int
) -> World:
    store = LmdbStore(folder / "journal", writable=True)
    try:
        index, snapshots = Index(folder / "index"), Snapshots(folder / "snapshots")
        snapshots.remove_unfinished()
        world = _recovered(store, index, snapshots, kind, source, chance, open_max)
        world.snapshots = snapshots
        return world
    except BaseException:
        store.close()
        raise


def _recovered(
    store: Store,
    index: Index,
    snapshots: Snapshots,
    kind: str | None,
    source: Callable[[], int] | None,
    chance: Chance,
    open_max: int,
) -> World:
    """The world of a store and its projections; its first record, or one for another engine, is written."""
    recovered = recover(store, index, snapshots)
    state = recovered.state
    if state.size and kind is not None and kind != state.clock:
        raise InvalidInput(f"the clock of this world is `{state.clock}`, not `{kind}`", field="clock")
    clock = state.clock or kind or HOST
    writer = Writer(state, store, index, Judge(Sandbox()))
    reading = WorldClock(clock, source) if source is not None else WorldClock(clock)
    world = World(writer, reading, chance, open_max, threading.RLock())
    world.repairs = recovered.repairs
    world.snapshot_size = recovered.snapshot_size
    if not state.size:
        _make_world(world, clock)
    elif state.engine != current_engine():
        _record_open(world, Open(state.world, state.clock, FORMAT, current_engine(), b""))
    return world


def _make_world(world: World, clock: str) -> None:
    _record_open(world, Open(world.chance(16), clock, FORMAT, current_engine(), current_release()))


def _record_open(world: World, command: Open) -> None:
    given = 0 if world.clock.kind == GIVEN and not world.state.size else None
    world.writer.run(KERNEL, command, world.clock.read(world.state.now_ns, given))
    world.writer.commit()


def _clock_of(clock: str | Callable[[], int] | None) -> tuple[str | None, Callable[[], int] | None]:
    if clock is None or clock in (HOST, GIVEN):
        return clock, None
    if callable(clock):
        return HOST, clock
    raise InvalidInput("`clock` is host, given or a callable", field="clock")
