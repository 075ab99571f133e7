"""How a world is opened, made and upgraded.

Rule 1. Opening believes only what the journal's anchors name (`recover.py`). What they do not name is rebuilt
        from the journal, said in `repairs`, written and anchored; so is a long journal without a snapshot.
Rule 2. What a new world takes from outside, its first time and its id, is asked before anything is made.
Rule 3. Opening for writing under another engine appends an `Opened` record first.
"""

from pathlib import Path
from typing import NamedTuple

from splittally.core.commands import Open
from splittally.core.errors import InvalidInput, NoWorld
from splittally.core.events import Event
from splittally.core.expr import EXPRESSION_VERSION
from splittally.core.limits import OPEN_HOLDS_MAX, WORLD_BYTES
from splittally.core.native.manifest import read_manifest, release_events
from splittally.core.state import FORMAT, State
from splittally.core.step import RULES_VERSION
from splittally.core.types import KERNEL, OPERATOR
from splittally.edge.release import caps_before, release_manifest
from splittally.edge.seal import Entropy
from splittally.journal import disk
from splittally.journal.index import Index
from splittally.journal.lmdb import LmdbStore
from splittally.journal.lock import WriterLock
from splittally.journal.memory import MemoryStore
from splittally.journal.snapshot import Snapshots
from splittally.journal.store import Store
from splittally.runtime.clock import (
    GIVEN,
    HOST,
    NEW,
    USED,
    CheckedEntropy,
    Clock,
    RandomPool,
    Source,
    WorldClock,
)
from splittally.runtime.folder import NO_FOLDER, is_world, may_become_world
from splittally.runtime.judge import Judge
from splittally.runtime.pipeline import carry_out, commit, tick
from splittally.runtime.recover import Recovered, recover, refuse_older
from splittally.runtime.world import SNAPSHOT_CLOSE_FRAMES, World
from splittally.sandbox import Sandbox, engine_id
from splittally.sandbox.registry import builtin, builtin_names

MEMORY = ":memory:"


class First(NamedTuple):
    """What a new world takes from outside: the time of its first frame and its id."""

    now_ns: int
    world: bytes


def current_engine() -> str:
    """The engine id of this release: what can change a verdict."""
    return f"{engine_id()} expr {EXPRESSION_VERSION} rules {RULES_VERSION}"


def current_release(state: State | None = None) -> bytes:
    """The manifest of this release: caps, kinds and modules of `sys/`, as they are in a world."""
    before = () if state is None else caps_before(state)
    return release_manifest({name: builtin(name) for name in builtin_names()}, before)


def release_changes(state: State) -> list[Event]:
    """What this release defines otherwise than the world does."""
    return release_events(state, read_manifest(current_release(state)))


def upgrade(world: World) -> int | None:
    """Record what this release defines otherwise; the frame, None where everything stands already."""
    if not release_changes(world.state):
        return None
    return _record_open(world, OPERATOR, world.state.world, current_release(world.state), _now_ns(world))


def open_or_create(
    path: str | Path | None,
    clock: Clock | None = None,
    *,
    create: bool = True,
    entropy: Entropy | None = None,
    open_max: int = OPEN_HOLDS_MAX,
    lock_seconds: float | None = None,
) -> World:
    """The world at `path`, opened for writing; a new one where there is none and `create` says so.

    `path` None or `:memory:` is a world that is gone when it is closed. `clock` is `host`, `given`, a
    callable or a pair of them; its kind is fixed when the world is made. `entropy` draws keys and ids.
    """
    if path is None or path == MEMORY:
        return open_over(MemoryStore(), clock, entropy=entropy, open_max=open_max)
    kind, source = _clock_of(clock)
    entropy = _entropy_of(entropy)
    folder = Path(path)
    exists = is_world(folder)
    if not exists and not create:
        raise NoWorld(f"there is no world at `{folder}`; make one with `tally init`", path=str(folder))
    if not exists and not may_become_world(folder):
        raise NoWorld(f"`{folder}` is not empty and holds no world", path=str(folder))
    first = None if exists else _first(_world_clock(kind or HOST, source), entropy)
    disk.make_folder(folder)
    lock = WriterLock(folder / "lock") if lock_seconds is None else WriterLock(folder / "lock", lock_seconds)
    lock.acquire()
    try:
        world = _open_locked(folder, kind, source, entropy, open_max, create, first)
    except BaseException:
        lock.release()
        raise
    world.writer_lock = lock
    return world


def open_over(
    store: Store,
    clock: Clock | None = None,
    *,
    entropy: Entropy | None = None,
    open_max: int = OPEN_HOLDS_MAX,
) -> World:
    """The world whose frames `store` holds, opened for writing; a new one where it holds none.

    Nothing is kept beside the store: state and index are folded from its frames.
    """
    kind, source = _clock_of(clock)
    index, snapshots = Index(None), Snapshots(NO_FOLDER)
    recovered = recover(store, index, snapshots)
    return _world_of(recovered, store, index, snapshots, kind, source, _entropy_of(entropy), open_max)


def _open_locked(
    folder: Path,
    kind: str | None,
    source: Source | None,
    entropy: Entropy,
    open_max: int,
    create: bool,
    first: First | None,
) -> World:
    store = LmdbStore(folder / "journal", writable=True)
    try:
        if not store.head.size:
            if not create:
                text = f"the making of the world at `{folder}` was cut off; make it with `tally init`"
                raise NoWorld(text, path=str(folder))
            disk.keep_names(folder)
        index, snapshots = Index(folder / "index"), Snapshots(folder / "snapshots")
        snapshots.remove_unfinished()
        refuse_older(store.head.size, index, snapshots)
        recovered = recover(store, index, snapshots)
        world = _world_of(recovered, store, index, snapshots, kind, source, entropy, open_max, first)
        world.snapshots = snapshots
        if recovered.is_rebuilt or (not world.snapshot_size and world.state.size >= SNAPSHOT_CLOSE_FRAMES):
            world.save_projections()
        return world
    except BaseException:
        store.close()
        raise


def _world_of(
    recovered: Recovered,
    store: Store,
    index: Index,
    snapshots: Snapshots,
    kind: str | None,
    source: Source | None,
    entropy: Entropy,
    open_max: int,
    first: First | None = None,
) -> World:
    """The world of what was recovered; its first record, or one for another engine, is written."""
    state = recovered.state
    if state.size and kind is not None and kind != state.clock:
        raise InvalidInput(f"the clock of this world is `{state.clock}`, not `{kind}`", field="clock")
    clock = state.clock or kind or HOST
    world = World(
        state=state,
        store=store,
        index=index,
        judge=Judge(Sandbox()),
        clock=_world_clock(clock, source),
        entropy=entropy,
        open_max=open_max,
    )
    world.repairs = recovered.repairs
    world.snapshot_size = recovered.snapshot_size
    for seq in recovered.left_out:
        snapshots.remove(seq)
    if not recovered.is_rebuilt:
        index.remove_others()
    if not state.size:
        made = first or _first(world.clock, entropy)
        world.clock.begin(made.now_ns, NEW, state.clock_jump_ns)
        _record_open(world, KERNEL, made.world, current_release(), made.now_ns)
        return world
    world.clock.begin(max(state.now_ns, state.accepted_ns), USED, state.clock_jump_ns)
    if state.engine != current_engine() or state.format != FORMAT:
        _record_open(world, KERNEL, state.world, b"", _now_ns(world))
    return world


def _first(clock: WorldClock, entropy: Entropy) -> First:
    return First(clock.said(0 if clock.kind == GIVEN else None, 0), entropy(WORLD_BYTES))


def _record_open(world: World, principal: str, world_id: bytes, release: bytes, now_ns: int) -> int | None:
    """Record under what the world is opened now; the frame."""
    tick(world, now_ns)
    command = Open(
        world=world_id, clock=world.clock.kind, format=FORMAT, engine=current_engine(), release=release
    )
    seq, _ = carry_out(world, principal, command, now_ns)
    commit(world)
    return seq


def _now_ns(world: World) -> int:
    return world.clock.read(world.state.now_ns, None, world.state.clock_jump_ns)


def _world_clock(kind: str, source: Source | None) -> WorldClock:
    return WorldClock(kind, source) if source is not None else WorldClock(kind)


def _entropy_of(entropy: Entropy | None) -> Entropy:
    return RandomPool() if entropy is None else CheckedEntropy(entropy)


def _clock_of(clock: Clock | None) -> tuple[str | None, Source | None]:
    if clock is None or (isinstance(clock, str) and clock in (HOST, GIVEN)):
        return clock, None
    if callable(clock):
        return HOST, Source(clock)
    if isinstance(clock, tuple) and len(clock) == 2 and all(map(callable, clock)):
        return HOST, Source(*clock)
    raise InvalidInput("`clock` is host, given, a callable or a pair of them", field="clock")
