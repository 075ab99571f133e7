"""`ledger`, `reservations`, `accounts`: the books at one sequence.

Rule 1. Every view is of one sequence number, which it names, read beside whoever writes.
"""

from collections.abc import Iterator
from typing import Any

import click
from splittally.core.errors import InvalidInput
from splittally.core.ledger.windows import counting, is_rolling
from splittally.core.state import State
from splittally.core.types import APPROVAL, LIFE, OPEN, RUNNING, UNKNOWN
from splittally.edge.json_values import parse_json
from splittally.edge.labels import has_labels
from splittally.edge.moments import Moment
from splittally.edge.sentences import period
from splittally.edge.wording import HASH_DIGITS, Wording, span
from splittally.runtime.health import JUMPED
from splittally.runtime.named import ACCOUNTS, GRANTS, KINDS, PRINCIPALS, RESOURCES
from splittally.runtime.queries import Queries
from splittally.runtime.reader import Reader
from splittally.runtime.rows import Row

from splittally_tools.cli.entries import CAUSES, list_entries
from splittally_tools.cli.exit_codes import DONE
from splittally_tools.cli.filters import by_name, by_word
from splittally_tools.cli.labelled import Labels, by_label, shown_labels
from splittally_tools.cli.moments import at_option, queries_at, since_option, state_of, until_option
from splittally_tools.cli.open_world import reader_of
from splittally_tools.cli.output import Figure, Page, emit, say, table
from splittally_tools.cli.session import Session, shared
from splittally_tools.cli.views import head_of
from splittally_tools.cli.wide import wide_option

PHASES = (OPEN, APPROVAL, RUNNING, UNKNOWN)


# --- ledger -------------------------------------------------------------------------------------


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


NARROW = {"amount": "limit", "reserved": "reserved", "spent": "spent", "left": "available"}
WIDE = NARROW | {"refunded": "refunded"}


def _of(row: dict[str, Any]) -> str:
    """Whose counter it is, of a limit per value."""
    return f" of {row['key'][:HASH_DIGITS]}" if "key" in row else ""


def _figures(dim: str, row: dict[str, Any], names: dict[str, str], wording: Wording) -> list[Figure]:
    amounts = (row.get(name, 0) for name in names.values())
    return [Figure("-" if amount is None else wording.figure(amount, dim)) for amount in amounts]


# --- reservations -------------------------------------------------------------------------------


@click.command()
@shared
@by_name("--grant", GRANTS, "Only what this grant holds, also for grants below it.")
@by_name("--dim", RESOURCES, "Only this dimension.")
@by_name("--kind", KINDS, "Only effects of this kind.")
@by_name("--principal", PRINCIPALS, "Only what this principal asked for.")
@by_word("--phase", PHASES, "Only what is in this phase.")
@since_option("what was reserved")
@until_option("what was reserved")
@click.option("--orphans", is_flag=True, help="Only what was dispatched and has no answer.")
@at_option
@by_label
@wide_option
@click.pass_obj
def reservations(
    session: Session,
    grant: str | None,
    dim: str | None,
    kind: str | None,
    principal: str | None,
    phase: str | None,
    since: Moment | None,
    until: Moment | None,
    orphans: bool,
    at: Moment | None,
    labels: Labels,
    wide: bool,
) -> int:
    """What is reserved, by intent, grant and dimension; the amounts add up to the counter's reserved."""
    with reader_of(session) as reader:
        state = queries_at(reader, at)
        head, wording = head_of(state), state.wording
        start, stop = reader.frames_between(since, until)
        passed_ns = 0 if at is not None else _since_last_frame(reader)
        rows = [
            row
            for hold in state.reservations.values()
            if (hold.is_orphan or not orphans) and has_labels(hold.labels, labels)
            if kind in (None, hold.kind)
            and principal in (None, hold.principal)
            and phase in (None, hold.phase)
            if start <= hold.seq < (state.seq if stop is None else stop)
            for row in _reserved(hold, passed_ns)
            if grant in (None, row["grant"]) and dim in (None, row["dim"])
        ]
    totals: dict[tuple[str, str], int] = {}
    for row in rows:
        key = (row["grant"], row["dim"])
        totals[key] = totals.get(key, 0) + row["amount"]
    sums = [
        {"grant": name, "dim": dim, "amount": amount, "reserved": _reserved_in(state, name, dim)}
        for (name, dim), amount in sorted(totals.items())
    ]
    document = {**head, "reservations": rows, "totals": sums}
    emit(session, document, lambda out: _show_reservations(out, document, wording, wide))
    return DONE


_HOLD = ("intent_hash", "seq", "kind", "principal", "phase", "age_ns", "due_ns", "attempt", "running_ns",
         "labels")  # fmt: skip


def _since_last_frame(reader: Reader) -> int:
    """How much the host's clock has gone on since the last frame; 0 where time is given or stands."""
    health = reader.health()
    return 0 if health["state"] == JUMPED else max(0, health["differs_ns"] or 0)


def _reserved(hold: Row, passed_ns: int) -> list[dict[str, Any]]:
    """A hold as one row for each grant and dimension; one row without either where it reserves nothing."""
    common = {name: hold[name] for name in _HOLD}
    common["age_ns"] += passed_ns
    if common["running_ns"] is not None:
        common["running_ns"] += passed_ns
    rows = [
        {**common, "grant": leg["grant"], "dim": dim, "amount": amount}
        for leg in hold["legs"]
        for dim, amount in sorted(leg["reserve"].items())
    ]
    return rows or [{**common, "grant": hold["grant"], "dim": "", "amount": 0}]


def _reserved_in(state: Queries, grant: str, dim: str) -> int | None:
    """What the counters of a grant and dimension say is reserved: for life, else the most of a window."""
    life = state.counter(grant, dim)
    windows = [
        row["reserved"] for (scope, name, _, _), row in state.windows.items() if (scope, name) == (grant, dim)
    ]
    return int(life["reserved"]) if life is not None else max(windows, default=None)


def _show_reservations(out: Page, document: dict[str, Any], wording: Wording, wide: bool) -> None:
    def amount(row: dict[str, Any], name: str) -> Figure:
        known = row["dim"] and row[name] is not None
        return Figure(wording.amount(row[name], row["dim"]) if known else "-")

    columns: tuple[str, ...] = ("intent", "grant", "amount", "phase", "age", "kind")
    if wide:
        columns += ("running", "until", "for", "labels")
    rows = []
    for row in document["reservations"]:
        cells = [
            row["intent_hash"],
            row["grant"],
            amount(row, "amount"),
            row["phase"],
            span(row["age_ns"]),
            row["kind"],
        ]
        if wide:
            running, due = row["running_ns"], row["due_ns"]
            cells += ["" if running is None else span(running), wording.moment(due) if due else "",
                      row["principal"], shown_labels(row["labels"])]  # fmt: skip
        rows.append(cells)
    out.print(table(columns, rows))
    sums = [(row["grant"], amount(row, "amount"), amount(row, "reserved")) for row in document["totals"]]
    out.print(table(("grant", "sum", "counter's reserved"), sums))


# --- accounts -----------------------------------------------------------------------------------


@click.command()
@at_option
@by_name("--account", ACCOUNTS, "Only this account.")
@by_name("--resource", RESOURCES, "Only accounts that hold this resource, and of them only this.")
@wide_option
@shared
@click.pass_obj
def accounts(
    session: Session, at: Moment | None, account: str | None, resource: str | None, wide: bool
) -> int:
    """Balances, what is in flight and what may be spent, now or at a past moment."""
    with reader_of(session) as reader:
        state = queries_at(reader, at)
        rows = {
            name: row if resource is None else _of_resource(row, resource)
            for name, row in state.accounts.items()
            if account in (None, name) and (resource is None or resource in row.balances)
        }
        document = {**head_of(state), "accounts": rows, "resources": state.resources}
        wording = state.wording
    emit(session, document, lambda out: _show_accounts(out, document, wording, wide))
    return DONE


def _of_resource(row: Row, resource: str) -> Row:
    """An account with its amounts of one resource alone."""
    parts = {name: row[name] for name in ("balances", "in_flight", "spendable")}
    return Row(row, **{name: {resource: x[resource]} if resource in x else {} for name, x in parts.items()})


def _show_accounts(out: Page, document: dict[str, Any], wording: Wording, wide: bool) -> None:
    rows = []
    for name, row in document["accounts"].items():
        for resource in sorted({**row["balances"], **row["in_flight"]}) or [""]:
            amounts = [
                Figure(wording.amount(part.get(resource, 0), resource) if resource else "-")
                for part in (row["balances"], row["in_flight"], row["spendable"])
            ]
            more = (row["kind"], _debt(row["debt_limit"], resource, wording)) if wide else ()
            rows.append((name, *amounts, *more))
    columns = ("account", "balance", "in flight", "spendable")
    out.print(table((*columns, "kind", "debt limit") if wide else columns, rows))


def _debt(limit: int, resource: str, wording: Wording) -> Figure:
    return Figure(wording.amount(limit, resource) if limit and resource else str(limit or "-"))
