"""How the file of statistics is written, and what is said of one that cannot be used.

Rule 1. SQLite's errors never pass: each is said as one of ours, with what to do.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from splittally.core.errors import DiskFull, JournalDamaged, WorldError, WorldLocked


class NoStatistics(WorldError):
    """There is no file of statistics at this path."""

    code = "no_statistics"


class StatisticsDamaged(JournalDamaged):
    """The file is not what was written, or not of this journal; `tally stats rebuild` makes it anew."""

    code = "statistics_damaged"


@contextmanager
def transaction(db: sqlite3.Connection, kind: str) -> Iterator[None]:
    """All that is written inside, or nothing."""
    db.execute(f"BEGIN {kind}")
    try:
        yield
    except BaseException:
        with suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


@contextmanager
def told(path: Path) -> Iterator[None]:
    """SQLite's errors as ours, which say what to do."""
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "") or ""
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            raise WorldLocked(f"`{path}` is being written; try again", path=str(path)) from error
        if name.startswith("SQLITE_FULL"):
            raise DiskFull(f"no room to write `{path}`", path=str(path)) from error
        if name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_IOERR", "SQLITE_PERM")):
            raise WorldError(f"`{path}` cannot be used: {error}", path=str(path)) from error
        raise damaged(path) from error
    except (ValueError, TypeError) as error:  # a cell that is no number
        raise damaged(path) from error


def damaged(path: Path) -> StatisticsDamaged:
    """What is said of a file that is not what was written."""
    return StatisticsDamaged(
        f"the statistics at `{path}` are damaged; make them anew with `tally stats rebuild`", path=str(path)
    )
