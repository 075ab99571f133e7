"""`budgets branch`: a draft of a plan, which others may discuss, vote on and merge."""

from pathlib import Path

import click

from splittally_tools.cli.budgets.asking import asked, under_option
from splittally_tools.cli.budgets.dialogue import file_option, of_proposal, say_proposal
from splittally_tools.cli.budgets.plan_files import plan_in
from splittally_tools.cli.session import Session, shared


@click.command()
@shared
@click.argument("name")
@click.argument("draft")
@file_option
@click.option("--of", "before", default="", metavar="DRAFT", help="The draft that it goes on from.")
@click.option("--title", default="", help="What it changes, in a line.")
@click.option("--about", "description", default="", metavar="TEXT", help="Why.")
@under_option
@click.pass_obj
def branch(
    session: Session,
    name: str,
    draft: str,
    file: Path,
    before: str,
    title: str,
    description: str,
    under: str | None,
) -> int:
    """Propose a DRAFT of the plan of the budget NAME, made from the one in force or from another draft."""
    params = {
        "budget": name,
        "name": draft,
        "what": "amend",
        "schema": plan_in(file),
        "draft": before,
        "title": title,
        "description": description,
    }
    return asked(session, "budget.propose", params, under, of_proposal(name, draft), say_proposal)
