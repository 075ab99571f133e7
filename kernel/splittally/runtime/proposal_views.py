"""What a budget's people ask and answer, as people and programs read it, and what its children lack.

Rule 1. Everything is derived from one state. A proposal shows its basis as recorded, and beside it what the
        same formula projects now.
Rule 2. A parent sees of each child what the child's own plan says is missing: constraints that are not met,
        and formulas that say what is needed (their names begin with `needed`, or a request rests on them).
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from splittally.core.budget.proposals import (
    ACCEPT,
    AGREE,
    ASKED,
    FUND,
    GRANT,
    LIFECYCLE,
    OPEN,
    VERSION,
    VOTED_ON,
    has_ended,
    tally,
)
from splittally.core.budget.rows import Proposal
from splittally.core.findings import Finding
from splittally.core.native.plans import plan_of
from splittally.core.native.projecting import NEEDED, Projection, projected
from splittally.core.native.proposals import proposal_of, proposals_of
from splittally.core.native.standing import standings_now
from splittally.core.state import State
from splittally.core.types import BudgetDef

VOTE = "vote"


def people_rows(state: State, budget: BudgetDef) -> dict[str, Any]:
    """What stands between people: `proposals`, `agreement` on the version, `shortfalls` of children."""
    rows = {row.name: proposal_row(state, budget, row) for row in proposals_of(state, budget.name)}
    return {
        "proposals": rows,
        "agreement": _agreement(state, budget),
        "shortfalls": _shortfalls(state, budget),
    }


def proposal_row(state: State, budget: BudgetDef, row: Proposal) -> dict[str, Any]:
    """A proposal with its dialogue, how its votes stand, and the acts that are open."""
    shown: dict[str, Any] = {
        "kind": row.kind,
        "status": row.status,
        "by": row.by,
        "at_ns": row.at_ns,
        "title": row.title,
        "description": next((step.note for step in row.steps if step.act == ASKED), ""),
        "version": row.base,
        "steps": [msgspec.structs.asdict(step) for step in row.steps if step.act != ASKED],
        "basis": row.basis,
        "can": _open_acts(row, budget),
    }
    if row.kind == FUND:
        shown |= {"resource": row.resource, "amount": row.amount}
        shown |= {"granted": _granted(row), "now": _now(state, budget, row)}
    if row.part:
        shown |= {"part": row.part, "holder": row.holder, "resource": row.resource, "amount": row.amount}
    if row.schema:
        shown["schema_hash"] = row.schema
    if row.kind in VOTED_ON:
        shown |= {"votes": dict(sorted(row.votes.items())), "tally": _tally(state, budget, row.votes)}
    return shown


def _open_acts(row: Proposal, budget: BudgetDef) -> list[str]:
    """What may still be done to it, by whomever may."""
    if has_ended(row, budget.version):
        return []
    votes = [VOTE] if row.kind in VOTED_ON else []
    return votes + [act for kind, act in LIFECYCLE if kind == row.kind]


def _granted(row: Proposal) -> int:
    """What was granted of a request."""
    return sum(step.amount for step in row.steps if step.act in (GRANT, ACCEPT))


def _now(state: State, budget: BudgetDef, row: Proposal) -> dict[str, int] | None:
    """What the formula of an open request projects now; None where there is none or it says nothing."""
    if row.status != OPEN or "formula" not in row.basis:
        return None
    found = projected(state, budget, row.basis["formula"], state.now_ns, row.basis["input"])
    return (
        None
        if isinstance(found, Finding)
        else {"needed": found.needed, "has": found.has, "missing": found.missing}
    )


def _tally(state: State, budget: BudgetDef, votes: Mapping[str, str]) -> dict[str, Any]:
    """The votes by kind under the quorum of the plan in force, and whether it is reached."""
    stands = tally(dict(votes), plan_of(state, budget).quorum)
    row: dict[str, Any] = stands._asdict()
    row.pop("left")
    return row | {"is_reached": stands.is_reached}


def _agreement(state: State, budget: BudgetDef) -> dict[str, Any]:
    """How people stand to the version in force."""
    row = proposal_of(state, budget.name, f"{VERSION}{budget.version}")
    votes = row.votes if row is not None and row.kind == AGREE else {}
    return {"version": budget.version, **_tally(state, budget, votes)}


def _shortfalls(state: State, budget: BudgetDef) -> list[dict[str, Any]]:
    """What each budget directly below lacks by its own plan, by name."""
    below = (x for x in state.plans.budgets.values() if x.parent == budget.name)
    return [row for child in sorted(below, key=lambda x: x.name) for row in _lacking(state, child)]


def _lacking(state: State, child: BudgetDef) -> list[dict[str, Any]]:
    plan = plan_of(state, child)
    gaps = standings_now(state, child.name, state.now_ns).gaps
    rows: list[dict[str, Any]] = [{"budget": child.name, **gap} for gap in gaps]
    solution = state.plans.solutions.get(child.name)
    given = {
        name: solution.input.get("input", {}) if solution else {}
        for name in plan.formulas
        if name.startswith(NEEDED)
    }
    for row in proposals_of(state, child.name):
        if row.status == OPEN and row.basis.get("formula") in plan.formulas:
            given[row.basis["formula"]] = row.basis["input"]
    for name in sorted(given):
        found = projected(state, child, name, state.now_ns, given[name])
        if isinstance(found, Projection) and found.missing:
            rows.append({"budget": child.name, **found._asdict(), "missing": found.missing})
    return rows
