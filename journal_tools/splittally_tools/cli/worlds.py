"""`init` makes a world, `apply` makes it what a manifest says.

Rule 1. What is shown is the plan: every difference, before and after. What cannot be undone is asked for.
Rule 2. Whoever was asked, or names a plan, gets that one or nothing.
"""

from pathlib import Path
from typing import Any

import click
from splittally.core.errors import WorldExists
from splittally.core.types import ALLOW, DENY
from splittally.edge.answer_lines import answer_json
from splittally.edge.records import Decision, worded
from splittally.runtime import open_world
from splittally.runtime.folder import is_world
from splittally.runtime.preview import Preview, change_json, refusals
from splittally.runtime.reader import open_reader

from splittally_tools.cli.answers import code_of_answer, show_answer, show_reasons
from splittally_tools.cli.differences import show_changes
from splittally_tools.cli.exit_codes import REFUSED
from splittally_tools.cli.interrupts import whole
from splittally_tools.cli.open_world import writer_of
from splittally_tools.cli.output import Page, emit, say
from splittally_tools.cli.replacing import (
    CONFIRM,
    DRY_RUN,
    confirmed,
    emit_plan,
    is_asked,
    planned,
    revocation_agreed,
)
from splittally_tools.cli.session import Session, shared
from splittally_tools.cli.writing import Writing


@click.command()
@shared
@click.option("--clock", type=click.Choice(["host", "given"]), help="Who says the time (host).")
@click.pass_obj
def init(session: Session, clock: str | None) -> None:
    """Make a world in the folder of -w, which is empty or not there yet.

    With `--clock given` every command may say `--now-ns`; with `host` nobody may.
    """
    folder = session.folder
    if _is_made(folder):
        raise WorldExists(f"there is already a world at `{folder}`", path=str(folder))
    with whole(), open_world(folder, clock or "host", lock_seconds=session.wait_seconds) as kernel:
        state = kernel.state
        session.is_writing = True
        document = {"seq": state.seq - 1, "clock": state.clock, "engine": state.engine, "root": state.root}
    emit(session, document, lambda out: say(out, f"made a world; its clock is `{document['clock']}`"))


def _is_made(folder: Path) -> bool:
    """Whether a world was made here; one whose making was cut off has no frame and is made again."""
    if not is_world(folder):
        return False
    with open_reader(folder) as reader:
        return reader.head.size > 0


@click.command()
@shared
@click.argument("manifest", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@DRY_RUN
@CONFIRM
@click.option("--accept-modules", is_flag=True, help="Take the modules that names mean now.")
@click.option("--allow-revoke", is_flag=True, help="Revoke, for ever, the grants that MANIFEST leaves out.")
@click.option("--expect", metavar="HASH", help="Apply this plan and no other: the hash that --dry-run shows.")
@click.pass_obj
def apply(
    session: Session,
    manifest: Path,
    dry_run: bool,
    yes: bool,
    accept_modules: bool,
    allow_revoke: bool,
    expect: str | None,
) -> int:
    """Make the world what MANIFEST (.toml or .json) says, all or nothing, as one record.

    Every difference is shown, before and after. A grant that MANIFEST leaves out is revoked for ever: at a
    terminal you are asked first; elsewhere nothing is recorded without `--allow-revoke`.
    Where it replaces an installed module, every recorded question is asked of the new one first and what
    would be answered otherwise is shown; at a terminal you are asked before anything is recorded.
    Where a name that MANIFEST states means another module now, what was made by it keeps the old one.
    """

    def act(kernel: Writing, **said: Any) -> Decision:
        return kernel.apply(manifest, now_ns=session.now_ns, accept_modules=accept_modules, **said)

    with planned(session, act) as plan:
        preview = plan.preview
        asks = is_asked(session) and not dry_run and preview.revoked and not allow_revoke
        refused = refusals(preview, expect, allow_revoke or dry_run or bool(asks))
        if refused:
            decision = worded(Decision(None, None, DENY, tuple(refused)), lambda: preview.wording)
        elif dry_run:
            decision = preview.decision
        else:
            if asks and not yes and not revocation_agreed(plan):
                return REFUSED
            if not confirmed(session, plan, yes):
                return REFUSED
            meant = preview.hash if asks else expect
            with writer_of(session) as kernel, whole():
                preview = kernel.preview(act, session.now_ns)
                decision = act(kernel, expect=meant, allow_revoke=allow_revoke or bool(asks))
        document = {
            **answer_json(decision),
            "dry_run": dry_run,
            "plan": preview.hash,
            "changes": list(map(change_json, preview.changes)),
        }
        emit_plan(session, document, plan, lambda out: _show(out, decision, preview, dry_run))
    return code_of_answer(decision)


def _show(out: Page, decision: Decision, preview: Preview, dry_run: bool) -> None:
    if decision.outcome == ALLOW and not preview.changes:
        say(out, "nothing to change: the world is what the manifest says")
        show_reasons(out, decision.findings)
        return
    if dry_run and decision.outcome == ALLOW:
        show_reasons(out, decision.findings)
    else:
        show_answer(out, decision)
    show_changes(out, preview)
    if decision.seq is None and preview.changes:
        say(out, f"nothing was recorded; `--expect {preview.hash.hex()}` applies this plan and no other")
