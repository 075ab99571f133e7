"""`budgets amend`: a new version of a plan, at most as wide, with what it would change and newly refuse.

Rule 1. A dry run asks the same effect on a fork: each widening is named as the refusal would name it.
Rule 2. What would newly fail is what is missing in the stage that the amended plan has now.
"""

from pathlib import Path
from typing import Any

import click
from splittally.edge.answer_lines import answer_json
from splittally.runtime.preview import change_json

from splittally_tools.cli.answers import code_of_answer, show_answer
from splittally_tools.cli.budgets.asking import under_option
from splittally_tools.cli.budgets.plan_files import plan_in
from splittally_tools.cli.differences import show_changes
from splittally_tools.cli.interrupts import whole
from splittally_tools.cli.open_world import writer_of
from splittally_tools.cli.output import Page, emit, say
from splittally_tools.cli.replacing import DRY_RUN, previewed
from splittally_tools.cli.session import Session, shared


@click.command()
@shared
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@DRY_RUN
@under_option
@click.pass_obj
def amend(session: Session, name: str, file: Path, dry_run: bool, under: str | None) -> int:
    """Put the plan in FILE in force for the budget NAME; it may be narrower and never wider.

    What is wider is refused and named. `tally native budget.migrate` is for a plan that must break.
    """
    plan = plan_in(file)

    def act(kernel: Any) -> Any:
        return kernel.native("budget.amend", under=under, now_ns=session.now_ns, budget=name, schema=plan)

    if dry_run:
        preview = previewed(session, act)
        decision, failing = preview.decision, _failing(preview, name)
    else:
        with writer_of(session) as kernel, whole():
            preview = kernel.preview(act, session.now_ns)
            failing = _failing(preview, name)
            decision = act(kernel)
    changes = list(map(change_json, preview.changes))
    document = {**answer_json(decision), "dry_run": dry_run, "changes": changes, "newly_fails": failing}

    def show(out: Page) -> None:
        show_answer(out, decision)
        show_changes(out, preview)
        for line in failing:
            say(out, f"  newly fails: {line}", "yellow")
        if decision.allowed and not preview.changes:
            say(out, "nothing to change: the plan in force is this one")

    emit(session, document, show)
    return code_of_answer(decision)


def _failing(preview: Any, name: str) -> list[str]:
    """What the budget could do before and not after: by its stage, its minima and its charter's limits.

    It is read before anything is recorded.
    """
    before, after = preview.before.budgets.get(name), preview.after.budgets.get(name)
    if before is None or after is None or not preview.decision.allowed:
        return []
    lines = []
    if before["stage"] != after["stage"]:
        lines.append(f"the stage falls from {before['stage']} to {after['stage']}")
    known = {gap["constraint"] for gap in before["missing"]}
    lines += [
        f"{gap['constraint']} lacks {preview.wording.amount(gap['missing'], gap['resource'])}"
        for gap in after["missing"]
        if gap["constraint"] not in known and "resource" in gap
    ]
    was, now = preview.before.grants[before["grant"]], preview.after.grants[after["grant"]]
    for resource, amount in sorted((now["budget"] or {}).items()):
        had = (was["budget"] or {}).get(resource)
        if had is None or amount < had:
            most = preview.wording.amount(amount, resource)
            lines.append(f"to spend more than {most} for life")
    return lines
