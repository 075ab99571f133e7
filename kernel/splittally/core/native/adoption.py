"""Whether a plan may be put in force: the same question each time somebody adopts one.

Rule 1. Creating a budget, amending it and splitting it by shares adopt a plan; each is checked here.
Rule 2. The rules of a plan act under the grant that adopted it. A split changes none of them, so the adopter
        stays where it is live and may still do all that the plan does; otherwise who splits must be able to.

Example. `ann` adopted a plan that converts from `accounts/rich`; her grant was revoked. `eve`, who may split
the budget and nothing else, splits it: `account_not_yours`, because her chain would adopt the conversion.
"""

import msgspec

from splittally.core.budget.plan import Plan
from splittally.core.budget.soundness import unsound
from splittally.core.canonical import encode
from splittally.core.findings import Finding, find
from splittally.core.limits import PLAN_BYTES_MAX
from splittally.core.native.authority import check_adoption
from splittally.core.native.money import check_scales
from splittally.core.native.overdraft import check_overdraft
from splittally.core.native.plans import plan_of
from splittally.core.native.row import NativeCall
from splittally.core.state import State
from splittally.core.types import EXTERNAL, BudgetDef


def check_plan(state: State, call: NativeCall, plan: Plan, parent: str, adopter: str) -> list[Finding]:
    """Whether what a plan names exists or is new, fits into the parent budget's, and its adopter may do it.

    `parent` is the parent budget's name, empty for none; it exists.
    """
    findings = []
    size = len(plan_bytes(plan))
    if size > PLAN_BYTES_MAX:
        findings.append(find("input.too_large", field="schema", needed=size, available=PLAN_BYTES_MAX))
    findings += unsound(plan)
    findings += check_scales(state, sorted(plan.resources.items()))
    findings += [
        find("not_found", account=conversion.counter)
        for _, conversion in sorted(plan.conversions.items())
        if conversion.counter not in state.ledger.accounts
    ]
    findings += [
        find("external_account", account=conversion.counter)
        for _, conversion in sorted(plan.conversions.items())
        if conversion.counter.startswith(EXTERNAL)
    ]
    findings += check_adoption(state, adopter, plan, call.now_ns)
    findings += check_overdraft(state, plan, parent, adopter, call.now_ns)
    allowed = plan_of(state, state.plans.budgets[parent]).resources if parent else plan.resources
    return findings + [
        find("wider_than_parent", resource=name, parent=parent, available=sorted(allowed))
        for name in sorted(plan.resources)
        if name not in allowed
    ]


def adopter_of_split(state: State, call: NativeCall, budget: BudgetDef, plan: Plan) -> str:
    """The grant under which the plan of a split stands: who adopted it before, or else who asks."""
    old = budget.adopted_by
    is_good = state.caps.is_live(old, call.now_ns) and not check_adoption(state, old, plan, call.now_ns)
    return old if is_good else call.grant


def plan_bytes(plan: Plan) -> bytes:
    """A plan in canonical bytes."""
    return encode(msgspec.to_builtins(plan, builtin_types=(bytes,)))
