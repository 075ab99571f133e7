"""The native effect on what budgets solve.

Rule 1. Solving moves nothing and changes no plan. The same books give the same solution.
Rule 2. The built-in solvers are `formulas`, which evaluates the plan's formulas in exact integers, and
        `waterfall@1`, which allocates what is there besides. No other solver runs here, now or in replay.
Rule 3. Whoever else brings cells only proposes: they are named with them, the kernel checks each cell
        (`budget/cells.py`), and where one is refused the solution in force stays.
"""

from msgspec import UNSET, Struct, UnsetType

from splittally.core.amounts import in_model
from splittally.core.budget.waterfall import FORMULAS, WATERFALL
from splittally.core.events import Event
from splittally.core.findings import Finding, find
from splittally.core.limits import CELLS_MAX, HASH_BYTES, PLAN_ITEMS_MAX
from splittally.core.native.plans import touches_budget
from splittally.core.native.row import Native, NativeCall
from splittally.core.native.solving import Problem, hash_of_books, solved
from splittally.core.state import State
from splittally.core.types import BudgetDef, Cell, is_id

BUILT_IN = (FORMULAS, WATERFALL)
RESERVED = (FORMULAS, "waterfall")  # as the id of a solver, or what stands before its version


class SolveBudget(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A solution: by a built-in `solver` over `input`, or the `cells` that another one proposes.

    `input_hash` is of the books that a proposal was made from: others by now, and it is refused. The edge
    writes `checked` beside cells; records from before that was done do not have it, and mean what they did.
    """

    budget: str
    input: dict[str, int] = {}
    cells: list[Cell] = []
    solver: str = FORMULAS
    input_hash: bytes | UnsetType = UNSET
    checked: bool | UnsetType = UNSET

    def __post_init__(self) -> None:
        if len(self.cells) > CELLS_MAX or len(self.input) > PLAN_ITEMS_MAX:
            raise ValueError(f"at most {CELLS_MAX} cells and {PLAN_ITEMS_MAX} inputs")
        if (self.solver in BUILT_IN) == bool(self.cells) or not is_id(self.solver):
            raise ValueError(f"`cells` come with their `solver`, which is none of {', '.join(BUILT_IN)}")
        if self.solver not in BUILT_IN and self.solver.partition("@")[0] in RESERVED:
            raise ValueError(f"`{self.solver}` is no solver of this release: {', '.join(BUILT_IN)}")
        names = [cell.name for cell in self.cells]
        if len(names) != len(set(names)) or not all(map(is_id, [*names, *self.input])):
            raise ValueError("each cell and input has a name of its own")
        if not all(map(in_model, [*self.input.values(), *(y.value for y in self.cells)])):
            raise ValueError("cells and inputs are integers of the data model")
        if self.input_hash is not UNSET and len(self.input_hash) != HASH_BYTES:
            raise ValueError(f"`input_hash` has {HASH_BYTES} bytes")


def _problem(budget: BudgetDef, params: SolveBudget) -> Problem:
    return Problem(budget, params.solver, params.cells, params.input, params.checked is True)


def _check_solve(state: State, call: NativeCall, params: SolveBudget) -> list[Finding]:
    budget = state.plans.budgets.get(params.budget)
    if budget is None:
        return [find("not_found", budget=params.budget)]
    if params.input_hash is not UNSET:
        books = hash_of_books(state, budget, call.now_ns)
        if books != params.input_hash:
            return [find("cells_stale", budget=budget.name, value=params.input_hash, needed=books)]
    return solved(state, _problem(budget, params), call.now_ns).findings


def _make_solve(state: State, call: NativeCall, params: SolveBudget) -> list[Event]:
    problem = _problem(state.plans.budgets[params.budget], params)
    return [solved(state, problem, call.now_ns).event(problem)]


def _tell_solve(state: State, call: NativeCall, params: SolveBudget) -> list[Finding]:
    return solved(state, _problem(state.plans.budgets[params.budget], params), call.now_ns).told


ROWS = {
    "budget.solve": Native(
        SolveBudget,
        touches_budget,
        _check_solve,
        _make_solve,
        "bring a budget's solution up to date",
        tell=_tell_solve,
    ),
}
