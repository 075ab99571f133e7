"""`salvage`: what is sound of a damaged world, as a new world."""

from pathlib import Path
from typing import Any

import click
from splittally.core.errors import WorldLocked
from splittally.edge.wording import Wording
from splittally.runtime.salvage import Salvaged
from splittally.runtime.salvage import salvage as salvage_world
from splittally.runtime.served import is_served

from splittally_tools.cli.exit_codes import DONE, REFUSED
from splittally_tools.cli.interrupts import whole
from splittally_tools.cli.output import Page, emit, say
from splittally_tools.cli.session import Session, shared

FOLDER = click.Path(path_type=Path)


@click.command()
@shared
@click.argument("damaged", metavar="WORLD", type=FOLDER)
@click.argument("new", type=FOLDER)
@click.option("--dry-run", is_flag=True, help="Only say what could be saved; NEW is not made.")
@click.pass_obj
def salvage(session: Session, damaged: Path, new: Path, dry_run: bool) -> int:
    """Write the frames of WORLD before the first that is lost into a new world, the folder NEW.

    WORLD is only read: let nobody write it meanwhile, or afterwards. One that is served is refused. What
    comes after a lost frame is not taken. The exit code is 1 when something was lost, 0 when nothing was.
    """
    if is_served(damaged):
        raise WorldLocked(f"the world at `{damaged}` is being served; stop `tally serve` first")
    with whole():
        found = salvage_world(damaged, None if dry_run else new)
    document = _document(found, new, dry_run)
    emit(session, document, lambda out: _show(out, document))
    return DONE if found.is_whole else REFUSED


def _document(found: Salvaged, new: Path, dry_run: bool) -> dict[str, Any]:
    return {
        "frames": found.frames,
        "seq": found.frames - 1 if found.frames else None,
        "at_ns": found.at_ns if found.frames else None,
        "head": found.head.hex(),
        "state_root": found.root.hex(),
        "lost": found.lost,
        "is_end_known": found.is_end_known,
        "damage": found.damage or None,
        "new": str(new) if found.frames and not dry_run else None,
        "dry_run": dry_run,
    }


def _show(out: Page, document: dict[str, Any]) -> None:
    if document["damage"] is not None:
        say(out, document["damage"], "red")
    if document["frames"]:
        say(
            out,
            f"whole up to sequence {document['seq']}, time {Wording().moment(document['at_ns'])}",
            "green",
        )
        say(out, f"  head         {document['head']}")
        say(out, f"  state root   {document['state_root']}")
    else:
        say(out, "no frame is sound", "bold red")
    if document["lost"]:
        say(out, f"lost: {document['lost']} frames, from sequence {document['frames']} on", "bold red")
    if not document["is_end_known"]:
        say(out, "lost: nothing says where the journal ended; there may have been more frames", "bold red")
    if not document["lost"] and document["is_end_known"]:
        say(out, "nothing is lost", "green")
    if document["new"] is not None:
        say(out, f"written to {document['new']}; ask it for the outcome of what was open")
