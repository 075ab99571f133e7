"""Every command of `tally`, by name: where it is and what it is for.

Rule 1. A command is imported when it is asked for, here and nowhere else, so that `--help` loads neither
        the kernel nor a table.
Rule 2. The options of `session.shared` may stand before the command or after it.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NamedTuple

import click

from splittally_tools.cli.exit_codes import INTERRUPTED, READER_GONE, ended
from splittally_tools.cli.session import Session, shared


class Entry(NamedTuple):
    """A command by module and attribute, under one heading of the help."""

    heading: str
    module: str
    attribute: str
    help: str


_CLI = "splittally_tools.cli."
MENU: dict[str, Entry] = {
    "init": Entry("Worlds", _CLI + "worlds", "init", "make a world"),
    "apply": Entry("Worlds", _CLI + "worlds", "apply", "make the world what a manifest says"),
    "status": Entry("Worlds", _CLI + "status", "status", "how the clock and the files of a world are"),
    "upgrade": Entry("Worlds", _CLI + "upgrade", "upgrade", "record this release's caps, kinds and modules"),
    "submit": Entry("Effects", _CLI + "streams", "submit", "ask for effects, one JSON intent a line"),
    "settle": Entry("Effects", _CLI + "streams", "settle", "report receipts, one JSON receipt a line"),
    "decide": Entry("Effects", _CLI + "effects", "decide", "what `submit` would answer; writes nothing"),
    "outcome": Entry("Effects", _CLI + "effects", "outcome", "what became of an intent"),
    "dispatch": Entry("Effects", _CLI + "effects", "dispatch", "start an effect; the first attempt wins"),
    "release": Entry("Effects", _CLI + "effects", "release", "end a reservation without a receipt"),
    "extend": Entry("Effects", _CLI + "effects", "extend", "move a reservation's expiry"),
    "approve": Entry("Effects", _CLI + "effects", "approve", "approve an intent that waits"),
    "reject": Entry("Effects", _CLI + "effects", "reject", "reject an intent that waits"),
    "tick": Entry("Effects", _CLI + "effects", "tick", "work through what is due"),
    "native": Entry("Effects", _CLI + "native", "native", "effects that the kernel finishes itself"),
    "grants": Entry("Views", _CLI + "views", "grants", "grants, and how one has changed"),
    "ledger": Entry("Views", _CLI + "ledgers", "ledger", "limits, reserved and spent; entries"),
    "reservations": Entry("Views", _CLI + "reservations", "reservations", "what is reserved, since when"),
    "accounts": Entry("Views", _CLI + "accounts", "accounts", "balances and what is in flight"),
    "spend": Entry("Views", _CLI + "spend", "spend", "who spent what, by grant, principal, label, day, ..."),
    "stats": Entry("Views", _CLI + "statistics", "stats", "sums of postings by window, from a store beside"),
    "budgets": Entry("Views", _CLI + "budgets", "budgets", "plans, stages, funds and solutions"),
    "state": Entry("Views", _CLI + "views", "state", "everything at one sequence, now or before"),
    "log": Entry("Records", _CLI + "records", "log", "the frames of the journal, and those that come"),
    "show": Entry("Records", _CLI + "records", "show", "one frame, or the frames of an intent"),
    "explain": Entry("Records", _CLI + "explain", "explain", "why an intent was allowed or refused"),
    "trace": Entry("Records", _CLI + "trace", "trace", "where value came from, back to what issued it"),
    "export": Entry("Records", _CLI + "export", "export", "frames as a stream; intents as CSV or Parquet"),
    "verify": Entry("Audit", _CLI + "verify", "verify", "prove the journal sound, or name what is not"),
    "checkpoint": Entry("Audit", _CLI + "checkpoint", "checkpoint", "sign what the journal is now"),
    "prove": Entry("Audit", _CLI + "checkpoint", "prove", "prove that a frame is in a checkpoint"),
    "salvage": Entry("Audit", _CLI + "salvage", "salvage", "save what is sound of a damaged world"),
    "enforcer": Entry("Modules", _CLI + "enforcer", "enforcer", "write, check and try modules that judge"),
    "offers": Entry("Runs", _CLI + "offers", "offers", "rank offers by weighted criteria"),
    "prices": Entry("Runs", _CLI + "prices", "prices", "take over a public list of what models cost"),
    "drain": Entry("Runs", _CLI + "drain", "drain", "run a queue of jobs, one unattended pass at a time"),
    "digest": Entry(
        "Runs", _CLI + "digest", "digest", "what was spent today, by lane, and what the governor said"
    ),
    "run-trace": Entry("Runs", "splittally_tools.run_trace.command", "run_trace", "drive a trace of calls"),
    "bench": Entry("Runs", "splittally_tools.bench.command", "bench", "measure the kernel against a floor"),
}


class Menu(click.Group):
    """A group that imports a command when it is run or its own help is wanted."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(MENU)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = MENU.get(cmd_name)
        if entry is None:
            return None
        command: click.Command = getattr(import_module(entry.module), entry.attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        headings: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            headings.setdefault(MENU[name].heading, []).append((name, MENU[name].help))
        for heading, rows in headings.items():
            with formatter.section(heading):
                formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command; click would say something of its own to these two."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            return READER_GONE
        except KeyboardInterrupt:
            return INTERRUPTED

    def main(self, args: Sequence[str] | None = None, *rest: Any, **options: Any) -> Any:
        said = list(sys.argv[1:] if args is None else args)
        session = Session()
        session.as_json = "--json" in said  # also where the rest cannot be understood
        options |= {"standalone_mode": False, "obj": session}
        options.setdefault("prog_name", "tally")
        ended(session, lambda: super(Menu, self).main(said, *rest, **options))


@click.group(cls=Menu, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@shared
@click.version_option(package_name="splittally", prog_name="tally", message="%(prog)s %(version)s")
def tally() -> None:
    """Splittally: limits, money and a journal between a program that wants to act and the act.

    Say which world with -w DIR or TALLY_WORLD. Exit codes: 0 done, 1 refused or damage found, 2 usage,
    3 environment (no world, locked, disk full).
    """
