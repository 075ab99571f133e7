"""How one hard constraint stands: what must be there, what counts as there, and what is missing.

Rule 1. A constraint needs so much of a resource, so many principals, or one thing: that a condition is true.
Rule 2. An expression that faults is never met; its fault stands in the gap, and no amount.
Rule 3. What the parts that a constraint opens used counts as there.

Example. `salaries` needs 30,000 and opens `pay`. The account holds 8,000 and `pay` used 25,000: 33,000 are
there, so it is met, and others may take 3,000.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from msgspec import UNSET

from splittally.core.amounts import shown
from splittally.core.budget.expressions import amount_of, condition_of, names_read
from splittally.core.budget.parts import Constraint
from splittally.core.expr import ExprFault


class Sight(NamedTuple):
    """What a check reads of a world.

    `balance_of` gives None where nothing was ever posted, `used_by` where nobody counts for the grant.
    `active_in` is how many principals are active in these parts of a budget, in all of it for none. `reading`
    gives the names that expressions of a budget's plan read, once so much was taken from its account;
    the last argument says that its charter counts that.
    """

    balance_of: Callable[[str, str], int | None]
    used_by: Callable[[str, str], int | None]
    active_in: Callable[[str, tuple[str, ...]], int]
    reading: Callable[[str, Mapping[str, int], bool], Mapping[str, Any]]


class Standing(NamedTuple):
    """What a constraint needs and what is there for it; a fault where its expression gave nothing."""

    needed: int
    there: int
    fault: str = ""

    @property
    def is_met(self) -> bool:
        """Whether all that it needs is there."""
        return not self.fault and self.there >= self.needed

    @property
    def missing(self) -> int:
        """How much is missing; nothing is said of it beside a fault."""
        return 0 if self.fault else max(0, self.needed - self.there)


def standing_of(budget: str, x: Constraint, sight: Sight, reading: Mapping[str, Any]) -> Standing:
    """How a constraint stands by these names."""
    if x.resource:
        there = sight.balance_of(budget, x.resource) or 0
        if x.opens:
            there += used_by_opened(budget, x, sight)
        if x.needs is UNSET:
            return Standing(x.minimum, there)
        needed = amount_of(str(x.needs)).evaluate(reading)
        return Standing(0, there, needed.code) if isinstance(needed, ExprFault) else Standing(needed, there)
    if x.holds is not UNSET:
        return _condition(str(x.holds), reading)
    assert x.participants is not UNSET
    return Standing(x.participants, sight.active_in(budget, tuple(x.blocks or ())))


def _condition(text: str, reading: Mapping[str, Any]) -> Standing:
    holds = condition_of(text).evaluate(reading)
    return Standing(1, 0, holds.code) if isinstance(holds, ExprFault) else Standing(1, int(holds))


@lru_cache(maxsize=4096)
def reads_funds(text: str) -> bool:
    """Whether an expression may give something else once value was taken; no text is none."""
    return bool(text) and any(path[0] in ("balance", "spent", "surplus") for path in names_read(text))


def used_by_opened(budget: str, x: Constraint, sight: Sight) -> int:
    """What the parts that a constraint opens used of its resource."""
    return sum(sight.used_by(f"{budget}/{part}", x.resource) or 0 for part in x.opens or ())


def gap_of(x: Constraint, standing: Standing) -> dict[str, Any]:
    """What is missing for a constraint that is not met: an amount, principals, or a condition."""
    if x.resource:
        gap: dict[str, Any] = {
            "constraint": x.name,
            "resource": x.resource,
            "missing": shown(standing.missing),
        }
        if x.needs is not UNSET:
            gap |= {"needs": x.needs, "needed": standing.needed, "have": standing.there}
    elif x.participants is not UNSET:
        gap = {"constraint": x.name, "needed": standing.needed, "have": standing.there}
    else:
        gap = {"constraint": x.name, "holds": x.holds, "needed": True, "have": False}
    if standing.fault:
        gap = {name: gap[name] for name in gap if name in ("constraint", "resource", "needs", "holds")}
        gap["fault"] = standing.fault
    if x.blocks:
        gap["blocks"] = sorted(x.blocks)
    return gap | {"description": x.description}
