"""State plus command plus evidence gives events: the pure step of the kernel.

Rule 1. Nothing is due when a command other than Tick is decided; the runtime ticks first.
Rule 2. No events means no record: the answer is given without one and can be asked for again.
Rule 3. Settling and releasing are total: whatever the evidence, the hold ends.
"""

from collections.abc import Iterator
from typing import assert_never

from msgspec import Struct

from splittally.core.ask import member_questions
from splittally.core.caps.check import may_end
from splittally.core.caps.grants import GrantTerms, build_grant
from splittally.core.commands import (
    DROPPED,
    MISFIT,
    WITHHELD,
    Admitted,
    Command,
    Evidence,
    Extend,
    Judged,
    Known,
    Member,
    Open,
    Release,
    Settle,
    Submit,
    Tick,
)
from splittally.core.decision import Judgement, judge_member, refuse_member
from splittally.core.due import due_events
from splittally.core.events import Decided, Event, GrantSet, HoldChanged, Opened, Posted, Settled
from splittally.core.evolve import evolve
from splittally.core.findings import Finding, find
from splittally.core.ledger.settle import NO_USAGE, Answer, Ending, charge_leg, exhaustions, pay_draws
from splittally.core.ledger.state import Hold
from splittally.core.ledger.tick import release_hold
from splittally.core.native import NATIVE, NativeCall
from splittally.core.native.manifest import read_manifest, release_events
from splittally.core.native.plans import deposit_events
from splittally.core.questions import Question
from splittally.core.state import State
from splittally.core.types import (
    ALLOW,
    APPROVAL,
    CAP_ALL,
    DENY,
    OPEN,
    RELEASED,
    ROOT,
    SETTLED,
    STATUS_UNKNOWN,
    STRICTEST_FIRST,
    UNKNOWN,
    Leg,
)
from splittally.core.verdict import Fault, read_settle


class MemberReply(Struct, frozen=True, gc=False):
    """How one intent was decided."""

    intent_hash: bytes
    outcome: str
    findings: list[Finding]
    reserve: dict[str, int]


class SettleReply(Struct, frozen=True, gc=False):
    """What became of a receipt: settled, held, late, duplicate or not_found."""

    intent_hash: bytes
    status: str
    usage: dict[str, int]
    violations: list[Finding]


class HoldReply(Struct, frozen=True, gc=False):
    """What became of a hold: released, extended, duplicate, not_reserved or refused."""

    intent_hash: bytes
    status: str
    due_ns: int


class Step(Struct, frozen=True, gc=False):
    """The events to record and the replies to give, one for each intent of a Submit."""

    events: list[Event]
    replies: list[MemberReply | SettleReply | HoldReply]


class Unanswered(Exception):
    """A question that an earlier member of the group changed and that must be asked again."""

    def __init__(self, questions: list[Question]) -> None:
        super().__init__("a question must be asked again")
        self.questions = questions


def step(state: State, now_ns: int, by: str, command: Command, seen: list[Evidence]) -> Step:
    """Decide `command` for principal `by` at logical time `now_ns` on the evidence `seen`."""
    assert now_ns >= state.now_ns
    if isinstance(command, Tick):
        return Step(due_events(state, now_ns, command.items), [])
    due = state.ledger.next_due()
    assert due is None or due.due_ns > now_ns
    match command:
        case Submit(mode="each"):
            return _step_each(state, now_ns, by, command.members[0], seen)
        case Settle():
            return _step_settle(state, now_ns, by, command, seen)
        case Submit(mode="all"):
            return _step_all(state, now_ns, by, command.members, seen)
        case Submit():
            return _step_first(state, now_ns, by, command.members, seen)
        case Release():
            return _step_release(state, by, command)
        case Extend():
            return _step_extend(state, now_ns, by, command)
        case Open():
            return _step_open(state, command)
        case _:
            assert_never(command)


def _step_each(state: State, now_ns: int, by: str, member: Member, seen: list[Evidence]) -> Step:
    call = _native_call(now_ns, by, member, seen)
    answers = (evidence for evidence in seen if isinstance(evidence, Judged))
    judged = judge_member(state, call, member, 0, answers)
    if judged.outcome == ALLOW and member.kind == "manifest.apply" and len(judged.events) == 1:
        return Step([], [_reply(member, judged)])  # an unchanged manifest writes nothing
    return Step(judged.events, [_reply(member, judged)])


def _native_call(now_ns: int, by: str, member: Member, seen: list[Evidence]) -> NativeCall:
    if member.kind not in NATIVE:
        return NativeCall(now_ns, by, member.grant, member.intent_hash, None, {})
    known = next((evidence for evidence in seen if isinstance(evidence, Known)), None)
    admitted = {evidence.module: evidence.failed for evidence in seen if isinstance(evidence, Admitted)}
    return NativeCall(now_ns, by, member.grant, member.intent_hash, known, admitted)


def _reply(member: Member, judged: Judgement) -> MemberReply:
    return MemberReply(member.intent_hash, judged.outcome, judged.findings, judged.reserve)


def _keyed_answers(state: State, now_ns: int, member: Member, seen: list[Evidence]) -> Iterator[Judged]:
    """The answers to a member's questions as they stand now; `Unanswered` where one is missing."""
    by_question = {evidence.question: evidence for evidence in seen if isinstance(evidence, Judged)}
    questions = member_questions(state.caps, now_ns, member)
    missing = [question for question in questions if question.hash not in by_question]
    if missing:
        raise Unanswered(missing)
    return iter([by_question[question.hash] for question in questions])


def _step_all(state: State, now_ns: int, by: str, members: list[Member], seen: list[Evidence]) -> Step:
    """One frame for all or nothing: each is checked after those before it."""
    fork = state.fork()
    fork.now_ns = now_ns
    judgements: list[Judgement] = []
    for at, member in enumerate(members):
        call = _native_call(now_ns, by, member, seen)
        judged = judge_member(fork, call, member, at, _keyed_answers(fork, now_ns, member, seen))
        judgements.append(judged)
        if judged.outcome != ALLOW:
            return _refuse_all(state, members, at, judged)
        for event in judged.events:
            evolve(fork, event, by, at)
    events = [event for judged in judgements for event in judged.events]
    return Step(events, [_reply(*pair) for pair in zip(members, judgements, strict=True)])


def _refuse_all(state: State, members: list[Member], at: int, judged: Judgement) -> Step:
    refused = find(
        "group_member_refused", member=at, intent_hash=members[at].intent_hash, outcome=judged.outcome
    )
    own = refuse_member(state, members[at], [*judged.findings, refused])
    judgements = [
        own if other == at else refuse_member(state, x, [refused]) for other, x in enumerate(members)
    ]
    events = [event for judgement in judgements for event in judgement.events]
    return Step(events, [_reply(*pair) for pair in zip(members, judgements, strict=True)])


def _step_first(state: State, now_ns: int, by: str, members: list[Member], seen: list[Evidence]) -> Step:
    """The first member that passes alone wins; the others' reasons stand beside it."""
    judgements: list[Judgement] = []
    for at, member in enumerate(members):
        call = _native_call(now_ns, by, member, seen)
        judgements.append(judge_member(state, call, member, at, _keyed_answers(state, now_ns, member, seen)))
        if judgements[-1].outcome == ALLOW:
            break
    ranks = [STRICTEST_FIRST.index(judged.outcome) for judged in judgements]
    best = ranks.index(max(ranks))
    others = [finding for at, judged in enumerate(judgements) if at != best for finding in judged.findings]
    winner = judgements[best]
    findings = [*winner.findings, *others]
    if winner.outcome == DENY:
        events = [event for judged in judgements for event in judged.events]
        return Step(events, [MemberReply(members[best].intent_hash, DENY, findings, {})])
    decided, *rest = winner.events
    assert isinstance(decided, Decided)
    told = Decided(
        decided.intent_hash,
        decided.outcome,
        findings,
        decided.authority,
        decided.policy,
        decided.rule,
        decided.counted,
    )
    reply = MemberReply(decided.intent_hash, winner.outcome, findings, winner.reserve)
    return Step([told, *rest], [reply])


def _step_settle(state: State, now_ns: int, by: str, command: Settle, seen: list[Evidence]) -> Step:
    intent_hash = command.intent_hash
    hold = state.ledger.holds.get(intent_hash)
    known = next((evidence for evidence in seen if isinstance(evidence, Known)), None)
    if hold is not None and may_end(state.caps, by, hold.by, hold.kind):
        if command.status == STATUS_UNKNOWN:
            return _mark_unknown(state, now_ns, intent_hash, hold)
        violations = []
        if hold.phase == APPROVAL:
            violations.append(find("executed_without_approval"))
        return _settle(state, now_ns, command, hold.legs, hold, violations, seen)
    if (
        hold is not None
        or known is None
        or not known.status
        or not may_end(state.caps, by, known.by, known.kind)
    ):
        return Step([], [SettleReply(intent_hash, "not_found", {}, [])])
    if known.status == SETTLED or known.late or command.status == STATUS_UNKNOWN:
        return Step([], [SettleReply(intent_hash, "duplicate", {}, [])])
    assert known.status == RELEASED
    violations = [find("receipt_after_release", cause=known.cause)] if known.cause == "cancel" else []
    legs = tuple(ended.leg for ended in known.legs)
    return _settle(state, now_ns, command, legs, known, violations, seen)


def _mark_unknown(state: State, now_ns: int, intent_hash: bytes, hold: Hold) -> Step:
    waits = 0
    for leg in hold.legs:
        waits = waits or state.caps.grants[leg.grant].unknown_ns
    due_ns = now_ns + waits if waits else 0
    reply = SettleReply(intent_hash, "held", {}, [])
    if hold.phase == UNKNOWN:
        return Step([], [reply])  # said before: the time-out counts from the first time
    if hold.phase == APPROVAL:  # still to be answered, and a receipt still shows that nobody had approved
        return Step([HoldChanged(intent_hash, APPROVAL, hold.due_ns)], [reply])
    return Step([HoldChanged(intent_hash, UNKNOWN, due_ns)], [reply])


def _settle(
    state: State,
    now_ns: int,
    command: Settle,
    legs: tuple[Leg, ...],
    ended: Hold | Known,
    violations: list[Finding],
    seen: list[Evidence],
) -> Step:
    is_late = isinstance(ended, Known)
    judged = (evidence for evidence in seen if isinstance(evidence, Judged))
    answers: list[Answer] = [_settle_answer(leg, command, judged) for leg in legs]
    if command.fits in (MISFIT, WITHHELD):
        violations.append(find("receipt_invalid", status=command.status))
    books, pairs = state.ledger, zip(legs, answers, strict=True)
    charges = [charge_leg(books, leg, answer, is_late) for leg, answer in pairs]
    ending = Ending(command.intent_hash, legs, tuple(ended.draws), answers, command.pays_to, is_late)
    postings, unpaid = pay_draws(books, ending)
    violations = [*violations, *unpaid]
    how = "late" if is_late else "receipt"
    settled = Settled(command.intent_hash, how, command.status, charges, violations)
    crossed = exhaustions(books, legs, charges, is_late)
    every = [*violations, *(violation for charge in charges for violation in charge.violations)]
    reply = SettleReply(command.intent_hash, "late" if is_late else SETTLED, charges[0].usage, every)
    income = [
        x for x in postings if isinstance(x, Posted) and x.credit not in {y.account for y in ended.draws}
    ]
    return Step([settled, *postings, *crossed, *deposit_events(state, income, now_ns)], [reply])


def _settle_answer(leg: Leg, command: Settle, judged: Iterator[Judged]) -> Answer:
    if not leg.enforcer_ref:
        return NO_USAGE
    if command.fits in DROPPED:
        return Fault("over_limit")
    evidence = next(judged)
    return Fault(evidence.fault) if evidence.fault else read_settle(evidence.answer)


def _step_release(state: State, by: str, command: Release) -> Step:
    hold = state.ledger.holds.get(command.intent_hash)
    if hold is None or not may_end(state.caps, by, hold.by, hold.kind):
        return Step([], [HoldReply(command.intent_hash, "not_reserved", 0)])
    events = release_hold(hold, command.intent_hash, command.cause, command.order)
    return Step(events, [HoldReply(command.intent_hash, RELEASED, 0)])


def _step_extend(state: State, now_ns: int, by: str, command: Extend) -> Step:
    hold = state.ledger.holds.get(command.intent_hash)
    if hold is None or not may_end(state.caps, by, hold.by, hold.kind):
        return Step([], [HoldReply(command.intent_hash, "not_reserved", 0)])
    bounds = [state.caps.grants[leg.grant].hold_ns_max for leg in hold.legs]
    latest = min((hold.at_ns + bound for bound in bounds if bound), default=command.expires_ns)
    if hold.phase != OPEN or command.expires_ns <= now_ns or command.expires_ns > latest:
        return Step([], [HoldReply(command.intent_hash, "refused", hold.due_ns)])
    event = HoldChanged(command.intent_hash, OPEN, command.expires_ns)
    return Step([event], [HoldReply(command.intent_hash, "extended", command.expires_ns)])


def _step_open(state: State, command: Open) -> Step:
    events: list[Event] = [Opened(command.world, command.clock, command.format, command.engine)]
    if command.release:
        events += release_events(state, read_manifest(command.release))
    if ROOT not in state.caps.grants:
        events.append(GrantSet(build_grant(ROOT, GrantTerms(cap=CAP_ALL, parent=""), "release")))
    return Step(events, [])
