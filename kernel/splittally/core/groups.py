"""Intents that are decided together: all or nothing, or the first that passes.

Rule 1. `all` is one frame. Each member is checked on a fork that holds what those before it did; if one
        is not allowed, all are denied.
Rule 2. `first` takes the first member that passes alone; the reasons of the others stand beside it.
Rule 3. What an earlier member changed may change the question of a later one. Answers are found by the
        hash of their question, and a question without an answer is asked again (`Unanswered`).

Example. Two members of 60 tokens under a limit of 100, mode `all`: the first holds 60 on the fork, so the
second is refused with 40 available, and the frame has two denials: `group_member_refused` names member 1.
"""

from msgspec.structs import replace

from splittally.core.ask import member_questions
from splittally.core.commands import Evidence, Judged, Member
from splittally.core.events import Decided, Event
from splittally.core.evolve import evolve
from splittally.core.findings import Finding, find
from splittally.core.outcome import MemberReply, Reply, Step, Unanswered
from splittally.core.pipeline import IntentDecision, decide_intent, refuse_member
from splittally.core.state import State
from splittally.core.types import ALLOW, DENY, STRICTEST_FIRST


def step_all(state: State, now_ns: int, principal: str, members: list[Member], seen: list[Evidence]) -> Step:
    """One frame for all or nothing: each is checked after those before it."""
    fork = state.fork()
    fork.now_ns = now_ns
    decisions: list[IntentDecision] = []
    for at, member in enumerate(members):
        own = _evidence_of(fork, now_ns, member, seen)
        decision = decide_intent(fork, now_ns, principal, member, at, own)
        decisions.append(decision)
        if decision.outcome != ALLOW:
            return _refuse_all(state, principal, members, at, decision)
        for event in decision.events:
            evolve(fork, event, principal, at)
    return _together(members, decisions)


def _refuse_all(
    state: State, principal: str, members: list[Member], at: int, decision: IntentDecision
) -> Step:
    """All denied. Who does not hold a member's grant uses up no key of its holder's: the denial says so."""
    refused = find(
        "group_member_refused", member=at, intent_hash=members[at].intent_hash, outcome=decision.outcome
    )
    own = refuse_member(state, members[at], [*decision.findings, refused])
    decisions = [
        own if other == at else refuse_member(state, x, [*_foreign(state, principal, x), refused])
        for other, x in enumerate(members)
    ]
    return _together(members, decisions)


def _foreign(state: State, principal: str, member: Member) -> list[Finding]:
    """That somebody else holds the grant of a member; empty for one's own."""
    if state.caps.grants[member.grant].holder == principal:
        return []
    return [find("not_holder", grant=member.grant, principal=principal)]


def _together(members: list[Member], decisions: list[IntentDecision]) -> Step:
    events = [event for decision in decisions for event in decision.events]
    replies: list[Reply] = [
        MemberReply(intent_hash=member.intent_hash, outcome=x.outcome, findings=x.findings, reserve=x.reserve)
        for member, x in zip(members, decisions, strict=True)
    ]
    return Step(events, replies)


def step_first(
    state: State, now_ns: int, principal: str, members: list[Member], seen: list[Evidence]
) -> Step:
    """The first member that passes alone wins; the others' reasons stand beside it.

    Where none is allowed the mildest refusal is the answer: the last of `STRICTEST_FIRST`.
    """
    decisions: list[IntentDecision] = []
    for at, member in enumerate(members):
        own = _evidence_of(state, now_ns, member, seen)
        decisions.append(decide_intent(state, now_ns, principal, member, at, own))
        if decisions[-1].outcome == ALLOW:
            break
    ranks = [STRICTEST_FIRST.index(decision.outcome) for decision in decisions]
    best = ranks.index(max(ranks))
    winner, digest = decisions[best], members[best].intent_hash
    findings = [*winner.findings]
    findings += [finding for at, x in enumerate(decisions) if at != best for finding in x.findings]
    if winner.outcome == DENY:
        events: list[Event] = [event for decision in decisions for event in decision.events]
        return Step(events, [MemberReply(intent_hash=digest, outcome=DENY, findings=findings, reserve={})])
    decided, *rest = winner.events
    assert isinstance(decided, Decided)
    reply = MemberReply(intent_hash=digest, outcome=winner.outcome, findings=findings, reserve=winner.reserve)
    return Step([replace(decided, findings=findings), *rest], [reply])


def _evidence_of(state: State, now_ns: int, member: Member, seen: list[Evidence]) -> list[Evidence]:
    """The evidence of one member, the answers to its questions as they stand now in their order.

    `Unanswered` where one is missing.
    """
    by_question = {evidence.question: evidence for evidence in seen if isinstance(evidence, Judged)}
    questions = member_questions(state.caps, now_ns, member)
    missing = [question for question in questions if question.hash not in by_question]
    if missing:
        raise Unanswered(missing)
    others = [evidence for evidence in seen if not isinstance(evidence, Judged)]
    return others + [by_question[question.hash] for question in questions]
