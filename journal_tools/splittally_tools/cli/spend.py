"""`spend`: who spent what, on what, in which period, from what was charged.

Rule 1. Every number is `Kernel.state.spend`'s; nothing is summed here but its rows.
"""

from typing import Any

import click
from splittally.core.errors import InvalidInput
from splittally.edge.moments import Moment
from splittally.edge.wording import Wording, wording_of
from splittally.runtime.named import GRANTS, KINDS, PRINCIPALS, RESOURCES
from splittally.runtime.spend import GRANT, RESOURCE, WINDOW, SpendQuery, require_groups, totals
from splittally.runtime.spend import spend as sums_of

from splittally_tools.cli.exit_codes import DONE
from splittally_tools.cli.filters import by_name, by_outcome
from splittally_tools.cli.labelled import Labels, by_label
from splittally_tools.cli.moments import at_option, since_option, state_of, until_option
from splittally_tools.cli.open_world import reader_of
from splittally_tools.cli.output import Page, emit, progress, say, table
from splittally_tools.cli.session import Session, shared

SHOWN = ("charges", "charged", "refunded", "net", "paid")
HOUR = "hour"


def _groups(context: click.Context, option: click.Parameter, said: tuple[str, ...]) -> tuple[str, ...]:
    """The groups, each said alone or several with commas between."""
    try:
        return require_groups([name for part in said for name in part.split(",")])
    except InvalidInput as error:
        raise click.BadParameter(str(error), context, option) from None


@click.command()
@shared
@click.option(
    "--by",
    multiple=True,
    default=(GRANT,),
    callback=_groups,
    metavar="GROUP",
    help="grant, principal, kind, outcome, resource, label:NAME, window:day, ...; several with commas.",
)
@since_option("what was charged")
@until_option("what was charged")
@at_option
@by_name("--under", GRANTS, "Only what descends from this grant, as it was charged itself.")
@by_name("--grant", GRANTS, "Only what was asked under this grant.")
@by_name("--principal", PRINCIPALS, "Only what this principal asked for.")
@by_name("--kind", KINDS, "Only effects of this kind.")
@by_name("--resource", RESOURCES, "Only this resource or dimension.")
@by_outcome
@by_label
@click.pass_obj
def spend(
    session: Session,
    by: tuple[str, ...],
    since: Moment | None,
    until: Moment | None,
    at: Moment | None,
    under: str | None,
    grant: str | None,
    principal: str | None,
    kind: str | None,
    resource: str | None,
    outcome: str | None,
    labels: Labels,
) -> int:
    """Who spent what: sums of what was charged, of what came back, and of what accounts paid.

    An intent counts once, under the grant that it was asked under, in the period of the record that charged
    it. What is only held does not count.
    """
    query = SpendQuery(
        by=by,
        since=since,
        until=until,
        under=under,
        grant=grant,
        principal=principal,
        kind=kind,
        resource=resource,
        outcome=outcome,
        labels=labels,
    )
    with reader_of(session) as reader, progress(session) as bar:
        state = state_of(reader, at)
        start, stop = reader.frames_between(since, until)
        task = bar.add_task("reading the journal", total=min(state.size, stop or state.size) - start)
        rows = sums_of(reader.book(), state, query, lambda frames: bar.advance(task, frames))
        wording = wording_of(state)
    document: dict[str, Any] = {
        "seq": state.size - 1,
        "now_ns": state.now_ns,
        "by": list(by),
        "scales": {row[RESOURCE]: wording.scale(row[RESOURCE]) for row in totals(rows)},
        "spend": rows,
        "totals": totals(rows),
    }
    emit(session, document, lambda out: _show(out, document, wording))
    return DONE


def _show(out: Page, document: dict[str, Any], wording: Wording) -> None:
    if not document["spend"]:
        say(out, "nothing was charged")
        return
    groups = [name for name in document["by"] if name != RESOURCE]
    columns = [name.removeprefix("label:").removeprefix(WINDOW) for name in groups]
    rows = [
        (*(_group(row, name, wording) for name in groups), *_sums(row, wording)) for row in document["spend"]
    ]
    if groups:
        rows += [("in all", *[""] * (len(groups) - 1), *_sums(row, wording)) for row in document["totals"]]
    out.print(table((*columns, *SHOWN), rows))


def _group(row: dict[str, Any], name: str, wording: Wording) -> str:
    if not name.startswith(WINDOW):
        return str(row[name])
    start_ns = row[name]
    return wording.minute(start_ns) if name == WINDOW + HOUR else wording.day(start_ns)


def _sums(row: dict[str, Any], wording: Wording) -> tuple[Any, ...]:
    """The numbers of a row, amounts with their unit; what accounts paid less what they got back."""
    charged, net = (wording.amount(row[name], row[RESOURCE]) for name in ("charged", "net"))
    refunded, paid = (
        wording.amount(amount, row[RESOURCE]) if amount else None
        for amount in (row["refunded"], row["paid"] - row["repaid"])
    )
    return row["charges"], charged, refunded, net, paid
