"""`init` makes a world, `apply` makes it what a manifest says."""

from pathlib import Path
from typing import Any

import click
from splittally.core.errors import WorldExists
from splittally.edge.records import Decision, answer_json
from splittally.runtime import Kernel, open_world
from splittally.runtime.folder import is_world
from splittally.runtime.queries import Queries
from splittally.runtime.reader import open_reader
from splittally.runtime.rows import Row

from splittally_tools.cli.answers import code_of_answer, show_answer, show_reasons
from splittally_tools.cli.exit_codes import REFUSED
from splittally_tools.cli.interrupts import whole
from splittally_tools.cli.open_world import writer_of
from splittally_tools.cli.output import Page, emit, say, word
from splittally_tools.cli.replacing import CONFIRM, DRY_RUN, confirmed, emit_plan, planned
from splittally_tools.cli.session import Session, shared

Change = dict[str, Any]


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
@click.pass_obj
def apply(session: Session, manifest: Path, dry_run: bool, yes: bool, accept_modules: bool) -> int:
    """Make the world what MANIFEST (.toml or .json) says, all or nothing, as one record.

    Where it replaces an installed module, every recorded question is asked of the new one first and what
    would be answered otherwise is shown; at a terminal you are asked before anything is recorded.
    Where a name that MANIFEST states means another module now, what was made by it keeps the old one.
    """

    def act(kernel: Kernel) -> Decision:
        return kernel.apply(manifest, now_ns=session.now_ns, accept_modules=accept_modules)

    with planned(session, act, _difference) as plan:
        decision, changes = plan.decision, plan.compared
        if not dry_run:
            if not confirmed(session, plan, yes):
                return REFUSED
            with writer_of(session) as kernel, whole():
                before = _definitions(kernel.state)
                decision = act(kernel)
                changes = _changes(before, _definitions(kernel.state))
        document = {**answer_json(decision), "dry_run": dry_run, "changes": changes}
        emit_plan(session, document, plan, lambda out: _show(out, decision, changes, dry_run))
    return code_of_answer(decision)


def _show(out: Page, decision: Decision, changes: list[Change], dry_run: bool) -> None:
    if decision.outcome == "allow" and not changes:
        say(out, "nothing to change: the world is what the manifest says")
        show_reasons(out, decision.findings)
        return
    if not dry_run or decision.outcome != "allow":
        show_answer(out, decision)
    else:
        show_reasons(out, decision.findings)
    for change in changes:
        verb = f"would be {change['change']}" if dry_run else change["change"]
        say(out, f"  {change['table']} {word(change['key'])} {verb}")


def _definitions(state: Queries) -> dict[str, dict[str, Any]]:
    """What a manifest can change, by table and name; nothing here grows with use."""
    return {
        "accounts": {name: (row.kind, row.debt_limit) for name, row in state.accounts.items()},
        "caps": dict(state.caps),
        "effects": dict(state.effects),
        "grants": {name: _terms(row) for name, row in state.grants.items()},
        "modules": dict(state.modules),
        "policy": {rule.name: rule for rule in state.policy},
        "resources": {name: row.scale for name, row in state.resources.items()},
    }


def _terms(row: Row) -> dict[str, Any]:
    """A grant without what its cap's module makes of it."""
    return {field: value for field, value in row.items() if field != "uncounted"}


def _difference(before: Queries, after: Queries) -> list[Change]:
    return _changes(_definitions(before), _definitions(after))


def _changes(before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]]) -> list[Change]:
    """Which entries of which tables differ: added, changed, removed or revoked."""
    changes = []
    for table, entries in after.items():
        old = before[table]
        for key in sorted({*old, *entries}):
            if old.get(key) != entries.get(key):
                changes.append({"table": table, "key": key, "change": _verb(old.get(key), entries.get(key))})
    return changes


def _verb(old: Any, new: Any) -> str:
    if old is None:
        return "added"
    if new is None:
        return "removed"
    return "revoked" if isinstance(new, dict) and new.get("revoked") else "changed"
