"""Verifies what a run wrote, from its journal alone: fold from genesis, judge again, same state root.

Rule 1. The world is opened again for reading by the same audit as `tally verify --rejudge`; of what the
        run had in memory only the root that it claims is used, and which calls were in flight.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from splittally.core.errors import JournalDamaged
from splittally.core.events import Released, Settled
from splittally.journal.frame import Head
from splittally.runtime.reading import Reader, open_reader

from splittally_tools.audit import sound
from splittally_tools.audit.ranges import rejudge_here
from splittally_tools.run_trace.books import Upgrade

Progress = Callable[[str, int, int], None]


class Verdict(NamedTuple):
    """What verifying found; `root` is the state root of a fold from genesis, `rejudged` counts frames."""

    frames: int
    intents: int
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
    """Fold the world's journal, judge all of it again, and compare the fold with `root`."""
    started = time.perf_counter()
    with open_reader(world) as reader:
        frames = reader.head.size
        report = sound.verify(reader, progress=lambda done: progress("folded", done, frames))
        problems = list(report.problems)
        if report.damage is not None:
            problems.append(str(report.damage["message"]))
        rejudged = _rejudge(reader, problems, progress) if report.is_sound else 0
    is_same_root = report.state_root == root
    seconds = time.perf_counter() - started
    return Verdict(frames, report.intents, rejudged, report.state_root, is_same_root, problems, seconds)


def _rejudge(reader: Reader, problems: list[str], progress: Progress) -> int:
    """How many frames come out the same again; what does not is added to `problems`."""
    frames, done = reader.head.size, 0

    def tell(more: int) -> None:
        nonlocal done
        done += more
        progress("judged again", done, frames)

    try:
        result = rejudge_here(reader, True, frames, tell)  # its index runs were just found equal
    except JournalDamaged as error:
        problems.append(str(error))
        return 0
    if result.drift is not None:
        problems.append(f"frame {result.drift.seq}: {result.drift.message}")
    return result.compared


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
