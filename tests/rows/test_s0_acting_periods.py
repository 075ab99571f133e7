"""Rules that act with periods, shares and market data; each by its example."""

import pytest
from splittally.core.events import Solved

from tests.rows.acting import (
    BONUS,
    MONDAY,
    POOL,
    USD,
    WEEK,
    create,
    issues,
    measure,
    measured,
    pays,
    records,
    rule,
    value,
    world,
)
from tests.rows.budgets import DAY, LOG, MARKET, B, deposit, done, ended, held
from tests.rows.worlds import recorded

# --- periods ------------------------------------------------------------------------------------------


@pytest.mark.req("S0-130")
def test_a_day_brings_one_ingest_however_often_it_is_asked_for():
    daily = rule("ingest", "day", "", records("stock", "balance.USD"), {"kind": "solve"})
    with world() as kernel:
        formulas = {"worth": {"value": "metric.stock * 2"}}
        create(kernel, {"rules": [daily], "formulas": formulas}, {USD: 0}, metrics=["stock"])
        deposit(kernel, 21)
        for day in (1, 2):
            kernel.tick(now_ns=day * DAY)
            size = kernel.state.seq
            kernel.tick(now_ns=day * DAY)
            kernel.tick(now_ns=day * DAY + DAY // 2)
            assert kernel.state.seq == size
            assert measured(kernel) == [("stock", 21)] * day
            assert len(recorded(kernel, Solved)) == day
        assert kernel.state.budgets[B].solution["cells"]["worth"]["value"] == 42


@pytest.mark.req("S0-189")
def test_market_data_bring_one_recalculation_whose_positions_are_those_of_the_plan():
    tick = rule("tick", "metric", "price", {"kind": "solve"})
    formulas = {"position": {"value": "balance.BTC * metric.price / 100", "unit": USD}}
    with world("BTC") as kernel:
        create(kernel, {"rules": [tick], "formulas": formulas}, {USD: 0, "BTC": 0}, metrics=["price"])
        deposit(kernel, 300, resource="BTC")
        measure(kernel, "price", 95)
        (solved,) = recorded(kernel, Solved)
        assert [(x.name, x.value, x.unit) for x in solved.cells] == [("position", 285, USD)]
        assert kernel.state.budgets[B].solution["cells"]["position"] == {"value": 285, "unit": USD}
        measure(kernel, "price", 90)
        assert len(recorded(kernel, Solved)) == 2
        assert kernel.state.budgets[B].solution["cells"]["position"] == {"value": 270, "unit": USD}


def test_a_plan_that_cannot_be_solved_is_told_and_the_solution_stays():
    tick = rule("tick", "metric", "price", {"kind": "solve"})
    with world() as kernel:
        create(kernel, {"rules": [tick], "formulas": {"x": {"value": "10 / metric.price"}}}, {USD: 0},
               metrics=["price"])  # fmt: skip
        measure(kernel, "price", 5)
        measure(kernel, "price", 0)
        assert ended(kernel) == [("tick", 1, "done"), ("tick", 1, "skipped", "formula_fault")]
        assert kernel.state.budgets[B].solution["cells"]["x"]["value"] == 2


@pytest.mark.req("S0-135")
def test_satisfaction_pays_an_initiative_and_the_initiative_raises_satisfaction_over_three_periods():
    """79 → 8 of quality → 79 + 8 → 8 → 95 → 9: each week begins with what the last one brought."""
    rules = [
        rule("fund", "metric", "satisfaction", issues("QUALITY", "cause.amount / 10")),
        rule("initiative", "deposit", "QUALITY", records("initiatives", "cause.amount + 1")),
        rule("effect", "week", "", records("satisfaction", "metric.satisfaction + metric.initiatives")),
    ]
    with world("QUALITY") as kernel:
        create(kernel, {"rules": rules}, {"QUALITY": 0}, metrics=["satisfaction", "initiatives"])
        measure(kernel, "satisfaction", 79)
        seen = []
        for week in range(3):
            kernel.tick(now_ns=MONDAY + week * WEEK)
            seen.append(
                (value(kernel, "satisfaction"), value(kernel, "initiatives"), held(kernel, B, "QUALITY"))
            )
        assert seen == [(87, 9, 15), (96, 10, 24), (106, 11, 34)]
        assert all(x[2] == "done" for x in ended(kernel)[-9:])


@pytest.mark.req("S0-194")
def test_each_week_credits_ten_hours_and_fifty_dollars_and_unused_hours_lapse():
    weekly = rule(
        "provision", "week", "",
        pays("balance.HOURS", POOL, "HOURS"), issues("HOURS", "10"), issues(USD, "50"),
    )  # fmt: skip
    with world("HOURS") as kernel:
        create(kernel, {"rules": [weekly]}, {USD: 0, "HOURS": 0})
        seen = []
        for week in range(3):
            kernel.tick(now_ns=MONDAY + week * WEEK)
            seen.append((held(kernel, B, "HOURS"), held(kernel, B), held(kernel, POOL, "HOURS")))
            done(kernel, "ledger.transfer", resource="HOURS", amount=4, to=LOG, **{"from": B})
        assert seen == [(10, 50, 0), (10, 100, 6), (10, 150, 12)]


# --- shares and trades -----------------------------------------------------------------------------------


@pytest.mark.req("S0-132")
def test_a_profit_is_split_seventy_to_thirty_and_a_loss_splits_nothing():
    part = "cause.amount > 0 ? cause.amount * {} / 100 : 0"
    split = rule("split", "metric", "NetProfit", pays(part.format(70), LOG), pays(part.format(30), POOL))
    with world() as kernel:
        create(kernel, {"rules": [split]}, {USD: 0}, metrics=["NetProfit"])
        deposit(kernel, 5_000)
        measure(kernel, "NetProfit", 1_000)
        assert (held(kernel, LOG), held(kernel, POOL)) == (700, 300)
        measure(kernel, "NetProfit", -1_000)
        assert (held(kernel, LOG), held(kernel, POOL)) == (700, 300)
        assert ended(kernel) == [("split", 1, "done")] * 2


@pytest.mark.req("S0-186")
def test_a_profit_of_a_thousand_is_shared_forty_fifty_ten():
    shares = [pays(f"cause.amount * {x} / 100", to) for x, to in ((40, LOG), (50, POOL), (10, BONUS))]
    with world() as kernel:
        create(kernel, {"rules": [rule("shares", "deposit", USD, *shares)]}, {USD: 0})
        deposit(kernel, 1_000)
        assert [held(kernel, x) for x in (LOG, POOL, BONUS, B)] == [400, 500, 100, 0]


@pytest.mark.req("S0-188")
def test_a_price_that_drops_by_five_percent_buys_with_a_tenth_of_the_dollars():
    """Prices are in tenths of a dollar, and BTC has eight decimals: 100 USD at 95.0 are 1.05263157 BTC."""
    buy = {"gives": USD, "gets": "BTC", "rate": [10**9, 1_000], "counter": MARKET, "floats": "metric.price"}
    bought = {"kind": "convert", "conversion": "buy", "amount": "balance.USD / 10"}
    drop = rule("dip", "metric", "price", bought, records("reference", "cause.amount"),
                when="cause.amount * 100 <= metric.reference * 95")  # fmt: skip
    with world(BTC=8) as kernel:
        create(kernel, {"rules": [drop], "conversions": {"buy": buy}}, {USD: 0, "BTC": 8},
               metrics=["price", "reference"])  # fmt: skip
        deposit(kernel, 10**10, MARKET, "BTC")
        deposit(kernel, 1_000)
        measure(kernel, "reference", 1_000)
        measure(kernel, "price", 951)
        assert (held(kernel, B), held(kernel, B, "BTC")) == (1_000, 0)
        measure(kernel, "price", 950)
        assert (held(kernel, B), held(kernel, B, "BTC")) == (900, 105_263_157)
        assert value(kernel, "reference") == 950
