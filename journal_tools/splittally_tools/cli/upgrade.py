"""`upgrade`: what this release would judge otherwise, and then, where that is wanted, the upgrade."""

from typing import Any

import click
from rich.console import Console

from splittally_tools.audit.upgrades import Otherwise, judged_otherwise, release_of
from splittally_tools.cli.ending import DONE
from splittally_tools.cli.interrupts import whole
from splittally_tools.cli.opening import reader_of, writer_of
from splittally_tools.cli.output import emit, progress, say, word
from splittally_tools.cli.session import Session, shared

SHOWN_MAX = 20


@click.command()
@shared
@click.option(
    "--apply/--dry-run", "is_applied", default=False, help="Record the upgrade; only show it (default)."
)
@click.pass_obj
def upgrade(session: Session, is_applied: bool) -> int:
    """Record this release's caps, kinds and modules, after showing what would be judged otherwise.

    Every recorded Check is asked again of the new modules. Reservations that are open keep the modules
    that they pin.
    """
    with reader_of(session) as reader, progress(session) as bar:
        release = release_of(reader.folded)
        asked = 0
        otherwise: list[Otherwise] = []
        if release.modules:
            task = bar.add_task("asking the new modules", total=reader.head.size)
            asked, otherwise = judged_otherwise(reader, release, lambda done: bar.advance(task, done))
    seq = None
    if is_applied and release.entries:
        with writer_of(session) as kernel, whole():
            seq = kernel.upgrade()
    document = {
        "seq": seq,
        "applied": seq is not None,
        "changes": release.entries,
        "modules": release.modules,
        "checks": asked,
        "otherwise": [each._asdict() for each in otherwise],
    }
    emit(session, document, lambda out: _show(out, document))
    return DONE


def _show(out: Console, document: dict[str, Any]) -> None:
    if not document["changes"]:
        say(out, "nothing to upgrade: the world has what this release brings")
        return
    for module in document["modules"]:
        say(out, f"module {module['name']}: {word(module['old'])} -> {module['new']}")
    for entry in document["changes"]:
        if entry["table"] != "modules":
            say(out, f"{entry['table']} {word(entry['key'])}")
    otherwise = document["otherwise"]
    say(out, f"{document['checks']} recorded checks asked again, {len(otherwise)} answered otherwise", "bold")
    for each in otherwise[:SHOWN_MAX]:
        verdicts = f"{word(each['was'])} -> {word(each['now'])}"
        say(out, f"  seq {each['seq']} {word(each['intent_hash'])} under {word(each['grant'])}: {verdicts}")
    if len(otherwise) > SHOWN_MAX:
        say(out, f"  and {len(otherwise) - SHOWN_MAX} more; `--json` lists them all")
    if document["applied"]:
        say(out, f"upgraded with frame {document['seq']}", "green")
    else:
        say(out, "nothing was recorded; say `--apply` to upgrade")
