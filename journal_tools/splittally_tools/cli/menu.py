"""Every command of `tally`, by name: where it is and what it is for.

Rule 1. A command is imported when it is asked for, here and nowhere else, so that `--help` loads neither
        the kernel nor a table.
Rule 2. The options of `session.shared` may stand before the command or after it.
"""

import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any, NamedTuple

import click

from splittally_tools.cli.exit_codes import INTERRUPTED, READER_GONE, ended
from splittally_tools.cli.groups import Commands
from splittally_tools.cli.session import Session, shared


class Entry(NamedTuple):
    """A command by module and attribute, under one heading of the help."""

    heading: str
    module: str
    attribute: str
    help: str


_CLI = "splittally_tools.cli."
HOSTS = "For hosts: ask, act, report"
OPERATORS = "For operators: worlds, decisions of people, nights"
AUDITORS = "For auditors: what happened, and whether it is true"
AUTHORS = "For authors of enforcers"
TESTERS = "For testers"
FINANCE = "For finance: limits, money, plans"
MENU: dict[str, Entry] = {
    "submit": Entry(HOSTS, _CLI + "streams", "submit", "ask for effects, one JSON intent a line"),
    "settle": Entry(HOSTS, _CLI + "streams", "settle", "report receipts, one JSON receipt a line"),
    "decide": Entry(HOSTS, _CLI + "effects", "decide", "what `submit` would answer; writes nothing"),
    "outcome": Entry(HOSTS, _CLI + "effects", "outcome", "what became of an intent"),
    "dispatch": Entry(HOSTS, _CLI + "effects", "dispatch", "start an effect; the first attempt wins"),
    "wait": Entry(HOSTS, _CLI + "waiting", "wait", "wait until an intent was answered, or has ended"),
    "host": Entry(HOSTS, _CLI + "host_lines", "host", "requests of any kind and calls, one JSON line each"),
    "release": Entry(HOSTS, _CLI + "effects", "release", "end a reservation without a receipt"),
    "extend": Entry(HOSTS, _CLI + "effects", "extend", "move a reservation's expiry"),
    "init": Entry(OPERATORS, _CLI + "worlds", "init", "make a world"),
    "apply": Entry(OPERATORS, _CLI + "worlds", "apply", "make the world what a manifest says"),
    "approve": Entry(OPERATORS, _CLI + "effects", "approve", "approve an intent that waits"),
    "reject": Entry(OPERATORS, _CLI + "effects", "reject", "reject an intent that waits"),
    "serve": Entry(OPERATORS, _CLI + "serve", "serve", "serve a world to other processes and languages"),
    "status": Entry(OPERATORS, _CLI + "status", "status", "how the clock and the files of a world are"),
    "top": Entry(OPERATORS, _CLI + "top", "top", "a world as it is used, live in the terminal"),
    "doctor": Entry(
        OPERATORS, _CLI + "doctor", "doctor", "what is wrong here, and the command that mends it"
    ),
    "check-policy": Entry(
        OPERATORS,
        _CLI + "check_policy",
        "check_policy",
        "what a manifest does when things fail, before it does",
    ),
    "tick": Entry(OPERATORS, _CLI + "effects", "tick", "work through what is due"),
    "native": Entry(OPERATORS, _CLI + "native", "native", "effects that the kernel finishes itself"),
    "token": Entry(OPERATORS, _CLI + "token", "token", "who may reach the world where it is served"),
    "upgrade": Entry(OPERATORS, _CLI + "upgrade", "upgrade", "record this release's caps, kinds and modules"),
    "salvage": Entry(OPERATORS, _CLI + "salvage", "salvage", "save what is sound of a damaged world"),
    "drain": Entry(OPERATORS, _CLI + "drain", "drain", "run a queue of jobs, one unattended pass at a time"),
    "digest": Entry(
        OPERATORS, _CLI + "digest", "digest", "what jobs cost today, by lane; what the governor counts"
    ),
    "completion": Entry(OPERATORS, _CLI + "completion", "completion", "have your shell complete these words"),
    "log": Entry(AUDITORS, _CLI + "records", "log", "the frames of the journal, and those that come"),
    "show": Entry(AUDITORS, _CLI + "records", "show", "one frame, or the frames of an intent"),
    "explain": Entry(AUDITORS, _CLI + "explain", "explain", "why an intent was allowed or refused"),
    "trace": Entry(AUDITORS, _CLI + "trace", "trace", "where value came from, back to what issued it"),
    "state": Entry(AUDITORS, _CLI + "views", "state", "everything at one sequence, now or before"),
    "export": Entry(AUDITORS, _CLI + "export", "export", "frames as a stream; intents as CSV or Parquet"),
    "verify": Entry(AUDITORS, _CLI + "verify", "verify", "prove the journal sound, or name what is not"),
    "checkpoint": Entry(AUDITORS, _CLI + "checkpoint", "checkpoint", "sign what the journal is now"),
    "prove": Entry(AUDITORS, _CLI + "checkpoint", "prove", "prove that a frame is in a checkpoint"),
    "enforcer": Entry(AUTHORS, _CLI + "enforcer", "enforcer", "write, check and try modules that judge"),
    "run-trace": Entry(TESTERS, "splittally_tools.run_trace.command", "run_trace", "drive a trace of calls"),
    "bench": Entry(TESTERS, "splittally_tools.bench.command", "bench", "measure the kernel against a floor"),
    "grants": Entry(FINANCE, _CLI + "views", "grants", "grants, and how one has changed"),
    "ledger": Entry(FINANCE, _CLI + "ledgers", "ledger", "limits, reserved and spent; entries"),
    "reservations": Entry(FINANCE, _CLI + "reservations", "reservations", "what is reserved, since when"),
    "accounts": Entry(FINANCE, _CLI + "accounts", "accounts", "balances and what is in flight"),
    "spend": Entry(
        FINANCE, _CLI + "spend", "spend", "who spent what: by grant, principal, label, day and more"
    ),
    "budgets": Entry(FINANCE, _CLI + "budgets.menu", "budgets", "plans, stages, funds and solutions"),
    "stats": Entry(FINANCE, _CLI + "statistics", "stats", "sums of postings by window, from a store beside"),
    "prices": Entry(FINANCE, _CLI + "prices", "prices", "take over a public list of what models cost"),
    "offers": Entry(FINANCE, _CLI + "offers", "offers", "rank offers by weighted criteria"),
}


class Menu(Commands):
    """A group that imports a command when it is run or its own help is wanted."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(MENU)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = MENU.get(cmd_name)
        if entry is None:
            return None
        command: click.Command = getattr(import_module(entry.module), entry.attribute)
        return command

    def purposes(self, ctx: click.Context) -> Iterator[tuple[str, str, str]]:
        for name, entry in MENU.items():
            yield entry.heading, name, entry.help

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

    Begin with `tally -w DIR init`, `tally -w DIR apply FILE` and `tally -w DIR submit`; TALLY_WORLD may name
    DIR. `tally COMMAND --help` says more. Exit codes: 0 done, 1 refused or damage found, 2 usage,
    3 environment (no world, locked, disk full).
    """
