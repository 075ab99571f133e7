"""Scenes of the tour about charters: overdrafts, work orders, and a plan that breaks."""

from typing import Any

from splittally.edge.records import Intent

from tests.golden_teller import Tour

HOUSE, PRESS, PRESS2, FILMS = "budgets/house", "budgets/press", "budgets/press2", "budgets/films"
WROTE = "articles"
CHARTER: dict[str, Any] = {
    "description": "Ten articles for at most 100.00 USD, and 25.00 more while they are read.",
    "metrics": {
        "USD": {"target": -10_000, "description": "Maximum spend."},
        WROTE: {"target": 10, "description": "Minimum output."},
        "read": {"nature": "output", "description": "readers that come to the end, in %"},
    },
    "overdraft": {"resource": "USD", "amount": "25.00 USD", "when": "metric.read >= 80"},
    "work": {"article": {"metric": WROTE, "resource": "USD", "pays": "10.00 USD", "result": "an article"}},
}


def charters(t: Tour) -> None:
    """A charter wants articles, pays for them, and lets more be spent once they are read."""
    t.native("house", "budget.create", budget=HOUSE, schema={"resources": {"USD": 2}})
    t.native("house-fund", "ledger.issue", resource="USD", amount="120.00 USD", to=HOUSE)
    t.native("press-orphan", "budget.create", budget=PRESS, schema=CHARTER)
    funds = {"resource": "USD", "amount": "100.00 USD", "from": HOUSE}
    pays = {"parent": HOUSE, "pays_to": ["vendors/mill"]}
    t.native("press", "budget.create", budget=PRESS, schema=CHARTER, **pays, **funds)
    t.ask("article", "task.post", _article(1_000), PRESS, labels={"work": "article"})
    t.settle("article", "ok", {})
    t.native("wrote", "metric.record", budget=PRESS, metric=WROTE, value=1)
    t.ask("locked", "task.post", _article(9_001), PRESS)
    t.native("read-little", "metric.record", budget=PRESS, metric="read", value=40)
    t.ask("locked-again", "task.post", _article(9_001), PRESS)
    t.native("read", "metric.record", budget=PRESS, metric="read", value=85)
    t.ask("unlocked", "task.post", _article(9_100), PRESS)
    t.ask("exceeded", "task.post", _article(2_401), PRESS)
    t.ask("uncovered", "task.post", _article(2_000), PRESS)
    sibling = {**CHARTER, "work": {}}
    t.native("films", "budget.create", budget=FILMS, schema=sibling, **pays)
    t.native("films-read", "metric.record", budget=FILMS, metric="read", value=90)
    both = [("film", _intent(1_000, FILMS)), ("more", _intent(1_000, PRESS))]
    t.group("all", both)
    t.native("wider", "budget.amend", budget=PRESS, schema={**CHARTER, "overdraft": _more(2_600)})
    t.native("narrower", "budget.amend", budget=PRESS, schema={**CHARTER, "overdraft": _more(2_000)})
    t.release("unlocked", "cancel")
    metrics = {**CHARTER["metrics"], "stories": CHARTER["metrics"][WROTE]}
    del metrics[WROTE]
    stories = {**CHARTER, "metrics": metrics, "work": {}}
    move = {"budget": PRESS2, "source": PRESS, "schema": stories, "move_funds": True}
    t.native("migrate-lost", "budget.migrate", **move)
    both_to_one = {"metrics": {WROTE: "read"}}
    t.native("migrate-both", "budget.migrate", **{**move, "mapping": both_to_one})
    t.native("migrate", "budget.migrate", **move, mapping={"metrics": {WROTE: "stories"}})
    t.native("migrate-again", "budget.migrate", **{**move, "budget": "budgets/press3"})


def _article(cents: int) -> dict[str, Any]:
    return {"result": "an article", "amounts": {"USD": cents}}


def _intent(cents: int, budget: str) -> Intent:
    return Intent("task.post", _article(cents), budget)


def _more(cents: int) -> dict[str, Any]:
    return {**CHARTER["overdraft"], "amount": cents}
