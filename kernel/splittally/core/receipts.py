"""What becomes of a hold when a host speaks of it: a dispatch, a receipt, `unknown`, a release, an extension.

Rule 1. Settling and releasing are total: whatever the evidence, the hold ends.
Rule 2. They belong to the intent's own principal or an adapter of its kind; to anybody else the intent is not
        there.
Rule 3. A receipt for a released intent is late: charged once, to the counters it was reserved in. Of a grant
        that is forgotten since, the record has the charge, and no counter has.
Rule 4. A receipt that must be signed and is not is refused before anything else is asked of it, also where it
        is late or a duplicate: it changes nothing (`signatures.py`).
Rule 5. One attempt starts an effect. What it started, it alone may call off; nobody else knows that nothing
        happened.

Example. Two hosts hear that an intent was approved. Both ask to dispatch it: attempt `a` hears `dispatched`,
attempt `b` `already_dispatched`. `a` dies; at the expiry the hold becomes unknown and keeps `a`.
"""

from collections.abc import Iterator

from splittally.core.abi import Fault, read_settle
from splittally.core.caps.check import may_end
from splittally.core.commands import (
    DROPPED,
    MISFIT,
    TOO_LARGE,
    WITHHELD,
    Dispatch,
    Evidence,
    Extend,
    Judged,
    Known,
    Release,
    Settle,
)
from splittally.core.events import Event, HoldChanged, Settled
from splittally.core.findings import Finding, find
from splittally.core.ledger.check import told
from splittally.core.ledger.settle import NO_USAGE, Answer, Ending, charge_leg, crossings, pay_draws
from splittally.core.ledger.state import Hold
from splittally.core.ledger.tick import release_hold
from splittally.core.limits import PAYLOAD_BYTES_MAX
from splittally.core.outcome import HoldReply, SettleReply, Step
from splittally.core.signatures import refusal_of, refuse
from splittally.core.state import State
from splittally.core.types import (
    APPROVAL,
    OPEN,
    RELEASED,
    RUNNING,
    SETTLED,
    STATUS_UNKNOWN,
    TELL,
    UNKNOWN,
    Leg,
)
from splittally.core.visibility import seen_by


def spoken_of(state: State, principal: str, intent_hash: bytes, known: Known | None) -> Hold | Known | None:
    """The hold of an intent, or what is known of it since, if this principal may end it; else None."""
    ended: Hold | Known | None = state.ledger.holds.get(intent_hash)
    if ended is None:
        if known is None or not known.status:
            return None
        ended = known
    return ended if may_end(state.caps, principal, ended.by, ended.kind) else None


def is_charged(ended: Hold | Known, command: Settle) -> bool:
    """Whether a receipt charges an intent: one that is held, or one that was released and has none yet."""
    is_owed = isinstance(ended, Hold) or (ended.status == RELEASED and not ended.late)
    return is_owed and command.status != STATUS_UNKNOWN


def legs_of(ended: Hold | Known) -> tuple[Leg, ...]:
    """The legs that a receipt charges."""
    return ended.legs if isinstance(ended, Hold) else tuple(each.leg for each in ended.legs)


def step_settle(state: State, now_ns: int, principal: str, command: Settle, seen: list[Evidence]) -> Step:
    intent_hash = command.intent_hash
    known = None
    for evidence in seen:
        if type(evidence) is Known:
            known = evidence
    ended = spoken_of(state, principal, intent_hash, known)
    if ended is None:
        return Step([], [SettleReply(intent_hash=intent_hash, status="not_found", usage={}, violations=[])])
    if state.caps.adapters:
        refusal = refusal_of(state.caps, ended.kind, command, seen)
        if refusal is not None:
            return refuse(state, command, ended, refusal)
    if isinstance(ended, Hold) and command.status == STATUS_UNKNOWN:
        return _mark_unknown(state, now_ns, intent_hash, ended)
    if not is_charged(ended, command):
        return Step([], [SettleReply(intent_hash=intent_hash, status="duplicate", usage={}, violations=[])])
    violations = _out_of_order(state, intent_hash, ended)
    return _settle(state, now_ns, principal, command, ended, violations, seen)


def _out_of_order(state: State, intent_hash: bytes, ended: Hold | Known) -> list[Finding]:
    """What a receipt came before, or after, that it should not have."""
    if isinstance(ended, Known):
        return [find("receipt_after_release", cause=ended.cause)] if ended.cause == "cancel" else []
    violations = [find("executed_without_approval")] if ended.phase == APPROVAL else []
    if intent_hash not in state.ledger.started:
        unstarted = [leg.grant for leg in ended.legs if state.caps.grants[leg.grant].dispatch]
        violations += [find("receipt_without_dispatch", grant=grant) for grant in unstarted[:1]]
    return violations


def _mark_unknown(state: State, now_ns: int, intent_hash: bytes, hold: Hold) -> Step:
    reply = SettleReply(intent_hash=intent_hash, status="held", usage={}, violations=[])
    if hold.phase == UNKNOWN:
        return Step([], [reply])  # said before: the time-out counts from the first time
    if hold.phase == APPROVAL:  # still to be answered, and a receipt still shows that nobody had approved
        return Step([HoldChanged(intent_hash, APPROVAL, hold.due_ns)], [reply])
    return Step([unknown_event(state, now_ns, intent_hash, hold)], [reply])


def unknown_event(state: State, now_ns: int, intent_hash: bytes, hold: Hold) -> HoldChanged:
    """That nobody knows what became of an effect: from now on it waits as the nearest grant says."""
    waits = 0
    for leg in hold.legs:
        waits = waits or state.caps.grants[leg.grant].unknown_ns
    return HoldChanged(intent_hash, UNKNOWN, now_ns + waits if waits else 0)


def _settle(
    state: State,
    now_ns: int,
    principal: str,
    command: Settle,
    ended: Hold | Known,
    violations: list[Finding],
    seen: list[Evidence],
) -> Step:
    is_late, legs = isinstance(ended, Known), legs_of(ended)
    judged = iter([evidence for evidence in seen if type(evidence) is Judged])
    answers: list[Answer] = [_settle_answer(leg, command, judged) for leg in legs]
    violations += _of_payload(command)
    books, pairs = state.ledger, zip(legs, answers, strict=True)
    charges = [charge_leg(books, leg, answer, is_late) for leg, answer in pairs]
    postings: list[Event] = []
    if ended.draws:
        ending = Ending(
            intent_hash=command.intent_hash,
            legs=legs,
            draws=tuple(ended.draws),
            answers=answers,
            pays_to=command.pays_to,
            is_late=is_late,
        )
        postings, unpaid = pay_draws(books, ending)
        violations = violations + unpaid
    how = "late" if is_late else "receipt"
    settled = Settled(
        intent_hash=command.intent_hash, how=how, status=command.status, legs=charges, violations=violations
    )
    crossed = crossings(books, legs, charges, is_late, state.soft_limits_of)
    every = violations + [violation for charge in charges for violation in charge.violations]
    reached = [told(event) for event in crossed if event.over == TELL]
    if every or reached:
        stands = next(leg.grant for leg in legs if leg.grant in state.caps.grants)  # the others are forgotten
        chain = state.caps.chain(stands, ended.kind)
        every = [seen_by(state, principal, chain, now_ns, violation) for violation in every]
        reached = [seen_by(state, principal, chain, now_ns, finding) for finding in reached]
    reply = SettleReply(
        intent_hash=command.intent_hash,
        status="late" if is_late else SETTLED,
        usage=charges[0].usage,
        violations=every,
        findings=reached,
    )
    return Step([settled, *postings, *crossed], [reply])


def _of_payload(command: Settle) -> list[Finding]:
    """What is wrong with a payload that does not fit or was dropped."""
    if command.fits in (MISFIT, WITHHELD):
        return [find("receipt_invalid", status=command.status)]
    if command.fits == TOO_LARGE and command.sent:
        size = command.sent_bytes
        return [find("receipt_too_large", field="payload", needed=size, available=PAYLOAD_BYTES_MAX)]
    return []


def _settle_answer(leg: Leg, command: Settle, judged: Iterator[Judged]) -> Answer:
    if not leg.enforcer_ref:
        return NO_USAGE
    if command.fits in DROPPED:
        return Fault("over_limit")
    evidence = next(judged)
    return Fault(evidence.fault) if evidence.fault else read_settle(evidence.answer)


def step_release(state: State, principal: str, command: Release) -> Step:
    hold = state.ledger.holds.get(command.intent_hash)
    if hold is None or not may_end(state.caps, principal, hold.by, hold.kind):
        return Step([], [HoldReply(command.intent_hash, "not_reserved", 0)])
    started = state.ledger.started.get(command.intent_hash)
    if started is not None and started[0] != command.attempt:
        return Step([], [HoldReply(command.intent_hash, "already_dispatched", hold.due_ns)])
    events = release_hold(hold, command.intent_hash, command.cause, command.order)
    return Step(events, [HoldReply(command.intent_hash, RELEASED, 0)])


def step_dispatch(state: State, principal: str, command: Dispatch) -> Step:
    """The first attempt that asks starts the effect of an open hold; all others hear that it was started."""
    digest = command.intent_hash
    hold = state.ledger.holds.get(digest)
    if hold is None or not may_end(state.caps, principal, hold.by, hold.kind):
        return Step([], [HoldReply(digest, "not_reserved", 0)])
    if hold.phase != OPEN:
        status = "not_approved" if hold.phase == APPROVAL else "already_dispatched"
        return Step([], [HoldReply(digest, status, hold.due_ns)])
    event = HoldChanged(digest, RUNNING, hold.due_ns, command.attempt)
    return Step([event], [HoldReply(digest, "dispatched", hold.due_ns)])


def step_extend(state: State, now_ns: int, principal: str, command: Extend) -> Step:
    hold = state.ledger.holds.get(command.intent_hash)
    if hold is None or not may_end(state.caps, principal, hold.by, hold.kind):
        return Step([], [HoldReply(command.intent_hash, "not_reserved", 0)])
    bounds = [state.caps.grants[leg.grant].hold_ns_max for leg in hold.legs]
    latest = min((hold.at_ns + bound for bound in bounds if bound), default=command.expires_ns)
    if hold.phase not in (OPEN, RUNNING) or command.expires_ns <= now_ns or command.expires_ns > latest:
        return Step([], [HoldReply(command.intent_hash, "refused", hold.due_ns)])
    event = HoldChanged(command.intent_hash, hold.phase, command.expires_ns)
    return Step([event], [HoldReply(command.intent_hash, "extended", command.expires_ns)])
