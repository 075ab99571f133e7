"""The plan of a budget: what it may hold, what it is for, what must stay true, what happens by itself.

Rule 1. A plan is data in canonical bytes; its hash is the budget's identity, wherever it is read.
Rule 2. A plan is judged by `require_valid` when somebody states it; a recorded one is read back as it is.
Rule 3. Here stands what the parts must be to each other; each part judges its own fields (`parts.py`).
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import UNSET, Struct

from splittally.core.amounts import fits
from splittally.core.budget.equations import require_equations
from splittally.core.budget.expressions import require, require_condition
from splittally.core.budget.parts import Constraint, Conversion, Line, Metric, require_shares
from splittally.core.budget.rules import (
    ON_DEPOSIT,
    ON_METRIC,
    Convert,
    Formula,
    Issue,
    PlanRule,
    RecordValue,
    Transfer,
)
from splittally.core.canonical import decode
from splittally.core.limits import PLAN_ITEMS_MAX
from splittally.core.names import is_blank
from splittally.core.types import is_id

PERCENT = 100


class Quorum(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who agrees: so many of these principals, or of anybody where none is named."""

    agree: int
    of: list[str] = []

    def require_valid(self) -> None:
        """Raises `ValueError` naming the first thing that may not be."""
        require(0 < self.agree <= PLAN_ITEMS_MAX, f"a quorum is 1 to {PLAN_ITEMS_MAX} that agree")
        require(all(map(is_id, self.of)) and len(set(self.of)) == len(self.of), "a quorum is `of` principals")


class Contingency(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What happens in a crisis: below this percentage of the plan only these lines are funded, in order."""

    below: int
    priorities: list[str]

    def require_valid(self) -> None:
        """Raises `ValueError` naming the first thing that may not be."""
        require(0 < self.below <= PERCENT, "a contingency is `below` 1 to 100 percent of the plan")
        require(len(self.priorities) > 0, "a contingency lists the lines that come first")


class Overdraft(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the parent lets the budget draw beyond its funds, while a condition holds."""

    resource: str
    amount: int
    when: str

    def require_valid(self) -> None:
        """Raises `ValueError` naming the first thing that may not be."""
        require(is_id(self.resource) and fits(self.amount), "an overdraft is an `amount` of a `resource`")
        require_condition(self.when)


class FundingLimit(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """While a condition holds a funding request is granted this percentage of what it asks for, at most."""

    when: str
    percent: int

    def require_valid(self) -> None:
        """Raises `ValueError` naming the first thing that may not be."""
        require(0 <= self.percent <= PERCENT, "a funding limit is 0 to 100 `percent`")
        require_condition(self.when)


class Work(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A work order: an outcome by a metric with a target, and what one unit of it pays from which part."""

    metric: str
    resource: str
    pays: int
    result: str
    part: str = ""

    def require_valid(self) -> None:
        """Raises `ValueError` naming the first thing that may not be."""
        require(is_id(self.metric) and is_id(self.resource), "a work order has a `metric` and a `resource`")
        require(fits(self.pays), "what a work order `pays` is a natural below 2^64")
        require(not is_blank(self.result), "a work order's `result` says what is to be done")


class Plan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The schema of a budget. `resources` maps what it may hold to the number of decimals.

    `allocations` maps a resource to the weights by which deposits of it are shared; `surplus` does so with
    what is held beyond all lines, by line. A `private` plan is read only by who may act under the budget.
    """

    title: str = ""
    description: str = ""
    goals: list[str] = []
    resources: dict[str, int] = {}
    lines: dict[str, Line] = {}
    metrics: dict[str, Metric] = {}
    constraints: list[Constraint] = []
    allocations: dict[str, dict[str, int]] = {}
    conversions: dict[str, Conversion] = {}
    rules: list[PlanRule] = []
    formulas: dict[str, Formula] = {}
    starts_ns: int = 0
    ends_ns: int = 0
    private: bool = False
    quorum: Quorum | None = None
    contingency: Contingency | None = None
    surplus: dict[str, dict[str, int]] = {}
    overdraft: Overdraft | None = None
    funding_limits: list[FundingLimit] = []
    work: dict[str, Work] = {}

    def require_valid(self) -> None:
        """Raises `ValueError` naming the first thing that may not be."""
        for name in _LISTED:
            require(len(getattr(self, name)) <= PLAN_ITEMS_MAX, f"at most {PLAN_ITEMS_MAX} `{name}`")
        for part in self._parts():
            part.require_valid()
        require(len(self.resources) > 0, "a plan lists the `resources` that the budget may hold")
        names = [*self.resources, *self.lines, *self.metrics, *self.conversions, *self.formulas, *self.work]
        require(all(map(is_id, names)), "what a plan lists has printable names")
        require(all(0 <= scale <= 18 for scale in self.resources.values()), "a scale is 0 to 18")
        _require_once("constraint", [x.name for x in self.constraints])
        _require_once("rule", [x.name for x in self.rules])
        for shares in [*self.allocations.values(), *self.surplus.values()]:
            require_shares(shares)
        for named in self._resources_named():
            require(named in self.resources, f"the plan names `{named}` and its `resources` do not list it")
        for where, named in self._lines_named():
            require(named in self.lines, f"`{where}` names the line `{named}`, which the plan does not have")
        for where, named in self._metrics_named():
            require(named in self.metrics, f"{where} is on a metric that the plan does not have")
        for rule in self.rules:
            converts = [action.conversion for action in rule.do if isinstance(action, Convert)]
            require(
                all(x in self.conversions for x in converts), f"rule `{rule.name}` has no such conversion"
            )
        formulas = {name: formula.value for name, formula in self.formulas.items()}
        require_equations(formulas, self.lines, self.resources)
        for name, metric in self.metrics.items():
            for other in metric.weights or ():
                is_simple = other in self.metrics and self.metrics[other].weights is UNSET
                require(is_simple, f"the composite `{name}` is of metrics of the plan that are recorded")

    @property
    def counts_spend(self) -> bool:
        """Whether an expression of the plan reads what was spent, which the charter counts then."""
        return any("spent" in text for text in self._expressions())

    def _expressions(self) -> Iterator[str]:
        yield from (formula.value for formula in self.formulas.values())
        yield from (limit.when for limit in self.funding_limits)
        yield from (self.overdraft.when,) if self.overdraft is not None else ()
        yield from (str(x.floats) for x in self.conversions.values() if x.floats)
        for constraint in self.constraints:
            yield from (str(x) for x in (constraint.needs, constraint.holds) if x)
        for rule in self.rules:
            yield rule.when
            for action in rule.do:
                yield from (getattr(action, name) for name in ("amount", "value") if hasattr(action, name))

    def _parts(self) -> Iterator[Any]:
        yield from self.lines.values()
        yield from self.metrics.values()
        yield from self.constraints
        yield from self.conversions.values()
        yield from self.rules
        yield from self.formulas.values()
        yield from self.funding_limits
        yield from self.work.values()
        yield from (x for x in (self.quorum, self.contingency, self.overdraft) if x is not None)

    def _resources_named(self) -> list[str]:
        named = [line.resource for line in self.lines.values() if not line.calendar]
        named += [x.resource for x in self.constraints if x.resource] + [*self.allocations, *self.surplus]
        for conversion in self.conversions.values():
            named += [conversion.gives, conversion.gets]
        for rule in self.rules:
            named += [x.resource for x in rule.do if isinstance(x, Transfer | Issue) and x.resource]
            named += [rule.of] if rule.on == ON_DEPOSIT and rule.of else []
        named += [x.resource for x in self.work.values()]
        return named + ([self.overdraft.resource] if self.overdraft is not None else [])

    def _lines_named(self) -> Iterator[tuple[str, str]]:
        for name in self.contingency.priorities if self.contingency is not None else ():
            yield "contingency", name
        for shares in self.surplus.values():
            for name in shares:
                yield "surplus", name

    def _metrics_named(self) -> Iterator[tuple[str, str]]:
        for rule in self.rules:
            if rule.on == ON_METRIC:
                yield f"rule `{rule.name}`", rule.of
            for action in rule.do:
                if isinstance(action, RecordValue):
                    yield f"rule `{rule.name}`", action.metric
        for name, work in self.work.items():
            yield f"work order `{name}`", work.metric
        for name, line in self.lines.items():
            if line.metric:
                yield f"line `{name}`", line.metric


_LISTED = (
    "goals", "resources", "lines", "metrics", "constraints", "conversions", "rules", "formulas",
    "funding_limits", "work",
)  # fmt: skip


@lru_cache(maxsize=1024)
def read_plan(data: bytes) -> Plan:
    """The plan in canonical bytes that were checked when the budget adopted them."""
    return msgspec.convert(decode(data), Plan, strict=True)


def _require_once(what: str, names: Sequence[str]) -> None:
    require(len(names) == len(set(names)), f"two of the plan's {what}s have one name")
