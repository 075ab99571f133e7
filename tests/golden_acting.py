"""A scene of the tour: rules that issue, record, convert at floating rates, ask people, solve, fire once."""

from typing import Any

from tests.golden_teller import Tour

MILL = "budgets/millers"
BASE: dict[str, Any] = {
    "resources": {"USD": 2, "Flour": 0, "Badge": 0},
    "metrics": {name: {"description": name, "nature": "output"} for name in ("sacks", "price", "complaints")},
    "conversions": {
        "grind": {"gives": "USD", "gets": "Flour", "rate": [1, 50], "counter": "vendors/mill",
                  "floats": "1000 / supply.Flour"},
        "badge": {"gives": "Badge", "gets": "Flour", "rate": [2, 1], "counter": "vendors/mill",
                  "floats": "metric.price - 100"},
    },
    "formulas": {"worth": {"value": "balance.Flour * 50", "unit": "USD"}},
    "rules": [
        {"name": "badge", "on": "metric", "of": "sacks", "when": "cause.amount >= 5", "once": True,
         "do": [{"kind": "issue", "resource": "Badge", "amount": "3"},
                {"kind": "record", "metric": "price", "value": "cause.amount * 10"}]},
        {"name": "grind", "on": "metric", "of": "price",
         "do": [{"kind": "convert", "conversion": "grind", "amount": "balance.USD / 2"}, {"kind": "solve"}]},
        {"name": "look", "on": "metric", "of": "complaints", "when": "cause.amount > 2",
         "do": [{"kind": "review", "title": "three complaints"},
                {"kind": "record", "metric": "complaints", "value": "0"}]},
    ],
}  # fmt: skip


def acting(t: Tour) -> None:
    """Rules act: they issue, record, convert at a rate that floats, ask people, solve, and fire once."""
    plain = {"from": "accounts/team"}
    t.native("flour", "resource.define", resource="Flour", scale=0)
    t.native("flour-issued", "ledger.issue", resource="Flour", amount=20, to="vendors/mill")
    t.native("millers", "budget.create", budget=MILL, schema=BASE, resource="USD", amount=400, **plain)
    t.native("sacks", "metric.record", budget=MILL, metric="sacks", value=5)
    t.native("sacks-again", "metric.record", budget=MILL, metric="sacks", value=6)
    t.native("complaints", "metric.record", budget=MILL, metric="complaints", value=3)
    t.tick(t.at + 1)
    rent = {"resource": "USD", "gets": "Flour", "counter": "vendors/mill", "to": MILL, "from": MILL}
    t.native("grind-old", "ledger.convert", amount=100, rate=[1, 50], conversion="grind", **rent)
    t.native("grind-now", "ledger.convert", amount=100, rate=[1, 62], conversion="grind", **rent)
    give = {**rent, "resource": "Badge"}
    t.native("badge-stated", "ledger.convert", amount=1, rate=[2, 1], conversion="badge", **give)
