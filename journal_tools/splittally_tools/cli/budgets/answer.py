"""`budgets answer`: answers a proposal, comments on it, or answers a rule that waits."""

from typing import Any

import click
from splittally.core.budget.proposals import ACTS
from splittally.core.errors import InvalidInput

from splittally_tools.cli.budgets.asking import asked, under_option
from splittally_tools.cli.budgets.dialogue import of_proposal, say_proposal
from splittally_tools.cli.session import Session, shared

RULE_ACTS = ("approve", "reject")


@click.command()
@shared
@click.argument("name")
@click.argument("act", type=click.Choice((*ACTS, *RULE_ACTS)), metavar="ACT")
@click.argument("amount", metavar="[AMOUNT]", required=False)
@click.option("--on", "proposal", default="", metavar="PROPOSAL", help="Which; else the plan in force.")
@click.option("--item", metavar="N,M", help="A rule that waits, as `tally budgets NAME` lists it.")
@click.option("--from", "debit", metavar="ACCOUNT", help="Who pays; else the parent budget.")
@click.option("--note", default="", help="What is said with it.")
@under_option
@click.pass_obj
def answer(
    session: Session,
    name: str,
    act: str,
    amount: str | None,
    proposal: str,
    item: str | None,
    debit: str | None,
    note: str,
    under: str | None,
) -> int:
    """Answer a proposal to the budget NAME: comment, offer, grant, accept, refuse or withdraw.

    A rule that waits (`--item`) is answered with approve or reject.
    """
    if (act in RULE_ACTS) != (item is not None):
        raise InvalidInput(
            "a rule that waits is answered with `--item N,M` and approve or reject", field="item"
        )
    if item is not None:
        params: dict[str, Any] = {"budget": name, "item": _item(item), "answer": act}
        return asked(session, "budget.answer", params, under)
    stated = {"amount": amount, "resource": amount.rpartition(" ")[2]} if amount else {}
    paid = {"from": debit} if debit else {}
    params = {"budget": name, "name": proposal, "act": act, "note": note, **stated, **paid}
    return asked(session, "budget.reply", params, under, of_proposal(name, proposal), say_proposal)


def _item(text: str) -> list[int]:
    numbers = text.split(",")
    if len(numbers) != 2 or not all(number.strip().isdecimal() for number in numbers):
        raise InvalidInput(f"`{text}` is not two numbers, as `tally budgets NAME` lists them", field="item")
    return [int(number) for number in numbers]
