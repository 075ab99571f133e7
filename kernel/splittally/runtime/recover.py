"""From a journal to a state: the last snapshot that holds, then every frame after it.

Rule 1. A snapshot is never trusted over the journal: its root must be that of its tables, and its frame
        must stand in the journal with the hash it names. One that does not match is left out and said.
Rule 2. Every frame that is folded is verified: dense, chained, its own hash.
Rule 3. A journal that ends before what lies beside it is refused: what is missing was decided.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from splittally.core.errors import JournalDamaged, JournalOlder, SplittallyError
from splittally.core.events import Event
from splittally.core.evolve import remember
from splittally.core.frames import Body, read_body, read_events
from splittally.core.limits import INDEX_FLUSH_ROWS
from splittally.core.snapshot import dumped_root, load_state, tables
from splittally.core.state import State
from splittally.journal.frame import EMPTY, Head, open_frame
from splittally.journal.index import Index
from splittally.journal.snapshot import Snapshots
from splittally.journal.store import Store
from splittally.runtime.history import index_events

Progress = Callable[[int], None]


class Recovered(NamedTuple):
    """A state, the size of the snapshot it came from (0 for none), and what had to be rebuilt."""

    state: State
    snapshot_size: int
    repairs: list[str]


def refuse_older(size: int, index: Index, snapshots: Snapshots) -> None:
    """`JournalOlder` where a sound snapshot or index run covers more frames than the `size` of the journal.

    They are written after the commit of what they cover, so frames that were answered for are missing.
    A damaged file shows nothing and is passed over.
    """
    covered = max(snapshots.frames_covered(size), index.frames_covered(size))
    if covered > size:
        raise JournalOlder(
            f"the journal ends at frame {size - 1}, but its snapshots or index cover frame {covered - 1}: it "
            "is an older copy, and what was decided since is missing; put the newest `journal/data.mdb` back, "
            "or give those frames up by removing the folders `snapshots` and `index`, which are then built anew",
            seq=size,
            last=size - 1,
            covered=covered - 1,
        )


def recover(store: Store, index: Index, snapshots: Snapshots) -> Recovered:
    """The state at the journal's head, and the index up to it."""
    state, repairs = _last_snapshot(store, snapshots, store.head.size)
    snapshot_size = state.size
    first_unindexed = index.open(store)
    repairs += [*store.repairs, *index.repairs]
    start = min(state.size, first_unindexed)
    for seq, rows in verified_rows(store, start):
        body: Body | None = None
        if seq >= first_unindexed:
            body = read_body(rows, seq)
            index_events(index, seq, body.command, body.out)
            if index.size_in_memory >= INDEX_FLUSH_ROWS:
                index.flush(_head_at(store, seq))
        if seq >= state.size:
            at_ns, by, out = (body.at_ns, body.by, body.out) if body else read_events(rows, seq)
            remember(state, at_ns, by, out)
    return Recovered(state, snapshot_size, repairs)


def _head_at(store: Store, seq: int) -> Head:
    return Head(seq + 1, store.entry(seq)[0])


def verified_rows(
    store: Store, start: int = 0, stop: int | None = None
) -> Iterator[tuple[int, list[object]]]:
    """Sequence and body of each frame from `start`, the chain verified on the way."""
    stop = store.head.size if stop is None else min(stop, store.head.size)
    if start >= stop:
        return
    base = Head(start, store.entry(start - 1)[0]) if start else EMPTY
    for seq, _, data in store.chained(base, stop):
        found, _, body = open_frame(data)
        if found != seq:
            raise JournalDamaged(f"frame {found} stands in the place of frame {seq}", seq=seq)
        yield seq, body


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
    state, _ = _last_snapshot(store, snapshots, size)
    for seq, rows in verified_rows(store, state.size, size):
        at_ns, by, out = read_events(rows, seq)
        apply_events(state, at_ns, by, out, seq)
    return state


def apply_events(state: State, at_ns: int, by: str, out: list[Event], seq: int) -> None:
    """`remember`, with a bug in recorded events told as damage that names its frame."""
    try:
        remember(state, at_ns, by, out)
    except (KeyError, AssertionError, ValueError, SplittallyError) as error:
        raise JournalDamaged(f"the events of frame {seq} cannot be applied", seq=seq) from error


def _last_snapshot(store: Store, snapshots: Snapshots, size: int) -> tuple[State, list[str]]:
    repairs = list(snapshots.problems())
    snapshot = snapshots.latest(size - 1) if size else None
    if snapshot is None:
        return State(), repairs
    problem = ""
    state = State()
    try:
        kept, _ = store.verified(snapshot.seq)
        state = load_state(snapshot.data)
        if kept != snapshot.frame_hash or state.size != snapshot.seq + 1:
            problem = "it belongs to another journal"
        elif dumped_root(snapshot.data) != snapshot.root:
            problem = (
                f"its root is not that of its tables: {first_difference(fold(store, state.size), state)}"
            )
    except SplittallyError:
        raise
    except Exception as error:  # whatever a damaged snapshot does, the journal decides
        problem = f"it cannot be read ({type(error).__name__})"
    if problem:
        repairs.append(f"snapshot {snapshot.seq} was left out and the state rebuilt: {problem}")
        return State(), repairs
    return state, repairs


def first_difference(right: State, wrong: State) -> str:
    """The first entry in which two states differ, for people."""
    ours, theirs = tables(right), tables(wrong)
    for name in sorted(ours):
        if ours[name] == theirs[name]:
            continue
        rows = {repr(key): value for key, value in theirs[name]}
        for key, value in ours[name]:
            if rows.pop(repr(key), None) != value:
                return f"{name} {key!r}"
        return f"{name} {next(iter(rows), '')}"
    return "no entry differs"
