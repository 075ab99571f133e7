"""The parts of a budget as people read them: amounts with their units, times by the world's clock.

Rule 1. What an amount counts stands beside it in its row: `resource`, `dim`, `gives` or `gets`.
Rule 2. Shares, rates, weights and what formulas give are no amounts and stay as they are.
"""

from collections.abc import Mapping
from typing import Any

from splittally.edge.wording import Wording

UNIT_OF = {
    "amount": ("resource", "dim"),
    "minimum": ("resource",),
    "held": ("gives",),
    "pays": ("resource",),
    "drawn": ("resource",),
    "left": ("resource",),
    "expected": ("gets",),
}


def with_units(value: Any, wording: Wording) -> Any:
    """A part of a budget with text in the place of amounts and times."""
    match value:
        case Mapping():
            return {name: _said(name, item, value, wording) for name, item in value.items()}
        case list():
            return [with_units(item, wording) for item in value]
    return value


def _said(name: str, item: Any, row: Mapping[str, Any], wording: Wording) -> Any:
    if type(item) is not int:
        return with_units(item, wording)
    if name.endswith("_ns"):
        return wording.moment(item)
    unit = next((row[each] for each in UNIT_OF.get(name, ()) if row.get(each)), "")
    return wording.amount(item, unit) if unit else item
