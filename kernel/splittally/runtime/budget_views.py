"""Budgets as people and programs read them: schema, solution and input, and what follows from the ledger.

Rule 1. Everything is derived from one state; nothing here is recorded or decides.
"""

from typing import Any

import msgspec

from splittally.core.budget.horizon import at_horizon, days_left
from splittally.core.budget.parts import TOTAL, worth
from splittally.core.budget.plan import Plan
from splittally.core.budget.waterfall import filled, says_how
from splittally.core.canonical import encode
from splittally.core.hashing import hash_books
from splittally.core.ledger.moves import spendable
from splittally.core.native.plans import plan_of
from splittally.core.native.rates import rate_now
from splittally.core.native.reading import reading_of
from splittally.core.native.standing import standings_now
from splittally.core.state import State
from splittally.core.types import BudgetDef
from splittally.runtime.metric_views import exact, funded, measured_line, metric_row, paces, signal_rows
from splittally.runtime.proposal_views import people_rows
from splittally.runtime.solution_views import books_row
from splittally.runtime.stage_views import stage_rows
from splittally.runtime.work_views import charter_row


def budget_row(state: State, name: str, flying: dict[str, int], per: str = TOTAL) -> dict[str, Any]:
    """One budget: its three parts, its stage and what is missing, its funds, lines, metrics and parts.

    `flying` is what is in flight from its account, by resource; `per` is the horizon of its lines.
    """
    budget = state.plans.budgets[name]
    plan = plan_of(state, budget)
    held = {resource: _balance(state, name, resource) or 0 for resource in sorted(plan.resources)}
    solution = state.plans.solutions.get(name)
    lines = {x: _line(state, plan, name, x, per) for x in sorted(plan.lines)}
    return {
        **_identity(budget),
        "schema": msgspec.to_builtins(plan),
        "solution": _solution(solution) if solution else None,
        "input": solution.input if solution else None,
        "books": books_row(state, name),
        **stage_rows(state, name),
        "balances": held,
        "in_flight": flying,
        "spendable": {x: spendable(state.ledger, name, x) for x in held},
        "lines": lines,
        "funded": funded(plan, lines),
        "pace": paces(state, plan, lines),
        "metrics": {x: metric_row(state, budget, plan, x) for x in sorted(plan.metrics)},
        "signals": signal_rows(state, budget, plan),
        "expected": _expected(state, budget, plan, held),
        "waiting": [
            {"item": list(key), "rule": firing.rule, "dim": firing.dim, "amount": firing.amount}
            for key, firing in sorted(state.plans.firings.items())
            if (firing.budget, firing.status) == (name, "waiting")
        ],
        **charter_row(state, budget),
        "parts": sorted(x for x, grant in state.caps.grants.items() if grant.parent == budget.grant),
        **people_rows(state, budget),
    }


def declared_row(state: State, name: str) -> dict[str, Any]:
    """A budget as everybody may read it: what it is, its plan and its stage, and no figure of its funds."""
    budget = state.plans.budgets[name]
    schema = msgspec.to_builtins(plan_of(state, budget))
    return {
        **_identity(budget),
        "schema": schema,
        "stage": standings_now(state, name, state.now_ns).stage,
    }


def _identity(budget: BudgetDef) -> dict[str, Any]:
    row: dict[str, Any] = msgspec.structs.asdict(budget)
    row["schema_hash"] = row.pop("schema")
    return row


def _balance(state: State, account: str, resource: str) -> int | None:
    return state.ledger.balances.get((account, resource))


def _solution(solution: Any) -> dict[str, Any]:
    row: dict[str, Any] = msgspec.structs.asdict(solution)
    row["input_hash"] = hash_books(encode(row.pop("input")))
    row["cells"] = {cell.name: {"value": cell.value, "unit": cell.unit} for cell in solution.cells}
    return row


def _line(state: State, plan: Plan, name: str, line_name: str, per: str) -> dict[str, Any]:
    line = plan.lines[line_name]
    row: dict[str, Any] = {
        "resource": line.resource,
        "planned": exact(at_horizon(plan, line, per)),
        "per": line.per if per == TOTAL else per,
        "description": line.description,
    }
    if line.calendar:
        return row | {"left": days_left(plan, line, state.now_ns)}
    there = 0 if line.metric else _filled(state, plan, name, line_name)
    return row | measured_line(state, state.plans.budgets[name], plan, line_name, there)


def _filled(state: State, plan: Plan, name: str, line_name: str) -> int:
    """What the budget holds for a line: as its plan says, else in the order of the names of lines."""
    resource = plan.lines[line_name].resource
    rest = sum(_balance(state, account, resource) or 0 for account in (name, f"{name}/reserved"))
    if says_how(plan):
        return filled(plan, resource, rest)[line_name]
    same = sorted(
        x
        for x, line in plan.lines.items()
        if line.resource == resource and not line.calendar and not line.metric
    )
    for other in same:
        if other == line_name:
            break
        rest -= max(0, min(plan.lines[other].amount, rest))
    is_last = same[-1] == line_name
    return rest if is_last else min(plan.lines[line_name].amount, rest)


def _expected(state: State, budget: BudgetDef, plan: Plan, held: dict[str, int]) -> list[dict[str, Any]]:
    """What the plan's conversions would bring for what is held, apart from what is there already.

    Of a rate that floats the one of now stands beside it, and why where that is the stated one.
    """
    reading = reading_of(state, budget, None, state.now_ns)
    rates = {name: rate_now(plan, name, reading) for name in sorted(plan.conversions)}
    return [
        {
            "conversion": name,
            "gives": plan.conversions[name].gives,
            "held": held[plan.conversions[name].gives],
            "gets": plan.conversions[name].gets,
            "expected": worth(held[plan.conversions[name].gives], rate.pair),
            **(rate.findings[0].facts if rate.findings else {}),
        }
        for name, rate in rates.items()
    ]
