"""`accounts`: balances at one sequence.

Rule 1. The view is of one sequence number, which it names, read beside whoever writes.
"""

from typing import Any

import click
from splittally.edge.moments import Moment
from splittally.edge.wording import Wording
from splittally.runtime.named import ACCOUNTS, RESOURCES
from splittally.runtime.rows import Row

from splittally_tools.cli.exit_codes import DONE
from splittally_tools.cli.filters import by_name
from splittally_tools.cli.moments import at_option, queries_at
from splittally_tools.cli.open_world import reader_of
from splittally_tools.cli.output import Figure, Page, emit, table
from splittally_tools.cli.session import Session, shared
from splittally_tools.cli.views import head_of
from splittally_tools.cli.wide import wide_option


@click.command()
@at_option
@by_name("--account", ACCOUNTS, "Only this account.")
@by_name("--resource", RESOURCES, "Only accounts that hold this resource, and of them only this.")
@wide_option
@shared
@click.pass_obj
def accounts(
    session: Session, at: Moment | None, account: str | None, resource: str | None, wide: bool
) -> int:
    """Balances, what is in flight and what may be spent, now or at a past moment."""
    with reader_of(session) as reader:
        state = queries_at(reader, at)
        rows = {
            name: row if resource is None else _of_resource(row, resource)
            for name, row in state.accounts.items()
            if account in (None, name) and (resource is None or resource in row.balances)
        }
        document = {**head_of(state), "accounts": rows, "resources": state.resources}
        wording = state.wording
    emit(session, document, lambda out: _show_accounts(out, document, wording, wide))
    return DONE


def _of_resource(row: Row, resource: str) -> Row:
    """An account with its amounts of one resource alone."""
    parts = {name: row[name] for name in ("balances", "in_flight", "spendable")}
    return Row(row, **{name: {resource: x[resource]} if resource in x else {} for name, x in parts.items()})


def _show_accounts(out: Page, document: dict[str, Any], wording: Wording, wide: bool) -> None:
    rows = []
    for name, row in document["accounts"].items():
        for resource in sorted({**row["balances"], **row["in_flight"]}) or [""]:
            amounts = [
                Figure(wording.amount(part.get(resource, 0), resource) if resource else "-")
                for part in (row["balances"], row["in_flight"], row["spendable"])
            ]
            more = (row["kind"], _debt(row["debt_limit"], resource, wording)) if wide else ()
            rows.append((name, *amounts, *more))
    columns = ("account", "balance", "in flight", "spendable")
    out.print(table((*columns, "kind", "debt limit") if wide else columns, rows))


def _debt(limit: int, resource: str, wording: Wording) -> Figure:
    return Figure(wording.amount(limit, resource) if limit and resource else str(limit or "-"))
