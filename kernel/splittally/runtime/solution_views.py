"""What solvers and their readers see of a budget: the books that a solver reads, and one cell by its name."""

from typing import Any

from splittally.core.native.plans import plan_of
from splittally.core.native.solving import books_of, hash_of_books
from splittally.core.state import State
from splittally.runtime.rows import Row


def books_row(state: State, name: str) -> dict[str, Any]:
    """Balances, what is in flight and metrics as a solver reads them now, and their hash."""
    budget = state.plans.budgets[name]
    return {**books_of(state, budget, state.now_ns), "hash": hash_of_books(state, budget, state.now_ns)}


def cell_row(state: State, budget: str, name: str) -> Row | None:
    """A cell of the solution in force: value and unit, and by which solver under which version of a plan."""
    solution = state.plans.solutions.get(budget)
    found = next((cell for cell in solution.cells if cell.name == name), None) if solution else None
    if solution is None or found is None:
        return None
    about = {"version": solution.version, "solver": solution.solver, "seq": solution.seq}
    return Row(name=found.name, value=found.value, unit=found.unit, **about)


def is_public(state: State, budget: str) -> bool:
    """Whether anybody reads the cells of a budget: its plan is not private."""
    found = state.plans.budgets.get(budget)
    return found is not None and not plan_of(state, found).private
