"""`ledger`, `reservations`, `accounts`: the books at one sequence.

Rule 1. Every view is of one sequence number, which it names, read beside whoever writes.
"""

from typing import Any

import click
from splittally.core.errors import InvalidInput
from splittally.core.types import APPROVAL, LIFE, OPEN, RUNNING, UNKNOWN
from splittally.edge.amounts import format_amount
from splittally.edge.json_values import parse_json
from splittally.edge.labels import has_labels
from splittally.edge.moments import Moment
from splittally.edge.wording import span
from splittally.runtime.named import ACCOUNTS, GRANTS, KINDS, PRINCIPALS, RESOURCES
from splittally.runtime.rows import Row

from splittally_tools.cli.entries import CAUSES, list_entries
from splittally_tools.cli.exit_codes import DONE
from splittally_tools.cli.filters import by_name, by_word
from splittally_tools.cli.labelled import Labels, by_label, shown_labels
from splittally_tools.cli.moments import at_option, queries_at, since_option, until_option
from splittally_tools.cli.open_world import reader_of
from splittally_tools.cli.output import Page, emit, table
from splittally_tools.cli.session import Session, shared
from splittally_tools.cli.views import head_of

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
        state = queries_at(reader, at)
        head = head_of(state)
        lives = {
            scope: {name: _counter(row) for name, row in dims.items() if dim in (None, name)}
            for scope, dims in state.counters.items()
            if grant in (None, scope)
        }
        windows = [
            {"grant": scope, "dim": name, "per": per, "start_ns": start_ns, **_counter(row)}
            for (scope, name, per, start_ns), row in state.windows.items()
            if grant in (None, scope) and dim in (None, name)
        ]
        wanted = None if value is None else state.key_of(_value(value))
        windows += [
            {"grant": scope, "dim": name, "per": per, "start_ns": start_ns, "key": key.hex(), **_counter(row)}
            for (scope, name, per, start_ns, key), row in (
                state.keyed.items() if keys or value is not None else ()
            )
            if grant in (None, scope) and dim in (None, name) and wanted in (None, key)
        ]
    document = {**head, "ledger": {scope: dims for scope, dims in lives.items() if dims}, "windows": windows}
    emit(session, document, lambda out: _show_ledger(out, document))
    return DONE


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


def _show_ledger(out: Page, document: dict[str, Any]) -> None:
    columns = ("grant", "dimension", "per", "limit", "reserved", "spent", "refunded", "available")
    rows = [
        (scope, dim, LIFE, *_numbers(row))
        for scope, dims in document["ledger"].items()
        for dim, row in dims.items()
    ]
    rows += [
        (row["grant"], row["dim"], f"{row['per']} from {row['start_ns']}{_of(row)}", *_numbers(row))
        for row in document["windows"]
    ]
    out.print(table(columns, rows))


def _of(row: dict[str, Any]) -> str:
    """Whose counter it is, of a limit per value."""
    return f" of {row['key'][:12]}" if "key" in row else ""


def _numbers(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["limit"], row["reserved"], row["spent"], row.get("refunded", 0), row["available"]


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
) -> int:
    """What is reserved, by intent, grant and dimension; the amounts add up to the counter's reserved."""
    with reader_of(session) as reader:
        state = queries_at(reader, at)
        head = head_of(state)
        start, stop = reader.frames_between(since, until)
        rows = [
            row
            for hold in state.reservations.values()
            if (hold.is_orphan or not orphans) and has_labels(hold.labels, labels)
            if kind in (None, hold.kind)
            and principal in (None, hold.principal)
            and phase in (None, hold.phase)
            if start <= hold.seq < (state.seq if stop is None else stop)
            for row in _reserved(hold)
            if grant in (None, row["grant"]) and dim in (None, row["dim"])
        ]
    totals: dict[tuple[str, str], int] = {}
    for row in rows:
        key = (row["grant"], row["dim"])
        totals[key] = totals.get(key, 0) + row["amount"]
    sums = [
        {"grant": name, "dim": dim, "amount": amount, "reserved": _reserved_in(state.counter(name, dim))}
        for (name, dim), amount in sorted(totals.items())
    ]
    document = {**head, "reservations": rows, "totals": sums}
    emit(session, document, lambda out: _show_reservations(out, document))
    return DONE


_HOLD = ("intent_hash", "seq", "kind", "principal", "phase", "age_ns", "due_ns", "attempt", "running_ns",
         "labels")  # fmt: skip


def _reserved(hold: Row) -> list[dict[str, Any]]:
    """A hold as one row for each grant and dimension; one row without either where it reserves nothing."""
    common = {name: hold[name] for name in _HOLD}
    rows = [
        {**common, "grant": leg["grant"], "dim": dim, "amount": amount}
        for leg in hold["legs"]
        for dim, amount in sorted(leg["reserve"].items())
    ]
    return rows or [{**common, "grant": hold["grant"], "dim": "", "amount": 0}]


def _reserved_in(counter: Row | None) -> int | None:
    return None if counter is None else int(counter["reserved"])


def _show_reservations(out: Page, document: dict[str, Any]) -> None:
    columns = ("intent", "grant", "dimension", "amount", "phase", "age", "running", "kind", "for", "labels")
    rows = [
        (
            row["intent_hash"], row["grant"], row["dim"], row["amount"], row["phase"], span(row["age_ns"]),
            "" if row["running_ns"] is None else span(row["running_ns"]), row["kind"], row["principal"],
            shown_labels(row["labels"]),
        )
        for row in document["reservations"]
    ]  # fmt: skip
    out.print(table(columns, rows))
    sums = [(row["grant"], row["dim"], row["amount"], row["reserved"]) for row in document["totals"]]
    out.print(table(("grant", "dimension", "sum", "counter's reserved"), sums))


# --- accounts -----------------------------------------------------------------------------------


@click.command()
@at_option
@by_name("--account", ACCOUNTS, "Only this account.")
@by_name("--resource", RESOURCES, "Only accounts that hold this resource, and of them only this.")
@shared
@click.pass_obj
def accounts(session: Session, at: Moment | None, account: str | None, resource: str | None) -> int:
    """Balances, what is in flight and what may be spent, now or at a past moment."""
    with reader_of(session) as reader:
        state = queries_at(reader, at)
        rows = {
            name: row if resource is None else _of_resource(row, resource)
            for name, row in state.accounts.items()
            if account in (None, name) and (resource is None or resource in row.balances)
        }
        document = {**head_of(state), "accounts": rows, "resources": state.resources}
    emit(session, document, lambda out: _show_accounts(out, document))
    return DONE


def _of_resource(row: Row, resource: str) -> Row:
    """An account with its amounts of one resource alone."""
    parts = {name: row[name] for name in ("balances", "in_flight", "spendable")}
    return Row(row, **{name: {resource: x[resource]} if resource in x else {} for name, x in parts.items()})


def _show_accounts(out: Page, document: dict[str, Any]) -> None:
    scales = {name: row["scale"] for name, row in document["resources"].items()}
    rows = []
    for name, row in document["accounts"].items():
        for resource in sorted({**row["balances"], **row["in_flight"]}) or [""]:
            amounts = [
                format_amount(part.get(resource, 0), resource, scales[resource]) if resource else None
                for part in (row["balances"], row["in_flight"], row["spendable"])
            ]
            rows.append((name, row["kind"], *amounts, row["debt_limit"]))
    out.print(table(("account", "kind", "balance", "in flight", "spendable", "debt limit"), rows))
