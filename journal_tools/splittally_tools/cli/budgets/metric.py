"""`budgets metric`: every value of a metric with the definition that it was recorded under.

Rule 1. It shows what `Kernel.state.metric_history` says, of now or of a past moment, and sums nothing.
"""

from typing import Any

import click
from splittally.edge.moments import Moment
from splittally.edge.wording import Wording

from splittally_tools.cli.exit_codes import DONE
from splittally_tools.cli.moments import at_option, queries_at
from splittally_tools.cli.open_world import reader_of
from splittally_tools.cli.output import Figure, Page, emit, say, table, word
from splittally_tools.cli.session import Session, shared
from splittally_tools.cli.views import head_of


@click.command()
@shared
@click.argument("name")
@click.argument("metric")
@at_option
@click.pass_obj
def metric(session: Session, name: str, metric: str, at: Moment | None) -> int:
    """The history of METRIC of the budget NAME: its definitions, and its values."""
    with reader_of(session) as reader:
        state = queries_at(reader, at)
        row = state.metric_history(name, metric)
        wording = state.wording
        head = head_of(state)
    emit(session, {**head, **row}, lambda out: _show(out, row, wording))
    return DONE


def _show(out: Page, row: dict[str, Any], wording: Wording) -> None:
    for version in row["versions"]:
        if version["is_new"]:
            when = wording.moment(version["at_ns"])
            say(out, f"from plan {version['version']} on, by {version['by']} at {when}:")
            say(out, f"  {version['description']}")
    lines = [
        (wording.moment(x["at_ns"]), Figure(str(x["value"])), x["version"], x["by"], _about(x, wording))
        for x in row["values"]
    ]
    out.print(table(("at", "value", "plan", "by", "about"), lines))


def _about(value: dict[str, Any], wording: Wording) -> str:
    """What a value is of: its time where it states one, its segments, and where it comes from."""
    said = [word(value[name]) for name in ("segments", "source", "once") if name in value]
    if "of_ns" in value:
        said.insert(0, f"{'late, ' if value['is_late'] else ''}of {wording.moment(value['of_ns'])}")
    return "; ".join(said)
