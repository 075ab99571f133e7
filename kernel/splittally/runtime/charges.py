"""What intents were charged, got back and paid, record by record: the one stream behind spend and export.

Rule 1. A charge is what a record adds to the counters of a chain: by a receipt, in time or late, by an
        unknown that timed out, an attestation, a native effect, spend that was recorded. A hold is none.
Rule 2. A refund takes off. It is of its own time: what was charged in March and came back in April is both.
Rule 3. An account has paid what an ending took from it and did not bring back. What a native effect moves is
        what it was asked for, and no payment; what a rule moves is the rule's.
Rule 4. Only intents that are open stay in memory; of any other the journal is asked.

Example. `card` reserves 12 USD, drawn from `accounts/team`, and uses 9; later 2 are refunded:

    Charged(how receipt, legs card {USD: 9}, paid {(accounts/team, USD): 9})
    Charged(how refund,  legs card {USD: 2}, paid {(accounts/team, USD): 2})
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from splittally.core.calendars import Calendar
from splittally.core.commands import Submit
from splittally.core.events import Decided, Event, Held, Posted, Refunded, Released, Settled
from splittally.core.frames import read_command, read_events
from splittally.core.intent_history import Trace, own_events
from splittally.core.types import Draw
from splittally.edge.moments import When, read_moment
from splittally.journal.store import Store
from splittally.runtime.history import History
from splittally.runtime.moments import Frames, frames_between

REFUND, NATIVE, LATE, RECORDED = "refund", "native", "late", "recorded"
NO_DRAWS: list[Draw] = []
_TOLD = (Held, Released, Settled, Refunded)
Paid = dict[tuple[str, str], int]  # by account and resource, in minor units


class Asked(NamedTuple):
    """An intent as it was decided: where and when, who asked, for what, and what it drew."""

    intent_hash: bytes
    seq: int
    at_ns: int
    principal: str
    kind: str
    outcome: str
    labels: dict[str, str]
    draws: list[Draw]


class Charged(NamedTuple):
    """What one record charged an intent or, where `how` is `refund`, gave back.

    `legs` are the grants of the chain, leaf first, each with its amounts by dimension; `paid` is what
    accounts paid, or got back, and `payees` are those who got it, or gave it back, in order.
    """

    seq: int
    at_ns: int
    how: str
    asked: Asked
    legs: list[tuple[str, dict[str, int]]]
    paid: Paid
    payees: list[str]

    @property
    def grant(self) -> str:
        """The leaf of the chain that was charged."""
        return self.legs[0][0] if self.legs else ""

    @property
    def leaf(self) -> dict[str, int]:
        """What the leaf was charged, or got back, by dimension."""
        return self.legs[0][1] if self.legs else {}

    @property
    def paid_by_resource(self) -> dict[str, int]:
        """What accounts paid, or got back, together."""
        paid: dict[str, int] = {}
        for (_, resource), amount in self.paid.items():
            paid[resource] = paid.get(resource, 0) + amount
        return paid


class Book(NamedTuple):
    """The committed frames of a world; each is read under `still`, which keeps its writer waiting so long."""

    store: Store
    history: History
    still: AbstractContextManager[Any]
    calendar: Callable[[], Calendar]

    def rows(self, seq: int) -> list[Any]:
        """The verified body of frame `seq`, not read any further."""
        with self.still:
            return self.store.verified(seq)[1]

    def time(self, seq: int) -> int:
        """The logical time of frame `seq`, in nanoseconds."""
        return read_events(self.rows(seq), seq)[0]

    def trace(self, intent_hash: bytes, before: int | None = None) -> Trace | None:
        """The life of an intent, as the frames before one tell it; None where none of them decides it."""
        with self.still:
            return self.history.trace(intent_hash, before=before)

    def frames_between(self, since: When | None, until: When | None) -> Frames:
        """The frames from one past moment to another, both included."""
        first, last = (None if at is None else read_moment(at) for at in (since, until))
        with self.still:
            return frames_between(self.store, first, last, self.calendar)


def charges(
    book: Book, start: int, stop: int, seen: Callable[[int], None] = lambda frames: None
) -> Iterator[Charged]:
    """Every charge and refund in the frames from `start` to before `stop`; `seen` hears of each frame."""
    held: dict[bytes, Asked] = {}
    for seq in range(start, stop):
        rows = book.rows(seq)
        at_ns, by, events = read_events(rows, seq)
        told = [event for event in events if isinstance(event, _TOLD)]
        asked = _asked_in(rows, seq, by, events) if told else {}
        for event in told:
            digest = event.intent_hash
            match event:
                case Held():
                    held[digest] = asked[digest]._replace(draws=event.draws)
                case Released():
                    held.pop(digest, None)
                case Settled() | Refunded():
                    about = _about(book, held, asked, event)
                    yield _charged(seq, at_ns, about, event, _postings(events, digest))
        seen(1)


def _asked_in(rows: list[Any], seq: int, by: str, events: list[Event]) -> dict[bytes, Asked]:
    """The intents that this frame decides."""
    outcomes = {event.intent_hash: event.outcome for event in events if type(event) is Decided}
    if not outcomes:
        return {}
    at_ns, command = read_command(rows, seq)
    assert isinstance(command, Submit)
    return {
        member.intent_hash: Asked(
            intent_hash=member.intent_hash,
            seq=seq,
            at_ns=at_ns,
            principal=by,
            kind=member.kind,
            outcome=outcomes[member.intent_hash],
            labels=member.labels,
            draws=NO_DRAWS,
        )
        for member in command.members
        if member.intent_hash in outcomes
    }


def _about(
    book: Book, held: dict[bytes, Asked], asked: dict[bytes, Asked], event: Settled | Refunded
) -> Asked:
    """The intent that a record charges or refunds: open, decided in this frame, or found in the journal."""
    digest = event.intent_hash
    about = held.pop(digest, None) or asked.get(digest)
    if about is None:
        found = book.trace(digest)
        assert found is not None
        about = asked_of(found)
    return about


def asked_of(found: Trace) -> Asked:
    """The intent whose life this is."""
    return Asked(
        intent_hash=found.decided.intent_hash,
        seq=found.seq,
        at_ns=found.at_ns,
        principal=found.by,
        kind=found.member.kind,
        outcome=found.decided.outcome,
        labels=found.member.labels,
        draws=found.held.draws if found.held is not None else NO_DRAWS,
    )


def charges_of(book: Book, found: Trace) -> Iterator[Charged]:
    """The charges and refunds of one intent, in order."""
    asked = asked_of(found)
    told = [*found.endings, *found.refunds]
    for seq, event in sorted(told, key=lambda each: each[0]):
        if isinstance(event, Released):
            continue
        postings = [posted for at, posted in found.postings if at == seq]
        yield _charged(seq, book.time(seq), asked, event, postings)


def _charged(
    seq: int, at_ns: int, asked: Asked, event: Settled | Refunded, postings: list[Posted]
) -> Charged:
    """What a record that settles or refunds an intent says."""
    paid: Paid = {}
    if isinstance(event, Refunded):
        how, legs = REFUND, [(leg.grant, leg.amounts) for leg in event.legs]
        paid, payees = _repaid(postings), [posted.debit for posted in postings]
    else:
        how, legs = event.how, [(leg.grant, leg.charged) for leg in event.legs]
        if how != NATIVE:
            drawn = {(draw.account, draw.resource): draw.amount for draw in asked.draws}
            paid = _paid(postings, {} if how in (LATE, RECORDED) else drawn)
        payees = [x.credit for x in postings if paid and (x.credit, x.resource) not in paid]
    return Charged(
        seq=seq,
        at_ns=at_ns,
        how=how,
        asked=asked,
        legs=legs,
        paid=paid,
        payees=list(dict.fromkeys(filter(None, payees))),
    )


# Example. 12 USD of `accounts/team` are in flight, 9 are used: what comes back is taken off.
#
#     in flight -> vendor 9, in flight -> accounts/team 3                  ->  12 - 3 = 9
#     in flight -> vendor 12, accounts/team -> vendor 3 (above = debt)     ->  12 + 3 = 15
#     accounts/team -> vendor 9 (late, or recorded: nothing is in flight)  ->  9
def _paid(postings: list[Posted], in_flight: Paid) -> Paid:
    """What each account paid for an intent by these postings of a record that settles it."""
    net = dict(in_flight)
    for posted in postings:
        payer, payee = (posted.debit, posted.resource), (posted.credit, posted.resource)
        if posted.debit:
            net[payer] = net.get(payer, 0) + posted.amount
        if payee in net:
            net[payee] -= posted.amount
    return {place: amount for place, amount in net.items() if amount}


def _repaid(postings: list[Posted]) -> Paid:
    """What each account got back for an intent by these postings of a record that refunds it."""
    back: Paid = {}
    for posted in postings:
        place = (posted.credit, posted.resource)
        back[place] = back.get(place, 0) + posted.amount
    return back


def _postings(events: list[Event], intent_hash: bytes) -> list[Posted]:
    """What moved for an intent in a record, without what rules and overdrafts moved because of it."""
    own = [event for event in own_events(events) if isinstance(event, Posted)]
    return [posted for posted in own if posted.intent_hash == intent_hash]
