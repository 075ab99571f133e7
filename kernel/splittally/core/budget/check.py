"""Stage 6: do the stage and the hard constraints of every budget that is debited hold afterwards?

Rule 1. Only what debits a budget's account is judged. What comes back, settles or is released is not.
Rule 2. A refusal names every constraint, the most that may be posted now, and the funding that is missing.
Rule 3. The stage follows from funding and constraints: planning before the first deposit or below a minimum
        that all operation needs, partial below one that only the whole plan needs, full otherwise.
"""

from collections.abc import Callable
from typing import NamedTuple

from splittally.core.budget.parts import FULL, PARTIAL, Constraint
from splittally.core.budget.plan import Plan, read_plan
from splittally.core.budget.state import Plans
from splittally.core.findings import Finding, find

PLANNING = "planning"
BalanceOf = Callable[[str, str], int | None]  # account, resource; None where nothing was ever posted
PlanOf = Callable[[bytes], bytes]  # the bytes of the plan with this hash


class Debit(NamedTuple):
    """Value that a commitment takes from an account."""

    account: str
    resource: str
    amount: int


def check_plans(plans: Plans, debits: list[Debit], balance_of: BalanceOf, plan_of: PlanOf) -> list[Finding]:
    """What the budgets that are debited say; empty where none is."""
    findings: list[Finding] = []
    for account in sorted({debit.account for debit in debits if debit.amount}):
        budget = plans.budgets.get(account)
        if budget is None:
            continue
        asked: dict[str, int] = {}
        for debit in debits:
            if debit.account == account:
                asked[debit.resource] = asked.get(debit.resource, 0) + debit.amount
        findings += _check(account, read_plan(plan_of(budget.schema)), asked, balance_of)
    return findings


def _check(account: str, plan: Plan, asked: dict[str, int], balance_of: BalanceOf) -> list[Finding]:
    stage = stage_of(account, plan, balance_of)
    if stage == PLANNING:
        missing = gaps(account, plan, balance_of)
        return [find("planning_stage", budget=account, stage=stage, missing=missing)]
    findings = []
    for constraint in plan.constraints:
        needed = asked.get(constraint.resource, 0)
        balance = balance_of(account, constraint.resource) or 0
        if not needed or (stage == PARTIAL and constraint.tier == FULL):
            continue
        available = max(0, balance - constraint.minimum)
        if needed > available:
            findings.append(
                find(
                    "constraint_unmet", budget=account, constraint=constraint.name,
                    resource=constraint.resource, minimum=constraint.minimum, balance=balance, needed=needed,
                    available=available, shortage=needed - available,
                )
            )  # fmt: skip
    return findings


def stage_of(account: str, plan: Plan, balance_of: BalanceOf) -> str:
    """planning, partial or full."""
    if all(balance_of(account, resource) is None for resource in plan.resources):
        return PLANNING
    tiers = {constraint.tier for constraint in plan.constraints}
    unmet = {x.tier for x in plan.constraints if shortage(account, x, balance_of)}
    if PARTIAL in unmet or (FULL in unmet and PARTIAL not in tiers):
        return PLANNING
    return PARTIAL if FULL in unmet else FULL


def shortage(account: str, constraint: Constraint, balance_of: BalanceOf) -> int:
    """How much of its resource a constraint lacks."""
    return max(0, constraint.minimum - (balance_of(account, constraint.resource) or 0))


def gaps(account: str, plan: Plan, balance_of: BalanceOf) -> list[dict[str, object]]:
    """Every constraint that is not met, with the amount that is missing."""
    return [
        {"constraint": x.name, "resource": x.resource, "missing": missing, "description": x.description}
        for x in plan.constraints
        if (missing := shortage(account, x, balance_of))
    ]
