"""What a plan states of the charter of its budget: how much may be spent for life.

Rule 1. A metric without a `nature` whose target is below 0 is the most that may be spent. Named like a
        resource of the plan, it limits the charter for life.
Rule 2. What an overdraft may give stands on top of that: it is the most that there will ever be.

Example. `{"USD": {"target": -10000, …}}` and an overdraft of 2,500 USD: the charter is limited to 12,500, and
beyond 10,000 the condition must hold.
"""

from msgspec import UNSET

from splittally.core.budget.parts import SPEND
from splittally.core.budget.plan import Plan


def spend_targets(plan: Plan) -> dict[str, int]:
    """The most that may be spent of each resource by the plan's targets, without an overdraft."""
    return {
        name: -(metric.target or 0)
        for name, metric in sorted(plan.metrics.items())
        if metric.nature is UNSET and metric.kind == SPEND and name in plan.resources
    }


def charter_limits(plan: Plan) -> dict[str, int]:
    """The limits for life that the plan gives its charter, by resource."""
    limits = spend_targets(plan)
    if plan.overdraft is not None and plan.overdraft.resource in limits:
        limits[plan.overdraft.resource] += plan.overdraft.amount
    return limits
