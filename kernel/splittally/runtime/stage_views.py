"""How far a budget is: its stage, what is missing for which constraint, and which parts that stops.

Rule 1. Everything is derived from one state; a budget that cannot operate is a state, and no error.
"""

from typing import Any

from msgspec import UNSET

from splittally.core.budget.check import PLANNING, Standings
from splittally.core.budget.constraints import Standing
from splittally.core.budget.parts import Constraint
from splittally.core.native.standing import standings_now
from splittally.core.state import State

SOLVABLE, UNSOLVABLE = "solvable", "unsolvable"


def stage_rows(state: State, name: str) -> dict[str, Any]:
    """Stage, `state`, every gap, every constraint with what it needs and has, and what parts it stops."""
    stand = standings_now(state, name, state.now_ns)
    return {
        "stage": stand.stage,
        "state": UNSOLVABLE if stand.stage == PLANNING else SOLVABLE,
        "missing": stand.gaps,
        "constraints": [_constraint(x, standing) for x, standing in stand.each],
        "blocked": _blocked(stand),
    }


def _constraint(x: Constraint, standing: Standing) -> dict[str, Any]:
    """A constraint: what it needs and what is there for it, or its condition; `is_met`, and a fault."""
    row: dict[str, Any] = {"name": x.name, "tier": x.tier, "description": x.description}
    if x.holds is not UNSET:
        row |= {"holds": x.holds}
    else:
        row |= {"resource": x.resource} if x.resource else {"counts": "participants"}
        row |= {"needs": x.needs} if x.needs is not UNSET else {}
        row |= {"needed": standing.needed, "have": standing.there}
    for field, parts in (("blocks", x.blocks), ("opens", x.opens)):
        row |= {field: sorted(parts)} if parts else {}
    return row | {"is_met": standing.is_met} | ({"fault": standing.fault} if standing.fault else {})


def _blocked(stand: Standings) -> dict[str, list[str]]:
    """The parts that unmet constraints of their own stop, each with these constraints."""
    blocked: dict[str, list[str]] = {}
    for x, standing in stand.each:
        for part in () if standing.is_met else sorted(x.blocks or ()):
            blocked.setdefault(part, []).append(x.name)
    return dict(sorted(blocked.items()))
