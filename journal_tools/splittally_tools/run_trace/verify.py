"""Verifies what a run wrote, from its journal alone: fold from genesis, judge again, same state root.

Rule 1. The world is opened again for reading. Of what the run had in memory only the root that it claims
        is used, and which calls were in flight.
Rule 2. One pass of the audit does it: each frame is chained to the one before it, decided again in the
        state that the frames before it make, compared to the byte, and folded. Memory stays bounded.
Rule 3. The index on disk may be used: what it hides or invents comes out as a drift, never as soundness.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from splittally.core.errors import JournalDamaged
from splittally.core.events import Released, Settled
from splittally.core.snapshot import state_root
from splittally.core.state import State
from splittally.journal.frame import Head
from splittally.runtime.reader import Reader, open_reader

from splittally_tools.audit.rejudge import Result, full_index, rejudge_range
from splittally_tools.audit.verify import in_bytes
from splittally_tools.run_trace.totals import Upgrade

Progress = Callable[[str, int, int], None]


class Verdict(NamedTuple):
    """What verifying found: how many frames were judged again, and the state root they fold to."""

    frames: int
    rejudged: int
    root: bytes
    is_same_root: bool
    problems: list[str]
    seconds: float

    @property
    def is_sound(self) -> bool:
        """Whether everything that was written says the same when it is read and judged again."""
        return self.is_same_root and self.rejudged == self.frames and not self.problems


class OldModule(NamedTuple):
    """What became of the calls that were in flight when their enforcer was replaced."""

    settled_by_old: int
    settled_by_other: int
    released: int
    still_open: int


def verify(world: Path, root: bytes, progress: Progress) -> Verdict:
    """Judge all of the world's journal again, and compare what it folds to with `root`."""
    started = time.perf_counter()
    state = State()
    try:
        frames, result = _judge_again(world, state, progress)
        with in_bytes(state.size - 1):
            found = state_root(state)
    except JournalDamaged as error:
        return Verdict(
            frames=state.size,
            rejudged=0,
            root=b"",
            is_same_root=False,
            problems=[str(error)],
            seconds=time.perf_counter() - started,
        )
    problems = [f"frame {result.drift.seq}: {result.drift.message}"] if result.drift is not None else []
    seconds = time.perf_counter() - started
    return Verdict(
        frames=frames,
        rejudged=result.compared,
        root=found,
        is_same_root=found == root,
        problems=problems,
        seconds=seconds,
    )


def _judge_again(world: Path, state: State, progress: Progress) -> tuple[int, Result]:
    """How many frames there are and what judging them again found; `state` is folded on the way."""
    done = 0

    def tell(more: int) -> None:
        nonlocal done
        done += more
        progress("frames judged again", done, frames)

    with open_reader(world) as reader:
        frames = reader.head.size
        return frames, rejudge_range(reader, full_index(reader, True), state, frames, tell)


def head_of(world: Path) -> Head:
    """Where the journal of a closed world ends."""
    with open_reader(world) as reader:
        return reader.head


def old_module(world: Path, upgrade: Upgrade) -> OldModule:
    """Follow the calls that were in flight at an upgrade to the records that end them."""
    with open_reader(world) as reader:
        return _follow(reader, upgrade)


def _follow(reader: Reader, upgrade: Upgrade) -> OldModule:
    waiting = set(upgrade.in_flight)
    by_old = by_other = released = 0
    for record in reader.records(upgrade.seq):
        if not waiting:
            break
        for event in record.body.out:
            if not isinstance(event, Settled | Released) or event.intent_hash not in waiting:
                continue
            waiting.discard(event.intent_hash)
            if isinstance(event, Released):
                released += 1
            elif event.legs[0].enforcer_ref == upgrade.old_module:
                by_old += 1
            else:
                by_other += 1
    return OldModule(
        settled_by_old=by_old, settled_by_other=by_other, released=released, still_open=len(waiting)
    )
