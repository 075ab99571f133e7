"""`trace`: where value came from, walked back to what issued it."""

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import click
from rich.text import Text
from rich.tree import Tree
from splittally.core.frames import Body
from splittally.edge.moments import Moment
from splittally.edge.wording import Wording, short_hash
from splittally.runtime.lineage import Level, Untraceable, origins_of, read_history, trace_in
from splittally.runtime.named import RESOURCES
from splittally.runtime.reader import Reader

from splittally_tools.cli.exit_codes import DONE
from splittally_tools.cli.filters import by_name
from splittally_tools.cli.hashes import intents, whole_or_sequence
from splittally_tools.cli.labelled import shown_labels
from splittally_tools.cli.moments import at_option
from splittally_tools.cli.open_world import reader_of
from splittally_tools.cli.output import Page, console, emit, emit_refusal, progress, say, table, to_line, word
from splittally_tools.cli.session import Session, shared

FRAMES_BETWEEN = 1_024  # between two moves of the progress bar
LINES_SHOWN = 1_000  # to people who name no limit
_STYLES = {"issue": "green", "debt": "red", "balance": "bold"}


@click.command()
@shared
@click.argument("target", metavar="HASH|SEQ|ACCOUNT")
@by_name("--resource", RESOURCES, "Only this resource.")
@click.option("--depth", type=click.IntRange(1), metavar="N", help="No deeper than N levels.")
@click.option(
    "--limit",
    type=click.IntRange(1),
    metavar="N",
    help="At most N lines; without it all with --json, 1000 else.",
)
@click.option("--sums", is_flag=True, help="Sums by where the walk ends, instead of its levels.")
@at_option
@click.pass_obj
def trace(
    session: Session,
    target: str,
    resource: str | None,
    depth: int | None,
    limit: int | None,
    sums: bool,
    at: Moment | None,
) -> int:
    """Where value came from: the payments of an intent, the postings of a frame, an account's balance.

    First in, first out over the postings of each account, back to what was issued. With --json one level a
    line, depth first; `level` says how deep. With --sums one line for each account that gave value and how:
    an issue, a debt, or a level that --depth keeps closed.
    """
    with reader_of(session) as reader, progress(session) as bar:
        if target not in reader.folded.ledger.accounts:
            target = str(whole_or_sequence(reader, target, intents))
        stop = reader.head.size if at is None else reader.state_after(at).size
        task = bar.add_task("reading", total=stop)
        wording = reader.state.wording
        history = read_history(_frames(reader, stop, lambda done: bar.update(task, completed=done)))
    try:
        levels = trace_in(history, target, resource, depth)
    except Untraceable as error:
        return emit_refusal(session, error)
    most = limit if limit or session.as_json else LINES_SHOWN
    if sums:
        origins = islice(origins_of(levels), most)
        return _emit_sums(session, wording, [origin._asdict() for origin in origins])
    if session.as_json:
        sys.stdout.writelines(to_line(level.document()) + "\n" for level in islice(levels, most))
    else:
        _show(console(), target, wording, islice(levels, most))
        if next(levels, None) is not None:
            say(console(), f"the first {most} levels; --depth N, --sums or a higher --limit shows the rest")
    return DONE


def _emit_sums(session: Session, wording: Wording, rows: list[dict[str, Any]]) -> int:
    def show(out: Page) -> None:
        cells = [
            (
                row["what"],
                word(row["account"]),
                word(wording.amount(row["amount"], row["resource"])),
                row["levels"],
            )
            for row in rows
        ]
        out.print(table(("ends in", "account", "amount", "levels"), cells))

    emit(session, {"origins": rows}, show)
    return DONE


def _frames(reader: Reader, stop: int, progress: Callable[[int], None]) -> Iterator[tuple[int, Body]]:
    """Sequence and body of every frame before `stop`; how many were read is told now and then."""
    for record in reader.records(0, stop):
        yield record.seq, record.body
        if record.seq % FRAMES_BETWEEN == 0:
            progress(record.seq)


def _show(out: Page, target: str, wording: Wording, levels: Iterable[Level]) -> None:
    branches: list[Tree] = [Tree(Text(_named(target)))]
    tops: list[int] = [-1]
    for level in levels:
        while tops[-1] >= level.level:
            branches.pop()
            tops.pop()
        branches.append(branches[-1].add(_label(wording, level)))
        tops.append(level.level)
    if len(branches) == 1:
        say(out, f"{_named(target)} holds nothing")
        return
    out.print(branches[0], soft_wrap=False)


def _label(wording: Wording, level: Level) -> Text:
    label = Text(f"{level.what} ", style=_STYLES.get(level.what, ""))
    label.append(word(wording.amount(level.amount, level.resource)), style="bold")
    if level.seq is None:
        return label.append(f" in {word(level.credit)}")
    label.append(
        f" {_moved(level)}, seq {level.seq} at {wording.moment(level.at_ns or 0)} for {word(level.principal)}"
    )
    label.append(f", under {' < '.join(map(word, level.chain)) or '-'}")
    if level.part_of:
        label.append(f", part of {word(level.part_of)}")
    for part in level.parts:
        label.append(f", has the part {wording.hash(part)}")
    if level.labels:
        label.append(f", labelled {shown_labels(level.labels)}")
    if level.is_repeated:
        label.append(", told above")
    return label


def _named(target: str) -> str:
    """What is traced, for people: a hash by its first digits."""
    is_hash = re.fullmatch("[0-9a-fA-F]{64}", target) is not None
    return short_hash(bytes.fromhex(target)) if is_hash else word(target)


def _moved(level: Level) -> str:
    """The side of the posting that a level is about, or both where it is one."""
    match level.what:
        case "commitment" | "debit" | "debt":
            return f"from {word(level.debit)}"
        case "issue":
            return f"from {word(level.debit)} to {word(level.credit)}"
        case _:
            return f"to {word(level.credit)}"
