"""What can be saved of a damaged journal: a new world of the frames before the first that is lost.

Rule 1. The old world is read and never changed. The new one appears under its name when it is whole.
Rule 2. A frame is saved when its hash holds, it follows the one before, and its events can be applied.
Rule 3. What comes after a lost frame is not taken: without what came between it means something else.
Rule 4. Lost is what the file claims to hold, or a sound snapshot says that it held. Where neither meta page
        is sound nobody can say where the journal ended, and something counts as lost.
"""

import os
import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from splittally.core.errors import JournalDamaged, KernelStopped, WorldExists
from splittally.core.frames import read_events
from splittally.core.snapshot import state_root
from splittally.core.state import State
from splittally.journal import disk
from splittally.journal.frame import Frame, Head, open_frame
from splittally.journal.lmdb import LmdbStore
from splittally.journal.lmdb.environment import FILE
from splittally.journal.lmdb.salvage import sound_prefix, survey
from splittally.journal.snapshot import Snapshots
from splittally.runtime.recover import apply_events

BATCH_FRAMES = 1_000  # written in one commit
BATCH_BYTES = 4 * 1024 * 1024


class Salvaged(NamedTuple):
    """The world that is left: how many frames, the time, hash and state root of the last, and what is lost.

    `lost` counts the frames that are known to be lost; `is_end_known` says whether there may be more.
    """

    frames: int
    at_ns: int
    head: bytes
    root: bytes
    lost: int
    is_end_known: bool
    damage: str

    @property
    def is_whole(self) -> bool:
        """Whether nothing was lost."""
        return self.lost == 0 and self.is_end_known


def salvage(world: Path, new: Path | None) -> Salvaged:
    """Writes the sound frames of `world` into a world at `new`, or for None only looks.

    No world is made where there is no sound frame. `WorldExists` where there is something at `new`, `NoWorld`
    where there is no journal, `WorldError` for what the system refuses.
    """
    if new is not None and os.path.lexists(new):
        raise WorldExists(f"there is something at `{new}`; name a folder that is not there", path=str(new))
    fd = disk.open_journal(world / "journal" / FILE)
    try:
        claimed, damage = survey(fd)
        sound = _Sound(sound_prefix(fd, claimed))
        if new is None:
            for _ in sound:
                pass
        else:
            _write(new, sound)
        state = sound.state
        if sound.damage:  # and a state in which a frame was half applied
            again = _Sound(islice(sound_prefix(fd, claimed), sound.head.size))
            for _ in again:
                pass
            state = again.state
    finally:
        disk.close(fd)
    snapshot = Snapshots(world / "snapshots").latest()
    held = max(claimed or 0, snapshot.seq + 1 if snapshot else 0)
    return Salvaged(
        frames=state.size,
        at_ns=state.now_ns,
        head=sound.head.hash,
        root=state_root(state),
        lost=max(0, held - state.size),
        is_end_known=claimed is not None,
        damage=damage or sound.damage,
    )


class _Sound:
    """Frames as long as their events can be applied, and the state after them; `damage` says why they end."""

    def __init__(self, frames: Iterator[Frame]) -> None:
        self._frames = frames
        self.state = State()
        self.head = Head(0, b"")
        self.damage = ""

    def __iter__(self) -> Iterator[Frame]:
        for frame in self._frames:
            try:
                at_ns, by, out = read_events(open_frame(frame.data)[2], frame.seq)
                apply_events(self.state, at_ns, by, out, frame.seq)
            except JournalDamaged as error:
                self.damage = str(error)
                return
            self.head = Head(frame.seq + 1, frame.hash)
            yield frame


def _write(new: Path, frames: _Sound) -> None:
    """A world at `new` with these frames, made aside and renamed; none where there are no frames."""
    aside = new.with_name(f"{new.name}.new")
    if os.path.lexists(aside):
        raise WorldExists(f"`{aside}` is left from a salvage that was cut off; remove it", path=str(aside))
    try:
        disk.make_folder(aside)
        store = LmdbStore(aside / "journal", writable=True)
        try:
            for batch in _batches(frames):
                if not isinstance(store.append(store.head, batch), Head):
                    raise KernelStopped("the new journal cannot be written; try again")
            size = store.head.size
        finally:
            store.close()
        if size:
            disk.rename(aside, new)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _batches(frames: _Sound) -> Iterator[list[Frame]]:
    batch: list[Frame] = []
    size = 0
    for frame in frames:
        batch.append(frame)
        size += len(frame.data)
        if len(batch) == BATCH_FRAMES or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
