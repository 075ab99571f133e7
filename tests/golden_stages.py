"""Scenes of the tour: constraints that block, open and count, and an amendment that a permission fails by."""

from typing import Any

from tests.golden_teller import Tour

MILL = "budgets/works"
PLAN: dict[str, Any] = {
    "resources": {"USD": 2},
    "metrics": {"burn": {"description": "what a month costs", "nature": "spend"}},
    "constraints": [
        {"name": "start", "resource": "USD", "minimum": 300, "tier": "partial", "opens": ["pay"]},
        {"name": "whole", "resource": "USD", "needs": "metric.burn * 6"},
        {"name": "calm", "holds": "100 / (balance.USD - 1200) < 100", "tier": "full"},
        {"name": "crew", "participants": 2, "blocks": ["hire"]},
    ],
}


def stages(t: Tour) -> None:
    """A plan says which parts may act in which stage, and what stops a part of it."""
    pays = {"pays_to": ["vendors/mill"]}
    t.native("works", "budget.create", budget=MILL, schema=PLAN, **pays)
    t.native("burn", "metric.record", budget=MILL, metric="burn", value=200)
    for part, limit in (("pay", 300), ("hire", 900)):
        terms = {"cap": "sys/spend@1", "budget": {"USD": limit}}
        t.native(f"part-{part}", "grant.issue", grant=MILL, name=f"{MILL}/{part}", terms=terms)

    def task(label: str, amount: int, grant: str = MILL) -> None:
        t.ask(label, "task.post", {"result": "a wheel", "amounts": {"USD": amount}}, grant)

    t.native("works-issue", "ledger.issue", resource="USD", amount=299, to=MILL)
    task("early", 10, f"{MILL}/pay")
    t.native("works-start", "ledger.issue", resource="USD", amount=1, to=MILL)
    task("pay", 100, f"{MILL}/pay")
    task("closed", 10)
    t.native("works-all", "ledger.issue", resource="USD", amount=1_301, to=MILL)
    task("blocked", 10, f"{MILL}/hire")
    task("fault", 301)
    task("stormy", 300)
    task("too much", 302)
    task("fine", 10)
    tighter = {
        **PLAN,
        "constraints": [*PLAN["constraints"], {"name": "gate", "holds": "false", "blocks": ["pay"]}],
    }
    dear = {"name": "dear", "resource": "USD", "minimum": 1_400}
    t.native(
        "dearer", "budget.amend", budget=MILL, schema=PLAN | {"constraints": [*PLAN["constraints"], dear]}
    )
    tighter["constraints"].append(dear)
    t.native("tighter", "budget.amend", budget=MILL, schema=tighter)
    wider = {**PLAN, "constraints": PLAN["constraints"][:-1]}
    t.native("wider", "budget.amend", budget=MILL, schema=wider)
