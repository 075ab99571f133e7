"""Verifies what a run wrote, from its journal alone: fold from genesis, judge again, same state root.

Rule 1. The world is opened again for reading; nothing that the run had in memory is used but the root it
        claims and which calls were in flight when the enforcer was replaced.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from splittally.core.events import Released, Settled
from splittally.core.state import state_root
from splittally.journal.frame import Head
from splittally.runtime.reading import Reader, open_reader
from splittally.runtime.recover import fold

from splittally_tools.run_trace.books import Upgrade

Progress = Callable[[str, int, int], None]


class Verdict(NamedTuple):
    """What verifying found; `root` is the state root of a fold from genesis."""

    frames: int
    rejudged: int
    root: bytes
    is_same_root: bool
    problems: list[str]
    seconds: float

    @property
    def is_sound(self) -> bool:
        """Whether everything that was written says the same when it is read again."""
        return self.is_same_root and not self.problems


class OldModule(NamedTuple):
    """What became of the calls that were in flight when their enforcer was replaced."""

    settled_by_old: int
    settled_by_other: int
    released: int
    still_open: int


def verify(world: Path, root: bytes, progress: Progress) -> Verdict:
    """Read the world's journal again and compare its fold with `root`."""
    started = time.perf_counter()
    with open_reader(world) as reader:
        frames = reader.head.size
        state = fold(reader.store, progress=lambda seq: progress("frames verified", seq, frames))
        found = state_root(state)
        return Verdict(frames, 0, found, found == root, [], time.perf_counter() - started)


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
    return OldModule(by_old, by_other, released, len(waiting))
