"""Native effects within a budget: split its pool, answer a rule that waits.

Rule 1. The parts of a split are grants below the charter whose limits sum to the whole, to the smallest unit.
Rule 2. The cards that were there still work: a part is a right, not a reserve.
Rule 3. A split by shares is a new version of the plan, so later deposits raise each part by its share. Its
        rules go on under the grant that adopted them, while that may (`adoption.py`).
"""

import msgspec
from msgspec import Struct

from splittally.core.amounts import fits
from splittally.core.budget.evolve import SKIPPED, WAITING
from splittally.core.budget.parts import is_part, require_shares
from splittally.core.budget.plan import Plan
from splittally.core.budget.shares import shared
from splittally.core.caps.grants import GrantTerms, build_grant, check_new_name, check_terms
from splittally.core.events import Event
from splittally.core.findings import Finding, find
from splittally.core.limits import PART_NAME_BYTES_MAX, PLAN_ITEMS_MAX
from splittally.core.native.actions import Skipped
from splittally.core.native.adoption import adopter_of_split, check_plan
from splittally.core.native.budgets import adopt_events
from splittally.core.native.firing import done_events, require_live, told
from splittally.core.native.parts import charter_now, part_events, part_terms
from splittally.core.native.plans import plan_of, touches_budget
from splittally.core.native.row import Native, NativeCall, Touches
from splittally.core.state import State
from splittally.core.types import CAP_SPEND, BudgetDef, Grant

WHOLE = 100


class SplitBudget(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A pool in parts: by `shares` that sum to `whole`, or by `amounts` that fit into what is there.

    Each part is a grant `BUDGET/PART` for the principal that `holders` names, else the charter's.
    """

    budget: str
    resource: str
    shares: dict[str, int] = {}
    amounts: dict[str, int] = {}
    whole: int = WHOLE
    holders: dict[str, str] = {}

    def __post_init__(self) -> None:
        if bool(self.shares) == bool(self.amounts):
            raise ValueError("a split is by `shares` or by `amounts`")
        if self.shares:
            require_shares(self.shares)
        if len(self.amounts) > PLAN_ITEMS_MAX or not all(map(fits, self.amounts.values())):
            raise ValueError("`amounts` are naturals below 2^64")
        if not all(map(is_part, self.amounts)):
            raise ValueError(f"a part's name is text without `/`, {PART_NAME_BYTES_MAX} bytes")
        for holder in self.holders.values():
            GrantTerms(cap=CAP_SPEND, holder=holder)
        if not set(self.holders) <= set(self.shares or self.amounts):
            raise ValueError("`holders` names principals for parts of this split")


class AnswerRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The answer to a rule that waits for approval; `item` is what the budget lists beside it."""

    budget: str
    item: list[int]
    answer: str

    def __post_init__(self) -> None:
        if self.answer not in ("approve", "reject"):
            raise ValueError("`answer` is approve or reject")
        if len(self.item) != 2:
            raise ValueError("`item` is two numbers, as the budget lists them")


def _check_split(state: State, call: NativeCall, params: SplitBudget) -> list[Finding]:
    budget = state.plans.budgets.get(params.budget)
    if budget is None:
        return [find("not_found", budget=params.budget)]
    plan = plan_of(state, budget)
    if params.resource not in plan.resources:
        return [find("not_found", resource=params.resource, budget=params.budget)]
    findings: list[Finding] = []
    if params.shares and sum(params.shares.values()) != params.whole:
        total = sum(params.shares.values())
        facts = {"needed": params.whole, "value": total, "excess": total - params.whole}
        findings.append(find("allocations_unequal", budget=params.budget, **facts))
    pool = max(0, state.ledger.balances.get((budget.name, params.resource), 0))
    total = sum(params.amounts.values())
    if total > pool:
        facts = {"needed": total, "available": pool, "excess": total - pool}
        findings.append(find("allocations_unequal", budget=params.budget, **facts))
    if params.resource in plan.allocations:
        findings.append(find("cannot_change", field="allocations", resource=params.resource))
    names = params.shares or params.amounts
    for name in sorted(names):
        findings += check_new_name(state.caps, f"{budget.name}/{name}")
    if state.caps.is_revoked(budget.grant):
        findings.append(find("revoked", grant=budget.grant, order=""))
    if params.shares:
        shared_out = _with_shares(plan, params)
        adopter = adopter_of_split(state, call, budget, shared_out)
        findings += check_plan(state, call, shared_out, budget.parent, adopter)
    return findings or check_terms(state.caps, _first_part(state, call, params, budget))


def _with_shares(plan: Plan, params: SplitBudget) -> Plan:
    """The plan that a split by shares puts in force."""
    return msgspec.structs.replace(plan, allocations=plan.allocations | {params.resource: params.shares})


def _first_part(state: State, call: NativeCall, params: SplitBudget, budget: BudgetDef) -> Grant:
    """One of the grants of a split: what holds for it holds for all of them."""
    terms = charter_now(state, budget)
    name = min(params.shares or params.amounts)
    return build_grant(
        f"{budget.name}/{name}", part_terms(terms, budget.name, params.resource, 0, ""), call.principal
    )


def _make_split(state: State, call: NativeCall, params: SplitBudget) -> list[Event]:
    budget = state.plans.budgets[params.budget]
    plan = plan_of(state, budget)
    pool = max(0, state.ledger.balances.get((budget.name, params.resource), 0))
    parts = shared(pool, params.shares) if params.shares else params.amounts
    events: list[Event] = []
    if params.shares:
        shared_out = _with_shares(plan, params)
        adopter = adopter_of_split(state, call, budget, shared_out)
        events += adopt_events(state, call, budget, shared_out, adopter)
    terms = charter_now(state, budget)
    return events + part_events(state, call, terms, budget.name, params.resource, parts, params.holders)


# --- rules that wait --------------------------------------------------------------------------------


def _check_answer(state: State, call: NativeCall, params: AnswerRule) -> list[Finding]:
    firing = state.plans.firings.get((params.item[0], params.item[1]))
    if firing is None or firing.budget != params.budget or firing.status != WAITING:
        return [find("not_reserved", budget=params.budget, item=params.item)]
    if params.answer == "approve":
        try:
            require_live(state, state.plans.budgets[firing.budget], firing, call.now_ns)
            done_events(state, firing, (params.item[0], params.item[1]), call.now_ns)
        except Skipped as skipped:
            return [skipped.finding]
    return []


def _make_answer(state: State, call: NativeCall, params: AnswerRule) -> list[Event]:
    key = (params.item[0], params.item[1])
    firing = state.plans.firings[key]
    if params.answer == "reject":
        return [told(firing, key, SKIPPED, [find("rule_skipped", rule=firing.rule, reason="rejected")])]
    return done_events(state, firing, key, call.now_ns)


ROWS = {
    "budget.split": Native(
        SplitBudget,
        lambda state, call, params: Touches(
            accounts=[params.budget], resources=[params.resource], budgets=[params.budget]
        ),
        _check_split,
        _make_split,
        "split a pool into parts",
    ),
    "budget.answer": Native(
        AnswerRule, touches_budget, _check_answer, _make_answer, "approve or reject a rule that waits"
    ),
}
