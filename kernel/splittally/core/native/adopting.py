"""What is carried out once people agree: a part is issued, or a draft of the plan is put in force.

Rule 1. It is asked again then whether it may be done, by the same checks as `budget.split` and
        `budget.amend`; if not, the vote or the answer that would do it is refused, and nothing is recorded.
Rule 2. By a quorum it is done under the grant that adopted the plan, with its chain as it stands then.
Rule 3. A draft of an older version is merged into the plan in force where both changed different parts
        (`merging.py`); else it is refused with `plan_moved`, which names the parts.
"""

from msgspec.structs import replace

from splittally.core.budget.merging import Merged, merged
from splittally.core.budget.plan import Plan, read_plan
from splittally.core.budget.proposals import SPEND
from splittally.core.budget.rows import Proposal
from splittally.core.caps.grants import build_grant, check_new_name, check_terms
from splittally.core.events import Event
from splittally.core.findings import Finding, find
from splittally.core.native.adoption import check_plan
from splittally.core.native.budgets import adopt_events
from splittally.core.native.failing import check_amended, told_failing
from splittally.core.native.parts import charter_now, part_events, part_terms
from splittally.core.native.plans import plan_of
from splittally.core.native.proposals import check_covered
from splittally.core.native.row import NativeCall
from splittally.core.state import State
from splittally.core.types import BudgetDef

AMENDING, SPLITTING = "budget.amend", "budget.split"
BASE = "plan"  # in the basis of a draft: the hash of the plan that it was made from


def check_adopting(state: State, call: NativeCall, row: Proposal, adopter: str) -> list[Finding]:
    """Everything that keeps an agreed proposal from being carried out under this grant."""
    budget = state.plans.budgets[row.budget]
    operation = SPLITTING if row.kind == SPEND else AMENDING
    findings = check_covered(state, adopter, operation, row.resource, row.budget, call.now_ns)
    if findings:
        return findings
    if row.kind == SPEND:
        return check_part(state, call, budget, row)
    found = _merged(state, budget, row)
    if found.plan is None:
        facts = {"base": row.base, "version": budget.version, "conflicts": found.conflicts}
        return [find("plan_moved", budget=row.budget, proposal=row.name, **facts)]
    findings = check_plan(state, call, found.plan, budget.parent, adopter)
    return findings + check_amended(state, budget, found.plan, call.now_ns)


def adopting_events(state: State, call: NativeCall, row: Proposal, adopter: str) -> list[Event]:
    """The events that carry out a proposal in which `check_adopting` found nothing."""
    budget = state.plans.budgets[row.budget]
    if row.kind == SPEND:
        by = replace(call, grant=adopter, principal=state.caps.grants[adopter].holder)
        parts, holders = {row.part: row.amount}, {row.part: row.holder}
        terms = charter_now(state, budget)
        return part_events(state, by, terms, budget.name, row.resource, parts, holders)
    plan = _merged(state, budget, row).plan
    assert plan is not None
    return adopt_events(state, call, budget, plan, adopter)


def told_adopting(state: State, call: NativeCall, row: Proposal) -> list[Finding]:
    """What is told beside a proposal that is carried out: the permissions that its draft makes fail."""
    if row.kind == SPEND:
        return []
    budget = state.plans.budgets[row.budget]
    plan = _merged(state, budget, row).plan
    return told_failing(state, budget, plan, call.now_ns) if plan is not None else []


def check_part(state: State, call: NativeCall, budget: BudgetDef, row: Proposal) -> list[Finding]:
    """Whether a part may be issued of what the pool holds now, as a split by amounts would."""
    name = f"{budget.name}/{row.part}"
    findings = check_new_name(state.caps, name)
    if row.resource not in plan_of(state, budget).resources:
        findings.append(find("not_found", resource=row.resource, budget=budget.name))
    pool = max(0, state.ledger.balances.get((budget.name, row.resource), 0))
    if row.amount > pool:
        facts = {"needed": row.amount, "available": pool, "excess": row.amount - pool}
        findings.append(find("allocations_unequal", budget=budget.name, **facts))
    if state.caps.is_revoked(budget.grant):
        findings.append(find("revoked", grant=budget.grant, order=""))
    if findings:
        return findings
    terms = part_terms(charter_now(state, budget), budget.name, row.resource, row.amount, row.holder)
    return check_terms(state.caps, build_grant(name, terms, call.principal))


def _merged(state: State, budget: BudgetDef, row: Proposal) -> Merged:
    """The draft as it would be put in force now."""
    blobs = state.caps.blobs
    base, draft = row.basis[BASE], _plan(state, row.schema)
    if base == budget.schema:
        return Merged(draft, [])
    return merged(read_plan(blobs[base]), plan_of(state, budget), draft)


def _plan(state: State, digest: bytes) -> Plan:
    return read_plan(state.caps.blobs[digest])
