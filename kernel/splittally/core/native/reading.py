"""What an expression of a plan reads: the state of its budget under the names of `expressions.NAMES`.

Rule 1. Each map is made when an expression asks for it, and only then: a condition over one metric counts no
        supply.
Rule 2. A metric of a period that is over says what a period without values says: 0 where it counts or sums,
        else nothing.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from msgspec import UNSET

from splittally.core.budget.horizon import at_horizon
from splittally.core.budget.parts import TOTAL
from splittally.core.budget.plan import Plan
from splittally.core.budget.rows import Digest
from splittally.core.budget.state import Firing, of_budget
from splittally.core.ledger.windows import window_start
from splittally.core.native.plans import plan_of
from splittally.core.state import State
from splittally.core.types import LIFE, BudgetDef

EMPTY_READS = ("sum", "count")
NOTHING_GIVEN: Mapping[str, int] = {}


class Reading(Mapping[str, Any]):
    """The names that an expression of a budget's plan may read, each made when it is asked for."""

    def __init__(
        self,
        state: State,
        budget: BudgetDef,
        firing: Firing | None,
        now_ns: int,
        given: Mapping[str, int],
    ) -> None:
        self._state, self._budget, self._plan = state, budget, plan_of(state, budget)
        self._firing, self._given, self._now_ns = firing, given, now_ns
        self._made: dict[str, Any] = {}
        self.cells: dict[str, int] = {}  # those that are solved so far
        self._is_solving = False

    def after(self, taken: Mapping[str, int], is_spent: bool) -> "Reading":
        """What is read once so much was taken from the account; `is_spent` where the charter counts it."""
        then = Reading(self._state, self._budget, self._firing, self._now_ns, self._given)
        then._made["balance"] = {name: x - taken.get(name, 0) for name, x in self["balance"].items()}
        if is_spent:
            then._made["spent"] = {name: x + taken.get(name, 0) for name, x in self["spent"].items()}
        return then

    def __getitem__(self, name: str) -> Any:
        if name == "cell":
            return self.cells if self._is_solving else self._cells()
        if name not in self._made:
            self._made[name] = _MAKERS[name](self)
        return self._made[name]

    def solve(self, known: dict[str, int]) -> None:
        """From here on cells are those of a solution in the making, which reads nothing of an earlier one."""
        self.cells, self._is_solving = known, True

    def __iter__(self) -> Iterator[str]:
        return iter(_NAMES)

    def __len__(self) -> int:
        return len(_NAMES)

    def _cause(self) -> dict[str, Any]:
        firing = self._firing
        return {"amount": firing.amount, "dim": firing.dim} if firing else {"amount": 0, "dim": ""}

    def _balance(self) -> dict[str, int]:
        balances = self._state.ledger.balances
        return {name: balances.get((self._budget.name, name), 0) for name in self._plan.resources}

    def _metric(self) -> dict[str, int]:
        read = {
            name: metric_now(self._state, self._budget, self._plan, name, self._now_ns)
            for name in self._plan.metrics
        }
        return {name: value for name, value in read.items() if value is not None}

    def _digest(self) -> dict[str, dict[str, int]]:
        found = {
            name: digest_now(self._state, self._budget, self._plan, name, self._now_ns)
            for name, metric in self._plan.metrics.items()
            if metric.per is not UNSET
        }
        return {name: shown_digest(digest) for name, digest in found.items() if digest is not None}

    def _cells(self) -> dict[str, int]:
        solution = self._state.plans.solutions.get(self._budget.name)
        return {cell.name: cell.value for cell in solution.cells} if solution is not None else {}

    def _spent(self) -> dict[str, int]:
        return {name: spent_of(self._state, self._budget.grant, name) for name in self._plan.resources}

    def _surplus(self) -> dict[str, int]:
        planned = dict.fromkeys(self._plan.resources, 0)
        for line in self._plan.lines.values():
            if not line.calendar:
                planned[line.resource] += int(at_horizon(self._plan, line, TOTAL))
        return {name: max(0, held - planned[name]) for name, held in self["balance"].items()}

    def _supply(self) -> dict[str, int]:
        balances = self._state.ledger.balances
        return {x.gets: balances.get((x.counter, x.gets), 0) for x in self._plan.conversions.values()}


_MAKERS: dict[str, Callable[[Reading], Any]] = {
    "cause": Reading._cause,
    "balance": Reading._balance,
    "metric": Reading._metric,
    "input": lambda reading: dict(reading._given),
    "digest": Reading._digest,
    "spent": Reading._spent,
    "surplus": Reading._surplus,
    "supply": Reading._supply,
    "now_ns": lambda reading: reading._now_ns,
}
_NAMES = (*_MAKERS, "cell")


def reading_of(
    state: State,
    budget: BudgetDef,
    firing: Firing | None,
    now_ns: int,
    given: Mapping[str, int] = NOTHING_GIVEN,
) -> Reading:
    """What an expression of the plan in force reads at `now_ns`; `given` is a solver's input."""
    return Reading(state, budget, firing, now_ns, given)


def metric_now(state: State, budget: BudgetDef, plan: Plan, name: str, now_ns: int) -> int | None:
    """What a metric says now; None where nothing was measured, or not in this period.

    A composite is the sum of its metrics by their weights over its whole, rounded down, where all are known.
    """
    metric = plan.metrics[name]
    if metric.weights is not UNSET:
        parts = {x: metric_now(state, budget, plan, x, now_ns) for x in metric.weights}
        if any(value is None for value in parts.values()):
            return None
        return sum((parts[x] or 0) * weight for x, weight in metric.weights.items()) // (metric.whole or 100)
    if metric.per is UNSET:
        measure = state.plans.metrics.get((budget.name, name))
        return measure.value if measure is not None else None
    digest = digest_now(state, budget, plan, name, now_ns)
    reads = metric.reads or "last"
    if digest is None:
        return 0 if reads in EMPTY_READS else None
    return shown_digest(digest)[reads]


def digest_now(state: State, budget: BudgetDef, plan: Plan, name: str, now_ns: int) -> Digest | None:
    """The values of a metric's period that holds `now_ns`; None where there are none."""
    digest = state.plans.digests.get(of_budget(budget.name, name))
    is_now = digest is not None and digest.start_ns == period_start(
        state, plan.metrics[name].per or TOTAL, now_ns
    )
    return digest if is_now else None


def period_start(state: State, per: str, now_ns: int) -> int:
    """When the period that holds `now_ns` began; 0 for the whole life."""
    return 0 if per == TOTAL else window_start(per, now_ns, state.offset_ns, state.ledger.zones)


def shown_digest(digest: Digest) -> dict[str, int]:
    """A digest by name, with the average rounded down."""
    return {
        "average": digest.sum // digest.count,
        "count": digest.count,
        "last": digest.last,
        "max": digest.max,
        "min": digest.min,
        "sum": digest.sum,
    }


def spent_of(state: State, grant: str, resource: str) -> int:
    """What was used and is reserved under a grant, less what was given back; 0 where nobody counts it."""
    counter = state.ledger.counters.get((grant, resource, LIFE, 0))
    return counter.reserved + counter.spent - counter.refunded if counter is not None else 0
