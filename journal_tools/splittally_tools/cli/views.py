"""`grants` and `state`: who may do what, and everything together at one sequence.

Rule 1. Every view is of one sequence number, which it names, read beside whoever writes.
"""

from collections.abc import Mapping
from typing import Any

import click
from splittally.core.errors import InvalidInput
from splittally.core.state import State
from splittally.core.types import LIFE
from splittally.edge.moments import Moment
from splittally.runtime.named import PRINCIPALS, changed_grants
from splittally.runtime.queries import Queries
from splittally.runtime.reader import Reader
from splittally.runtime.rows import Row

from splittally_tools.audit.grant_history import Change, grant_history
from splittally_tools.cli.exit_codes import DONE, REFUSED
from splittally_tools.cli.filters import by_name
from splittally_tools.cli.moments import at_option, queries_at, since_option, state_of, until_option
from splittally_tools.cli.open_world import reader_of
from splittally_tools.cli.output import Page, emit, say, table, word
from splittally_tools.cli.session import Session, shared
from splittally_tools.export.frames import canonical_json


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
@click.pass_obj
def grants(
    session: Session,
    name: str | None,
    history: bool,
    holder: str | None,
    since: Moment | None,
    until: Moment | None,
    at: Moment | None,
) -> int:
    """The grants of the world, or the one with this NAME or hash."""
    if history and not name:
        raise click.UsageError("say whose history: `tally grants NAME --history`")
    if name and (holder or since or until):
        raise click.UsageError("--holder, --since and --until narrow a list; NAME is one grant")
    with reader_of(session) as reader:
        state = state_of(reader, at)
        rows = _grants(reader, state, holder, since, until) if name is None else _one_grant(state, name)
        head = head_of(Queries(lambda: state))
        changes = grant_history(reader, next(iter(rows)), state.size) if history and rows else []
    if not rows and name is not None:
        text = f"there is no grant `{word(name)}`"
        emit(session, {**head, "grants": {}}, lambda out: say(out, text, "red"))
        return REFUSED
    document: dict[str, Any] = {**head, "grants": rows}
    if history:
        emit(session, {**document, "history": changes}, lambda out: _show_history(out, changes))
    else:
        emit(session, document, lambda out: _show_grants(out, rows, name))
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


def _one_grant(state: State, name: str) -> Mapping[str, Any]:
    """The grant with this name or hash, with what its params say."""
    row = Queries(lambda: state).grant(name)
    if row is None:
        return {}
    caps = state.caps
    said = canonical_json(caps.cap_params(caps.grants[row["name"]]))
    return {row["name"]: {**row, "cap_params": said}}


def _show_grants(out: Page, rows: Mapping[str, Any], name: str | None) -> None:
    if name is not None:
        for field, value in next(iter(rows.values())).items():
            say(out, f"{field:>13}  {_limits(value) if field == 'limits' else word(value)}")
        return
    columns = ("grant", "cap", "holder", "parent", "limits", "state")
    cells = [
        (row["name"], row["cap"], row["holder"], row["parent"], _limits(row["limits"]), _standing(row))
        for row in rows.values()
    ]
    out.print(table(columns, cells))


def _limits(limits: list[Row]) -> str:
    return " ".join(
        f"{word(limit['dim'])}<={limit['amount']}" + ("" if limit["per"] == LIFE else f"/{limit['per']}")
        for limit in limits
    )


def _standing(row: Row) -> str:
    if row["revoked"]:
        return "revoked"
    standing = "exhausted" if row["exhausted"] else "live"
    return standing + "".join(f", {word(dim)} not counted" for dim in row["uncounted"])


def _show_history(out: Page, changes: list[Change]) -> None:
    for change in changes:
        place = f"seq {change['seq']} at {change['at_ns']} by {word(change['by'])}"
        say(out, f"{place}: {word(change['what'])}", "bold")
        for field, (old, new) in change["fields"].items():
            say(out, f"  {field}: {word(old)} -> {word(new)}")
        first = change["first_intent"]
        text = f"{first['intent_hash']} (seq {first['seq']}, {first['outcome']})" if first else "none yet"
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
    emit(session, document, lambda out: _show_state(out, document, only_root))
    return DONE


def _show_state(out: Page, document: dict[str, Any], only_root: bool) -> None:
    if only_root:
        say(out, document["root"])
        return
    for name in ("seq", "now_ns", "root", "clock", "engine"):
        say(out, f"{name:>13}  {word(document[name])}")
    for name in ("grants", "reservations", "accounts", "policy"):
        say(out, f"{name:>13}  {len(document[name])}")
    out.print(
        table(
            ("grant", "dimension", "limit", "reserved", "spent"),
            (
                (scope, dim, row["limit"], row["reserved"], row["spent"])
                for scope, dims in document["counters"].items()
                for dim, row in dims.items()
            ),
        )
    )
