"""What a solution of a budget is now: its allocations, its formulas, and what is wrong with either.

Rule 1. Allocations come first, then the formulas in the order of what they read. A formula that reads a cell
        which is not there, because nothing is allocated, has none itself.
Rule 2. While a budget is unsolvable, which is a state and no error, it has no allocation.
Rule 3. What is read stands beside what comes of it: whoever has the journal can calculate it again.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from splittally.core import expr
from splittally.core.budget.cells import cells_twice, check_allocations, check_decided, is_allocated
from splittally.core.budget.check import PLANNING
from splittally.core.budget.equations import cells_read, in_order
from splittally.core.budget.expressions import amount_of
from splittally.core.budget.plan import Plan
from splittally.core.budget.waterfall import FORMULAS, WATERFALL, allocation_cells, waterfall
from splittally.core.canonical import encode
from splittally.core.events import Solved
from splittally.core.findings import Finding, find
from splittally.core.hashing import hash_books
from splittally.core.native.plans import plan_of
from splittally.core.native.reading import Reading, reading_of
from splittally.core.native.standing import standings_now
from splittally.core.state import State
from splittally.core.types import BudgetDef, Cell

NO_CELLS: list[Cell] = []
NO_INPUT: Mapping[str, int] = {}


class Problem(NamedTuple):
    """What is to be solved: by which solver, over which input, with which cells where it brings its own."""

    budget: BudgetDef
    solver: str
    cells: list[Cell] = NO_CELLS
    input: Mapping[str, int] = NO_INPUT
    is_checked: bool = False  # whether its own cells are compared with the plan


class Solving(NamedTuple):
    """What comes of it: cells, what was read, what forbids them, and what there is to say beside them."""

    cells: list[Cell]
    read: dict[str, dict[str, int]]
    findings: list[Finding]
    told: list[Finding]

    def event(self, problem: Problem) -> Solved:
        """The fact that it was solved so."""
        budget = problem.budget
        return Solved(budget.name, budget.version, problem.solver, self.cells, self.read)


def solved(state: State, problem: Problem, now_ns: int) -> Solving:
    """The solution of a problem at `now_ns`; where `findings` forbid it, the rest of it means nothing."""
    budget, plan = problem.budget, plan_of(state, problem.budget)
    reading = reading_of(state, budget, None, now_ns, problem.input)
    read = {"balance": reading["balance"], "metric": reading["metric"], "input": dict(problem.input)}
    is_free = bool(problem.cells) and not problem.is_checked
    if problem.solver == FORMULAS or not is_allocated(plan) or is_free:
        return _unallocated(plan, problem, reading, read)
    flying = in_flight(state, budget, plan)
    there = {name: reading["balance"][name] + flying[name] for name in flying}
    stand = standings_now(state, budget.name, now_ns)
    stage, missing = stand.stage, stand.gaps
    proposed = [cell for cell in problem.cells if cell.name not in plan.formulas]
    findings = [find("name_taken", name=name, budget=budget.name) for name in cells_twice(plan)]
    allocations: list[Cell] = []
    if stage == PLANNING and proposed:
        names = sorted(cell.name for cell in proposed)
        findings.append(
            find("cells_unsolvable", budget=budget.name, stage=stage, missing=missing, cells=names)
        )
    elif stage != PLANNING and problem.solver == WATERFALL:
        allocations = waterfall(plan, there)
    elif stage != PLANNING:
        findings += check_allocations(budget.name, plan, proposed, there)
        order = {name: at for at, (name, _) in enumerate(allocation_cells(plan))}
        allocations = sorted(proposed, key=lambda cell: order.get(cell.name, -1))
    if findings:
        return Solving([], read, findings, [])
    told = [find("no_allocation", budget=budget.name, stage=stage, missing=missing)]
    cells = _known(plan, allocations) if stage != PLANNING else {}
    whole = _with_formulas(plan, problem, reading, cells, allocations)
    return whole._replace(read={**read, "in_flight": flying}, told=told if stage == PLANNING else [])


def _known(plan: Plan, allocations: list[Cell]) -> dict[str, int]:
    """Every allocation that a formula may read; one that nobody states is 0."""
    stated = {cell.name: cell.value for cell in allocations}
    return {name: stated.get(name, 0) for name, _ in allocation_cells(plan)}


def _unallocated(plan: Plan, problem: Problem, reading: Reading, read: dict[str, Any]) -> Solving:
    """Formulas alone; or the cells of any name that a plan without lines takes, but for its formulas' own."""
    if not problem.cells:
        return _with_formulas(plan, problem, reading, {}, [])._replace(read=read)
    findings: list[Finding] = []
    if problem.is_checked and any(cell.name in plan.formulas for cell in problem.cells):
        findings = _with_formulas(plan, problem, reading, {}, []).findings
    return Solving(problem.cells, read, findings, [])


def _with_formulas(
    plan: Plan, problem: Problem, reading: Reading, known: dict[str, int], allocations: list[Cell]
) -> Solving:
    """The allocations and the cells of the formulas, which read `known` and each other."""
    values, faults = _evaluated(plan, reading, known)
    name = problem.budget.name
    findings = [find("formula_fault", budget=name, cell=cell, fault=fault) for cell, fault in faults.items()]
    named = [cell for cell in problem.cells if cell.name in plan.formulas and cell.name not in faults]
    findings += check_decided(name, plan, named, values)
    solved = [Cell(cell, values[cell], plan.formulas[cell].unit) for cell in sorted(values)]
    return Solving([*allocations, *solved], {}, findings, [])


def _evaluated(plan: Plan, reading: Reading, known: dict[str, int]) -> tuple[dict[str, int], dict[str, str]]:
    """Each formula's value, and the faults of those that have one; neither for what reads an absent cell."""
    texts = {name: formula.value for name, formula in plan.formulas.items()}
    reading.solve(known)
    values: dict[str, int] = {}
    faults: dict[str, str] = {}
    for name in in_order(texts):
        if not all(cell in reading.cells for cell in cells_read(texts[name])):
            continue
        value = amount_of(texts[name]).evaluate(reading)
        if isinstance(value, expr.ExprFault):
            faults[name] = value.code
            continue
        assert type(value) is int
        values[name] = reading.cells[name] = value
    return values, dict(sorted(faults.items()))


# --- the books ---------------------------------------------------------------------------------------


def in_flight(state: State, budget: BudgetDef, plan: Plan) -> dict[str, int]:
    """What open holds have drawn from a budget's account, by resource."""
    return {name: state.ledger.drawn.get((budget.name, name), 0) for name in sorted(plan.resources)}


def books_of(state: State, budget: BudgetDef, now_ns: int) -> dict[str, dict[str, int]]:
    """What a solver reads of a budget beside its plan."""
    plan = plan_of(state, budget)
    reading = reading_of(state, budget, None, now_ns)
    flying = in_flight(state, budget, plan)
    return {"balance": reading["balance"], "in_flight": flying, "metric": reading["metric"]}


def hash_of_books(state: State, budget: BudgetDef, now_ns: int) -> bytes:
    """The name of a plan and of what is read beside it: a proposal that states it was made from these."""
    return hash_books(encode({"schema": budget.schema, **books_of(state, budget, now_ns)}))
