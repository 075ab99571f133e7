"""`budgets show`: plans, stages, funds and solutions at one sequence."""

from collections.abc import Mapping
from typing import Any

import click
from splittally.core.errors import InvalidInput
from splittally.edge.moments import Moment
from splittally.edge.wording import Wording

from splittally_tools.cli.budgets.sheet import show_budget
from splittally_tools.cli.budgets.words import with_units
from splittally_tools.cli.exit_codes import DONE
from splittally_tools.cli.moments import at_option, queries_at
from splittally_tools.cli.open_world import reader_of
from splittally_tools.cli.output import Figure, Page, emit, say, table
from splittally_tools.cli.session import Session, shared
from splittally_tools.cli.views import head_of
from splittally_tools.cli.wide import wide_option

PERIODS = ("total", "year", "quarter", "month", "week", "day", "hour")
PARTS = ("schema", "solution", "input")


@click.command()
@click.argument("name", required=False)
@click.option("--per", type=click.Choice(PERIODS), default="total", help="The horizon of the plan's lines.")
@click.option("--part", type=click.Choice(PARTS), help="Only this part of the budget NAME.")
@click.option("--cell", help="Only this cell of the solution of the budget NAME.")
@at_option
@wide_option
@shared
@click.pass_obj
def show(
    session: Session,
    name: str | None,
    per: str,
    part: str | None,
    cell: str | None,
    at: Moment | None,
    wide: bool,
) -> int:
    """Budgets: their plans, stages, funds and solutions."""
    with reader_of(session) as reader:
        state = queries_at(reader, at)
        rows = state.budgets_per(per)
        wording = state.wording
        head = head_of(state)
    if name is None and (part or cell):
        raise InvalidInput("say which budget: `tally budgets NAME`", field="name")
    if name is None:
        emit(session, {**head, "budgets": rows}, lambda out: _list(out, rows, wording, wide))
        return DONE
    row = row_of(rows, name)
    document = {**head, "budget": name}
    if part or cell:
        shown = {part: row[part]} if part else {"cell": _cell(row, name, str(cell))}
        (said,) = (with_units(value, wording) for value in shown.values())
        emit(session, {**document, **shown}, lambda out: _show_part(out, said))
    else:
        emit(session, {**document, **row}, lambda out: show_budget(out, row, wording))
    return DONE


def row_of(rows: Mapping[str, Any], name: str) -> Any:
    """The row of a budget; `InvalidInput` where it is not there."""
    if name not in rows:
        raise InvalidInput(f"there is no budget `{name}`; `tally budgets` lists them", field="name")
    return rows[name]


def _cell(row: dict[str, Any], name: str, cell: str) -> dict[str, Any]:
    """A cell with what it rests on: the solver, who asked, the plan's version and what was read."""
    solution = row["solution"]
    if solution is None or cell not in solution["cells"]:
        raise InvalidInput(f"the solution of `{name}` has no cell `{cell}`", field="cell")
    about = {key: solution[key] for key in ("version", "solver", "seq", "by")}
    return {"name": cell, **solution["cells"][cell], **about, "input": row["input"]}


def _list(out: Page, rows: Mapping[str, Any], wording: Wording, wide: bool) -> None:
    if not rows:
        say(out, "no budgets yet; `tally budgets import NAME FILE` makes one by a plan in a file")
        return
    lines = [
        (
            name,
            row["stage"],
            Figure(wording.amount(row["balances"][resource], resource)),
            Figure(wording.amount(row["in_flight"].get(resource, 0), resource)),
            *((row["version"], row["parent"]) if wide else ()),
        )
        for name, row in rows.items()
        for resource in row["balances"]
    ]
    columns = ("budget", "stage", "balance", "in flight", *(("plan", "parent") if wide else ()))
    out.print(table(columns, lines))


def _show_part(out: Page, shown: Any) -> None:
    rows = shown.items() if isinstance(shown, dict) else [("", shown)]
    out.print(table(("part", "what"), [(name, value) for name, value in rows]))
