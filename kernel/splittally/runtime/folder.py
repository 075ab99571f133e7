"""The folder of a world, before anything in it is opened."""

import os
from pathlib import Path

from splittally.core.errors import NoWorld

NO_FOLDER = Path(os.devnull)  # of a world that keeps nothing beside its store


def is_world(folder: Path) -> bool:
    """Whether there is a world in this folder."""
    return (folder / "journal").is_dir()


def require_world(folder: Path) -> None:
    """Raises `NoWorld` where there is no world in this folder."""
    if not is_world(folder):
        raise NoWorld(f"there is no world at `{folder}`; make one with `tally init`", path=str(folder))
