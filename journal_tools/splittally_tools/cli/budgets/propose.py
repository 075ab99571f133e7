"""`budgets propose`: a part of a budget for somebody, or a review of it."""

from typing import Any

import click
from splittally.core.errors import InvalidInput

from splittally_tools.cli.budgets.asking import asked, under_option
from splittally_tools.cli.budgets.dialogue import of_proposal, say_proposal
from splittally_tools.cli.session import Session, shared


@click.command()
@shared
@click.argument("name")
@click.argument("proposal")
@click.argument("amount", metavar="[AMOUNT]", required=False)
@click.option("--part", default="", help="The part that is to be issued; else that of the proposal's name.")
@click.option("--holder", default="", metavar="PRINCIPAL", help="Who is to spend it.")
@click.option("--title", default="", help="What it is, in a line; of a review what is to be looked at.")
@click.option("--about", "description", default="", metavar="TEXT", help="Why.")
@under_option
@click.pass_obj
def propose(
    session: Session,
    name: str,
    proposal: str,
    amount: str | None,
    part: str,
    holder: str,
    title: str,
    description: str,
    under: str | None,
) -> int:
    """Propose a part of AMOUNT for a holder, or, without an amount, a review of the budget NAME.

    A part is issued by the vote that reaches the plan's quorum. A draft of the plan is `branch`.
    """
    params: dict[str, Any] = {"budget": name, "name": proposal, "title": title, "description": description}
    if amount:
        if not holder:
            raise InvalidInput("say who is to spend it: `--holder PRINCIPAL`", field="holder")
        spend = {"part": part or proposal, "holder": holder, "resource": amount.rpartition(" ")[2]}
        params |= {"what": "spend", "amount": amount, **spend}
    else:
        params |= {"what": "review"}
    return asked(session, "budget.propose", params, under, of_proposal(name, proposal), say_proposal)
