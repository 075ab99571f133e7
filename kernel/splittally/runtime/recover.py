"""From a journal to a state: the last snapshot that an anchor names, then every frame after it.

Rule 1. What lies beside the journal is believed only where a frame names it: a snapshot in the `Anchored`
        that follows it, index runs in the last one. Every frame from the snapshot to the head is verified,
        these among them, so who forges a file must forge the chain; so it is when an older state is read.
        What is not named is left out and said.
Rule 2. Every frame that is folded is verified: dense, chained, its own hash.
Rule 3. A journal that ends before what lies beside it is refused: what is missing was decided.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from splittally.core.errors import JournalDamaged, JournalOlder, SplittallyError
from splittally.core.events import Anchored, Event
from splittally.core.evolve import remember
from splittally.core.frames import Body, read_body, read_events
from splittally.core.limits import INDEX_FLUSH_ROWS
from splittally.core.snapshot import dumped_root, load_state, tables
from splittally.core.state import State
from splittally.journal.frame import EMPTY, Head, open_frame
from splittally.journal.index import Index
from splittally.journal.snapshot import Snapshot, Snapshots
from splittally.journal.store import Store
from splittally.runtime.history import index_events

NO_ANCHOR = "no anchor of the journal names it"
Progress = Callable[[int], None]


class Recovered(NamedTuple):
    """A state; how many frames its snapshot and the anchor of that take (0 for none); what was not believed.

    `left_out` are the snapshots, by frame, that no anchor names; `is_rebuilt` says that these or a run of the
    index had to be made anew.
    """

    state: State
    snapshot_size: int
    repairs: list[str]
    left_out: list[int]
    is_rebuilt: bool


class _Loaded(NamedTuple):
    """A state, what was said of the snapshots, and which of them were not believed, by frame."""

    state: State
    repairs: list[str]
    left_out: list[int]


def refuse_older(size: int, index: Index, snapshots: Snapshots) -> None:
    """`JournalOlder` where a sound snapshot or index run covers more frames than the `size` of the journal.

    They are written after the commit of what they cover, so frames that were answered for are missing.
    A damaged file shows nothing and is passed over.
    """
    covered = max(snapshots.frames_covered(size), index.frames_covered(size))
    if covered > size:
        raise JournalOlder(
            f"the journal ends at frame {size - 1}, but its snapshots or index cover frame {covered - 1}: "
            "it is an older copy, and what was decided since is missing; put the newest `journal/data.mdb` "
            "back, or give those frames up by removing the folders `snapshots` and `index`, which are then "
            "built anew",
            seq=size,
            last=size - 1,
            covered=covered - 1,
        )


def recover(store: Store, index: Index, snapshots: Snapshots) -> Recovered:
    """The state at the journal's head, and the index up to it."""
    state, repairs, left_out = _last_snapshot(store, snapshots, store.head.size)
    snapshot_size = state.size + 1 if state.size else 0
    first_unindexed = index.open(store)
    runs, problems = index.digests, index.repairs
    last: Anchored | None = None
    for seq, rows in verified_rows(store, min(state.size, first_unindexed)):
        body: Body | None = None
        if seq >= first_unindexed:
            body = read_body(rows, seq)
            _enter(store, index, seq, body)
        if seq >= state.size:
            at_ns, by, out = (body.at_ns, body.by, body.out) if body else read_events(rows, seq)
            apply_events(state, at_ns, by, out, seq)
            last = _anchored(out) or last
    named = last.runs if last is not None else []
    if not set(runs) <= set(named):
        for seq, rows in verified_rows(store, index.open(store, named)):
            _enter(store, index, seq, read_body(rows, seq))
        problems = index.repairs
    repairs += [*store.repairs, *problems]
    return Recovered(state, snapshot_size, repairs, left_out, bool(left_out or problems))


def _enter(store: Store, index: Index, seq: int, body: Body) -> None:
    index_events(index, seq, body.command, body.out)
    if index.size_in_memory >= INDEX_FLUSH_ROWS:
        index.flush(head_at(store, seq + 1))


def _anchored(out: list[Event]) -> Anchored | None:
    return next((event for event in out if type(event) is Anchored), None)


def head_at(store: Store, size: int) -> Head:
    """The head of the first `size` frames; the hash is the one that is kept, not checked."""
    return Head(size, store.entry(size - 1)[0]) if size else EMPTY


def verified_rows(
    store: Store, start: int = 0, stop: int | None = None
) -> Iterator[tuple[int, list[object]]]:
    """Sequence and body of each frame from `start`, the chain verified on the way."""
    stop = store.head.size if stop is None else min(stop, store.head.size)
    if start >= stop:
        return
    for seq, _, data in store.chained(head_at(store, start), stop):
        yield seq, open_frame(data)[2]


def fold(store: Store, stop: int | None = None, progress: Progress | None = None) -> State:
    """The state after `stop` frames (all for None), from genesis and without any snapshot."""
    state = State()
    for seq, rows in verified_rows(store, 0, stop):
        at_ns, by, out = read_events(rows, seq)
        apply_events(state, at_ns, by, out, seq)
        if progress is not None and seq % 4096 == 0:
            progress(seq)
    return state


def state_at(store: Store, snapshots: Snapshots, size: int) -> State:
    """The state after the first `size` frames, from the last snapshot before that holds."""
    state = _last_snapshot(store, snapshots, size).state
    stop = store.head.size if state.size else size  # Rule 1: a snapshot is believed by the chain to the head
    for seq, rows in verified_rows(store, state.size, stop):
        if seq < size:
            at_ns, by, out = read_events(rows, seq)
            apply_events(state, at_ns, by, out, seq)
    return state


# What the core raises over a record that no kernel made: something is not there, or is no such value.
NOT_RECORDED = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)


def apply_events(state: State, at_ns: int, by: str, out: list[Event], seq: int) -> None:
    """`remember`, with a bug in recorded events told as damage that names its frame."""
    try:
        remember(state, at_ns, by, out)
    except (*NOT_RECORDED, SplittallyError) as error:
        raise JournalDamaged(f"the events of frame {seq} cannot be applied", seq=seq) from error


def _last_snapshot(store: Store, snapshots: Snapshots, size: int) -> _Loaded:
    """The state of the newest snapshot of at most `size` frames that is believed; the empty one without."""
    repairs = list(snapshots.problems())
    left_out: list[int] = []
    while size and (snapshot := snapshots.latest(size - 1)) is not None:
        state, problem = _loaded(store, snapshot)
        if not problem:
            return _Loaded(state, repairs, left_out)
        repairs.append(f"snapshot {snapshot.seq} was left out and the state rebuilt: {problem}")
        left_out.append(snapshot.seq)
        size = snapshot.seq
    return _Loaded(State(), repairs, left_out)


def _loaded(store: Store, snapshot: Snapshot) -> tuple[State, str]:
    """The state of a snapshot, and why it is not believed; empty where it is."""
    problem, state = _unnamed(store, snapshot), State()
    if problem == NO_ANCHOR:
        return state, problem
    try:
        is_root = dumped_root(snapshot.data) == snapshot.root
        state = load_state(snapshot.data, is_dumped=is_root and not problem)
        is_whole = is_root and state.size == snapshot.seq + 1
    except Exception as error:  # whatever a damaged snapshot does, the journal decides
        return state, f"it cannot be read ({type(error).__name__})"
    if not problem and not is_whole:
        problem = "its root is not that of its tables"
    if problem:
        problem += f": {first_difference(fold(store, state.size), state)}"
    return state, problem


def _unnamed(store: Store, snapshot: Snapshot) -> str:
    """Why the journal does not name this snapshot; empty where the anchor behind its frame does."""
    kept, _ = store.verified(snapshot.seq)
    if kept != snapshot.frame_hash:
        return "it belongs to another journal"
    seq = snapshot.seq + 1
    if seq >= store.head.size:
        return NO_ANCHOR
    anchor = _anchored(read_events(store.verified(seq)[1], seq)[2])
    if anchor is None or not anchor.root:
        return NO_ANCHOR
    return "" if (anchor.size, anchor.root) == (seq, snapshot.root) else f"frame {seq} anchors another root"


def first_difference(right: State, wrong: State) -> str:
    """The first entry in which two states differ, for people."""
    ours, theirs = tables(right), tables(wrong)
    for name in sorted({*ours, *theirs}):
        mine, other = ours.get(name, []), theirs.get(name, [])  # one that came later stands where it has rows
        if mine == other:
            continue
        rows = {repr(key): value for key, value in other}
        for key, value in mine:
            if rows.pop(repr(key), None) != value:
                return f"{name} {key!r}"
        return f"{name} {next(iter(rows), '')}"
    return "no entry differs"
