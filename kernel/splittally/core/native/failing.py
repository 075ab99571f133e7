"""Which permissions an amended plan makes fail: what is left of them could be spent, and could not any more.

Rule 1. A permission is a live grant below the charter that draws on the budget. What is left of it is what
        its own limit for life leaves and the account holds.
Rule 2. It fails where the plan in force lets all of that be posted, and the new one does not; the finding
        says by which constraint and what could still be.

Example. `cards/ann` has 80 USD left of the 100 that the budget holds. A new minimum of 50 leaves 50: the card
could have been used up and cannot be, 30 USD short.
"""

from collections.abc import Iterator

from msgspec import UNSET
from msgspec.structs import replace

from splittally.core.budget.narrowing import check_narrower
from splittally.core.budget.plan import Plan
from splittally.core.findings import Finding, find
from splittally.core.hashing import hash_schema
from splittally.core.ledger.moves import Move, spendable
from splittally.core.limits import FAILING_TOLD_MAX
from splittally.core.native.adoption import plan_bytes
from splittally.core.native.plans import plan_of
from splittally.core.native.standing import plan_findings
from splittally.core.state import State
from splittally.core.types import LIFE, BudgetDef, Grant

SAID = ("constraint", "part", "stage", "available", "shortage", "fault", "holds")


def says_more(plan: Plan) -> bool:
    """Whether a constraint of the plan is more than a minimum for everybody."""
    return any(
        x.blocks or x.opens or any(y is not UNSET for y in (x.needs, x.holds, x.participants))
        for x in plan.constraints
    )


def told_failing(state: State, budget: BudgetDef, new: Plan, now_ns: int) -> list[Finding]:
    """What is told beside a plan that is adopted: the permissions that it makes fail.

    Older journals tell nothing where both plans have mere minima.
    """
    if not (says_more(plan_of(state, budget)) or says_more(new)):
        return []
    return newly_failing(state, budget, new, now_ns)


def check_amended(state: State, budget: BudgetDef, new: Plan, now_ns: int) -> list[Finding]:
    """What keeps a plan from taking the place of the one in force; with it the permissions it makes fail."""
    findings = check_narrower(plan_of(state, budget), new)
    return findings + told_failing(state, budget, new, now_ns) if findings else []


def newly_failing(state: State, budget: BudgetDef, new: Plan, now_ns: int) -> list[Finding]:
    """A finding for each permission that the new plan makes fail, by name; the first of many."""
    after = _adopted(state, budget, new)
    findings: list[Finding] = []
    for chain, resource, left in _permissions(state, budget, now_ns):
        moves = [Move(budget.name, "", resource, left)]
        if plan_findings(state, moves, now_ns, chain):
            continue
        for found in plan_findings(after, moves, now_ns, chain)[:1]:
            why = {name: found.facts[name] for name in SAID if name in found.facts}
            facts = {"grant": chain[0].name, "resource": resource, "needed": left, **why, "found": found.code}
            findings.append(find("permission_fails", budget=budget.name, **facts))
        if len(findings) == FAILING_TOLD_MAX:
            break
    return findings


def _adopted(state: State, budget: BudgetDef, plan: Plan) -> State:
    """The state as it would be under the new plan."""
    data = plan_bytes(plan)
    fork = state.fork()
    fork.caps.blobs[hash_schema(data)] = data
    fork.plans.budgets[budget.name] = replace(budget, schema=hash_schema(data), version=budget.version + 1)
    return fork


def _permissions(state: State, budget: BudgetDef, now_ns: int) -> Iterator[tuple[list[Grant], str, int]]:
    """The chain of each permission below the charter, a resource, and what is left of it there."""
    for name in sorted(state.caps.grants):
        chain = state.caps.ancestors(name)
        is_below = any(grant.name == budget.grant for grant in chain[1:])
        if not is_below or not state.caps.is_live(name, now_ns):
            continue
        drawn = {resource for grant in chain for resource in grant.paid_by}
        for resource in sorted(drawn):
            payers = [payer.account for payer in state.caps.payers(name, resource)]
            held = spendable(state.ledger, budget.name, resource) if budget.name in payers else 0
            counter = state.ledger.counters.get((name, resource, LIFE, 0))
            if counter is not None and counter.limit >= 0:
                held = min(held, counter.available)
            if held > 0:
                yield chain, resource, held
