"""Which frames of the journal speak of what is asked for.

Rule 1. A frame is of one principal: who asked for it to be written. It speaks of a grant where it decides,
        holds, charges, releases, refunds or moves anything under it, and where it makes, changes or ends it.
Rule 2. A word is a command, an event, an effect's kind, a table, or `grant`, `limit`, `money`, `release`.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, get_args

from splittally.core.commands import Command, Submit
from splittally.core.events import Decided, Event
from splittally.core.frames import Body
from splittally.core.native import NATIVE
from splittally.core.state import TABLES
from splittally.runtime.frame_documents import kinds_of, name_of
from splittally.runtime.named import Names, changed_grants
from splittally.runtime.record import Record

_OWN = {"grant", "limit", "money", "release"}
_WORDS = {name_of(kind) for kind in (*get_args(Command), *get_args(Event))} | _OWN
WORDS = Names(
    "kind",
    lambda state: {*_WORDS, *NATIVE, *state.caps.effects, *(x.name for x in TABLES if x.is_defined)},
    lambda body: kinds_of(body),
)


class Wanted(NamedTuple):
    """What a frame is to speak of; None for anything."""

    kind: str | None = None
    grant: str | None = None
    principal: str | None = None
    outcome: str | None = None

    def __call__(self, record: Record) -> bool:
        """Whether a frame speaks of all of it."""
        body = record.body
        return (
            self.principal in (None, body.by)
            and (self.kind is None or self.kind in kinds_of(body))
            and (self.outcome is None or self.outcome in _outcomes(body))
            and (self.grant is None or self.grant in _grants(body))
        )


def _outcomes(body: Body) -> Iterator[str]:
    return (event.outcome for event in body.out if isinstance(event, Decided))


def _grants(body: Body) -> Iterator[str]:
    if isinstance(body.command, Submit):
        yield from (member.grant for member in body.command.members)
    yield from changed_grants(body)
    for event in body.out:
        yield from _legs(event)


def _legs(event: Any) -> Iterator[str]:
    """The grants of an event's chain, or the one under which it moves value."""
    for leg in (*getattr(event, "legs", ()), *getattr(event, "authority", ())):
        yield leg.grant
    if hasattr(event, "debit"):
        yield event.grant
