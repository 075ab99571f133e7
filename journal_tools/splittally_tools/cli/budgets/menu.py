"""`budgets`: plans, stages, funds and solutions, and what is asked and answered about them.

Rule 1. The commands stand in one table and are imported when they are asked for. A word that is none of them
        is the name of a budget, and is shown: `tally budgets` and `tally budgets NAME` are `show`.
Rule 2. A command that records is one native effect under the grant of whoever asks (`asking.py`); it decides
        nothing. `tally native` has the same effects with every param as an option.
"""

from collections.abc import Iterator
from importlib import import_module
from keyword import iskeyword
from typing import NamedTuple

import click

from splittally_tools.cli.groups import Commands
from splittally_tools.cli.session import shared

_HERE = "splittally_tools.cli.budgets."
SHOW = "show"


class Entry(NamedTuple):
    """A command by its heading and module, whose attribute of the command's name it is."""

    heading: str
    module: str
    help: str


READ, PLAN, PEOPLE = "Read", "Plans and funds", "Between people"
COMMANDS: dict[str, Entry] = {
    "show": Entry(READ, "show", "how budgets stand: plan, stage, funds, solution"),
    "work": Entry(READ, "work", "open work orders: what is wanted, done, missing and paid"),
    "export": Entry(PLAN, "export", "write a plan to a file"),
    "import": Entry(PLAN, "import_plan", "make a budget by the plan in a file"),
    "clone": Entry(PLAN, "clone", "make a budget by the plan of another"),
    "amend": Entry(PLAN, "amend", "give a budget a narrower plan"),
    "split": Entry(PLAN, "split", "split a pool into parts"),
    "metric": Entry(READ, "metric", "the values of a metric, each with its definition"),
    "entries": Entry(READ, "entries", "what its rules did, with formulas and inputs"),
    "solve": Entry(PLAN, "solve", "bring solutions up to date, or propose one"),
    "fund": Entry(PLAN, "fund", "move funds to a budget"),
    "request": Entry(PEOPLE, "request", "ask for more funds, with what that rests on"),
    "propose": Entry(PEOPLE, "propose", "propose a part for somebody, or a review"),
    "branch": Entry(PEOPLE, "branch", "propose a draft of the plan"),
    "vote": Entry(PEOPLE, "vote", "agree, object or abstain"),
    "answer": Entry(PEOPLE, "answer", "answer a proposal or a rule that waits, or comment"),
    "merge": Entry(PEOPLE, "merge", "put a draft of the plan in force"),
}


class Budgets(Commands):
    """A group whose first word may also be a budget's name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command: click.Command = getattr(import_module(_HERE + entry.module), _attribute(cmd_name))
        return command

    def purposes(self, ctx: click.Context) -> Iterator[tuple[str, str, str]]:
        for name, entry in COMMANDS.items():
            yield entry.heading, name, entry.help

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Where no word is a command's, the words are those of `show`; help is that of the group."""
        is_help = bool(set(args) & {"-h", "--help"})
        if not is_help and not any(word in COMMANDS for word in args) and not ctx.resilient_parsing:
            args = [SHOW, *args]
        return super().parse_args(ctx, args)


def _attribute(name: str) -> str:
    """The attribute of its module that a command is; a word of Python's own has `_` behind it."""
    return f"{name}_" if iskeyword(name) else name.replace("-", "_")


@click.group(cls=Budgets)
@shared
def budgets() -> None:
    """Budgets: their plans, stages, funds and solutions, and what is asked about them.

    `tally budgets` lists them and `tally budgets NAME` shows one.
    """
