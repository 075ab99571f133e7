"""A linear program as solver: which projects, and how much of each, bring most for what the budget holds.

Rule 1. A project is a line of the plan. It has a `value` and what it `uses` of each resource, for one unit of
        it in minor units, and `most`, where there is a bound. With `whole` units are integers.
Rule 2. HiGHS calculates in floats, so what it says is only a direction: the shares are rounded down to minor
        units here, what is left stands in `unallocated`, and the kernel adds everything up again.
Rule 3. HiGHS is an extra. Without it everything else works.

Example. Two projects and 10 hours and 100 dollars; bread: value 3, 1 hour, 20 dollars; cake: value 2, 2
hours, 5 dollars. The optimum is where both limits bind: 30/7 of bread and 20/7 of cake; whole, it is 4 and 3.
"""

from collections.abc import Mapping
from fractions import Fraction
from importlib import import_module
from typing import Any

import msgspec
from msgspec import Struct

from splittally.core.budget.equations import UNALLOCATED, cell_of
from splittally.core.errors import InvalidInput
from splittally.host.solvers.proposals import Proposal

SOLVER = "lp@1"
DENOMINATOR_MAX = 10**6  # of the units of a project: what a float says beyond is noise


class Project(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one unit of a project is worth and uses."""

    value: int
    uses: dict[str, int]
    most: int | None = None


class Program(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be chosen from; `whole` is for units that cannot be shared."""

    projects: dict[str, Project]
    whole: bool = False


def solve_program(document: Any, question: Mapping[str, Any]) -> Proposal:
    """The best use of what the budget holds, as a proposal; `InvalidInput` where there is none."""
    try:
        program = msgspec.convert(document, Program, strict=True)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"no linear program: {error}", field="lp") from error
    _require(program, question)
    limits = {name: max(0, held) for name, held in question["balance"].items()}
    units = _optimum(program, limits)
    shares = _shares(program, units, limits)
    cells: list[list[Any]] = [
        [cell_of(name, unit), amount, unit] for (name, unit), amount in sorted(shares.items())
    ]
    for unit, held in sorted(question["balance"].items()):
        used = sum(amount for (_, other), amount in shares.items() if other == unit)
        cells.append([cell_of(UNALLOCATED, unit), held + question["in_flight"][unit] - used, unit])
    whole = {name: int(x) for name, x in units.items() if x.denominator == 1}
    return Proposal(
        solver=SOLVER,
        cells=cells,
        input={**question["input"], **whole},
        input_hash=bytes.fromhex(question["input_hash"]),
    )


def _require(program: Program, question: Mapping[str, Any]) -> None:
    """`InvalidInput` for what the plan does not have."""
    for name, project in sorted(program.projects.items()):
        if name not in question["schema"].get("lines", {}):
            raise InvalidInput(f"the project `{name}` is no line of the plan", field="lp")
        for unit, amount in sorted(project.uses.items()):
            if unit not in question["balance"]:
                raise InvalidInput(f"`{name}` uses `{unit}`, which the budget does not hold", field="lp")
            if amount < 0:
                raise InvalidInput(f"`{name}` uses less than nothing of `{unit}`", field="lp")


def _optimum(program: Program, limits: Mapping[str, int]) -> dict[str, Fraction]:
    """The units of each project at an optimum."""
    highs = _highs()
    model = highs.Highs()
    for option, value in (("output_flag", False), ("threads", 1), ("random_seed", 0)):
        model.setOptionValue(option, value)
    kind = highs.HighsVarType.kInteger if program.whole else highs.HighsVarType.kContinuous
    variables = {
        name: model.addVariable(
            lb=0.0, ub=highs.kHighsInf if x.most is None else float(x.most), obj=-float(x.value), type=kind
        )
        for name, x in sorted(program.projects.items())
    }
    for unit, held in sorted(limits.items()):
        uses = [
            (variables[n], float(x.uses[unit])) for n, x in sorted(program.projects.items()) if unit in x.uses
        ]
        if uses:
            model.addConstr(sum(amount * variable for variable, amount in uses) <= float(held))
    model.run()
    if model.getModelStatus() != highs.HighsModelStatus.kOptimal:
        status = model.modelStatusToString(model.getModelStatus()).lower()
        raise InvalidInput(f"the linear program has no optimum: {status}", field="lp")
    values = model.getSolution().col_value
    found = {
        name: Fraction(values[x.index]).limit_denominator(DENOMINATOR_MAX) for name, x in variables.items()
    }
    return {name: max(Fraction(0), Fraction(round(x)) if program.whole else x) for name, x in found.items()}


def _shares(
    program: Program, units: Mapping[str, Fraction], limits: Mapping[str, int]
) -> dict[tuple[str, str], int]:
    """What each project gets, rounded down, and never more in all than there is."""
    left = dict(limits)
    shares: dict[tuple[str, str], int] = {}
    for name, project in sorted(program.projects.items()):
        for unit, amount in sorted(project.uses.items()):
            shares[name, unit] = min(int(units[name] * amount), left[unit])
            left[unit] -= shares[name, unit]
    return shares


def _highs() -> Any:
    try:
        return import_module("highspy")
    except ImportError as error:
        raise InvalidInput(
            "linear programs need HiGHS: `pip install splittally[lp]`", field="lp", module="highspy"
        ) from error
