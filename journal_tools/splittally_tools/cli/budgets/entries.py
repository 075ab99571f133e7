"""`budgets entries`: what the rules of a budget did, with the formula and the numbers behind every amount.

It decides nothing and reads the journal from its first frame (`runtime/entry_views.py`).
"""

from typing import Any

import click
from splittally.edge.wording import Wording
from splittally.runtime.entry_views import entries_of

from splittally_tools.cli.budgets.show import row_of
from splittally_tools.cli.exit_codes import DONE
from splittally_tools.cli.open_world import reader_of
from splittally_tools.cli.output import Page, emit, say, word
from splittally_tools.cli.session import Session, shared


@click.command()
@shared
@click.argument("name")
@click.option("--rule", metavar="RULE", help="Only this rule.")
@click.pass_obj
def entries(session: Session, name: str, rule: str | None) -> int:
    """What the rules of the budget NAME did by themselves: formula, plan version, inputs, and what moved.

    Each amount can be computed by hand from what is shown beside it.
    """
    with reader_of(session) as reader:
        state = reader.state
        row_of(state.budgets, name)
        rows = [row for row in entries_of(reader.records(), name) if rule in (None, row["rule"])]
        wording = state.wording
    emit(session, {"budget": name, "entries": rows}, lambda out: _show(out, rows, name, wording))
    return DONE


def _show(out: Page, rows: list[dict[str, Any]], name: str, wording: Wording) -> None:
    if not rows:
        say(out, f"no rule of {name} was carried out yet; `tally budgets {name}` shows its rules")
    for row in rows:
        at = wording.moment(row["at_ns"])
        cause = f", for {wording.amount(row['amount'], row['dim'])}" if row["dim"] else ""
        say(out, f"{at}  {row['rule']} of plan {row['version']} (seq {row['seq']}){cause}", "bold")
        if "when" in row:
            say(out, f"    because {row['when']} with {word(row['read'])}")
        for action in row["actions"]:
            _show_action(out, action, wording)


def _show_action(out: Page, action: dict[str, Any], wording: Wording) -> None:
    said = f"    {action['kind']}"
    if "formula" in action:
        read = f" with {word(action['read'])}" if action["read"] else ""
        said += f" {action['gave']} = {action['formula']}{read}"
    if "rate" in action:
        floats = f" = {action['floats']} with {word(action['floats_read'])}" if "floats" in action else ""
        said += f", at the rate {word(action['rate'])}{floats}"
    say(out, said)
    for x in action["postings"]:
        say(out, f"      {x['debit']} -> {x['credit']}: {wording.amount(x['amount'], x['resource'])}")
