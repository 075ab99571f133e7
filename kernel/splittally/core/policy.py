"""Stage 7: the first rule that matches decides; no match is deny.

Rule 1. A world without rules has no such stage, and its records say so.
Rule 2. A condition that faults denies: it never counts as true or false.
Rule 3. Rates count what is admitted, in windows of logical time. One that admits nothing ever is no matter
        of waiting, so its refusal says `escalate`.
"""

from functools import lru_cache
from typing import Any, NamedTuple

from msgspec import Struct

from splittally.core import expr
from splittally.core.asks import Ask
from splittally.core.events import Count, Event
from splittally.core.findings import Finding, advising, find
from splittally.core.ledger.check import Scope, check_limits
from splittally.core.reasons import ESCALATE
from splittally.core.state import State
from splittally.core.types import DENY, LIFE, PER_INTENT, POLICY_SCOPE, REQUIRE_APPROVAL, Rule, strictest

NO_STAGE, NO_MATCH = -2, -1
ATTEMPTS = "attempts"
_RATE_FACTS = ("dim", "per", "needed", "available", "resets_ns", "resets")
NAMES: dict[str, expr.Type] = {
    "effect_kind": expr.STRING,
    "cap_name": expr.STRING,
    "cap_type": expr.STRING,
    "origin_kind": expr.STRING,
    "origin_name": expr.STRING,
    "principal": expr.STRING,
    "params": expr.ANY,
    "labels": expr.map_of(expr.STRING),
    "reserve": expr.map_of(expr.INT),
    "now_ns": expr.INT,
}


class PolicyInput(NamedTuple):
    """What a rule can see of an intent; the fields are the names of `NAMES`."""

    effect_kind: str
    cap_name: str
    cap_type: str
    origin_kind: str
    origin_name: str
    principal: str
    params: Any
    labels: dict[str, str]
    reserve: dict[str, int]
    now_ns: int


class PolicyDecision(Struct, frozen=True, gc=False):
    """What the policy says: the outcome, why, by which rule, and what committing it records."""

    outcome: str
    findings: list[Finding]
    rule: int
    counted: list[Count]
    events: list[Event]
    asks: list[Ask] = []


@lru_cache(maxsize=1024)
def condition(text: str) -> expr.Expression:
    """The compiled condition of a rule; `ExpressionError` when it is not one."""
    return expr.compile(text, NAMES, expr.BOOL)


def check_policy(state: State, asked: PolicyInput) -> PolicyDecision:
    """The verdict of the first rule that matches."""
    for at, rule in enumerate(state.rules):
        if not _fields_match(rule, asked):
            continue
        if rule.when:
            held = condition(rule.when).evaluate(asked._asdict())
            if isinstance(held, expr.ExprFault):
                fault = find("policy_fault", rule=at, name=rule.name, fault=held.code)
                return PolicyDecision(outcome=DENY, findings=[fault], rule=at, counted=[], events=[])
            if not held:
                continue
        return _verdict(state, rule, at, asked)
    return PolicyDecision(
        outcome=DENY, findings=[find("policy_unmatched")], rule=NO_MATCH, counted=[], events=[]
    )


def _fields_match(rule: Rule, asked: PolicyInput) -> bool:
    return (
        rule.effect_kind in ("", asked.effect_kind)
        and rule.cap_name in ("", asked.cap_name)
        and rule.cap_type in ("", asked.cap_type)
        and rule.origin_kind in ("", asked.origin_kind)
        and rule.origin_name in ("", asked.origin_name)
    )


def _verdict(state: State, rule: Rule, at: int, asked: PolicyInput) -> PolicyDecision:
    if rule.decision == DENY:
        return PolicyDecision(
            outcome=DENY,
            findings=[find("policy_denied", rule=at, name=rule.name)],
            rule=at,
            counted=[],
            events=[],
        )
    findings: list[Finding] = []
    outcomes = [rule.decision]
    if rule.decision == REQUIRE_APPROVAL:
        findings.append(find("policy_approval", rule=at, name=rule.name))
    scope = POLICY_SCOPE + rule.name
    rates = tuple(rule.rates)
    room = check_limits(state.ledger, Scope(scope, True), rates, {ATTEMPTS: 1}, asked.now_ns, state.offset_ns)
    outcomes += room.outcomes
    findings += [_as_rate(finding, at, rule) for finding in room.findings]
    outcome = strictest(outcomes)
    counted = [
        Count(scope=scope, dim=window.dim, per=window.per, start_ns=window.start_ns, amount=1)
        for window in room.windows
    ]
    assert all(rate.per not in (LIFE, PER_INTENT) for rate in rates)
    asks = [Ask(scope, rule.approvers, rule.approvals or 1)] if REQUIRE_APPROVAL in outcomes else []
    return PolicyDecision(
        outcome=outcome,
        findings=findings,
        rule=at,
        counted=counted,
        events=list(room.events),
        asks=asks,
    )


def _as_rate(finding: Finding, at: int, rule: Rule) -> Finding:
    if finding.code not in ("budget_exceeded", "budget_deferred", "approval_threshold"):
        return finding
    numbers = {name: finding.facts[name] for name in _RATE_FACTS if name in finding.facts}
    rate = find("rate_exceeded", rule=at, name=rule.name, **numbers)
    return rate if "resets_ns" in numbers else advising(rate, ESCALATE)
