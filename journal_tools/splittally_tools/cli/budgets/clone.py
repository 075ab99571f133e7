"""`budgets clone`: a budget by the plan of another, without its funds and its grants."""

from functools import partial

import click

from splittally_tools.cli.budgets.asking import asked, under_option
from splittally_tools.cli.budgets.import_plan import CHARTER
from splittally_tools.cli.budgets.made import identity_of, show_identity
from splittally_tools.cli.session import Session, shared


@click.command()
@shared
@click.argument("name")
@click.argument("new")
@CHARTER[0]
@CHARTER[1]
@CHARTER[2]
@under_option
@click.pass_obj
def clone(
    session: Session,
    name: str,
    new: str,
    parent: str,
    holder: str | None,
    pays_to: tuple[str, ...],
    under: str | None,
) -> int:
    """Make the budget NEW by the plan of NAME: no funds, and none of its grants."""
    params = {"budget": new, "template": name, "parent": parent, "pays_to": list(pays_to)}
    params |= {"holder": holder} if holder is not None else {}
    return asked(session, "budget.create", params, under, partial(identity_of, name=new), show_identity)
