"""What a budget's charter says and how far it is: its targets, its work orders and its overdraft.

Rule 1. Everything is derived from one state; nothing here is recorded or decides.
Rule 2. A task is under way for a work order while its hold is open under the budget's charter and carries the
        label `work` with the order's name.
"""

from typing import Any

from msgspec import UNSET

from splittally.core import expr
from splittally.core.budget.expressions import condition_of
from splittally.core.budget.parts import SPEND
from splittally.core.budget.plan import Plan
from splittally.core.budget.work import WorkOrder, orders_of, work_order
from splittally.core.ledger.moves import spendable
from splittally.core.native.overdraft import given_so_far
from splittally.core.native.plans import plan_of
from splittally.core.native.reading import metric_now, reading_of, spent_of
from splittally.core.state import State
from splittally.core.types import LIFE, BudgetDef

WORK_LABEL = "work"


def charter_row(state: State, budget: BudgetDef) -> dict[str, Any]:
    """The keys that a budget's row has because of its charter."""
    plan = plan_of(state, budget)
    return {
        "targets": {name: _target(state, budget, plan, name) for name in sorted(_targets(plan))},
        "work": {order.name: order._asdict() for order in work_orders(state, budget)},
        "overdraft": _overdraft(state, budget, plan),
    }


def work_orders(state: State, budget: BudgetDef) -> list[WorkOrder]:
    """The work orders of a budget by name."""
    plan = plan_of(state, budget)
    orders = orders_of(plan)
    if not orders:
        return []
    posted = _under_way(state, budget)
    rows = []
    for name, work in orders.items():
        done = metric_now(state, budget, plan, work.metric, state.now_ns) or 0
        grant = f"{budget.name}/{work.part}" if work.part else budget.grant
        funds = _affordable(state, budget, grant, work.resource) if work.resource else 0
        rows.append(work_order(plan, name, work, done, posted.get(name, 0), funds))
    return rows


def _under_way(state: State, budget: BudgetDef) -> dict[str, int]:
    """How many open tasks there are for each work order."""
    counted: dict[str, int] = {}
    for digest, labels in state.ledger.labels.items():
        name, hold = labels.get(WORK_LABEL), state.ledger.holds.get(digest)
        if name is not None and hold is not None and any(leg.grant == budget.grant for leg in hold.legs):
            counted[name] = counted.get(name, 0) + 1
    return counted


def _affordable(state: State, budget: BudgetDef, grant: str, resource: str) -> int:
    """What may be spent of a resource now: what the account holds, within limits for life."""
    left = spendable(state.ledger, budget.name, resource)
    if grant not in state.caps.grants:
        return 0
    for above in state.caps.ancestors(grant):
        counter = state.ledger.counters.get((above.name, resource, LIFE, 0))
        if counter is not None and counter.limit >= 0:
            left = min(left, counter.available)
    return max(0, left)


def _targets(plan: Plan) -> list[str]:
    return [name for name, x in plan.metrics.items() if x.nature is UNSET and x.target is not None]


def _target(state: State, budget: BudgetDef, plan: Plan, name: str) -> dict[str, Any]:
    """A target of the charter: the most that is spent, or the least that comes out, and whether it holds."""
    metric = plan.metrics[name]
    target = metric.target or 0
    if metric.kind == SPEND and name in plan.resources:
        used: int | None = spent_of(state, budget.grant, name)
    else:
        used = metric_now(state, budget, plan, name, state.now_ns)
    row: dict[str, Any] = {"nature": metric.kind, "target": target, "description": metric.description}
    if metric.kind == SPEND:
        return row | {"spent": used or 0, "left": -target - (used or 0), "is_met": (used or 0) <= -target}
    return row | {"done": used or 0, "missing": max(0, target - (used or 0)), "is_met": (used or 0) >= target}


def _overdraft(state: State, budget: BudgetDef, plan: Plan) -> dict[str, Any] | None:
    """The allowance, what was drawn of it, and whether its condition holds now."""
    overdraft = plan.overdraft
    if overdraft is None:
        return None
    held = condition_of(overdraft.when).evaluate(reading_of(state, budget, None, state.now_ns))
    drawn = given_so_far(state, budget.name, overdraft.resource)
    return {
        "resource": overdraft.resource,
        "amount": overdraft.amount,
        "when": overdraft.when,
        "drawn": drawn,
        "left": max(0, overdraft.amount - drawn),
        "is_open": not isinstance(held, expr.ExprFault) and bool(held),
    }
