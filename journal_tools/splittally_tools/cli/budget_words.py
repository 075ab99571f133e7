"""A budget as people read it: its amounts with their units, its times by the world's clock.

Rule 1. What an amount counts stands beside it in the row (`resource`, `dim`, `gives`, `gets`), or is its key.
Rule 2. Shares, rates, weights and what formulas give are no amounts and stay as they are.
"""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from splittally.edge.wording import Wording

BY_RESOURCE = ("balances", "in_flight", "spendable")  # maps of a resource to its amount
UNIT_OF = {
    "amount": ("resource", "dim"), "minimum": ("resource",), "planned": ("resource",),
    "filled": ("resource",), "missing": ("resource",), "held": ("gives",), "expected": ("gets",),
}  # fmt: skip


def with_units(value: Any, wording: Wording) -> Any:
    """A row of a budget, or a part of one, with text in the place of amounts and times."""
    match value:
        case Mapping():
            return {name: _said(name, item, value, wording) for name, item in value.items()}
        case list():
            return [with_units(item, wording) for item in value]
    return value


def _said(name: str, item: Any, row: Mapping[str, Any], wording: Wording) -> Any:
    if name in BY_RESOURCE and isinstance(item, Mapping):
        return wording.amounts(item)
    if name.endswith("_ns") and type(item) is int:
        return wording.moment(item)
    unit = next((row[each] for each in UNIT_OF.get(name, ()) if row.get(each)), "")
    if unit and type(item) is int:
        return wording.amount(item, unit)
    if unit and name == "planned":  # a line at a horizon that does not divide it: minor units as n/d
        return f"{wording.amount(int(Fraction(item)), unit)} and a part"
    return with_units(item, wording)
