"""Where value came from: each posting's sources, first in first out over the postings of an account.

Decides nothing and is part of no decision: a fold over recorded postings, total on whatever is recorded.

Rule 1. Per account and resource the value that came in first goes out first; what is in flight under an
        intent is an account of its own.
Rule 2. Every unit of a posting has exactly one source: a unit of an earlier posting, an issue or a debt. The
        sources of a posting stand in the order of its units and sum to its amount.
Rule 3. What an `external/` account gives is issued: there a walk ends.
Rule 4. What an account gives beyond what it holds is its debt; what comes in later repays debts first, the
        oldest before the others, and is then nobody's source.
Rule 5. The second posting of a conversion also names the first, for which it was exchanged.
"""

from collections import deque

from msgspec import Struct

from splittally.core.events import Posted
from splittally.core.types import EXTERNAL

LOT, ISSUE, DEBT = "lot", "issue", "debt"
CONVERT, RULE = "ledger.convert", "rule"  # kinds whose postings may be the two sides of a conversion
NOBODY = -1


class Source(Struct, frozen=True, gc=False):
    """A run of units: `amount` units of posting `posting` from its unit `start` on.

    For an issue or a debt the posting is the very one that issued or that made the debt.
    """

    kind: str
    posting: int
    start: int
    amount: int


class Traced(Struct, frozen=True, gc=False):
    """A posting, where it stands, what caused it and what it is made of.

    `exchanged_for` is the posting given for it in a conversion, `NOBODY` elsewhere.
    """

    seq: int
    position: int
    kind: str
    posted: Posted
    sources: tuple[Source, ...]
    exchanged_for: int


Place = tuple[str | bytes, str]  # an account, or the intent under which value is in flight; the resource


class Lineage:
    """The postings so far, numbered from 0, with what each account still holds of them and owes."""

    def __init__(self) -> None:
        self.postings: list[Traced] = []
        self.lots: dict[Place, deque[Source]] = {}
        self.debts: dict[Place, deque[Source]] = {}

    def add(self, seq: int, position: int, kind: str, posted: Posted) -> Traced:
        """The next posting with its sources; `position` is its place in the frame, `kind` its cause."""
        number = len(self.postings)
        sources = self._give(number, posted)
        traced = Traced(
            seq=seq,
            position=position,
            kind=kind,
            posted=posted,
            sources=sources,
            exchanged_for=self._given_for(seq, kind, posted),
        )
        self.postings.append(traced)
        self._take(number, posted)
        return traced

    def sources_of(self, run: Source) -> list[Source]:
        """What the units of a run are made of, in order; the amounts sum to the run's."""
        assert run.kind == LOT
        found, at, end = [], 0, run.start + run.amount
        for source in self.postings[run.posting].sources:
            first, last = max(at, run.start), min(at + source.amount, end)
            if first < last:
                found.append(
                    Source(
                        kind=source.kind,
                        posting=source.posting,
                        start=source.start + first - at,
                        amount=last - first,
                    )
                )
            at += source.amount
        return found

    def held(self, account: str, resource: str) -> list[Source]:
        """The lots that an account holds, oldest first."""
        return list(self.lots.get((account, resource), ()))

    def owed(self, account: str, resource: str) -> list[Source]:
        """The debts that an account has not repaid, oldest first."""
        return list(self.debts.get((account, resource), ()))

    def in_flight(self, intent_hash: bytes, resource: str) -> list[Source]:
        """What is in flight under an intent, oldest first."""
        return list(self.lots.get((intent_hash, resource), ()))

    def _give(self, number: int, posted: Posted) -> tuple[Source, ...]:
        if posted.debit.startswith(EXTERNAL):
            return (Source(kind=ISSUE, posting=number, start=0, amount=posted.amount),)
        place = _place(posted.debit, posted)
        sources = _pop(self.lots, place, posted.amount)
        missing = posted.amount - sum(source.amount for source in sources)
        if missing:
            debt = Source(kind=DEBT, posting=number, start=posted.amount - missing, amount=missing)
            self.debts.setdefault(place, deque()).append(debt)
            sources.append(debt)
        return tuple(sources)

    def _take(self, number: int, posted: Posted) -> None:
        if posted.credit.startswith(EXTERNAL):
            return  # what has left the world is nobody's source
        place = _place(posted.credit, posted)
        repaid = sum(debt.amount for debt in _pop(self.debts, place, posted.amount))
        if repaid < posted.amount:
            lot = Source(kind=LOT, posting=number, start=repaid, amount=posted.amount - repaid)
            self.lots.setdefault(place, deque()).append(lot)

    def _given_for(self, seq: int, kind: str, posted: Posted) -> int:
        if kind not in (CONVERT, RULE) or not self.postings:
            return NOBODY
        before = self.postings[-1]
        is_same = (before.seq, before.kind, before.posted.intent_hash) == (seq, kind, posted.intent_hash)
        if not is_same or before.exchanged_for != NOBODY:
            return NOBODY
        given = before.posted
        is_return = posted.credit == given.debit and posted.resource != given.resource
        return len(self.postings) - 1 if kind == CONVERT or is_return else NOBODY


def _place(account: str, posted: Posted) -> Place:
    return account or posted.intent_hash, posted.resource


def _pop(queues: dict[Place, deque[Source]], place: Place, amount: int) -> list[Source]:
    """Takes at most `amount` units from the front of a queue; an empty queue is forgotten."""
    queue = queues.get(place)
    taken: list[Source] = []
    while queue and amount:
        first = queue.popleft()
        used = min(first.amount, amount)
        taken.append(Source(kind=first.kind, posting=first.posting, start=first.start, amount=used))
        if used < first.amount:
            queue.appendleft(
                Source(
                    kind=first.kind,
                    posting=first.posting,
                    start=first.start + used,
                    amount=first.amount - used,
                )
            )
        amount -= used
    if queue is not None and not queue:
        del queues[place]
    return taken
