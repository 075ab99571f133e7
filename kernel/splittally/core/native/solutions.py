"""The native effect on what budgets solve.

Rule 1. Solving moves nothing and changes no plan. The same input gives the same solution.
Rule 2. The built-in solver evaluates the plan's formulas in exact integers. Whoever brings cells of their
        own is named with them, and the kernel checks their form.
"""

from msgspec import Struct

from splittally.core import expr
from splittally.core.amounts import in_model
from splittally.core.budget.expressions import amount_of
from splittally.core.budget.plan import Plan
from splittally.core.events import Event, Solved
from splittally.core.findings import Finding, find
from splittally.core.limits import PLAN_ITEMS_MAX
from splittally.core.native.plans import plan_of, touches_budget
from splittally.core.native.reading import reading_of
from splittally.core.native.row import Native, NativeCall
from splittally.core.state import State
from splittally.core.types import BudgetDef, Cell, is_id

FORMULAS = "formulas"


class SolveBudget(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A solution: by the plan's formulas over `input`, or the `cells` that `solver` proposes."""

    budget: str
    input: dict[str, int] = {}
    cells: list[Cell] = []
    solver: str = FORMULAS

    def __post_init__(self) -> None:
        if len(self.cells) > PLAN_ITEMS_MAX or len(self.input) > PLAN_ITEMS_MAX:
            raise ValueError(f"at most {PLAN_ITEMS_MAX} cells and inputs")
        if (self.solver == FORMULAS) == bool(self.cells) or not is_id(self.solver):
            raise ValueError(f"`cells` come with the name of their `solver`, which is not `{FORMULAS}`")
        names = [cell.name for cell in self.cells]
        if len(names) != len(set(names)) or not all(map(is_id, [*names, *self.input])):
            raise ValueError("each cell and input has a name of its own")
        if not all(map(in_model, [*self.input.values(), *(y.value for y in self.cells)])):
            raise ValueError("cells and inputs are integers of the data model")


def _check_solve(state: State, call: NativeCall, params: SolveBudget) -> list[Finding]:
    budget = state.plans.budgets.get(params.budget)
    if budget is None:
        return [find("not_found", budget=params.budget)]
    if params.cells:
        return []
    return [
        find("formula_fault", budget=params.budget, cell=name, fault=value.code)
        for name, value in _evaluated(state, call, params, budget).items()
        if isinstance(value, expr.ExprFault)
    ]


def _evaluated(state: State, call: NativeCall, params: SolveBudget, budget: BudgetDef) -> dict[str, object]:
    """Each formula's value, or its fault."""
    plan: Plan = plan_of(state, budget)
    context = reading_of(state, budget, None, call.now_ns, params.input)
    return {name: amount_of(plan.formulas[name].value).evaluate(context) for name in sorted(plan.formulas)}


def _make_solve(state: State, call: NativeCall, params: SolveBudget) -> list[Event]:
    budget = state.plans.budgets[params.budget]
    context = reading_of(state, budget, None, call.now_ns)
    cells = params.cells
    if not cells:
        formulas = plan_of(state, budget).formulas
        values = _evaluated(state, call, params, budget)
        cells = [Cell(name, _integer(value), formulas[name].unit) for name, value in values.items()]
    read = {"balance": context["balance"], "metric": context["metric"], "input": params.input}
    return [Solved(budget=budget.name, version=budget.version, solver=params.solver, cells=cells, input=read)]


def _integer(value: object) -> int:
    assert type(value) is int
    return value


ROWS = {
    "budget.solve": Native(
        SolveBudget, touches_budget, _check_solve, _make_solve, "bring a budget's solution up to date"
    ),
}
