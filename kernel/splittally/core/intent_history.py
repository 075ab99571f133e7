"""What the frames that name an intent say of it, put together.

Rule 1. A pure fold over the frames in order; the runtime finds them by the index and verifies them.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from msgspec.structs import replace

from splittally.core.asks import ANYBODY, Ask
from splittally.core.budget.evolve import DONE
from splittally.core.commands import Known, KnownLeg, Member, Paid, Submit
from splittally.core.events import (
    Decided,
    Event,
    Held,
    HoldChanged,
    Noted,
    Posted,
    Refunded,
    Released,
    RuleFired,
    Settled,
)
from splittally.core.findings import has_code
from splittally.core.frames import Body
from splittally.core.native.approvals import APPROVE, REJECT
from splittally.core.types import (
    APPROVAL,
    DENY,
    FINAL,
    OPEN,
    OVERDRAFT,
    REFUSED_RECEIPT,
    RELEASED,
    RESERVED,
    SETTLED,
    Draw,
    Leg,
)


class Answered(NamedTuple):
    """An answer to an intent that waited: by whom, when, in which frame, and to which reasons, if several."""

    seq: int
    at_ns: int
    by: str
    answer: str
    reasons: list[str]


class Trace(NamedTuple):
    """An intent's life: its decision, its hold, and everything that ended or changed it."""

    seq: int
    at_ns: int
    by: str
    member: Member
    decided: Decided
    held: Held | None
    changes: list[tuple[int, HoldChanged]]
    endings: list[tuple[int, Settled | Released]]
    refunds: list[tuple[int, Refunded]]
    postings: list[tuple[int, Posted]]
    answers: list[Answered]
    refusals: list[tuple[int, Noted]]

    @property
    def is_final(self) -> bool:
        """Whether the same hash again gets this answer."""
        return self.decided.outcome in FINAL and not is_foreign(self.decided)

    @property
    def status(self) -> str:
        """reserved, settled or released; empty where nothing was ever held."""
        status = RESERVED if self.held is not None else ""
        for _, ending in self.endings:
            if isinstance(ending, Released):
                status = RELEASED
            elif ending.how != "late":
                status = SETTLED
        return status

    @property
    def phase(self) -> str:
        """The phase of a hold that is open: open, approval, running or unknown; empty otherwise."""
        if self.status != RESERVED or self.held is None:
            return ""
        return self.changes[-1][1].phase if self.changes else self.held.phase

    @property
    def waits_for(self) -> list[Ask]:
        """The reasons for which a hold waits, with those who have approved; empty where it does not wait."""
        if self.phase != APPROVAL:
            return []
        asks = next((event.asks for _, event in self.changes if event.asks), [ANYBODY])
        return [
            replace(ask, by=[answer.by for answer in self.answers if ask.reason in answer.reasons])
            for ask in asks
        ]

    @property
    def reserve(self) -> dict[str, int]:
        """What the leaf's leg reserved."""
        if self.held is not None:
            return self.held.legs[0].reserve
        own = next((x for _, x in self.endings if isinstance(x, Settled) and x.how == "native"), None)
        return own.legs[0].usage if own is not None and own.legs else {}

    @property
    def settled(self) -> Settled | None:
        """The record that charged usage, in time or late: the last, after what a native effect costs."""
        return next((ending for _, ending in reversed(self.endings) if isinstance(ending, Settled)), None)


def is_foreign(decided: Decided) -> bool:
    """Whether somebody asked who does not hold the grant: no answer to its holder, and no use of its key."""
    return decided.outcome == DENY and any(has_code(x, "not_holder") for x in decided.findings)


def own_members(body: Body) -> list[Member]:
    """The intents of a Submit that were asked by who holds their grants."""
    assert isinstance(body.command, Submit)
    foreign = {event.intent_hash for event in body.out if type(event) is Decided and is_foreign(event)}
    return [member for member in body.command.members if member.intent_hash not in foreign]


def own_events(events: Iterable[Event]) -> Iterator[Event]:
    """Events without what a rule moves because of an intent, and without what an overdraft gives for it."""
    is_by_rule = is_given = False
    for event in events:
        if type(event) is not Posted:
            is_by_rule = type(event) is RuleFired and event.status == DONE
            is_given = type(event) is Noted and event.subject == OVERDRAFT and event.facts["amount"] > 0
        elif is_by_rule or is_given:
            is_given = False
            continue
        yield event


def trace(intent_hash: bytes, bodies: Iterable[tuple[int, Body]]) -> Trace | None:
    """The life of an intent from the frames that name it, oldest first; None when none decides it.

    A decision that is not final gives way to the next. What a rule moves because of an intent is the rule's.
    """
    found: Trace | None = None
    for seq, body in bodies:
        for event in own_events(body.out):
            if getattr(event, "intent_hash", None) != intent_hash:
                continue
            match event:
                case Decided():
                    member = _member(body, intent_hash)
                    if member is not None and (found is None or not (found.is_final or is_foreign(event))):
                        found = Trace(
                            seq=seq,
                            at_ns=body.at_ns,
                            by=body.by,
                            member=member,
                            decided=event,
                            held=None,
                            changes=[],
                            endings=[],
                            refunds=[],
                            postings=[],
                            answers=[],
                            refusals=[],
                        )
                case Held() if found is not None:
                    found = found._replace(held=event)
                case HoldChanged() if found is not None:
                    if event.answers or (found.phase, event.phase) == (APPROVAL, OPEN):
                        found.answers.append(Answered(seq, body.at_ns, body.by, APPROVE, event.answers))
                    found.changes.append((seq, event))
                case Settled() | Released() if found is not None:
                    if isinstance(event, Released) and event.cause == "rejected":
                        answer = APPROVE if event.findings else REJECT  # what was approved could not be done
                        found.answers.append(Answered(seq, body.at_ns, body.by, answer, []))
                    found.endings.append((seq, event))
                case Refunded() if found is not None:
                    found.refunds.append((seq, event))
                case Noted(subject=subject) if found is not None and subject == REFUSED_RECEIPT:
                    found.refusals.append((seq, event))
                case Posted() if found is not None:
                    found.postings.append((seq, event))
    return found


def known_of(found: Trace) -> Known:
    """The evidence that a command on an ended intent rests on."""
    settled, held = found.settled, found.held
    released = next((ending for _, ending in found.endings if isinstance(ending, Released)), None)
    draws = _as_paid(found, held.draws if held is not None else _recorded_draws(found))
    legs = []
    for at, leg in enumerate(_legs(found)):
        charge = settled.legs[at] if settled is not None else None
        refunded: dict[str, int] = {}
        for _, refund in found.refunds:
            for dim, amount in refund.legs[at].amounts.items():
                refunded[dim] = refunded.get(dim, 0) + amount
        legs.append(
            KnownLeg(
                leg=leg,
                charged=charge.charged if charge is not None else {},
                refunded=refunded,
                uncounted=charge.uncounted if charge is not None else [],
            )
        )
    return Known(
        intent_hash=found.decided.intent_hash,
        seq=found.seq,
        outcome=found.decided.outcome,
        by=found.by,
        kind=found.member.kind,
        status=found.status,
        cause=released.cause if released is not None else "",
        late=released is not None and settled is not None,
        ended_seq=found.endings[-1][0] if found.endings else -1,
        legs=legs,
        draws=draws,
        paid=_paid(found, draws),
        refused=[noted.facts["code"] for _, noted in found.refusals],
    )


def _legs(found: Trace) -> list[Leg]:
    """The legs as they were held; of a native effect, which is never held, as they were charged."""
    if found.held is not None:
        return found.held.legs
    return [
        Leg(
            grant=x.grant,
            grant_hash=x.grant_hash,
            terms_hash=x.terms_hash,
            enforcer_ref=x.enforcer_ref,
            cap="",
            params=b"",
            reserve=x.usage,
            windows=x.windows,
            above="charge",
        )
        for x in (found.settled.legs if found.settled is not None else [])
    ]


def _recorded_draws(found: Trace) -> list[Draw]:
    """The accounts that paid for spend which was booked without a hold; its postings say it."""
    settled = found.settled
    if settled is None or settled.how != "recorded":
        return []
    legs = {charge.grant: at for at, charge in enumerate(settled.legs)}
    return [
        Draw(
            resource=posting.resource,
            account=posting.debit,
            amount=posting.amount,
            leg=legs[posting.grant],
            pays_to=[posting.credit],
            doubt="payer",
        )
        for seq, posting in found.postings
        if seq == found.seq
    ]


# What an account paid late may be less than it had reserved, so a refund asks the postings.
def _as_paid(found: Trace, draws: list[Draw]) -> list[Draw]:
    """The draws; of a resource that several accounts paid, with what each has paid, refunds taken off."""
    resources = [draw.resource for draw in draws]
    if found.settled is None or len(resources) == len(set(resources)):
        return draws
    net: dict[tuple[str, str], int] = {}
    for _, posting in found.postings:
        for account, amount in ((posting.debit, posting.amount), (posting.credit, -posting.amount)):
            key = (account, posting.resource)
            net[key] = net.get(key, 0) + amount
    return [
        replace(draw, amount=max(0, net.get((draw.account, draw.resource), 0)))
        if resources.count(draw.resource) > 1
        else draw
        for draw in draws
    ]


def _paid(found: Trace, draws: list[Draw]) -> list[Paid]:
    """What each payee still has of what this intent paid, refunds taken off.

    Who pays one resource may be paid another; who is paid what it paid itself has nothing to give back.
    """
    payers = {(draw.account, draw.resource) for draw in draws}
    left: dict[tuple[str, str], int] = {}
    for _, posting in found.postings:
        credit, debit = (posting.credit, posting.resource), (posting.debit, posting.resource)
        if posting.credit and credit not in payers:
            left[credit] = left.get(credit, 0) + posting.amount
        elif posting.debit and debit not in payers:
            left[debit] = left.get(debit, 0) - posting.amount
    return [Paid(payee, resource, amount) for (payee, resource), amount in sorted(left.items()) if amount]


def _member(body: Body, intent_hash: bytes) -> Member | None:
    if not isinstance(body.command, Submit):
        return None
    return next((x for x in body.command.members if x.intent_hash == intent_hash), None)
