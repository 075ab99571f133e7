"""`doctor`: what is wrong with this machine, a world or a queue, and the command that mends it."""

from pathlib import Path
from typing import Any

import click
from splittally.edge.json_values import printable

from splittally_tools.cli.drain_parts import FILE_PATH, QUEUE_VARIABLE
from splittally_tools.cli.exit_codes import DONE, REFUSED
from splittally_tools.cli.output import Page, emit, say
from splittally_tools.cli.session import Session, shared
from splittally_tools.doctor import DAMAGE, GOOD, NOTE, WARNING, check_machine, check_queue, check_world
from splittally_tools.doctor.finding import SEVERITIES

_STYLES = {DAMAGE: "red", WARNING: "yellow", NOTE: "", GOOD: "green"}


@click.command()
@shared
@click.option(
    "--queue", "path", type=FILE_PATH, envvar=QUEUE_VARIABLE, help=f"A queue (or {QUEUE_VARIABLE})."
)
@click.pass_obj
def doctor(session: Session, path: Path | None) -> int:
    """What is wrong with this machine, the world of -w DIR and a queue, and the command that mends it.

    Nothing is written. Damage is exit code 1; anything else is 0, with warnings.
    """
    folder = session.folder if session.is_named else None
    found = check_machine(folder or Path.cwd())
    found += check_world(folder) if folder is not None else []
    found += check_queue(path) if path is not None else []
    found.sort(key=lambda each: SEVERITIES.index(each.severity))
    worst = found[0].severity
    document: dict[str, Any] = {"worst": worst, "findings": [each._asdict() for each in found]}
    emit(session, document, lambda out: _show(out, document))
    return REFUSED if worst == DAMAGE else DONE


def _show(out: Page, document: dict[str, Any]) -> None:
    for row in document["findings"]:
        severity = row["severity"]
        say(out, f"{severity:<8} {row['check']}: {printable(row['text'])}", _STYLES[severity])
        if row["mend"]:
            say(out, f"{'':<8} {printable(row['mend'])}", "bold")
    wrong = sum(row["severity"] in (DAMAGE, WARNING) for row in document["findings"])
    say(out, f"{wrong or 'nothing'} to mend", "bold")
