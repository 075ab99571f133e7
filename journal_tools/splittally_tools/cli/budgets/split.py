"""`budgets split`: parts of a pool, by shares that sum to the whole or by amounts."""

from typing import Any

import click
from splittally.core.errors import InvalidInput

from splittally_tools.cli.budgets.asking import asked, under_option
from splittally_tools.cli.session import Session, shared


@click.command()
@shared
@click.argument("name")
@click.argument("resource")
@click.argument("parts", nargs=-1, required=True, metavar="PART=SHARE...")
@click.option("--whole", type=int, help="What the shares sum to; 100 where nothing is said.")
@click.option("--amounts", is_flag=True, help="The parts are amounts with their units, and no shares.")
@click.option("--holder", "holders", multiple=True, metavar="PART=PRINCIPAL", help="Who holds a part.")
@under_option
@click.pass_obj
def split(
    session: Session,
    name: str,
    resource: str,
    parts: tuple[str, ...],
    whole: int | None,
    amounts: bool,
    holders: tuple[str, ...],
    under: str | None,
) -> int:
    """Split what the budget NAME holds of RESOURCE into parts, each a grant `NAME/PART`.

    `tally budgets split budgets/team USD ann=60 eve=40`
    """
    said = _pairs("PART=SHARE", parts)
    params: dict[str, Any] = {"budget": name, "resource": resource}
    params["holders"] = _pairs("PART=PRINCIPAL", holders)
    params |= {"amounts": said} if amounts else {"shares": {key: _share(key, x) for key, x in said.items()}}
    params |= {"whole": whole} if whole is not None else {}
    return asked(session, "budget.split", params, under)


def _pairs(form: str, words: tuple[str, ...]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for word in words:
        name, sign, value = word.partition("=")
        if not sign or name in pairs:
            raise InvalidInput(f"`{word}` is not {form}, each part once", field="parts")
        pairs[name] = value
    return pairs


def _share(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 19:
        raise InvalidInput(f"the share of `{name}` is a whole number", field="parts")
    return int(text)
