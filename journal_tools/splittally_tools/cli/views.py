"""`grants` and `state`: who may do what, and everything together at one sequence.

Rule 1. Every view is of one sequence number, which it names, read beside whoever writes.
"""

from collections.abc import Mapping
from typing import Any

import click
from splittally.core.errors import InvalidInput
from splittally.core.state import State
from splittally.edge.json_values import printable
from splittally.edge.moments import Moment
from splittally.edge.sentences import period
from splittally.edge.wording import HASH_DIGITS, Wording, span
from splittally.runtime.frame_documents import canonical_json
from splittally.runtime.grant_views import past_grant, past_params
from splittally.runtime.named import PRINCIPALS, changed_grants
from splittally.runtime.queries import Queries
from splittally.runtime.reader import Reader
from splittally.runtime.rows import Row

from splittally_tools.audit.grant_history import Change, grant_history
from splittally_tools.cli.exit_codes import DONE, REFUSED
from splittally_tools.cli.filters import by_name
from splittally_tools.cli.hashes import grants as grants_of
from splittally_tools.cli.hashes import whole
from splittally_tools.cli.moments import at_option, queries_at, since_option, state_of, until_option
from splittally_tools.cli.open_world import reader_of
from splittally_tools.cli.output import Figure, Page, emit, say, table, word
from splittally_tools.cli.session import Session, shared
from splittally_tools.cli.wide import wide_option


def head_of(state: Queries) -> dict[str, Any]:
    """The sequence and logical time that a view is of."""
    return {"seq": state.seq - 1, "now_ns": state.now_ns}


# --- grants -------------------------------------------------------------------------------------


@click.command()
@shared
@click.argument("name", required=False)
@click.option(
    "--history", is_flag=True, help="Every change of NAME, and the first intent under its new terms."
)
@by_name("--holder", PRINCIPALS, "Only grants of this principal.")
@since_option("grants that were made or changed")
@until_option("grants that were made or changed")
@at_option
@wide_option
@click.pass_obj
def grants(
    session: Session,
    name: str | None,
    history: bool,
    holder: str | None,
    since: Moment | None,
    until: Moment | None,
    at: Moment | None,
    wide: bool,
) -> int:
    """The grants of the world, or the one with this NAME or hash."""
    if history and not name:
        raise click.UsageError("say whose history: `tally grants NAME --history`")
    if name and (holder or since or until):
        raise click.UsageError("--holder, --since and --until narrow a list; NAME is one grant")
    with reader_of(session) as reader:
        state = state_of(reader, at)
        if name is not None and name not in state.caps.grants:
            name = whole(reader, name, grants_of)
        rows = (
            _grants(reader, state, holder, since, until) if name is None else _one_grant(reader, state, name)
        )
        head = head_of(Queries(lambda: state))
        wording = Queries(lambda: state).wording
        changes = grant_history(reader, next(iter(rows)), state.size) if history and rows else []
    if not rows and name is not None:
        text = f"there is no grant `{word(name)}`"
        emit(session, {**head, "grants": {}}, lambda out: say(out, text, "red"))
        return REFUSED
    document: dict[str, Any] = {**head, "grants": rows}
    if history:
        emit(session, {**document, "history": changes}, lambda out: _show_history(out, changes, wording))
    else:
        emit(session, document, lambda out: _show_grants(out, rows, name, wording, wide))
    return DONE


def _grants(
    reader: Reader, state: State, holder: str | None, since: Moment | None, until: Moment | None
) -> Mapping[str, Any]:
    """The grants of a holder, and those that were made, changed or ended from one moment to another."""
    rows = Queries(lambda: state).grants
    found: Mapping[str, Any] = rows if holder is None else rows(holder=holder)
    if since is None and until is None:
        return found
    start, stop = reader.frames_between(since, until)
    changed = {name for record in reader.records(start, stop) for name in changed_grants(record.body)}
    return {name: row for name, row in found.items() if name in changed}


def _one_grant(reader: Reader, state: State, name: str) -> Mapping[str, Any]:
    """The grant with this name or hash, with what its params say."""
    row = reader.queries_on(lambda: state).grant(name)
    if row is None:
        return {}
    grant = state.caps.grants.get(row["name"]) or past_grant(state, reader.history, row["name"])
    assert grant is not None
    said = canonical_json(past_params(state, reader.history, grant))
    return {row["name"]: {**row, "cap_params": said}}


def _show_grants(out: Page, rows: Mapping[str, Any], name: str | None, wording: Wording, wide: bool) -> None:
    if name is not None:
        for field, value in next(iter(rows.values())).items():
            say(out, f"{field:>13}  {_field(field, value, wording)}")
        return
    columns = ("grant", "cap", "holder", *(("parent", "limits") if wide else ()), "state")
    cells = [
        (row["name"], row["cap"], row["holder"],
         *((row["parent"], _limits(row["limits"], wording)) if wide else ()), _standing(row))
        for row in rows.values()
    ]  # fmt: skip
    out.print(table(columns, cells))


def _field(field: str, value: Any, wording: Wording) -> str:
    if field == "limits" and isinstance(value, list):
        return _limits(value, wording)
    if field.endswith("_ns") and type(value) is int and value:
        return wording.moment(value) if field == "expiry_ns" else span(value)
    return word(value)


def _term(field: str, value: Any, wording: Wording) -> str:
    """A field of a grant's history, in which limits stand as `USD per day deny` to amount."""
    if field == "limits" and isinstance(value, dict):
        said = (
            f"{wording.amount(amount, name.partition(' per ')[0])} ({name})" for name, amount in value.items()
        )
        return printable(", ".join(said)) or "-"
    if field == "budget" and isinstance(value, dict):
        return printable(wording.amounts(value)) or "-"
    return _field(field, value, wording)


def _limits(limits: list[Row], wording: Wording) -> str:
    said = (f"{wording.amount(limit['amount'], limit['dim'])} {period(limit['per'])}" for limit in limits)
    return printable(", ".join(said)) or "-"


def _standing(row: Row) -> str:
    if row["revoked"]:
        return "revoked"
    standing = "exhausted" if row["exhausted"] else "live"
    return standing + "".join(f", {word(dim)} not counted" for dim in row["uncounted"])


def _show_history(out: Page, changes: list[Change], wording: Wording) -> None:
    for change in changes:
        place = f"seq {change['seq']} at {wording.moment(change['at_ns'])} by {word(change['by'])}"
        say(out, f"{place}: {word(change['what'])}", "bold")
        for field, (old, new) in change["fields"].items():
            say(out, f"  {field}: {_term(field, old, wording)} -> {_term(field, new, wording)}")
        first = change["first_intent"]
        text = (
            f"{first['intent_hash'][:HASH_DIGITS]} (seq {first['seq']}, {first['outcome']})"
            if first
            else "none yet"
        )
        say(out, f"  first intent under it: {text}")


# --- state --------------------------------------------------------------------------------------


@click.command()
@shared
@at_option
@click.option("--root", "only_root", is_flag=True, help="Only the state root.")
@click.pass_obj
def state(session: Session, at: Moment | None, only_root: bool) -> int:
    """Grants, counters, reservations and accounts together, now or at a past moment."""
    with reader_of(session) as reader:
        if not reader.head.size:
            raise InvalidInput("the journal is empty")
        found = queries_at(reader, at)
        document = {**head_of(found), "root": found.root.hex()}
        if not only_root:
            document |= {
                "clock": found.clock,
                "engine": found.engine,
                "grants": found.grants,
                "counters": found.counters,
                "windows": [[*key, row] for key, row in found.windows.items()],
                "reservations": list(found.reservations.values()),
                "accounts": found.accounts,
                "resources": found.resources,
                "policy": found.policy,
            }
    emit(session, document, lambda out: _show_state(out, document, only_root, found.wording))
    return DONE


def _figure(amount: int | None, dim: str, wording: Wording) -> Figure:
    return Figure("-" if amount is None else wording.figure(amount, dim))


def _show_state(out: Page, document: dict[str, Any], only_root: bool, wording: Wording) -> None:
    if only_root:
        say(out, document["root"])
        return
    for name in ("seq", "root", "clock", "engine"):
        say(out, f"{name:>13}  {word(document[name])}")
    say(out, f"{'time':>13}  {wording.moment(document['now_ns'])}")
    for name in ("grants", "reservations", "accounts", "policy"):
        say(out, f"{name:>13}  {len(document[name])}")
    out.print(
        table(
            ("grant", "dimension", "limit", "reserved", "spent"),
            (
                (scope, dim, *(_figure(row[name], dim, wording) for name in ("limit", "reserved", "spent")))
                for scope, dims in document["counters"].items()
                for dim, row in dims.items()
            ),
        )
    )
