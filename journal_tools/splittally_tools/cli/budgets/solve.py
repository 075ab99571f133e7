"""`budgets solve`: bring solutions up to date, by the plan's own solver or with what another one proposes.

Rule 1. Only proposals are made here; whether one becomes the solution is decided by the kernel, and where it
        is refused the solution in force stays.
Rule 2. A dry run asks the same of a copy, and shows the cells that would be the solution.
Rule 3. `--all` goes through the tree from the parents down, each budget by its plan's own solver.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from splittally.core.errors import InvalidInput
from splittally.edge.answer_lines import answer_json
from splittally.edge.records import Decision
from splittally.runtime.queries import Queries

from splittally_tools.cli.answers import code_of_answer, show_answer
from splittally_tools.cli.budgets.asking import under_option
from splittally_tools.cli.budgets.column import show_column
from splittally_tools.cli.budgets.proposing import Sources, proposed
from splittally_tools.cli.exit_codes import DONE, REFUSED
from splittally_tools.cli.interrupts import whole
from splittally_tools.cli.open_world import writer_of
from splittally_tools.cli.output import Page, emit, say
from splittally_tools.cli.replacing import DRY_RUN, previewed
from splittally_tools.cli.session import Session, shared
from splittally_tools.cli.writing import Writing

FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command()
@shared
@click.argument("name", required=False)
@click.option("--all", "everything", is_flag=True, help="Every budget, the parents first.")
@click.option("--solver", metavar="ID", help="`waterfall@1` or `formulas`, in the place of the plan's own.")
@click.option("--input", "given", multiple=True, metavar="NAME=N", help="An input that formulas read.")
@click.option("--cell", "cells", multiple=True, metavar="NAME=VALUE", help="A cell that you enter yourself.")
@click.option("--script", type=FILE, help="A program that reads plan and books as JSON and prints cells.")
@click.option("--answer", type=FILE, help="A recorded answer of a language model.")
@click.option("--model", metavar="NAME", default="", help="Which model gave the answer.")
@click.option("--lp", type=FILE, help="A linear program over the plan's lines, as JSON.")
@click.option("--candidates", type=FILE, help="Proposals by name with projected metrics, to choose from.")
@under_option
@DRY_RUN
@click.pass_obj
def solve(
    session: Session, /, name: str | None, everything: bool, under: str | None, dry_run: bool, **sources: Any
) -> int:
    """Bring the solution of the budget NAME up to date, or that of every budget."""
    if everything != (name is None):
        raise InvalidInput("say which budget: `tally budgets solve NAME`, or `--all`", field="name")
    asked = Sources(**sources)
    if name is None:
        if dry_run or asked.is_stated:
            raise InvalidInput("`--all` solves each budget by its plan's own solver", field="all")
        return _every(session, under)

    params = proposed(session, name, asked)

    def act(kernel: Writing) -> Decision:
        return kernel.native("budget.solve", under=under, now_ns=session.now_ns, **params)

    if dry_run:
        preview = previewed(session, act)
        decision, row, wording = preview.decision, _row(preview.after, name), preview.wording
    else:
        with writer_of(session) as kernel, whole():
            decision = act(kernel)
            row, wording = _row(kernel.state, name), kernel.state.wording
    solution = row["solution"] if row else None
    document = {**answer_json(decision), "budget": name, "dry_run": dry_run, "solution": solution}

    def show(out: Page) -> None:
        show_answer(out, decision, wording)
        if decision.allowed and solution is not None:
            show_column(out, solution, wording)
        elif solution is not None:
            say(out, f"  the solution of {solution['solver']}, seq {solution['seq']}, stays in force")

    emit(session, document, show)
    return code_of_answer(decision)


def _row(state: Queries, name: str) -> Mapping[str, Any] | None:
    return state.budgets.get(name)


def _every(session: Session, under: str | None) -> int:
    with writer_of(session) as kernel, whole():
        names = parents_first(kernel.state)
        answers = [(name, _solved(session, kernel, name, under)) for name in names]
    rows = [{"budget": name, **answer_json(decision)} for name, decision in answers]

    def show(out: Page) -> None:
        for name, decision in answers:
            if not decision.allowed or decision.findings:
                say(out, name)
                show_answer(out, decision)
        say(out, f"solved {sum(decision.allowed for _, decision in answers)} of {len(answers)}")

    emit(session, {"budgets": rows}, show)
    return DONE if all(decision.allowed for _, decision in answers) else REFUSED


def _solved(session: Session, kernel: Writing, name: str, under: str | None) -> Decision:
    return kernel.native("budget.solve", under=under, now_ns=session.now_ns, budget=name)


def parents_first(state: Queries) -> list[str]:
    """The names of all budgets, each behind its parent, and those of one depth by name."""
    parents = {name: row["parent"] for name, row in state.budgets.items()}
    depths: dict[str, int] = {}
    for name in sorted(parents):
        path = []
        while name and name not in depths:
            path.append(name)
            name = parents[name]
        for above in reversed(path):
            depths[above] = depths.get(parents[above], -1) + 1
    return sorted(parents, key=lambda name: (depths[name], name))
