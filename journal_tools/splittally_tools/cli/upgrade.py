"""`upgrade`: what this release would judge otherwise, and then, where that is wanted, the upgrade."""

from typing import Any

import click

from splittally_tools.audit.replay_diff import Report
from splittally_tools.audit.upgrades import release_of
from splittally_tools.cli.exit_codes import DONE
from splittally_tools.cli.interrupts import whole
from splittally_tools.cli.open_world import reader_of, writer_of
from splittally_tools.cli.output import Page, say, word
from splittally_tools.cli.replacing import emit_report, report_of, show_modules, show_report
from splittally_tools.cli.session import Session, shared


@click.command()
@shared
@click.option(
    "--apply/--dry-run", "is_applied", default=False, help="Record the upgrade; only show it (default)."
)
@click.pass_obj
def upgrade(session: Session, is_applied: bool) -> int:
    """Record this release's caps, kinds and modules, after showing what would be judged otherwise.

    Every recorded Check and Settle is asked again of the new modules. Reservations that are open keep
    the modules that they pin.
    """
    with reader_of(session) as reader:
        release = release_of(reader.folded)
        report = report_of(session, reader, release.change) if release.change.modules else Report()
    with report:
        seq = None
        if is_applied and release.entries:
            with writer_of(session) as kernel, whole():
                seq = kernel.upgrade()
        document = {
            "seq": seq,
            "applied": seq is not None,
            "changes": release.entries,
            "modules": release.change.modules,
        }
        emit_report(session, document, report, lambda out: _show(out, document, report))
    return DONE


def _show(out: Page, document: dict[str, Any], report: Report) -> None:
    if not document["changes"]:
        say(out, "nothing to upgrade: the world has what this release brings")
        return
    show_modules(out, document["modules"])
    for entry in document["changes"]:
        if entry["table"] != "modules":
            say(out, f"{entry['table']} {word(entry['key'])}")
    show_report(out, report)
    if document["applied"]:
        say(out, f"upgraded with frame {document['seq']}", "green")
    else:
        say(out, "nothing was recorded; say `--apply` to upgrade")
