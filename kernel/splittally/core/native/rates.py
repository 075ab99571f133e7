"""At which rate a conversion of a plan is carried out now.

Rule 1. A rate that floats is `[rate[0], what its expression gives]`. Where that faults, or gives no side of a
        rate (1 to `WEIGHT_MAX`), the stated rate holds, and the finding says why.
Rule 2. The rate of a conversion that floats is recorded with each conversion (`rate_floated`).

Example. `rate = [1, 100]`, `floats = "20000 / supply.GPUH"`: one hour for 100 credits. While the market has
100 hours one costs 200; while it has 50, 400; when it has none the division faults, and one costs 100.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from splittally.core import expr
from splittally.core.budget.expressions import amount_of
from splittally.core.budget.plan import Plan
from splittally.core.findings import Finding, find
from splittally.core.limits import WEIGHT_MAX


class Rate(NamedTuple):
    """What is got for what is given, and what there is to say of it: nothing of a rate that is fixed."""

    pair: list[int]
    findings: list[Finding]


def rate_now(plan: Plan, name: str, reading: Mapping[str, Any]) -> Rate:
    """The rate of a conversion of the plan on what it reads now."""
    conversion = plan.conversions[name]
    if not conversion.floats:
        return Rate(conversion.rate, [])
    given = amount_of(conversion.floats).evaluate(reading)
    if isinstance(given, expr.ExprFault):
        return Rate(conversion.rate, [_told(name, conversion.rate, reason="fault", fault=given.code)])
    if not 0 < given <= WEIGHT_MAX:
        return Rate(conversion.rate, [_told(name, conversion.rate, reason="range", value=given)])
    pair = [conversion.rate[0], given]
    return Rate(pair, [_told(name, pair)])


def is_rate(one: list[int], other: list[int]) -> bool:
    """Whether two rates are one fraction."""
    return one[0] * other[1] == one[1] * other[0]


def _told(name: str, pair: list[int], **facts: Any) -> Finding:
    return find("rate_floated", conversion=name, rate=pair, **facts)
