"""What people and programs write of a solution, to the params of `budget.solve`.

Rule 1. Cells are a list of [name, value, unit], or a map of names to values. A value is an integer of minor
        units, text with its unit, or `{value, unit}`.
Rule 2. The unit of a cell that states none is that of the cell of this name in the plan in force.
Rule 3. Cells are always `checked`, whatever is stated.
Rule 4. Where neither a solver nor cells are stated, the solver is the plan's own, and is written out.
"""

from collections.abc import Mapping
from typing import Any

from splittally.core.budget.plan import Plan
from splittally.core.budget.waterfall import allocation_cells, own_solver
from splittally.core.errors import InvalidInput
from splittally.core.native.plans import plan_of
from splittally.core.state import State
from splittally.edge.amounts import Amounts, scales_of


def spell_solution(state: State, params: dict[str, Any]) -> None:
    """Writes out the solver and the cells of the params, as they are meant in this state."""
    params.pop("checked", None)
    if params.get("cells"):
        params["checked"] = True
    name = params.get("budget")
    budget = state.plans.budgets.get(name) if isinstance(name, str) else None
    if budget is None:
        return
    plan = plan_of(state, budget)
    if "solver" not in params and not params.get("cells"):
        params["solver"] = own_solver(plan)
    cells = params.get("cells")
    if isinstance(cells, Mapping):
        cells = [[key, value] for key, value in cells.items()]
    if isinstance(cells, list):
        params["cells"] = spelled_cells(cells, plan, Amounts(scales_of(state)))


def spelled_cells(cells: list[Any], plan: Plan, amounts: Amounts) -> list[Any]:
    """Cells as [name, value, unit]; what is no cell is left to its type."""
    units = {name: formula.unit for name, formula in plan.formulas.items()} | dict(allocation_cells(plan))
    return [_cell(cell, units, amounts) for cell in cells]


def _cell(cell: Any, units: Mapping[str, str], amounts: Amounts) -> Any:
    if not isinstance(cell, list | tuple) or not 2 <= len(cell) <= 3 or type(cell[0]) is not str:
        return cell
    name: str = cell[0]
    value: Any = cell[1]
    unit = cell[2] if len(cell) == 3 else None
    if isinstance(value, Mapping):
        value, unit = value.get("value"), value.get("unit", unit)
    if unit is None:
        unit = units.get(name) or (value.rpartition(" ")[2] if type(value) is str else "")
    if type(value) is str and value.lstrip("-").isdigit() and not amounts.scales.get(unit):
        value = int(value)
    elif type(value) is str:
        value = _signed(name, value, unit, amounts)
    return [name, value, unit]


def _signed(name: str, text: str, unit: str, amounts: Amounts) -> Any:
    """An amount with its unit, which may be owed: `-5.00 USD`."""
    try:
        value = amounts.minor_units(text.removeprefix("-"), unit)
    except InvalidInput as error:
        raise InvalidInput(f"the cell `{name}`: {error}", field="cells") from error
    return -value if text.startswith("-") and type(value) is int else value
