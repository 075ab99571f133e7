"""What is said of a budget that was just made: the identity of its plan, and what comes next."""

from typing import Any

from splittally.edge.records import Decision
from splittally.edge.wording import short_hash

from splittally_tools.cli.output import Page, say
from splittally_tools.cli.writing import Writing


def identity_of(kernel: Writing, name: str) -> dict[str, Any]:
    """The version and the hash of a budget's plan, for the document of an answer."""
    row = kernel.state.budgets[name]
    return {
        "budget": name,
        "version": row["version"],
        "schema_hash": row["schema_hash"],
        "stage": row["stage"],
    }


def show_identity(out: Page, decision: Decision, made: dict[str, Any]) -> None:
    """The plan that is in force, and what a budget without funds needs."""
    name = made["budget"]
    say(out, f"  {name} has plan {made['version']} ({short_hash(made['schema_hash'])})")
    if made["stage"] == "planning":
        say(out, f"  next: fund it: `tally budgets fund {name} AMOUNT --from ACCOUNT`", "bold")
