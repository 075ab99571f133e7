"""Scenes of the tour about solutions."""

from typing import Any

from tests.golden_teller import Tour

BAKERY = "budgets/bakery"
PLAN: dict[str, Any] = {
    "resources": {"USD": 2},
    "lines": {
        "flour": {"resource": "USD", "amount": 600, "priority": 0},
        "oven": {"resource": "USD", "amount": 900, "priority": 1},
    },
    "constraints": [{"name": "till", "resource": "USD", "minimum": 100, "tier": "partial"}],
    "contingency": {"below": 20, "priorities": ["oven"]},
    "surplus": {"USD": {"oven": 1}},
    "formulas": {
        "sacks": {"value": 'cell["flour.USD"] / 50', "unit": "sacks"},
        "loaves": {"value": "cell.sacks * 40", "unit": "loaves"},
    },
}


def solvers(t: Tour) -> None:
    """Solvers propose what a budget's funds are for, and each cell is checked."""
    circle = {"a": {"value": "cell.b"}, "b": {"value": "cell.a"}}
    t.native("bakery-circle", "budget.create", budget=BAKERY, schema={**PLAN, "formulas": circle})
    sold = {"description": "loaves", "nature": "output", "target": 9}
    impossible = {"sold": {**sold, "maximum": 5}, "well": {**sold, "weights": {"sold": 9}, "whole": 10}}
    t.native("bakery-impossible", "budget.create", budget=BAKERY, schema={**PLAN, "metrics": impossible})
    t.native("bakery", "budget.create", budget=BAKERY, schema=PLAN)
    t.native("bakery-poor", "budget.solve", budget=BAKERY)
    solve(t, "bakery-early", {"flour.USD": 0})
    t.native(
        "bakery-fund", "ledger.transfer", resource="USD", amount=1_000, to=BAKERY, **{"from": "accounts/team"}
    )
    t.native("bakery-solved", "budget.solve", budget=BAKERY)
    solve(t, "bakery-person", {"flour.USD": "6.00 USD", "oven.USD": "4.00 USD"}, "person")
    solve(t, "bakery-yacht", {"flour.USD": 600, "oven.USD": 400, "yacht.USD": 0})
    solve(t, "bakery-sum", {"flour.USD": 600, "oven.USD": 401})
    solve(t, "bakery-below", {"flour.USD": 1_100, "oven.USD": -100})
    solve(t, "bakery-unit", {"flour.USD": 600, "oven.USD": {"value": 400, "unit": "EUR"}})
    solve(t, "bakery-formula", {"flour.USD": 600, "oven.USD": 400, "sacks": 13}, "model:m-1")
    solve(t, "bakery-stale", {"flour.USD": 600, "oven.USD": 400}, "lp@1", input_hash=bytes(32))


def solve(t: Tour, label: str, cells: dict[str, Any], solver: str = "script:share@1", **more: Any) -> None:
    """Propose cells."""
    t.native(label, "budget.solve", budget=BAKERY, solver=solver, cells=cells, **more)
