"""`stats`: balances and sums of postings by window, from a store beside the journal.

Rule 1. Every answer names the frame that it is of, and how many frames of the journal it has not seen.
Rule 2. `show` needs no journal: without one it answers what was read, and how far it is behind is unknown.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
from msgspec import Struct
from msgspec.structs import asdict
from splittally.core.calendars import Calendar
from splittally.core.events import Measured
from splittally.core.types import EXTERNAL
from splittally.edge.moments import Moment
from splittally.edge.wording import Wording
from splittally.runtime.moments import refuse_backward
from splittally.runtime.named import ACCOUNTS, RESOURCES, Names

from splittally_tools.cli.exit_codes import DONE, REFUSED
from splittally_tools.cli.filters import by_name
from splittally_tools.cli.groups import Commands
from splittally_tools.cli.moments import since_option, until_option
from splittally_tools.cli.open_world import reader_of
from splittally_tools.cli.output import Figure, Page, emit, say, table, word
from splittally_tools.cli.session import Session, shared
from splittally_tools.cli.statistics_metrics import discard, metric
from splittally_tools.cli.statistics_shown import (
    bounds_of,
    head_of_store,
    in_file,
    journal_of,
    local,
    path_of,
    standing,
)
from splittally_tools.statistics.calendar import WINDOWS
from splittally_tools.statistics.feed import (
    Difference,
    Fed,
    first_difference,
    rebuild,
    update,
)
from splittally_tools.statistics.store import Statistics, open_statistics

MEASURED = Names(
    "resource",
    RESOURCES.of_state,
    lambda body: [*RESOURCES.of_record(body), *(x.metric for x in body.out if isinstance(x, Measured))],
)


@click.group(cls=Commands)
@shared
def stats() -> None:
    """Statistics of postings: a store beside the journal that may lag and can be made anew."""


# --- update and rebuild -------------------------------------------------------------------------


@stats.command(name="update")
@shared
@in_file
@click.pass_obj
def update_command(session: Session, file: Path | None) -> int:
    """Reads the frames that came since; makes the store where there is none."""
    with reader_of(session) as reader:
        path = path_of(session, file)
        return _told(session, path, update(reader, path), reader.refresh().size)


@stats.command(name="rebuild")
@shared
@in_file
@click.pass_obj
def rebuild_command(session: Session, file: Path | None) -> int:
    """Makes the store anew from the first frame, whatever is there."""
    with reader_of(session) as reader:
        path = path_of(session, file)
        return _told(session, path, rebuild(reader, path), reader.refresh().size)


def _told(session: Session, path: Path, fed: Fed, size: int) -> int:
    head = head_of_store(fed.cursor, size)
    document = {**head, "frames": fed.frames, "postings": fed.postings, "file": str(path)}
    text = f"{fed.frames} frames read, {fed.postings} postings; {standing(head)}"
    emit(session, document, lambda out: say(out, text))
    return DONE


# --- check --------------------------------------------------------------------------------------


@stats.command()
@shared
@in_file
@click.pass_obj
def check(session: Session, file: Path | None) -> int:
    """Compares the store with the ledger at the store's frame; names the first difference."""
    with reader_of(session) as reader, open_statistics(path_of(session, file)) as statistics:
        cursor, found = first_difference(reader, statistics)
        head = head_of_store(cursor, reader.refresh().size)
    document = {**head, "equal": found is None, "difference": found and _difference(found)}
    emit(session, document, lambda out: _show_check(out, document))
    return DONE if found is None else REFUSED


def _difference(found: Difference) -> dict[str, Any]:
    sides = [asdict(side) if isinstance(side, Struct) else side for side in (found.ledger, found.statistics)]
    return {"what": found.what, "key": list(found.key), "ledger": sides[0], "statistics": sides[1]}


def _show_check(out: Page, document: dict[str, Any]) -> None:
    found = document["difference"]
    if found is None:
        say(out, f"equal to the ledger; {standing(document)}", "green")
        return
    say(
        out,
        f"{found['what'].replace('_', ' ')} of {word(found['key'])}: the ledger says"
        f" {word(found['ledger'])}, the statistics {word(found['statistics'])}; {standing(document)}",
        "red",
    )
    say(out, "the ledger is right; make the statistics anew with `tally stats rebuild`")


# --- show ---------------------------------------------------------------------------------------


@stats.command()
@shared
@in_file
@by_name("--account", ACCOUNTS, "Only this account.")
@by_name("--resource", MEASURED, "Only this resource, or metric of a budget.")
@click.option("--per", type=click.Choice(WINDOWS), help="Also sums by window of this kind.")
@since_option("windows")
@until_option("windows")
@click.pass_obj
def show(
    session: Session,
    file: Path | None,
    account: str | None,
    resource: str | None,
    per: str | None,
    since: Moment | None,
    until: Moment | None,
) -> int:
    """Balance, in flight and spendable by account and resource; sums by window.

    Amounts are in minor units where the journal cannot be read.
    """
    if per is None and (since or until):
        raise click.UsageError("say which windows: `--per day` beside `--since` and `--until`")
    path = path_of(session, file)
    with open_statistics(path) as statistics, statistics.held_still():
        cursor = statistics.cursor
        size, wording = journal_of(session, cursor, path)
        document = {
            **head_of_store(cursor, size),
            "accounts": _accounts(statistics, account, resource),
        }
        if per is not None:
            refuse_backward(since, until, lambda: cursor.kept.calendar)
            bounds = bounds_of(session, cursor.kept, per, since, until)
            found = statistics.totals(per, account, resource, *bounds)
            document["windows"] = [{**key._asdict(), **asdict(total)} for key, total in found]
    emit(session, document, lambda out: _show(out, document, wording, cursor.kept.calendar))
    return DONE


def _accounts(statistics: Statistics, account: str | None, resource: str | None) -> dict[str, Any]:
    """Accounts by name; nothing is drawn on an external one, so none of it is spendable."""
    flying = statistics.in_flight()
    rows: dict[str, Any] = {
        name: {**asdict(found), "resources": {}}
        for name, found in statistics.accounts().items()
        if account in (None, name)
    }
    for (name, of), balance in statistics.balances().items():
        if name in rows and resource in (None, of):
            limit = rows[name]["debt_limit"]
            rows[name]["resources"][of] = {
                "balance": balance,
                "in_flight": flying.get((name, of), 0),
                "spendable": 0 if name.startswith(EXTERNAL) else balance + limit,
            }
    return rows


def _show(out: Page, document: dict[str, Any], wording: Wording, calendar: Calendar) -> None:
    def figures(amounts: Iterable[int], unit: str) -> list[Figure]:
        return [Figure(wording.amount(amount, unit)) for amount in amounts]

    rows = [
        (name, *figures((*amounts.values(), account["debt_limit"]), resource))
        for name, account in document["accounts"].items()
        for resource, amounts in account["resources"].items()
    ]
    out.print(table(("account", "balance", "in flight", "spendable", "debt limit"), rows))
    if "windows" in document:
        columns = ("sum", "min", "max", "last")
        windows = [
            (
                row["account"],
                row["direction"],
                local(row["start_ns"], calendar),
                row["count"],
                *figures((row[name] for name in columns), row["resource"]),
            )
            for row in document["windows"]
        ]
        out.print(table(("account", "direction", "from", "count", *columns), windows))
    say(out, standing(document), "dim")


for _command in (metric, discard):
    stats.add_command(_command)
