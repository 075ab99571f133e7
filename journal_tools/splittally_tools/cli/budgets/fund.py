"""`budgets fund`: value moves from an account to a budget's; funding grants nothing."""

import click

from splittally_tools.cli.budgets.asking import asked, under_option
from splittally_tools.cli.session import Session, shared


@click.command()
@shared
@click.argument("name")
@click.argument("amount", metavar="AMOUNT")
@click.option("--from", "debit", required=True, metavar="ACCOUNT", help="The account that pays.")
@under_option
@click.pass_obj
def fund(session: Session, name: str, amount: str, debit: str, under: str | None) -> int:
    """Move AMOUNT, with its unit (`500.00 USD`), to the budget NAME."""
    resource = amount.rpartition(" ")[2]
    params = {"resource": resource, "amount": amount, "from": debit, "to": name}
    return asked(session, "ledger.transfer", params, under)
