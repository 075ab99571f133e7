"""Where a manifest and the files that it names come from: a folder of this machine, or a parcel.

Rule 1. A file is asked for by the name that the manifest has for it. In a folder that is a path beside the
        manifest; in a parcel it is the name of what was sent along, and nothing of this machine is read.
Rule 2. A place tells what its files are and never what they mean (`manifest_files.py`).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol


class Place(Protocol):
    """Files by name."""

    def shown(self, name: str) -> str:
        """The file as people look for it."""

    def size(self, name: str) -> int | None:
        """How many bytes it has; None where there is no such file, `OSError` where it cannot be known."""

    def read(self, name: str) -> bytes:
        """Its bytes, or `OSError`."""


class Stated(NamedTuple):
    """A manifest: its name in a place, or a mapping whose files lie there."""

    place: Place
    manifest: str | Mapping[str, Any]


class Beside:
    """The files beside a manifest, in its folder or wherever their paths lead from there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def shown(self, name: str) -> str:
        """Its path."""
        return str(self.folder / name)

    def size(self, name: str) -> int | None:
        """The size of a regular file."""
        path = self.folder / name
        return path.stat().st_size if path.is_file() else None

    def read(self, name: str) -> bytes:
        """What the file holds."""
        return (self.folder / name).read_bytes()


class Noted(Beside):
    """The same, with a note of every file that was read: what a parcel of this manifest has to hold."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.files: dict[str, bytes] = {}

    def read(self, name: str) -> bytes:
        """What the file holds, the first time that it was asked for."""
        if name not in self.files:
            self.files[name] = super().read(name)
        return self.files[name]


class Parcel:
    """Files that came along, by the names that the manifest has for them."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files

    def shown(self, name: str) -> str:
        """Its name."""
        return name

    def size(self, name: str) -> int | None:
        """The size of what came."""
        return len(self._files[name]) if name in self._files else None

    def read(self, name: str) -> bytes:
        """What came under this name."""
        return self._files[name]
