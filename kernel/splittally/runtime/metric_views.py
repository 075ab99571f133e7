"""What a budget measures as people and programs read it: values, scores, progress, signals, pace, cost.

Rule 1. Everything is derived from one state; nothing here is recorded or decides.
Rule 2. What is no integer is exact: `numerator/denominator`.

Example. `articles`, an output of 4 towards 10, with 1,200.00 USD spent, shows beside its definition:

    value 4, score 2/5, progress {goal 10, value 4, share 2/5, is_met false, missing 6, surplus 0},
    per_unit {USD 30000}
"""

from fractions import Fraction
from typing import Any

import msgspec
from msgspec import UNSET

from splittally.core.budget.pace import pace
from splittally.core.budget.parts import OUTPUT, TOTAL, Metric
from splittally.core.budget.plan import Plan
from splittally.core.budget.score import progress, score
from splittally.core.budget.signals import signals
from splittally.core.native.plans import next_period_ns
from splittally.core.native.reading import digest_now, metric_now, shown_digest, spent_of
from splittally.core.state import State
from splittally.core.types import LIFE, BudgetDef


def exact(value: Fraction) -> int | str:
    """An integer where it is one, else `numerator/denominator`."""
    return int(value) if value.denominator == 1 else f"{value.numerator}/{value.denominator}"


def metric_row(state: State, budget: BudgetDef, plan: Plan, name: str) -> dict[str, Any]:
    """A metric's definition and what it says now; of one that states its period, with the digest of it."""
    metric = plan.metrics[name]
    row: dict[str, Any] = msgspec.to_builtins(metric) | {"nature": metric.kind}
    measure = state.plans.metrics.get((budget.name, name))
    value = metric_now(state, budget, plan, name, state.now_ns)
    row |= {
        "value": value,
        "count": measure.count if measure else 0,
        "score": None if value is None else exact(score(metric, value)),
        "progress": _progress(metric, value),
    }
    if metric.per is not UNSET:
        digest = digest_now(state, budget, plan, name, state.now_ns)
        row["digest"] = None if digest is None else _digest_row(digest)
    cost = _per_unit(state, budget, plan, metric, value)
    return row | ({"per_unit": cost} if cost else {})


def _progress(metric: Metric, value: int | None) -> dict[str, Any] | None:
    reached = progress(metric, value)
    if reached is None:
        return None
    return {**msgspec.structs.asdict(reached), "share": exact(reached.share)}


def _digest_row(digest: Any) -> dict[str, Any]:
    average = exact(Fraction(digest.sum, digest.count))
    return {
        **shown_digest(digest),
        "average": average,
        "start_ns": digest.start_ns,
        "version": digest.version,
    }


def _per_unit(
    state: State, budget: BudgetDef, plan: Plan, metric: Metric, value: int | None
) -> dict[str, int | str]:
    """What the budget spent for each unit of an output, of every resource that its charter counts."""
    if metric.kind != OUTPUT or not value or value < 0:
        return {}
    return {
        name: exact(Fraction(spent_of(state, budget.grant, name), value))
        for name in sorted(plan.resources)
        if (budget.grant, name, LIFE, 0) in state.ledger.counters
    }


# --- what lines say -------------------------------------------------------------------------------


def measured_line(state: State, budget: BudgetDef, plan: Plan, line_name: str, filled: int) -> dict[str, Any]:
    """How a line is filled and spent: by its metric where it has one, else by what is held for it."""
    line = plan.lines[line_name]
    row: dict[str, Any] = {}
    if line.metric:
        row["metric"] = line.metric
        filled = metric_now(state, budget, plan, line.metric, state.now_ns) or 0
    if line.part:
        row |= {
            "part": line.part,
            "spent": spent_of(state, f"{budget.grant}/{line.part}", line.resource),
        }
    return row | {"filled": filled, "share": exact(Fraction(filled, line.amount)) if line.amount else "1"}


def funded(plan: Plan, lines: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Percent of what is planned that is there: of each line, and overall.

    Amounts of different resources cannot be summed: overall is the mean of what each resource comes to. What
    a line has beyond its amount funds nothing else.
    """
    sums: dict[str, tuple[int, int]] = {}
    percents: dict[str, int | str] = {}
    for name, line in sorted(plan.lines.items()):
        if line.calendar or line.amount <= 0:
            continue
        there = max(0, min(lines[name]["filled"], line.amount))
        percents[name] = exact(Fraction(100 * there, line.amount))
        held, planned = sums.get(line.resource, (0, 0))
        sums[line.resource] = (held + there, planned + line.amount)
    shares = [Fraction(held, planned) for held, planned in sums.values()]
    overall = exact(100 * sum(shares, Fraction(0)) / len(shares)) if shares else None
    return {"lines": percents, "overall": overall}


def paces(state: State, plan: Plan, lines: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Whether the lines of the whole plan will be there at its end: what was done is what fills the line.

    Of a line that a part spends for it is what that part used.
    """
    found: dict[str, Any] = {}
    for name, line in sorted(plan.lines.items()):
        if line.calendar or line.per != TOTAL:
            continue
        done = lines[name]["spent" if line.part and not line.metric else "filled"]
        at = pace(done, line.amount, plan.starts_ns, plan.ends_ns, state.now_ns)
        if at is not None:
            row = msgspec.structs.asdict(at)
            found[name] = {
                key: exact(value) if type(value) is Fraction else value for key, value in row.items()
            }
    return found


def signal_rows(state: State, budget: BudgetDef, plan: Plan) -> list[dict[str, Any]]:
    """What the thresholds of the plan say at the state's time; `until_ns` ends the period that it is of."""
    said = signals(plan.metrics, lambda name: metric_now(state, budget, plan, name, state.now_ns))
    for row in said:
        per = plan.metrics[row["metric"]].per or TOTAL
        if per != TOTAL:
            row["until_ns"] = next_period_ns(state, per, state.now_ns)
    return said
