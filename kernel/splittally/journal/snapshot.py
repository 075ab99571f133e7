"""States of the kernel kept beside the journal, so that opening need not fold all of it.

Rule 1. A snapshot is a file of its own, written aside, synced and renamed; its BLAKE3 stands at the end.
Rule 2. It names the last frame that it contains, that frame's hash and the root of its state. Whether
        these hold is for the caller to check: a snapshot is never trusted over the journal.
Rule 3. A damaged one is reported and passed over. The newest two are kept, so that a damaged newest
        one costs a longer replay and nothing else.
"""

from pathlib import Path
from struct import Struct
from typing import NamedTuple

from blake3 import blake3

from splittally.core.errors import JournalDamaged
from splittally.core.limits import HASH_BYTES
from splittally.journal import disk

KEPT = 2
SUFFIX = ".snapshot"
CONTEXT = "splittally 1 snapshot"
_MAGIC = b"splittally snap1"
_HEADER = Struct(">16sQ32s32sQ")


class Snapshot(NamedTuple):
    """The state after frame `seq`, whose hash is `frame_hash`; `data` is what was saved."""

    seq: int
    frame_hash: bytes
    root: bytes
    data: bytes


class Snapshots:
    """The snapshots in a folder, which is made when the first is saved."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._problems: dict[str, str] = {}
        self._ready: Snapshot | None = None  # read to find problems, and handed out by `latest`

    def save(self, seq: int, frame_hash: bytes, root: bytes, data: bytes) -> None:
        """Keeps the state after frame `seq` and lets go of all but the newest two."""
        disk.make_folder(self._folder)
        header = _HEADER.pack(_MAGIC, seq, frame_hash, root, len(data))
        path = self._folder / f"{seq:020d}{SUFFIX}"
        disk.write_file(path, (header, data, _digest(header, data)))
        self._ready = None
        for old in self._paths()[KEPT:]:
            disk.remove(old)

    def remove_unfinished(self) -> None:
        """Removes what a save that was cut off left behind; only for whoever holds the lock of the world."""
        for name in disk.names_in(self._folder):
            if name.endswith(f"{SUFFIX}.new"):
                disk.remove(self._folder / name)

    def latest(self, at_or_before: int | None = None) -> Snapshot | None:
        """The newest sound snapshot, not after frame `at_or_before` if that is given; None without one."""
        ready, self._ready = self._ready, None
        for path in self._paths():
            seq = int(path.stem)
            if at_or_before is None or seq <= at_or_before:
                snapshot = ready if ready is not None and ready.seq == seq else self._read(path, seq)
                if snapshot is not None:
                    return snapshot
        return None

    def frames_covered(self, more_than: int) -> int:
        """The most frames that a sound snapshot covers, where those are more than this; else 0."""
        for path in self._paths():
            seq = int(path.stem)
            if seq + 1 <= more_than:
                return 0
            if self._read(path, seq) is not None:
                return seq + 1
        return 0

    def remove(self, seq: int) -> None:
        """Lets go of the snapshot of this frame, which does not hold."""
        self._ready = None
        disk.remove(self._folder / f"{seq:020d}{SUFFIX}")

    def all(self) -> list[Snapshot]:
        """Every sound snapshot, the oldest first."""
        found = [self._read(path, int(path.stem)) for path in reversed(self._paths())]
        return [snapshot for snapshot in found if snapshot is not None]

    def problems(self) -> list[str]:
        """What was found damaged so far, looking at least as far as the newest sound one."""
        self._ready = self.latest()
        return [f"snapshot `{name}` was passed over: {why}" for name, why in sorted(self._problems.items())]

    def _paths(self) -> list[Path]:
        """The newest first."""
        paths = map(self._folder.joinpath, disk.names_in(self._folder))
        return sorted(
            (path for path in paths if path.suffix == SUFFIX and path.stem.isdecimal()), reverse=True
        )

    def _read(self, path: Path, seq: int) -> Snapshot | None:
        try:
            with open(disk.open_regular(path), "rb") as file:
                content = file.read()
        except (JournalDamaged, FileNotFoundError) as error:
            self._problems[path.name] = str(error)
            return None
        except OSError as error:
            raise disk.refusal(
                f"`{path}` cannot be read; without it the state is folded anew", error
            ) from error
        header, data = content[: _HEADER.size], content[_HEADER.size : -HASH_BYTES]
        if len(content) < _HEADER.size + HASH_BYTES or content[-HASH_BYTES:] != _digest(header, data):
            self._problems[path.name] = "its bytes are not those that were saved"
            return None
        magic, named, frame_hash, root, size = _HEADER.unpack(header)
        if magic != _MAGIC or named != seq or size != len(data):
            self._problems[path.name] = "it is not the snapshot that its name says"
            return None
        return Snapshot(seq=seq, frame_hash=frame_hash, root=root, data=data)


def _digest(header: bytes, data: bytes) -> bytes:
    digest = blake3(header, derive_key_context=CONTEXT)
    return digest.update(data).digest()
