"""`budgets request`: more funds for a budget, stated, or as a constraint or a formula lacks them."""

import click

from splittally_tools.cli.budgets.asking import asked, under_option
from splittally_tools.cli.budgets.dialogue import of_proposal, say_proposal
from splittally_tools.cli.budgets.pairs import integers_of
from splittally_tools.cli.session import Session, shared


@click.command()
@shared
@click.argument("name")
@click.argument("request")
@click.argument("amount", metavar="[AMOUNT]", required=False)
@click.option("--gap", "constraint", default="", metavar="CONSTRAINT", help="What this constraint lacks.")
@click.option("--formula", default="", help="What this formula projects beyond what there is.")
@click.option("--input", "given", multiple=True, metavar="NAME=N", help="What the formula is given.")
@click.option("--metric", "metrics", multiple=True, help="A recorded value that it rests on.")
@click.option("--title", default="", help="What it is for, in a line.")
@click.option("--about", "description", default="", metavar="TEXT", help="Why it is needed.")
@under_option
@click.pass_obj
def request(
    session: Session,
    name: str,
    request: str,
    amount: str | None,
    constraint: str,
    formula: str,
    given: tuple[str, ...],
    metrics: tuple[str, ...],
    title: str,
    description: str,
    under: str | None,
) -> int:
    """Ask for AMOUNT, with its unit, for the budget NAME; REQUEST is the name of what is asked."""
    stated = {"amount": amount, "resource": amount.rpartition(" ")[2]} if amount else {}
    params = {
        "budget": name,
        "name": request,
        "constraint": constraint,
        "formula": formula,
        "input": integers_of(given),
        "metrics": list(metrics),
        "title": title,
        "description": description,
        **stated,
    }
    return asked(session, "budget.request", params, under, of_proposal(name, request), say_proposal)
