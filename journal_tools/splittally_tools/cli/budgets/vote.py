"""`budgets vote`: agree, object or abstain; on a proposal, or on the version of the plan in force."""

import click
from splittally.core.budget.proposals import VOTES

from splittally_tools.cli.budgets.asking import asked, under_option
from splittally_tools.cli.budgets.dialogue import of_proposal, say_proposal
from splittally_tools.cli.session import Session, shared


@click.command()
@shared
@click.argument("name")
@click.argument("vote", type=click.Choice(VOTES), metavar="VOTE")
@click.option("--on", "proposal", default="", metavar="PROPOSAL", help="Which; else the plan in force.")
@click.option("--note", default="", help="What is said with it.")
@under_option
@click.pass_obj
def vote(session: Session, name: str, vote: str, proposal: str, note: str, under: str | None) -> int:
    """Vote on a proposal to the budget NAME: agree, object or abstain.

    The vote that reaches the plan's quorum carries out what was proposed.
    """
    params = {"budget": name, "name": proposal, "vote": vote, "note": note}
    return asked(session, "budget.vote", params, under, of_proposal(name, proposal), say_proposal)
