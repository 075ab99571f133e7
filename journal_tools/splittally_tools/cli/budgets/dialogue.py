"""What the commands between people share: the proposal after the answer, and what to do next."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from splittally.edge.records import Decision

from splittally_tools.cli.output import Page, say
from splittally_tools.cli.writing import Writing

AGREE = "agree"


def of_proposal(budget: str, name: str) -> Callable[[Writing], dict[str, Any]]:
    """Reads the proposal as it is after the effect, where it is to be seen; without a name the version's."""

    def read(kernel: Writing) -> dict[str, Any]:
        row = kernel.state.budgets.get(budget)
        if row is None:
            return {"budget": budget}
        known = name or f"version/{row['version']}"
        found = row["proposals"].get(known)
        return {"budget": budget, "proposal": known, **({"row": found} if found is not None else {})}

    return read


def say_proposal(out: Page, decision: Decision, told: dict[str, Any]) -> None:
    """How the proposal stands, and the command that goes on with it."""
    row = told.get("row")
    if row is None:
        return
    budget, name = told["budget"], told["proposal"]
    say(out, f"{name} ({row['kind']}) is {row['status']}")
    if row.get("tally", {}).get("needed"):
        say(out, f"{row['tally']['agree']} agree of {row['tally']['needed']} who must")
    if row["status"] != "open":
        say(out, f"see it with `tally budgets {budget}`")
    elif row["kind"] == AGREE:
        say(out, f"others vote with `tally budgets vote {budget} agree`")
    elif "vote" in row["can"]:
        say(out, f"others vote with `tally budgets vote {budget} agree --on {name}`")
    else:
        answers = ", ".join(act for act in row["can"] if act != "comment")
        say(out, f"next: `tally budgets answer {budget} ACT --on {name}`, where ACT is one of {answers}")


file_option = click.option(
    "--file",
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The plan as JSON, as `tally budgets export NAME` writes it.",
)
