"""The built-in solver: what a budget holds, poured over the lines of its plan in exact integers.

Rule 1. Lines are filled by `priority`, the lowest first and those that state none last; within one priority
        in proportion to what is planned, by largest remainder.
Rule 2. In a crisis, where a resource is below the contingency's percentage of what is planned of it, only
        the contingency's lines are filled, one after the other in the order stated.
Rule 3. What is left when all lines are full goes by the weights of `surplus`, and what nobody gets stands in
        the cell `unallocated.RESOURCE`. So the cells of a resource sum to what is there, to the unit.
Rule 4. A line whose amount is below zero is a debt and is filled with nothing; where less than nothing is
        there, that stands in `unallocated.RESOURCE`.
"""

from collections.abc import Mapping

from msgspec import UNSET

from splittally.core.budget.equations import UNALLOCATED, cell_of, cells_read
from splittally.core.budget.plan import PERCENT, Plan
from splittally.core.budget.shares import shared
from splittally.core.limits import WEIGHT_MAX
from splittally.core.types import Cell

WATERFALL, FORMULAS = "waterfall@1", "formulas"
LAST = WEIGHT_MAX + 1  # behind every priority that a line may state


def own_solver(plan: Plan) -> str:
    """The solver of a plan where nobody names one.

    It is the waterfall where the plan has lines and says how they are filled (`priority`, `contingency` or
    `surplus`), or a formula reads one of their cells, or there is no formula; and else the formulas alone.
    """
    has_lines = any(not line.calendar for line in plan.lines.values())
    reads = any(set(cells_read(x.value)) - set(plan.formulas) for x in plan.formulas.values())
    return WATERFALL if has_lines and (says_how(plan) or reads or not plan.formulas) else FORMULAS


def says_how(plan: Plan) -> bool:
    """Whether a plan says how its lines are filled, and not merely how much they want."""
    lines = [line for line in plan.lines.values() if not line.calendar]
    is_ordered = any(line.priority is not UNSET for line in lines)
    return bool(lines) and (is_ordered or plan.contingency is not None or bool(plan.surplus))


def allocation_cells(plan: Plan) -> list[tuple[str, str]]:
    """Each cell that may say where a resource is, with that resource: lines by resources, and the rests."""
    return [
        (cell_of(line, resource), resource)
        for resource in sorted(plan.resources)
        for line in [*sorted(plan.lines), UNALLOCATED]
    ]


# Example. 1,000 are there; the lines are rent 600 (priority 0), ads 300 and pay 500 (priority 1).
#
#     rent 600; 400 left for 800 planned: ads 150, pay 250; unallocated 0
#     500 there, and a contingency below 60 % with the priorities pay, ads: 500 < 840, so pay 500, others 0
def waterfall(plan: Plan, there: Mapping[str, int]) -> list[Cell]:
    """The allocation cells of what is there of each resource."""
    cells = []
    for resource in sorted(plan.resources):
        parts = filled(plan, resource, there[resource])
        cells += [Cell(cell_of(line, resource), amount, resource) for line, amount in sorted(parts.items())]
        rest = there[resource] - sum(parts.values())
        cells.append(Cell(cell_of(UNALLOCATED, resource), rest, resource))
    return cells


def filled(plan: Plan, resource: str, whole: int) -> dict[str, int]:
    """What each line gets of a resource."""
    lines = {x: y for x, y in plan.lines.items() if y.resource == resource and not y.calendar}
    planned = {name: lines[name].amount for name in sorted(lines) if lines[name].amount > 0}
    parts = dict.fromkeys(sorted(lines), 0)
    left = max(0, whole)
    crisis = _crisis(plan, planned, left)
    for names in crisis if crisis is not None else _by_priority(plan, planned):
        wanted = {name: planned[name] for name in names}
        given = wanted if sum(wanted.values()) <= left else shared(left, wanted)
        parts |= given
        left -= sum(given.values())
    if crisis is None and left and resource in plan.surplus:
        for name, part in shared(left, plan.surplus[resource]).items():
            parts[name] = parts.get(name, 0) + part
    return parts


def _by_priority(plan: Plan, planned: Mapping[str, int]) -> list[list[str]]:
    """The names of lines that are filled together, in the order in which they are."""
    groups: dict[int, list[str]] = {}
    for name in planned:
        level = plan.lines[name].priority
        groups.setdefault(LAST if level is UNSET else level, []).append(name)
    return [names for _, names in sorted(groups.items())]


def _crisis(plan: Plan, planned: Mapping[str, int], whole: int) -> list[list[str]] | None:
    """The contingency's lines, each alone, where it applies; None where it does not."""
    if plan.contingency is None or whole * PERCENT >= plan.contingency.below * sum(planned.values()):
        return None
    return [[name] for name in dict.fromkeys(plan.contingency.priorities) if name in planned]
