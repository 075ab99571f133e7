"""`budgets import`: a budget by the plan in a file."""

from functools import partial
from pathlib import Path

import click

from splittally_tools.cli.budgets.asking import asked, under_option
from splittally_tools.cli.budgets.made import identity_of, show_identity
from splittally_tools.cli.budgets.plan_files import plan_in
from splittally_tools.cli.session import Session, shared

CHARTER = (
    click.option("--parent", default="", metavar="BUDGET", help="The budget that it stands below."),
    click.option("--holder", metavar="PRINCIPAL", help="Who gets the charter."),
    click.option("--pays-to", multiple=True, metavar="ACCOUNT", help="Whom the charter may pay."),
)


@click.command(name="import")
@shared
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@CHARTER[0]
@CHARTER[1]
@CHARTER[2]
@under_option
@click.pass_obj
def import_(
    session: Session,
    name: str,
    file: Path,
    parent: str,
    holder: str | None,
    pays_to: tuple[str, ...],
    under: str | None,
) -> int:
    """Make the budget NAME by the plan in FILE, which is JSON, with the same hash as where it comes from.

    It has no funds: `tally budgets fund NAME AMOUNT --from ACCOUNT`.
    """
    params = {"budget": name, "schema": plan_in(file), "parent": parent, "pays_to": list(pays_to)}
    params |= {"holder": holder} if holder is not None else {}
    return asked(session, "budget.create", params, under, partial(identity_of, name=name), show_identity)
