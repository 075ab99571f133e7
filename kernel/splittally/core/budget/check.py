"""Stage 6: do the stage and the hard constraints of every budget that is debited hold afterwards?

Rule 1. Only what debits a budget's account is judged. What comes back, settles or is released is not.
Rule 2. A refusal names every constraint, the most that may be posted now, and the funding that is missing.
Rule 3. The stage follows from funding and from the constraints of the whole budget: planning before the first
        deposit or below one that all operation needs, partial below one that only the whole plan needs, full
        otherwise.
Rule 4. A constraint that `blocks` parts is a gate: as things stand, unmet, it stops these parts and nothing
        else, in every stage. Every other one is a floor: it must hold after the commitment, too.
Rule 5. Where constraints `open` parts, only these act in stage partial. What they used counts as there, so
        they may spend what opened them, and others must leave it.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from msgspec import UNSET

from splittally.core.budget.constraints import Sight, Standing, gap_of, standing_of, used_by_opened
from splittally.core.budget.parts import FULL, PARTIAL, Constraint
from splittally.core.budget.plan import Plan, read_plan
from splittally.core.budget.state import Plans
from splittally.core.findings import Finding, find

PLANNING = "planning"
PlanOf = Callable[[bytes], bytes]  # the bytes of the plan with this hash
NOTHING: Mapping[str, int] = {}


class Debit(NamedTuple):
    """Value that a commitment takes from an account, for a part of its budget where the chain has one.

    `is_spent` says that the budget's charter counts it, because the chain passes that.
    """

    account: str
    resource: str
    amount: int
    part: str = ""
    is_spent: bool = False


class Standings(NamedTuple):
    """A budget's stage, and how each constraint of its plan stands, in their order."""

    budget: str
    stage: str
    each: list[tuple[Constraint, Standing]]

    @property
    def gaps(self) -> list[dict[str, Any]]:
        """Every constraint that is not met, with what is missing."""
        return [gap_of(x, standing) for x, standing in self.each if not standing.is_met]


def standings_of(budget: str, plan: Plan, sight: Sight) -> Standings:
    """How a budget stands now."""
    reading = sight.reading(budget, NOTHING, False)
    each = [(x, standing_of(budget, x, sight, reading)) for x in plan.constraints]
    return Standings(budget, _stage(budget, plan, each, sight), each)


def _stage(budget: str, plan: Plan, each: list[tuple[Constraint, Standing]], sight: Sight) -> str:
    """planning, partial or full: constraints that block parts take no part in it."""
    if all(sight.balance_of(budget, resource) is None for resource in plan.resources):
        return PLANNING
    tiers = {x.tier for x, _ in each if not x.blocks}
    unmet = {x.tier for x, standing in each if not x.blocks and not standing.is_met}
    if PARTIAL in unmet or (FULL in unmet and PARTIAL not in tiers):
        return PLANNING
    return PARTIAL if FULL in unmet else FULL


def check_plans(plans: Plans, debits: list[Debit], sight: Sight, plan_of: PlanOf) -> list[Finding]:
    """What the budgets that are debited say; empty where none is."""
    findings: list[Finding] = []
    for account in sorted({debit.account for debit in debits if debit.amount}):
        budget = plans.budgets.get(account)
        if budget is None:
            continue
        plan = read_plan(plan_of(budget.schema))
        stand = standings_of(account, plan, sight)
        own = [debit for debit in debits if debit.account == account]
        findings += check_part(stand, own[0].part)
        if stand.stage != PLANNING:
            findings += _check_floors(stand, own, sight)
    return findings


def check_part(stand: Standings, part: str) -> list[Finding]:
    """What keeps a part from acting as things stand, whatever it asks; the empty name is no part."""
    if stand.stage == PLANNING:
        return [find("planning_stage", budget=stand.budget, stage=PLANNING, missing=stand.gaps)]
    findings = []
    opened = sorted({part for x, _ in stand.each for part in x.opens or ()})
    if stand.stage == PARTIAL and opened and part not in opened:
        facts = {"budget": stand.budget, "stage": stand.stage, "part": part, "available": opened}
        findings.append(find("part_closed", **facts, missing=stand.gaps))
    for x, standing in stand.each:
        if part in (x.blocks or ()) and not standing.is_met:
            findings.append(_blocked(stand, part, x, standing))
    return findings


def _blocked(stand: Standings, part: str, x: Constraint, standing: Standing) -> Finding:
    facts: dict[str, Any] = {"budget": stand.budget, "stage": stand.stage, "part": part, "constraint": x.name}
    if standing.fault:
        return find("part_blocked", **facts, fault=standing.fault)
    if x.holds is not UNSET:
        return find("part_blocked", **facts, holds=x.holds)
    facts |= {"resource": x.resource} if x.resource else {}
    facts |= {"minimum": standing.needed, "balance": standing.there, "shortage": standing.missing}
    return find("part_blocked", **facts)


# --- floors -----------------------------------------------------------------------------------------


def _check_floors(stand: Standings, debits: list[Debit], sight: Sight) -> list[Finding]:
    asked: dict[str, int] = {}
    for debit in debits:
        asked[debit.resource] = asked.get(debit.resource, 0) + debit.amount
    part, is_spent = debits[0].part, debits[0].is_spent
    after = sight.reading(stand.budget, asked, is_spent)
    findings = [
        _floor(stand, x, part, asked.get(x.resource, 0), sight, after)
        for x, _ in stand.each
        if not _is_left_alone(stand, x, part, asked, sight)
    ]
    return [finding for finding in findings if finding is not None]


def _is_left_alone(
    stand: Standings, x: Constraint, part: str, asked: Mapping[str, int], sight: Sight
) -> bool:
    """Whether a commitment cannot break this constraint, or need not keep it in this stage."""
    if x.blocks or x.participants is not UNSET or (stand.stage == PARTIAL and x.tier == FULL):
        return True
    if part in (x.opens or ()):
        return sight.used_by(f"{stand.budget}/{part}", x.resource) is not None
    return x.needs is UNSET and x.holds is UNSET and not asked.get(x.resource)


def _floor(
    stand: Standings, x: Constraint, part: str, needed: int, sight: Sight, after: Mapping[str, Any]
) -> Finding | None:
    """What a constraint says once `needed` of its resource was taken; its expressions read what is then."""
    then = standing_of(stand.budget, x, sight, after)
    facts: dict[str, Any] = {"budget": stand.budget, "constraint": x.name}
    if x.needs is not UNSET or x.holds is not UNSET or x.opens:
        facts |= {"stage": stand.stage, "part": part}
    if then.fault:
        return find("constraint_fault", **facts, fault=then.fault)
    if x.holds is not UNSET:
        return None if then.is_met else find("condition_unmet", **facts, holds=x.holds)
    left = then.there - then.needed
    if needed <= left:
        return None
    used = used_by_opened(stand.budget, x, sight)
    facts |= {"resource": x.resource, "minimum": then.needed, "balance": then.there - used, "needed": needed}
    facts |= {"used": used} if x.opens else {}
    return find("constraint_unmet", **facts, available=max(0, left), shortage=needed - left)
