"""What the commands of `stats` share: where the store is, the frame that an answer is of, and its windows."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click
from splittally.core.calendars import Calendar
from splittally.core.errors import JournalDamaged, WorldError
from splittally.core.limits import TIME_NS_MAX
from splittally.edge.moments import Moment
from splittally.edge.wording import Wording
from splittally.runtime.moments import first_ns, frame_at, last_ns, time_of

from splittally_tools.cli.open_world import reader_of
from splittally_tools.cli.session import Session
from splittally_tools.statistics.calendar import Kept
from splittally_tools.statistics.feed import FILE, require_same
from splittally_tools.statistics.store import Cursor
from splittally_tools.statistics.transactions import StatisticsDamaged

in_file = click.option(
    "--file", type=click.Path(dir_okay=False, path_type=Path), help=f"The store (WORLD/{FILE})."
)


def path_of(session: Session, file: Path | None) -> Path:
    """Where the store is."""
    return session.folder / FILE if file is None else file


def head_of_store(cursor: Cursor, size: int | None) -> dict[str, Any]:
    """The frame that an answer is of, and how many frames of the journal came after it."""
    behind = None if size is None else size - cursor.size
    return {"seq": cursor.size - 1, "now_ns": cursor.now_ns, "behind": behind}


def standing(head: dict[str, Any]) -> str:
    """The same in words."""
    if head["behind"] is None:
        return f"as of frame {head['seq']}; the journal cannot be read"
    return f"as of frame {head['seq']}, {head['behind']} behind the journal"


def journal_of(session: Session, cursor: Cursor, path: Path) -> tuple[int | None, Wording]:
    """How long the journal is, None where it cannot be read, and how its world says amounts.

    `StatisticsDamaged` if it is another journal.
    """
    try:
        with reader_of(session) as reader:
            require_same(reader, cursor, path)
            return reader.head.size, reader.state.wording
    except StatisticsDamaged:
        raise
    except (WorldError, JournalDamaged):
        return None, Wording()


def bounds_of(
    session: Session, kept: Kept, per: str, since: Moment | None, until: Moment | None
) -> tuple[int | None, int | None]:
    """The first and the last instant at which a window may start, None for no bound."""
    since_ns = since and kept.start(per, _bounded(session, since, first_ns, kept.calendar))
    until_ns = until and _bounded(session, until, last_ns, kept.calendar)
    return since_ns, until_ns


def _bounded(
    session: Session, moment: Moment, end: Callable[[Moment, Callable[[], Calendar]], int], calendar: Calendar
) -> int:
    """One end of a moment in nanoseconds, as windows have them; of a sequence the time of the frame."""
    if moment.seq is not None:
        with reader_of(session) as reader:
            return time_of(reader.store, frame_at(reader.store, moment, lambda: calendar))
    return min(max(end(moment, lambda: calendar), 0), TIME_NS_MAX)


def local(start_ns: int, calendar: Calendar) -> str:
    """The start of a window by the world's clock."""
    moment = datetime(1970, 1, 1) + timedelta(microseconds=calendar.local(start_ns) // 1_000)
    return moment.strftime("%Y-%m-%d %H:%M")
