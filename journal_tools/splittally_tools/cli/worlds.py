"""`init` makes a world, `apply` makes it what a manifest says."""

from pathlib import Path
from typing import Any

import click
from rich.console import Console
from splittally.core.errors import WorldExists
from splittally.edge.records import Decision, answer_json
from splittally.runtime import open_world
from splittally.runtime.queries import Queries
from splittally.runtime.reading import open_reader
from splittally.runtime.world import is_world

from splittally_tools.cli.answers import code_of_answer, show_answer
from splittally_tools.cli.interrupts import whole
from splittally_tools.cli.opening import reader_of, writer_of
from splittally_tools.cli.output import emit, say, word
from splittally_tools.cli.session import Session, shared

Change = dict[str, Any]


@click.command()
@shared
@click.option("--clock", type=click.Choice(["host", "given"]), help="Who says the time (host).")
@click.pass_obj
def init(session: Session, clock: str | None) -> None:
    """Make a world in the folder of -w, which is empty or not there yet.

    With `--clock given` every command may say `--now-ns`; with `host` nobody may.
    """
    folder = session.folder
    if _is_made(folder):
        raise WorldExists(f"there is already a world at `{folder}`", path=str(folder))
    with whole(), open_world(folder, clock or "host", lock_seconds=session.wait_seconds) as kernel:
        state = kernel.state
        document = {"seq": state.seq - 1, "clock": state.clock, "engine": state.engine, "root": state.root}
    emit(session, document, lambda out: say(out, f"made a world with the {document['clock']}'s clock"))


def _is_made(folder: Path) -> bool:
    """Whether a world was made here; one whose making was cut off has no frame and is made again."""
    if not is_world(folder):
        return False
    with open_reader(folder) as reader:
        return reader.head.size > 0


@click.command()
@shared
@click.argument("manifest", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@click.pass_obj
def apply(session: Session, manifest: Path, dry_run: bool) -> int:
    """Make the world what MANIFEST (.toml or .json) says, all or nothing, as one record."""
    if dry_run:
        with reader_of(session) as reader:
            fork = reader.fork(session.principal)
            decision = fork.apply(manifest, now_ns=session.now_ns)
            changes = _changes(reader.state, fork.state)
            fork.close()
        decision = Decision(None, decision.intent_hash, decision.outcome, decision.findings)
    else:
        with writer_of(session) as kernel, whole():
            before = kernel.state.tables()
            decision = kernel.apply(manifest, now_ns=session.now_ns)
            changes = _difference(before, kernel.state.tables())
    document = {**answer_json(decision), "dry_run": dry_run, "changes": changes}
    emit(session, document, lambda out: _show(out, decision, changes, dry_run))
    return code_of_answer(decision)


def _show(out: Console, decision: Decision, changes: list[Change], dry_run: bool) -> None:
    if decision.outcome == "allow" and not changes:
        say(out, "nothing to change: the world is what the manifest says")
        return
    if not dry_run or decision.outcome != "allow":
        show_answer(out, decision)
    for change in changes:
        verb = f"would be {change['change']}" if dry_run else change["change"]
        say(out, f"  {change['table']} {word(change['key'])} {verb}")


def _changes(before: Queries, after: Queries) -> list[Change]:
    return _difference(before.tables(), after.tables())


def _difference(before: dict[str, list[list[Any]]], after: dict[str, list[list[Any]]]) -> list[Change]:
    """Which entries of which tables differ, in their order; blobs are named by what uses them."""
    changes = []
    for table in sorted(after):
        if table in ("world", "blobs"):
            continue
        old = {repr(key): value for key, value in before[table]}
        for key, value in after[table]:
            was = old.pop(repr(key), None)
            if was != value:
                changes.append({"table": table, "key": key, "change": "added" if was is None else "changed"})
        changes += [
            {"table": table, "key": key, "change": "removed"} for key, _ in before[table] if repr(key) in old
        ]
    return changes
