"""Does a value by which a list is narrowed name anything in this world?

Rule 1. A name that the state does not know may stand in a record: of a grant that is gone, a principal that
        only asked, a dimension that only a receipt named. The records are read until it is found.
Rule 2. What names nothing is a mistake of whoever asks (`InvalidInput`), with what is close to it; an empty
        list would say that nothing happened.
Rule 3. Labels are the host's own words: any text may be asked for.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from splittally.core.commands import Submit
from splittally.core.errors import InvalidInput
from splittally.core.events import Defined, Event, GrantRevoked, GrantSet, Held, Posted, Settled
from splittally.core.frames import Body, read_body
from splittally.core.native import NATIVE
from splittally.core.state import State
from splittally.core.types import OPERATOR, STRICTEST_FIRST
from splittally.edge.near import meant
from splittally.runtime.charges import Book


class Names(NamedTuple):
    """Names of one sort: what the sort is called, and where they stand, in a state and in a record."""

    sort: str
    of_state: Callable[[State], Iterable[str]]
    of_record: Callable[[Body], Iterable[str]]


def require_named(state: State, book: Book, names: Names, name: str) -> None:
    """Passes a name of this sort that state or journal know; else `InvalidInput`."""
    known = set(names.of_state(state))
    if name in known:
        return
    for seq in range(state.size):
        told = set(names.of_record(read_body(book.rows(seq), seq)))
        if name in told:
            return
        known |= told
    raise unknown_name(names.sort, name, known)


def unknown_name(sort: str, name: str, known: Iterable[str]) -> InvalidInput:
    """The error that nothing of this sort is called so."""
    return InvalidInput(f"there is no {sort} `{name}`{meant(name, known)}", field=sort)


def changed_grants(body: Body) -> Iterator[str]:
    """The grants that a record makes, changes or ends."""
    for event in body.out:
        match event:
            case GrantSet():
                yield event.grant.name
            case GrantRevoked():
                yield event.name


def _dims_of_state(state: State) -> Iterator[str]:
    yield from state.ledger.resources
    for _, dim, _, _ in state.ledger.counters:
        yield dim


def _kinds_of_record(body: Body) -> Iterator[str]:
    if isinstance(body.command, Submit):
        yield from (member.kind for member in body.command.members)
    yield from (event.key for event in body.out if isinstance(event, Defined) and event.table == "effects")


def _dims_of_record(body: Body) -> Iterator[str]:
    for event in body.out:
        match event:
            case Held():
                yield from (dim for leg in event.legs for dim in leg.reserve)
            case Settled():
                yield from (dim for leg in event.legs for dim in leg.charged)


def _accounts_of(events: list[Event]) -> Iterator[str]:
    for event in events:
        match event:
            case Posted():
                yield from filter(None, (event.debit, event.credit))
            case Defined(table="accounts"):
                yield event.key


GRANTS = Names(
    "grant",
    lambda state: state.caps.grants,
    changed_grants,
)
PRINCIPALS = Names(
    "principal",
    lambda state: {OPERATOR, *(grant.holder for grant in state.caps.grants.values())},
    lambda body: (body.by,),
)
KINDS = Names("kind", lambda state: {*state.caps.effects, *NATIVE}, _kinds_of_record)
RESOURCES = Names("resource", _dims_of_state, _dims_of_record)
ACCOUNTS = Names(
    "account",
    lambda state: {*state.ledger.accounts, *(name for name, _ in state.ledger.balances)},
    lambda body: _accounts_of(body.out),
)
OUTCOMES = Names("outcome", lambda state: STRICTEST_FIRST, lambda body: ())
