"""`budgets merge`: puts a draft in force, merged into what changed since."""

import click

from splittally_tools.cli.budgets.asking import asked, under_option
from splittally_tools.cli.budgets.dialogue import of_proposal, say_proposal
from splittally_tools.cli.session import Session, shared


@click.command()
@shared
@click.argument("name")
@click.argument("draft")
@click.option("--note", default="", help="What is said with it.")
@under_option
@click.pass_obj
def merge(session: Session, name: str, draft: str, note: str, under: str | None) -> int:
    """Put a DRAFT in force, by who may amend the plan of the budget NAME.

    Where the plan has a quorum, the vote that reaches it does so, too.
    """
    params = {"budget": name, "name": draft, "act": "accept", "note": note}
    return asked(session, "budget.reply", params, under, of_proposal(name, draft), say_proposal)
