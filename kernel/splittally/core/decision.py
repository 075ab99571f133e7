"""Decide one intent: the stages in order, each reporting all it finds, the strictest outcome first.

Rule 1. Everything is checked before anything is made; a refusal leaves the ledger untouched.
Rule 2. The stage that stops an intent reports all of its findings and no later stage is asked.
Rule 3. The record is one: decision, hold, postings and counters stand in the same frame.
"""

from collections.abc import Iterator

import msgspec
from msgspec import Struct

from splittally.core.budget.check import Debit
from splittally.core.canonical import decode
from splittally.core.caps.check import check_chain
from splittally.core.caps.state import Chain
from splittally.core.commands import Judged, Member
from splittally.core.events import Charge, Decided, Event, Held, Noted, Posted, Settled
from splittally.core.evolve import governed_windows
from splittally.core.findings import Finding, find
from splittally.core.governor.check import UNGOVERNED, Governing, GovernorVerdict, check_governor
from splittally.core.governor.state import GOVERNOR
from splittally.core.ledger.check import Room, Scope, check_accounts, check_limits
from splittally.core.native import NATIVE, Native, NativeCall
from splittally.core.native.plans import plan_findings
from splittally.core.policy import NO_STAGE, Asked, PolicyVerdict, check_policy
from splittally.core.state import State
from splittally.core.types import (
    ADMITTED,
    ALLOW,
    APPROVAL,
    CAP_SPEND_TYPE,
    DENY,
    OPEN,
    REQUIRE_APPROVAL,
    ROOT,
    Draw,
    Leg,
    Window,
    covers_account,
    strictest,
)
from splittally.core.verdict import CheckVerdict, Fault, read_check

NO_WINDOWS: list[Window] = []  # shared: most legs touch life counters only
NO_FINDINGS: list[Finding] = []
NO_POLICY = PolicyVerdict(ALLOW, [], NO_STAGE, [], [])


class Judgement(Struct, frozen=True, gc=False):
    """How one intent was decided and what committing it records."""

    outcome: str
    findings: list[Finding]
    reserve: dict[str, int]
    events: list[Event]


class Reserve(Struct, frozen=True, gc=False):
    """The legs of an intent with what checking their limits found, and the money they draw."""

    legs: list[Leg]
    rooms: list[Room]  # of the legs that have limits
    draws: list[Draw]
    unpaid: list[Finding]  # why nobody may be paid as the intent says


def judge_member(
    state: State, call: NativeCall, member: Member, at: int, answers: Iterator[Judged]
) -> Judgement:
    """Decide one intent at the time and for the principal of `call`."""
    chain = state.caps.chain(member.grant, member.kind)
    findings = check_chain(state.caps, chain, call.by, member.kind, call.now_ns)
    if member.expires_ns and call.now_ns >= member.expires_ns:
        findings.append(find("already_expired", expires_ns=member.expires_ns))
    if findings:
        return _refuse(chain, member, DENY, findings, NO_STAGE, state.policy_hash)
    estimates, findings = _read_checks(chain, answers)
    if findings:
        return _refuse(chain, member, DENY, findings, NO_STAGE, state.policy_hash)
    reserve = _plan_reserve(state, call, chain, member, estimates)
    native = NATIVE.get(member.kind)
    outcome, findings = _check_books(state, call, member, reserve, native)
    if outcome not in ADMITTED:
        return _refuse(chain, member, outcome, findings, NO_STAGE, state.policy_hash)
    unplanned = _check_plans(state, call, member, reserve, native) if state.plans.budgets else []
    if unplanned:
        return _refuse(chain, member, DENY, [*findings, *unplanned], NO_STAGE, state.policy_hash)
    policy = _ask_policy(state, call, chain, member, estimates[0])
    governed = _ask_governor(state, call, member, estimates[0])
    if policy is not NO_POLICY or governed is not UNGOVERNED:
        outcome = strictest([outcome, policy.outcome, governed.outcome])
        findings += policy.findings + governed.findings
    if outcome == REQUIRE_APPROVAL and native is not None:
        outcome = DENY  # a native effect is finished in its own record: nothing of it can wait
    if outcome not in ADMITTED:
        refused = _refuse(chain, member, outcome, findings, policy.rule, state.policy_hash)
        refused.events.extend(_noted(member, governed))
        return refused
    authority = [link.authority for link in chain.links] if native is not None else []
    # Nothing below can fail.
    events: list[Event] = [
        Decided(
            member.intent_hash, outcome, findings, authority, state.policy_hash, policy.rule, policy.counted
        )
    ]
    events += policy.events
    for room in reserve.rooms:
        events += room.events
    if native is not None:
        events += _charge_native(member, reserve)
        events += native.make(state, call, native.read(member.params))
    else:
        events += _hold(call, chain, member, at, outcome, reserve)
    events += _noted(member, governed)
    return Judgement(outcome, findings, estimates[0], events)


def _check_books(
    state: State, call: NativeCall, member: Member, reserve: Reserve, native: Native | None
) -> tuple[str, list[Finding]]:
    """Stage 5: what limits and accounts say, and what a native effect finds wrong with itself."""
    findings: list[Finding] = []
    outcomes: list[str] = []
    for room in reserve.rooms:
        findings += room.findings
        outcomes += room.outcomes
    shortfalls = check_accounts(state.ledger, reserve.draws)
    if native is not None:
        shortfalls += native.check(state, call, native.read(member.params))
    shortfalls += reserve.unpaid
    return (DENY if shortfalls else strictest(outcomes)), findings + shortfalls


def _check_plans(
    state: State, call: NativeCall, member: Member, reserve: Reserve, native: Native | None
) -> list[Finding]:
    """Stage 6: what the plans of the budgets that are debited say. Root's native effects end before it."""
    if native is None:
        debits = [Debit(draw.account, draw.resource, draw.amount) for draw in reserve.draws]
    elif call.grant == ROOT or native.debits is None:
        return []
    else:
        debits = native.debits(native.read(member.params))
    return plan_findings(state, debits)


def _ask_governor(
    state: State, call: NativeCall, member: Member, estimate: dict[str, int]
) -> GovernorVerdict:
    """Stage 8: should it happen now? Params are read only where the governor names fields of this kind."""
    terms = state.governed.terms
    if terms is None or (member.grant == ROOT and member.kind in NATIVE):
        return UNGOVERNED
    params = decode(member.params) if member.kind in terms.fields else {}
    starts = governed_windows(state, call.now_ns)
    return check_governor(state.governed, Governing(member.kind, params, estimate, starts))


def _noted(member: Member, governed: GovernorVerdict) -> list[Event]:
    """What the governor said, with its numbers, where it was asked."""
    return [] if governed is UNGOVERNED else [Noted(member.intent_hash, GOVERNOR, governed.facts)]


def refuse_member(state: State, member: Member, findings: list[Finding]) -> Judgement:
    """A denial for a reason that lies outside the intent: its group."""
    chain = state.caps.chain(member.grant, member.kind)
    return _refuse(chain, member, DENY, findings, NO_STAGE, state.policy_hash)


def _refuse(
    chain: Chain, member: Member, outcome: str, findings: list[Finding], rule: int, policy: bytes
) -> Judgement:
    authority = [link.authority for link in chain.links]
    decided = Decided(member.intent_hash, outcome, findings, authority, policy, rule, [])
    return Judgement(outcome, findings, {}, [decided])


def _read_checks(chain: Chain, answers: Iterator[Judged]) -> tuple[list[dict[str, int]], list[Finding]]:
    """Each leg's estimate, leaf first, and what the enforcers that refuse say."""
    estimates: list[dict[str, int]] = []
    findings: list[Finding] = []
    for link in chain.links:
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
    return estimates, findings


def _plan_reserve(
    state: State, call: NativeCall, chain: Chain, member: Member, estimates: list[dict[str, int]]
) -> Reserve:
    legs: list[Leg] = []
    rooms: list[Room] = []
    draws: list[Draw] = []
    drawn: set[str] = set()
    for at, link in enumerate(chain.links):
        grant, estimate = link.grant, estimates[at]
        windows = NO_WINDOWS
        if link.limits:
            scope = Scope(grant.name, at == 0 or grant.holder == call.by)
            room = check_limits(state.ledger, scope, link.limits, estimate, call.now_ns, state.offset_ns)
            rooms.append(room)
            windows = room.windows or NO_WINDOWS
        enforcer_ref = link.cap.enforcer if link.template is not None else b""
        legs.append(
            Leg(
                grant.name, grant.grant_hash, link.terms_hash, enforcer_ref, grant.cap, grant.params,
                estimate, windows, grant.above,
            )
        )  # fmt: skip
        for resource, account in grant.draws_on.items():
            if resource in estimate and resource not in drawn:
                drawn.add(resource)
                draws.append(Draw(resource, account, estimate[resource], at, chain.pays_to, grant.doubt))
    reserve = Reserve(legs, rooms, draws, NO_FINDINGS)
    if draws and state.caps.effects[member.kind].cap_type == CAP_SPEND_TYPE:
        return _with_payee(state, chain, member, reserve)
    return reserve


def _with_payee(state: State, chain: Chain, member: Member, reserve: Reserve) -> Reserve:
    """The same reserve, every draw paying first whom a spending intent names; unpaid where it may not."""
    payee = decode(member.params).get("payee")
    if type(payee) is not str:
        return reserve
    is_listed = any(covers_account(entry, payee) for entry in chain.pays_to)
    if payee not in state.ledger.accounts or not is_listed:
        unpaid = [find("payee_unlisted", account=payee, available=chain.pays_to)]
        return Reserve(reserve.legs, reserve.rooms, reserve.draws, unpaid)
    draws = []
    for draw in reserve.draws:
        others = [entry for entry in draw.pays_to if entry != payee]
        draws.append(msgspec.structs.replace(draw, pays_to=[payee, *others]))
    return Reserve(reserve.legs, reserve.rooms, draws, [])


def _ask_policy(
    state: State, call: NativeCall, chain: Chain, member: Member, estimate: dict[str, int]
) -> PolicyVerdict:
    if not state.rules or (member.grant == ROOT and member.kind in NATIVE):
        return NO_POLICY
    needs_params = any(rule.when for rule in state.rules)
    leaf = chain.links[0]
    asked = Asked(
        member.kind,
        member.grant,
        leaf.cap.cap_type,
        member.origin_kind,
        member.origin_name,
        call.by,
        decode(member.params) if needs_params else {},
        estimate,
        call.now_ns,
    )
    return check_policy(state, asked)


def _hold(
    call: NativeCall, chain: Chain, member: Member, at: int, outcome: str, reserve: Reserve
) -> list[Event]:
    expires_ns = member.expires_ns
    for link in chain.links:
        if link.grant.hold_ns_max:
            latest = call.now_ns + link.grant.hold_ns_max
            expires_ns = min(expires_ns, latest) if expires_ns else latest
    phase, due_ns = OPEN, expires_ns
    if outcome == REQUIRE_APPROVAL:
        phase = APPROVAL
        waits = next((link.grant.approval_ns for link in chain.links if link.grant.approval_ns), 0)
        deadline = call.now_ns + waits if waits else 0
        due_ns = min(due_ns, deadline) if due_ns and deadline else due_ns or deadline
    held = Held(member.intent_hash, at, member.kind, phase, due_ns, expires_ns, reserve.legs, reserve.draws)
    postings = [
        Posted(draw.account, "", draw.resource, draw.amount, reserve.legs[draw.leg].grant, member.intent_hash)
        for draw in reserve.draws
        if draw.amount
    ]
    return [held, *postings]


def _charge_native(member: Member, reserve: Reserve) -> list[Event]:
    """A native effect uses what it reserved, in the record that decides it."""
    if not any(leg.reserve for leg in reserve.legs):
        return []
    charges = [
        Charge(
            leg.grant,
            leg.grant_hash,
            leg.terms_hash,
            leg.enforcer_ref,
            leg.reserve,
            leg.reserve,
            [],
            leg.windows,
        )
        for leg in reserve.legs
    ]
    return [Settled(member.intent_hash, "native", "ok", charges, [])]
