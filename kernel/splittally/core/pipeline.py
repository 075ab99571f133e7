"""The stages of a decision: a table, and the loop that goes through it.

Rule 1. Everything is checked before anything is made; a refusal leaves the ledger untouched.
Rule 2. The stage that stops an intent reports all of its findings and no later stage is asked.
Rule 3. Where stages that let it pass disagree, the strictest outcome stands.
Rule 4. Figures that the principal may not see are hidden before anything is recorded (`visibility.py`).
Rule 5. The record is one: decision, hold, postings and counters stand in the same frame.

Stages 1 and 2, seal and known, come before a command is decided (`runtime/pipeline.py`). The others:

    3 caps      every grant of the chain exists, is live, covers the kind and what it touches
    4 enforcer  what may it cost at most? One answer for each leg
    5 ledger    every limit of every leg, every account drawn on with what its overdraft gives, what a native
                effect reaches and finds wrong
    6 plan      the plans of the budgets whose accounts are debited still hold
    7 policy    the first rule that matches
    8 governor  should it happen now?
"""

from collections.abc import Callable
from typing import NamedTuple

from msgspec import Struct

from splittally.core.abi import CheckVerdict, Fault, read_check
from splittally.core.asks import Ask
from splittally.core.candidate import PASSED, Candidate, StageResult
from splittally.core.canonical import decode
from splittally.core.caps.check import check_chain, check_lists
from splittally.core.caps.state import Chain
from splittally.core.commands import Admitted, Evidence, Judged, Known, Member
from splittally.core.events import Decided, Event, Noted
from splittally.core.findings import Finding, advising, find, shown_facts
from splittally.core.governing import governed
from splittally.core.governor.check import UNGOVERNED
from splittally.core.governor.state import GOVERNOR
from splittally.core.ledger.check import check_accounts
from splittally.core.native import NATIVE, NativeCall
from splittally.core.native.authority import check_authority
from splittally.core.native.overdraft import give
from splittally.core.native.standing import NO_CHAIN, plan_findings
from splittally.core.policy import NO_STAGE, PolicyInput, check_policy
from splittally.core.reasons import RETRY_AFTER, TOP_UP
from splittally.core.reservation import (
    hold_events,
    native_charge_events,
    plan_reservation,
)
from splittally.core.state import State
from splittally.core.types import ADMITTED, ALLOW, DENY, REQUIRE_APPROVAL, ROOT, strictest
from splittally.core.visibility import seen_by


class IntentDecision(Struct, frozen=True, gc=False):
    """How one intent was decided and what committing it records."""

    outcome: str
    findings: list[Finding]
    reserve: dict[str, int]
    events: list[Event]


def decide_intent(
    state: State, now_ns: int, principal: str, member: Member, at: int, seen: list[Evidence]
) -> IntentDecision:
    """Decide one intent, the member at place `at` of its command, on its own evidence."""
    case = Candidate(
        state=state,
        now_ns=now_ns,
        principal=principal,
        member=member,
        chain=state.caps.chain(member.grant, member.kind),
        seen=seen,
    )
    if member.kind in NATIVE:
        case.native = NATIVE[member.kind]
        case.call = _native_call(case)
        case.params = case.native.read(member.params)
    outcome = ALLOW
    findings: list[Finding] = []
    admitted: list[Event] = []
    always: list[Event] = []
    for stage in STAGES:
        said = stage.check(case)
        if said is PASSED:
            continue
        outcome = strictest([outcome, said.outcome])
        if said.findings:
            findings += [seen_by(state, principal, case.chain, now_ns, finding) for finding in said.findings]
        admitted = said.admitted + admitted  # what policy counts stands before what limits do: released order
        always += said.always
        case.asks += said.asks
        if outcome == REQUIRE_APPROVAL and case.native is not None:
            outcome = DENY  # a native effect is finished in its own record: nothing of it can wait
        if outcome not in ADMITTED:
            return _refuse(case, outcome, findings, always)
    # Nothing below can fail.
    if case.native is not None and case.call is not None and case.native.tell is not None:
        told = case.native.tell(state, case.call, case.params)
        findings += [seen_by(state, principal, case.chain, now_ns, finding) for finding in told]
    return _admit(case, outcome, findings, [*admitted, *_effects(case, at, outcome), *always])


def _native_call(case: Candidate) -> NativeCall:
    """Who asks for a native effect, and what the evidence says that it needs."""
    return NativeCall(
        now_ns=case.now_ns,
        principal=case.principal,
        grant=case.member.grant,
        intent_hash=case.member.intent_hash,
        known=next((evidence for evidence in case.seen if type(evidence) is Known), None),
        admitted={each.module: each.failed for each in case.seen if type(each) is Admitted},
        labels=case.member.labels,
    )


def refuse_member(state: State, member: Member, findings: list[Finding]) -> IntentDecision:
    """A denial for a reason that lies outside the intent: its group."""
    chain = state.caps.chain(member.grant, member.kind)
    return _denied(chain, member, DENY, findings, NO_STAGE, state.policy_hash)


def _refuse(case: Candidate, outcome: str, findings: list[Finding], always: list[Event]) -> IntentDecision:
    said = _denied(case.chain, case.member, outcome, findings, case.rule, case.state.policy_hash)
    said.events.extend(always)
    return said


def _denied(
    chain: Chain, member: Member, outcome: str, findings: list[Finding], rule: int, policy: bytes
) -> IntentDecision:
    decided = Decided(
        intent_hash=member.intent_hash,
        outcome=outcome,
        findings=findings,
        authority=[link.authority for link in chain.links],
        policy=policy,
        rule=rule,
        counted=[],
    )
    return IntentDecision(outcome=outcome, findings=findings, reserve={}, events=[decided])


def _admit(case: Candidate, outcome: str, findings: list[Finding], events: list[Event]) -> IntentDecision:
    decided = Decided(
        intent_hash=case.member.intent_hash,
        outcome=outcome,
        findings=findings,
        authority=[link.authority for link in case.chain.links] if case.native is not None else [],
        policy=case.state.policy_hash,
        rule=case.rule,
        counted=case.counted,
    )
    return IntentDecision(
        outcome=outcome, findings=findings, reserve=case.estimates[0], events=[decided, *events]
    )


def _effects(case: Candidate, at: int, outcome: str) -> list[Event]:
    """What an admitted intent does: it is held, or a native effect is finished at once."""
    given, planned = case.given.events, case.reservation
    if case.native is None:
        held = hold_events(case.now_ns, case.chain, case.member, at, outcome, planned, case.asks)
        return given + held if given else held
    assert case.call is not None
    charged = native_charge_events(case.state.ledger, case.member, planned)
    return given + charged + case.native.make(case.state, case.call, case.params)


# --- the stages -------------------------------------------------------------------------------------


def _check_caps(case: Candidate) -> StageResult:
    member, now_ns = case.member, case.now_ns
    findings: list[Finding] = []
    if not case.chain.is_live(case.principal, now_ns):
        findings = check_chain(case.state.caps, case.chain, case.principal, member.kind, now_ns)
    if member.expires_ns and now_ns >= member.expires_ns:
        findings.append(find("already_expired", expires_ns=member.expires_ns))
    if case.native is not None and case.call is not None and not findings and member.grant != ROOT:
        touched = case.native.touches(case.state, case.call, case.params)
        findings = check_lists(case.chain, touched.accounts + touched.payees, touched.resources)
    return StageResult(DENY, findings) if findings else PASSED


def _check_enforcers(case: Candidate) -> StageResult:
    findings: list[Finding] = []
    estimates = case.estimates = []
    answers = iter([evidence for evidence in case.seen if type(evidence) is Judged])
    for link in case.chain.links:
        if link.template is None:
            estimates.append({})
            continue
        judged = next(answers)
        verdict: CheckVerdict | Fault = Fault(judged.fault) if judged.fault else read_check(judged.answer)
        if isinstance(verdict, Fault):
            findings.append(find("enforcer_fault", grant=link.grant.name, fault=verdict.cls))
        elif verdict.deny_code:
            facts = {"grant": link.grant.name, "message": verdict.deny_message, "next": "replan"}
            findings.append(Finding("enforcer", verdict.deny_code, facts))
        else:
            estimates.append(verdict.reserve)
    return StageResult(DENY, findings) if findings else PASSED


def _check_ledger(case: Candidate) -> StageResult:
    state = case.state
    planned = plan_reservation(state, case.now_ns, case.principal, case.chain, case.member, case.estimates)
    case.reservation = planned
    if state.plans.budgets:
        given = case.given = give(state, case.now_ns, case.member.intent_hash, case.moves, planned.legs)
        state = case.state = given.state or state
    shortfalls = check_accounts(state.ledger, planned.draws) if planned.draws else []
    shortfalls = shortfalls + case.given.findings if case.given.findings else shortfalls
    if case.native is not None and case.call is not None:
        beyond = check_authority(state, case.call, case.native.touches(state, case.call, case.params))
        shortfalls = shortfalls + (beyond or case.native.check(state, case.call, case.params))
    shortfalls = shortfalls + planned.payee_findings if planned.payee_findings else shortfalls
    if not (shortfalls or planned.limit_checks):
        return PASSED
    checks = planned.limit_checks
    findings = [finding for checked in checks for finding in checked.findings]
    events: list[Event] = [event for checked in checks for event in checked.events]
    asks = [Ask(reason, [], 1) for checked in checks for reason in checked.asks]
    outcome = DENY if shortfalls else strictest([said for checked in checks for said in checked.outcomes])
    if outcome == DENY:  # what waiting would help with is denied for another reason
        findings = [advising(x, TOP_UP) if x.facts.get("next") == RETRY_AFTER else x for x in findings]
    return StageResult(outcome, findings + shortfalls, events, asks=asks)


def _check_plans(case: Candidate) -> StageResult:
    state = case.state
    if not state.plans.budgets or case.is_above_rules:
        return PASSED
    chain = [link.grant for link in case.chain.links] if case.native is None else NO_CHAIN
    findings = plan_findings(state, case.moves, case.now_ns, chain)
    return StageResult(DENY, findings) if findings else PASSED


def _check_policy(case: Candidate) -> StageResult:
    state, member = case.state, case.member
    if not state.caps.rules or case.is_above_rules:
        return PASSED
    said = check_policy(
        state,
        PolicyInput(
            effect_kind=member.kind,
            cap_name=member.grant,
            cap_type=case.chain.links[0].cap.cap_type,
            origin_kind=member.origin_kind,
            origin_name=member.origin_name,
            principal=case.principal,
            params=decode(member.params) if any(rule.when for rule in state.rules) else {},
            labels=member.labels,
            reserve=case.estimates[0],
            now_ns=case.now_ns,
        ),
        member,
    )
    case.rule, case.counted = said.rule, said.counted
    return StageResult(said.outcome, said.findings, said.events, asks=said.asks)


def _check_governor(case: Candidate) -> StageResult:
    state, member = case.state, case.member
    if not state.governed.governor or case.is_above_rules:
        return PASSED
    said = governed(state, case.now_ns, member, case.estimates[0])
    if said is UNGOVERNED:
        return PASSED
    noted: list[Event] = [Noted(member.intent_hash, GOVERNOR, shown_facts(said.facts))]
    return StageResult(said.outcome, said.findings, always=noted)


class Stage(NamedTuple):
    """A stage by the name that its findings carry, and what it says of an intent."""

    name: str
    check: Callable[[Candidate], StageResult]


STAGES = (
    Stage("caps", _check_caps),
    Stage("enforcer", _check_enforcers),
    Stage("ledger", _check_ledger),
    Stage("plan", _check_plans),
    Stage("policy", _check_policy),
    Stage("governor", _check_governor),
)
