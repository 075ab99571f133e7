"""The folder of a world, before anything in it is opened."""

import os
from pathlib import Path

NO_FOLDER = Path(os.devnull)  # of a world that keeps nothing beside its store


def is_world(folder: Path) -> bool:
    """Whether there is a world in this folder."""
    return (folder / "journal").is_dir()
