"""The check of a proposal: what a solver says is data, and is compared with plan and books exactly.

Rule 1. Where a plan has lines that are funded, a cell is a line's share of a resource (`LINE.RESOURCE`), what
        nobody has (`unallocated.RESOURCE`), or a formula's. No other name is known.
Rule 2. A share is a natural of its resource; less than nothing stands only in `unallocated`, where less than
        nothing is there. The cells of a resource sum to what the budget holds and has in flight.
Rule 3. A formula decides its cell: a proposal may leave it out or repeat it, in value and unit.
Rule 4. While the budget is unsolvable nothing is allocated.
Rule 5. A plan without such lines takes cells of any name, which stand for what the solver says they do.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from splittally.core.amounts import shown
from splittally.core.budget.equations import UNALLOCATED, cell_of
from splittally.core.budget.plan import Plan
from splittally.core.budget.waterfall import allocation_cells
from splittally.core.findings import Finding, find
from splittally.core.types import Cell


def is_allocated(plan: Plan) -> bool:
    """Whether a solution of this plan says where its resources are."""
    return any(not line.calendar for line in plan.lines.values())


def cells_twice(plan: Plan) -> list[str]:
    """The names that two cells of the plan would have, as of the line `a.b` of `USD` and `a` of `b.USD`."""
    names = [*(name for name, _ in allocation_cells(plan)), *plan.formulas]
    return sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []


def check_allocations(
    budget: str, plan: Plan, cells: Sequence[Cell], there: Mapping[str, int]
) -> list[Finding]:
    """Everything that is wrong with these shares; `there` is what the budget has of each resource."""
    resources = dict(allocation_cells(plan))
    findings: list[Finding] = []
    sums = dict.fromkeys(sorted(plan.resources), 0)
    for cell in cells:
        resource = resources.get(cell.name)
        if resource is None:
            findings.append(find("cell_unknown", budget=budget, cell=cell.name))
            continue
        sums[resource] += cell.value
        if cell.unit != resource:
            findings.append(_otherwise("cell_unit", budget, cell.name, cell.unit, resource))
        is_debt = cell.name == cell_of(UNALLOCATED, resource) and there[resource] < 0
        if cell.value < 0 and not is_debt:
            findings.append(find("cell_negative", budget=budget, cell=cell.name, value=cell.value))
    for resource, total in sums.items():
        if total != there[resource]:
            found = {"resource": resource, "value": shown(total), "needed": shown(there[resource])}
            named = [cell.name for cell in cells if resources.get(cell.name) == resource]
            findings.append(find("cells_unequal", budget=budget, cells=sorted(named), **found))
    return findings


def check_decided(budget: str, plan: Plan, cells: Sequence[Cell], values: Mapping[str, int]) -> list[Finding]:
    """The cells of formulas that say something else than the formula; `values` are those that have one."""
    findings: list[Finding] = []
    for cell in cells:
        unit = plan.formulas[cell.name].unit
        if cell.name not in values:
            findings.append(find("cell_unknown", budget=budget, cell=cell.name))
        elif cell.value != values[cell.name]:
            findings.append(_otherwise("cell_decided", budget, cell.name, cell.value, values[cell.name]))
        elif cell.unit != unit:
            findings.append(_otherwise("cell_unit", budget, cell.name, cell.unit, unit))
    return findings


def _otherwise(code: str, budget: str, cell: str, value: Any, needed: Any) -> Finding:
    return find(code, budget=budget, cell=cell, value=value, needed=needed)
