"""The folder of a world, before anything in it is opened.

Rule 1. A making that was cut off leaves `lock` and `journal.new`, or an empty `journal`, and nothing else.
        Whoever asks next for the world makes it anew. What looks otherwise is not ours and stays as it is.
"""

import os
import stat
from pathlib import Path

from splittally.core.errors import NoWorld
from splittally.journal import disk
from splittally.journal.lmdb import environment
from splittally.journal.lock import is_lock_text

NO_FOLDER = Path(os.devnull)  # of a world that keeps nothing beside its store


def is_world(folder: Path) -> bool:
    """Whether there is a world in this folder."""
    return disk.is_folder(folder / "journal")


def require_world(folder: Path) -> None:
    """Raises `NoWorld` where there is no world in this folder."""
    if not is_world(folder):
        raise NoWorld(f"there is no world at `{folder}`; make one with `tally init`", path=str(folder))


def may_become_world(folder: Path) -> bool:
    """Whether a world may be made here: nothing is there, or only what a making that was cut off left."""
    try:
        if not stat.S_ISDIR(os.stat(folder).st_mode):
            return False
    except FileNotFoundError:
        return True
    except OSError as error:
        raise disk.refusal(f"`{folder}` cannot be looked at", error) from error
    return all(_is_unfinished(folder / name) for name in disk.names_in(folder))


def _is_unfinished(path: Path) -> bool:
    match path.name:
        case "lock":
            return is_lock_text(path)
        case "journal":  # made by another process meanwhile
            return disk.is_folder(path)
        case "journal.new":
            return environment.is_unfinished(path)
        case _:
            return False
