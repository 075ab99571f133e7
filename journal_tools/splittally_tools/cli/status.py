"""`status`: how the clock and the files of a world are."""

from typing import Any

import click
from splittally.edge.wording import Wording
from splittally.runtime.rows import Row

from splittally_tools.cli.exit_codes import DONE, REFUSED
from splittally_tools.cli.open_world import reader_of
from splittally_tools.cli.output import Page, emit, say, word
from splittally_tools.cli.session import Session, shared

_SAID = {
    "steady": ("the clock is steady", "green"),
    "behind": ("the clock is behind, and time stands until it is past", "yellow"),
    "jumped": ("the clock has jumped: time stands until `tally native clock.accept`", "red"),
}


@click.command()
@shared
@click.pass_obj
def status(session: Session) -> int:
    """How the world's clock and files are. A clock that has jumped is told with exit code 1.

    Of a world that another process has open it says what opening it now would find.
    """
    with reader_of(session) as reader:
        row, wording = reader.health(), reader.state.wording
    emit(session, {**row}, lambda out: _show(out, row, wording))
    return REFUSED if row["state"] == "jumped" else DONE


def _show(out: Page, row: Row, wording: Wording) -> None:
    say(out, f"{row['seq'] + 1} frames, logical time {wording.moment(row['now_ns'])}")
    text, style = _SAID[row["state"]]
    read: Any = row["clock_ns"]
    at = f": it reads {wording.moment(read)}" if read is not None else ""
    say(out, f"  {text}{at}" if row["clock"] == "host" else "  the clock is given with each command", style)
    say(out, f"  {row['open_intents']} open intents")
    for repair in row["repairs"]:
        say(out, f"  to be rebuilt: {word(repair)}")
