"""What a budget needs by its own formulas, against what it has: what a request upwards rests on.

Rule 1. A formula whose unit is a resource of the plan says what is needed in all. What the budget has is its
        balance with what is in flight, or, where the plan counts what is spent, with all that was.
Rule 2. What the formula read is told with the value, and for a metric with the frame that recorded it: a new
        value changes the projection, and the request still says what it was computed from.

Example. `50 * metric.price` with a price of 230 is 11,500. The budget was given 10,000, of which 1,200 are
spent: it has 8,800 + 1,200, and 1,500 are missing. At a price of 190 nothing is.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from splittally.core import expr
from splittally.core.budget.expressions import amount_of, names_read
from splittally.core.findings import Finding, find
from splittally.core.native.plans import plan_of
from splittally.core.native.reading import metric_now, reading_of, spent_of
from splittally.core.state import State
from splittally.core.types import LIFE, BudgetDef

NEEDED = "needed"  # a formula whose name begins so says what the budget needs in all


class Projection(NamedTuple):
    """What a formula says is needed of a resource, what there is, and what is missing."""

    formula: str
    resource: str
    needed: int
    has: int

    @property
    def missing(self) -> int:
        return max(0, self.needed - self.has)


def projected(
    state: State, budget: BudgetDef, formula: str, now_ns: int, given: Mapping[str, int]
) -> Projection | Finding:
    """What a formula of the plan in force projects, or why it says nothing."""
    plan = plan_of(state, budget)
    known = plan.formulas.get(formula)
    if known is None:
        return find("not_found", formula=formula, budget=budget.name)
    if known.unit not in plan.resources:
        return find("not_found", resource=known.unit, budget=budget.name, formula=formula)
    value = amount_of(known.value).evaluate(reading_of(state, budget, None, now_ns, given))
    if isinstance(value, expr.ExprFault):
        return find("formula_fault", budget=budget.name, cell=formula, fault=value.code)
    return Projection(formula, known.unit, value, has_of(state, budget, known.unit))


def has_of(state: State, budget: BudgetDef, resource: str) -> int:
    """What a budget was given, as far as it is counted: its balance, and what is in flight or was spent."""
    books = state.ledger
    is_counted = (budget.grant, resource, LIFE, 0) in books.counters
    used = (
        spent_of(state, budget.grant, resource) if is_counted else books.drawn.get((budget.name, resource), 0)
    )
    return books.balances.get((budget.name, resource), 0) + used


def read_by(
    state: State, budget: BudgetDef, formula: str, now_ns: int, given: Mapping[str, int]
) -> dict[str, dict[str, int]]:
    """What a formula reads by name, `metric.price`: its value, and for a metric where it was recorded."""
    context = reading_of(state, budget, None, now_ns, given)
    found: dict[str, dict[str, int]] = {}
    for name, *keys in names_read(plan_of(state, budget).formulas[formula].value):
        if not keys:
            continue  # a time, or a map that is read by a computed key
        key = keys[0]
        value: Any = context[name].get(key)
        if name in ("metric", "digest"):
            found |= recorded_metric(state, budget, key, now_ns)
        elif value is not None:
            found[f"{name}.{key}"] = {"value": value}
    return found


def recorded_metric(state: State, budget: BudgetDef, name: str, now_ns: int) -> dict[str, dict[str, int]]:
    """What a metric of the plan says now, how many values there were, and the frame of the last one."""
    plan = plan_of(state, budget)
    value = metric_now(state, budget, plan, name, now_ns) if name in plan.metrics else None
    if value is None:
        return {}
    measure = state.plans.metrics.get((budget.name, name))
    told = {"seq": measure.seq, "count": measure.count} if measure is not None else {}
    return {f"metric.{name}": {"value": value, **told}}
