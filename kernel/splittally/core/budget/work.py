"""Work orders: what a charter wants done, how much of it is done, under way or missing, and what it pays.

Rule 1. A work order is an outcome of a metric with a target. A target for an output without a work order of
        its own is one that pays nothing by itself.
Rule 2. What is missing is what is wanted less what is done and what is under way; never below 0.

Example. Wanted 10 articles at 1,000 USD, done 3, two tasks open: 5 are missing. With 4,200 USD to spend, 4 of
them are affordable.
"""

from typing import NamedTuple

from msgspec import UNSET

from splittally.core.budget.parts import OUTPUT
from splittally.core.budget.plan import Plan, Work


class WorkOrder(NamedTuple):
    """A work order as it stands; amounts are of its resource, which is empty where it pays nothing."""

    name: str
    metric: str
    result: str
    resource: str
    pays: int
    part: str
    wanted: int
    done: int
    posted: int
    missing: int
    affordable: int


def orders_of(plan: Plan) -> dict[str, Work]:
    """The work orders of a plan by name, with those that its targets alone state."""
    orders = dict(plan.work)
    ordered = {work.metric for work in orders.values()}
    for name, metric in plan.metrics.items():
        is_wanted = metric.nature is UNSET and metric.kind == OUTPUT and (metric.target or 0) > 0
        if is_wanted and name not in ordered and name not in orders:
            orders[name] = Work(metric=name, resource="", pays=0, result=metric.description)
    return dict(sorted(orders.items()))


def work_order(plan: Plan, name: str, work: Work, done: int, posted: int, funds: int) -> WorkOrder:
    """A work order of a plan with so much done and under way, and so much of its resource to spend."""
    wanted = max(0, plan.metrics[work.metric].target or 0)
    missing = max(0, wanted - max(0, done) - posted)
    return WorkOrder(
        name=name,
        metric=work.metric,
        result=work.result,
        resource=work.resource,
        pays=work.pays,
        part=work.part,
        wanted=wanted,
        done=max(0, done),
        posted=posted,
        missing=missing,
        affordable=min(missing, funds // work.pays) if work.pays else missing if work.resource else 0,
    )
