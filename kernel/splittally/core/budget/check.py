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

from splittally.core.budget.constraints import (
    Sight,
    Standing,
    gap_of,
    reads_funds,
    standing_of,
    used_by_opened,
)
from splittally.core.budget.parts import FULL, PARTIAL, Constraint
from splittally.core.budget.plan import Plan, read_plan
from splittally.core.budget.state import Plans
from splittally.core.findings import Finding, advising, find
from splittally.core.reasons import ESCALATE

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
    """A budget's stage, how each constraint of its plan stands, in order, and those that are not met."""

    budget: str
    stage: str
    each: list[tuple[Constraint, Standing]]
    unmet: list[tuple[Constraint, Standing]]

    @property
    def gaps(self) -> list[dict[str, Any]]:
        """What is missing for every constraint that is not met."""
        return [gap_of(x, standing) for x, standing in self.unmet]


def standings_of(budget: str, plan: Plan, sight: Sight) -> Standings:
    """How a budget stands now."""
    reading = sight.reading(budget, NOTHING, False)
    each = [(x, standing_of(budget, x, sight, reading)) for x in plan.constraints]
    unmet = [entry for entry in each if not entry[1].is_met]
    return Standings(budget, _stage(budget, plan, unmet, sight), each, unmet)


def _stage(budget: str, plan: Plan, unmet: list[tuple[Constraint, Standing]], sight: Sight) -> str:
    """planning, partial or full: constraints that block parts take no part in it."""
    if all(sight.balance_of(budget, resource) is None for resource in plan.resources):
        return PLANNING
    short = {x.tier for x, _ in unmet if not x.blocks}
    if not short:
        return FULL
    has_partial = any(x.tier == PARTIAL and not x.blocks for x in plan.constraints)
    return PARTIAL if has_partial and PARTIAL not in short else PLANNING


def check_plans(plans: Plans, debits: list[Debit], sight: Sight, plan_of: PlanOf) -> list[Finding]:
    """What the budgets say whose accounts these are; empty where nothing is debited."""
    findings: list[Finding] = []
    for account in sorted({debit.account for debit in debits if debit.amount}):
        plan = read_plan(plan_of(plans.budgets[account].schema))
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
    if stand.stage == PARTIAL:
        opened = sorted({part for x, _ in stand.each for part in x.opens or ()})
        if opened and part not in opened:
            facts = {"budget": stand.budget, "stage": stand.stage, "part": part, "available": opened}
            findings.append(find("part_closed", **facts, missing=stand.gaps))
    stopping = [entry for entry in stand.unmet if part in (entry[0].blocks or ())]
    return findings + [_blocked(stand, part, x, standing) for x, standing in stopping]


def _blocked(stand: Standings, part: str, x: Constraint, standing: Standing) -> Finding:
    """Which gate stops a part, and what is missing; only of an amount more funds are the advice."""
    facts: dict[str, Any] = {"budget": stand.budget, "stage": stand.stage, "part": part, "constraint": x.name}
    if standing.fault:
        return advising(find("part_blocked", **facts, fault=standing.fault), ESCALATE)
    if x.holds is not UNSET:
        return advising(find("part_blocked", **facts, holds=x.holds), ESCALATE)
    facts["shortage"] = standing.missing
    if not x.resource:
        return advising(find("part_blocked", **facts, needed=standing.needed, have=standing.there), ESCALATE)
    facts |= {"resource": x.resource, "minimum": standing.needed, "balance": standing.there}
    return find("part_blocked", **facts)


# --- floors -----------------------------------------------------------------------------------------


def _check_floors(stand: Standings, debits: list[Debit], sight: Sight) -> list[Finding]:
    """Every constraint for everybody that would not hold once this is taken.

    Where only the whole plan needs it, stage partial does not keep it; an opened part may use what opened it.
    """
    asked: dict[str, int] = {}
    for debit in debits:
        asked[debit.resource] = asked.get(debit.resource, 0) + debit.amount
    part, is_partial = debits[0].part, stand.stage == PARTIAL
    after = sight.reading(stand.budget, asked, debits[0].is_spent)
    findings = []
    for x, now in stand.each:
        if x.blocks or (is_partial and x.tier == FULL) or (x.opens and _is_opened(stand, x, part, sight)):
            continue
        is_moved = reads_funds(str(x.needs or x.holds or ""))
        then = standing_of(stand.budget, x, sight, after) if is_moved else now
        if then.fault or asked.get(x.resource, 0) > then.there - then.needed:
            findings.append(_broken(stand, part, x, then, asked.get(x.resource, 0), sight))
    return findings


def _is_opened(stand: Standings, x: Constraint, part: str, sight: Sight) -> bool:
    """Whether what a part spends counts as there for the constraint that opens it: somebody counts it."""
    return part in (x.opens or ()) and sight.used_by(f"{stand.budget}/{part}", x.resource) is not None


def _broken(stand: Standings, part: str, x: Constraint, then: Standing, needed: int, sight: Sight) -> Finding:
    """What a constraint says that would not hold once `needed` of its resource was taken."""
    facts: dict[str, Any] = {"budget": stand.budget, "constraint": x.name}
    if x.needs is not UNSET or x.holds is not UNSET or x.opens:
        facts |= {"stage": stand.stage, "part": part}
    if then.fault:
        return find("constraint_fault", **facts, fault=then.fault)
    if x.holds is not UNSET:
        return find("condition_unmet", **facts, holds=x.holds)
    used, left = used_by_opened(stand.budget, x, sight), then.there - then.needed
    facts |= {"resource": x.resource, "minimum": then.needed, "balance": then.there - used, "needed": needed}
    facts |= {"used": used} if x.opens else {}
    return find("constraint_unmet", **facts, available=max(0, left), shortage=needed - left)
