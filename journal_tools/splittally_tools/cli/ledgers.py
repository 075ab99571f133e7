"""`ledger`: every counter at one sequence, or with --entries the lines behind it.

Rule 1. The view is of one sequence number, which it names, read beside whoever writes.
"""

from collections.abc import Iterator
from typing import Any

import click
from splittally.core.errors import InvalidInput
from splittally.core.ledger.windows import counting, is_rolling
from splittally.core.state import State
from splittally.core.types import LIFE
from splittally.edge.json_values import parse_json
from splittally.edge.moments import Moment
from splittally.edge.sentences import period
from splittally.edge.wording import HASH_DIGITS, Wording
from splittally.runtime.named import ACCOUNTS, GRANTS, RESOURCES
from splittally.runtime.queries import Queries
from splittally.runtime.rows import Row

from splittally_tools.cli.entries import CAUSES, list_entries
from splittally_tools.cli.exit_codes import DONE
from splittally_tools.cli.filters import by_name
from splittally_tools.cli.labelled import Labels, by_label
from splittally_tools.cli.moments import at_option, since_option, state_of, until_option
from splittally_tools.cli.open_world import reader_of
from splittally_tools.cli.output import Figure, Page, emit, say, table
from splittally_tools.cli.session import Session, shared
from splittally_tools.cli.views import head_of
from splittally_tools.cli.wide import wide_option

NARROW = {"amount": "limit", "reserved": "reserved", "spent": "spent", "left": "available"}
WIDE = NARROW | {"refunded": "refunded"}


@click.command()
@shared
@by_name("--grant", GRANTS, "Only this grant.")
@by_name("--dim", RESOURCES, "Only this dimension.")
@click.option("--entries", is_flag=True, help="The lines of the ledger instead: a debit and a credit each.")
@by_name("--account", ACCOUNTS, "With --entries: only lines of this account.")
@by_name("--kind", CAUSES, "With --entries: only lines of this cause: an effect's kind, `settle`, ...")
@since_option("--entries: lines")
@until_option("lines")
@at_option
@by_label
@click.option("--keys", is_flag=True, help="Also the counters of limits per value, one for each value.")
@click.option("--value", metavar="JSON|TEXT", help="Also the counters of limits per value, of this one.")
@click.option("--all-windows", is_flag=True, help="Windows that are over, too; --json has them always.")
@wide_option
@click.pass_obj
def ledger(
    session: Session,
    grant: str | None,
    dim: str | None,
    keys: bool,
    value: str | None,
    entries: bool,
    account: str | None,
    kind: str | None,
    since: Moment | None,
    until: Moment | None,
    at: Moment | None,
    labels: Labels,
    all_windows: bool,
    wide: bool,
) -> int:
    """Limit, reserved, spent and available of every counter; with --entries every debit and credit."""
    if entries and (keys or value or at):
        raise click.UsageError("--keys, --value and --at go without --entries")
    if not entries and (account, kind, since, until, labels) != (None, None, None, None, {}):
        raise click.UsageError(
            "--account, --kind, --since, --until and --label go with --entries; beside them is --at"
        )
    if entries:
        fields = {"account": account, "grant": grant, "unit": dim, "kind": kind}
        return list_entries(session, fields, since, until, labels)
    with reader_of(session) as reader:
        whole = state_of(reader, at)
        state = Queries(lambda: whole)
        head, wording = head_of(state), state.wording
        lives = {
            scope: {name: _counter(row) for name, row in dims.items() if dim in (None, name)}
            for scope, dims in state.counters.items()
            if grant in (None, scope)
        }
        wanted = None if value is None else state.key_of(_value(value))
        every = _windows(whole, state, keys or value is not None)
        windows = [
            row
            for row in every
            if grant in (None, row["grant"])
            and dim in (None, row["dim"])
            and ("key" not in row or wanted in (None, bytes.fromhex(row["key"])))
        ]
    document = {**head, "ledger": {scope: dims for scope, dims in lives.items() if dims}, "windows": windows}
    emit(session, document, lambda out: _show_ledger(out, document, wording, all_windows, wide))
    return DONE


def _windows(whole: State, state: Queries, has_keys: bool) -> Iterator[dict[str, Any]]:
    """The counters of windows, and then those of limits per value, each with its key."""
    for (scope, dim, per, start_ns), row in state.windows.items():
        is_open = _is_open(whole, (scope, dim, per), start_ns)
        window = {"grant": scope, "dim": dim, "per": per, "start_ns": start_ns, "open": is_open}
        yield {**window, **_counter(row)}
    for (scope, dim, per, start_ns, key), row in state.keyed.items() if has_keys else ():
        is_open = _is_open(whole, (scope, dim, per), start_ns)
        window = {"grant": scope, "dim": dim, "per": per, "start_ns": start_ns, "open": is_open}
        yield {**window, "key": key.hex(), **_counter(row)}


def _is_open(state: State, window: tuple[str, str, str], start_ns: int) -> bool:
    """Whether a window still counts: the one that stands and is not over, or a slice of what rolls."""
    if is_rolling(window[2]):
        slices = state.ledger.slices.get(window, ())
        return start_ns in counting(window[2], slices, state.now_ns)
    standing = state.ledger.windows.get(window)
    return standing is not None and standing[0] == start_ns and state.now_ns < standing[1]


def _value(text: str) -> Any:
    """The value that JSON says; what is none is text itself."""
    try:
        return parse_json(text)
    except InvalidInput:
        return text


def _counter(row: Row) -> Row:
    """A counter with what is still available of it."""
    if row["limit"] is None:
        return Row(row, available=None)
    return Row(
        row,
        available=row["limit"]
        + row.get("raised", 0)
        + row.get("refunded", 0)
        - row["reserved"]
        - row["spent"],
    )


def _show_ledger(
    out: Page, document: dict[str, Any], wording: Wording, all_windows: bool, wide: bool
) -> None:
    rows = [
        (scope, dim, period(LIFE), "", row)
        for scope, dims in document["ledger"].items()
        for dim, row in dims.items()
    ]
    rows += [
        (row["grant"], row["dim"], f"{period(row['per'])}{_of(row)}", wording.minute(row["start_ns"]), row)
        for row in document["windows"]
        if row["open"] or all_windows
    ]
    columns = ("grant", "dimension", "limit", *(("from",) if wide else ()), *(WIDE if wide else NARROW))
    cells = [
        (*row[: 4 if wide else 3], *_figures(row[1], row[4], WIDE if wide else NARROW, wording))
        for row in rows
    ]
    out.print(table(columns, cells))
    hidden = sum(not row["open"] for row in document["windows"])
    if hidden and not all_windows:
        say(out, f"{hidden} windows are over; --all-windows shows them")


def _of(row: dict[str, Any]) -> str:
    """Whose counter it is, of a limit per value."""
    return f" of {row['key'][:HASH_DIGITS]}" if "key" in row else ""


def _figures(dim: str, row: dict[str, Any], names: dict[str, str], wording: Wording) -> list[Figure]:
    amounts = (row.get(name, 0) for name in names.values())
    return [Figure("-" if amount is None else wording.figure(amount, dim)) for amount in amounts]
