"""Rules that act: they issue, record, convert, open reviews, solve, and fire once; each by its example."""

import pytest
import splittally
from splittally.core.events import Defined

from tests.rows.acting import (
    BONUS,
    POOL,
    USD,
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
from tests.rows.budgets import DAY, MARKET, A, B, deposit, done, ended, held
from tests.rows.worlds import codes, recorded

# --- what success brings ------------------------------------------------------------------------------


@pytest.mark.req("S0-17")
def test_a_goal_that_is_reached_pays_a_tenth_of_the_surplus_as_a_bonus_once():
    lines = {"work": {"resource": USD, "amount": 1_000}}
    bonus = rule(
        "bonus", "metric", "goal", pays("surplus.USD / 10", BONUS), when="cause.amount >= 100", once=True
    )
    with world() as kernel:
        create(kernel, {"lines": lines, "rules": [bonus]}, {USD: 0}, metrics=["goal"])
        deposit(kernel, 1_500)
        measure(kernel, "goal", 99)
        assert held(kernel, BONUS) == 0
        measure(kernel, "goal", 100)
        measure(kernel, "goal", 101)
        assert held(kernel, BONUS) == 50
        assert ended(kernel) == [("bonus", 1, "skipped", "condition"), ("bonus", 1, "done")]


@pytest.mark.req("S0-112")
def test_the_fifth_token_of_feedback_pays_five_hundred_once():
    bonus = rule("bonus", "deposit", "FEEDBACK", pays("500", BONUS), when="balance.FEEDBACK >= 5", once=True)
    with world("FEEDBACK") as kernel:
        create(kernel, {"rules": [bonus]}, {USD: 0, "FEEDBACK": 0})
        deposit(kernel, 2_000)
        paid = []
        for _ in range(8):
            deposit(kernel, 1, resource="FEEDBACK")
            paid.append(held(kernel, BONUS))
        assert paid == [0] * 4 + [500] * 4
        again = {"resources": {USD: 0, "FEEDBACK": 0}, "rules": [bonus], "title": "amended"}
        done(kernel, "budget.amend", budget=B, schema=again)
        deposit(kernel, 1, resource="FEEDBACK")
        assert held(kernel, BONUS) == 500


def test_what_could_not_be_paid_uses_nothing_up():
    """A bonus for which there was no money is owed with the next cause."""
    bonus = rule("bonus", "deposit", "FEEDBACK", pays("500", BONUS), once=True)
    with world("FEEDBACK") as kernel:
        create(kernel, {"rules": [bonus]}, {USD: 0, "FEEDBACK": 0})
        deposit(kernel, 1, resource="FEEDBACK")
        deposit(kernel, 500)
        deposit(kernel, 1, resource="FEEDBACK")
        assert ended(kernel) == [("bonus", 1, "skipped", "insufficient_balance"), ("bonus", 1, "done")]
        assert held(kernel, BONUS) == 500


def test_two_firings_that_wait_of_a_rule_that_fires_once_are_approved_once():
    bonus = rule("bonus", "deposit", USD, pays("1", BONUS), once=True, approval=True)
    with world() as kernel:
        create(kernel, {"rules": [bonus]}, {USD: 0})
        deposit(kernel, 5)
        deposit(kernel, 5)
        first, second = (row["item"] for row in kernel.state.budgets[B].waiting)
        done(kernel, "budget.answer", budget=B, item=first, answer="approve")
        told = kernel.native("budget.answer", budget=B, item=second, answer="approve")
        assert [(x.code, x.facts["reason"]) for x in told.findings] == [("rule_skipped", "once")]
        done(kernel, "budget.answer", budget=B, item=second, answer="reject")
        assert held(kernel, BONUS) == 1


def test_a_rule_of_the_calendar_that_fires_once_is_not_due_any_more():
    gift = rule("gift", "day", "", pays("1", BONUS), when="balance.USD >= 5", once=True)
    with world() as kernel:
        create(kernel, {"rules": [gift]}, {USD: 0})
        kernel.tick(now_ns=DAY)
        deposit(kernel, 5)
        for day in range(2, 6):
            kernel.tick(now_ns=day * DAY)
        assert ended(kernel) == [("gift", 1, "skipped", "condition"), ("gift", 1, "done")]
        assert kernel._world.state.plans.firings == {}


@pytest.mark.req("S0-113")
def test_the_third_complaint_opens_a_review_and_one_that_is_open_stays():
    review = {"kind": "review", "title": "three complaints"}
    third = rule("complaints", "deposit", "COMPLAINT", review, when="balance.COMPLAINT >= 3")
    with world("COMPLAINT") as kernel:
        create(kernel, {"rules": [third]}, {USD: 0, "COMPLAINT": 0})
        opened = []
        for _ in range(4):
            deposit(kernel, 1, resource="COMPLAINT")
            opened.append(len(kernel._world.state.plans.proposals))
        assert opened == [0, 0, 1, 1]
        assert len([x for x in recorded(kernel, Defined) if x.table == "proposals"]) == 1
        (row,) = kernel._world.state.plans.proposals.values()
        assert (row.budget, row.name, row.kind, row.status) == (B, "complaints", "review", "open")
        assert (row.title, row.base) == ("three complaints", 1)
        assert row.basis == {"cause.dim": "COMPLAINT", "cause.amount": 1, "balance.COMPLAINT": 3}


@pytest.mark.req("S0-133")
def test_a_rise_in_satisfaction_funds_an_initiative_once():
    fund = rule("fund", "metric", "satisfaction", pays("300", A), when="cause.amount >= 80", once=True)
    with world() as kernel:
        create(kernel, {}, {USD: 0}, A)
        create(kernel, {"rules": [fund]}, {USD: 0}, metrics=["satisfaction"])
        deposit(kernel, 1_000)
        funded = []
        for score in (79, 81, 79, 82):
            measure(kernel, "satisfaction", score)
            funded.append(held(kernel, A))
        assert funded == [0, 300, 300, 300]


# --- tokens --------------------------------------------------------------------------------------------


@pytest.mark.req("S0-127")
def test_what_was_shipped_credits_tokens_by_the_formula_at_once():
    earned = rule("earned", "metric", "FeatureShipped", issues("TOKEN", "cause.amount * metric.score * 2"))
    with world("TOKEN") as kernel:
        create(kernel, {"rules": [earned]}, {"TOKEN": 0}, metrics=["FeatureShipped", "score"])
        measure(kernel, "score", 9)
        assert held(kernel, B, "TOKEN") == 0
        measure(kernel, "FeatureShipped", 1)
        assert held(kernel, B, "TOKEN") == 18
        assert held(kernel, "external/issuer", "TOKEN") == -18


def improving(kernel):
    """A plan whose tokens are earned by scores of at least 8, and buy four hours each."""
    earned = rule("earned", "metric", "score", issues("TOKEN", "1"), when="cause.amount >= 8")
    hours = {"gives": "TOKEN", "gets": "HOURS", "rate": [4, 1], "counter": MARKET}
    plan = {"rules": [earned], "conversions": {"refactoring": hours}}
    create(kernel, plan, {"TOKEN": 0, "HOURS": 0}, metrics=["score"])
    deposit(kernel, 100, MARKET, "HOURS")


@pytest.mark.req("S0-128")
def test_scores_of_nine_seven_and_eight_earn_two_tokens():
    with world("TOKEN", "HOURS") as kernel:
        improving(kernel)
        for score in (9, 7, 8):
            measure(kernel, "score", score)
        assert held(kernel, B, "TOKEN") == 2


@pytest.mark.req("S0-129")
def test_a_token_authorises_four_hours_and_no_token_authorises_none():
    terms = {"resource": "TOKEN", "gets": "HOURS", "rate": [4, 1], "counter": MARKET, "from": B, "to": B}
    with world("TOKEN", "HOURS") as kernel:
        improving(kernel)
        refused = kernel.native("ledger.convert", amount=1, conversion="refactoring", **terms)
        assert codes(refused) == ["insufficient_balance"]
        measure(kernel, "score", 9)
        done(kernel, "ledger.convert", amount=1, conversion="refactoring", **terms)
        assert (held(kernel, B, "HOURS"), held(kernel, B, "TOKEN")) == (4, 0)
        refused = kernel.native("ledger.convert", amount=1, conversion="refactoring", **terms)
        assert codes(refused) == ["insufficient_balance"]


INVENTORY = ("GOLD", "WOOD", "STONE", "HOUSE")
RECIPE = rule(
    "house", "metric", "orders",
    pays("5 * cause.amount", POOL, "WOOD"), pays("2 * cause.amount", POOL, "STONE"),
    issues("HOUSE", "cause.amount"),
)  # fmt: skip


@pytest.mark.req("S0-193")
def test_a_house_takes_five_wood_and_two_stone_and_with_four_wood_nothing_is_taken():
    units = INVENTORY
    with world(*units) as kernel:
        create(kernel, {"rules": [RECIPE]}, dict.fromkeys(units, 0), metrics=["orders"])
        deposit(kernel, 7, resource="GOLD")
        deposit(kernel, 4, resource="WOOD")
        deposit(kernel, 9, resource="STONE")
        measure(kernel, "orders", 1)
        assert [held(kernel, B, x) for x in units] == [7, 4, 9, 0]
        deposit(kernel, 1, resource="WOOD")
        measure(kernel, "orders", 1)
        assert [held(kernel, B, x) for x in units] == [7, 0, 7, 1]
        told = [("house", 1, "skipped", "insufficient_balance"), ("house", 1, "done")]
        assert ended(kernel) == told


@pytest.mark.req("S0-193")
def test_where_the_stone_is_short_the_wood_stays_too():
    with world(*INVENTORY) as kernel:
        create(kernel, {"rules": [RECIPE]}, dict.fromkeys(INVENTORY, 0), metrics=["orders"])
        deposit(kernel, 5, resource="WOOD")
        deposit(kernel, 1, resource="STONE")
        measure(kernel, "orders", 1)
        assert [held(kernel, B, x) for x in INVENTORY] == [0, 5, 1, 0]
        assert [held(kernel, POOL, x) for x in INVENTORY] == [0, 0, 0, 0]


# --- values that rules record ---------------------------------------------------------------------------


@pytest.mark.req("S0-119")
@pytest.mark.parametrize(("engagement", "price"), [(90, 250), (50, 200)])
def test_high_engagement_of_the_first_twenty_raises_the_price_of_the_rest(engagement, price):
    raised = rule("price", "metric", "engagement", records("price", "250"),
                  when="metric.articles >= 20 && cause.amount >= 90")  # fmt: skip
    with world() as kernel:
        formulas = {"rest": {"value": "30 * metric.price", "unit": USD}}
        create(kernel, {"rules": [raised], "formulas": formulas}, {USD: 0},
               metrics=["engagement", "articles", "price"])  # fmt: skip
        measure(kernel, "price", 200)
        measure(kernel, "articles", 19)
        measure(kernel, "engagement", 90)
        assert value(kernel, "price") == 200
        measure(kernel, "articles", 20)
        measure(kernel, "engagement", engagement)
        assert value(kernel, "price") == price
        done(kernel, "budget.solve", budget=B)
        assert kernel.state.budgets[B].solution["cells"]["rest"]["value"] == 30 * price


@pytest.mark.req("S0-115")
def test_feedback_brings_a_bonus_and_the_bonus_a_notice_in_this_order():
    rules = [
        rule("notice", "metric", "paid", issues("NOTICE", "1")),
        rule(
            "bonus",
            "metric",
            "feedback",
            pays("cause.amount * 10", BONUS),
            records("paid", "cause.amount * 10"),
        ),
    ]
    with world("NOTICE") as kernel:
        create(kernel, {"rules": rules}, {USD: 0, "NOTICE": 0}, metrics=["feedback", "paid"])
        deposit(kernel, 100)
        measure(kernel, "feedback", 5)
        assert ended(kernel) == [("bonus", 1, "done"), ("notice", 1, "done")]
        assert measured(kernel) == [("feedback", 5), ("paid", 50)]
        assert (held(kernel, BONUS), held(kernel, B, "NOTICE")) == (50, 1)


@pytest.mark.req("S0-115")
def test_a_cycle_of_values_is_stopped_after_each_rule_acted_once_and_is_named():
    names = "abc"
    rules = [
        rule(f"{x}{y}", "metric", x, records(y, f"metric.{x} + 1")) for x, y in zip(names, "bca", strict=True)
    ]
    with world() as kernel:
        create(kernel, {"rules": rules}, {USD: 0}, metrics=names)
        measure(kernel, "a", 1)
        assert measured(kernel) == [("a", 1), ("b", 2), ("c", 3), ("a", 4)]
        assert [x[:3] for x in ended(kernel)] == [(x, 1, "done") for x in ("ab", "bc", "ca")]
        found = [x for event in recorded(kernel, splittally.core.events.RuleFired) for x in event.findings]
        assert [(x.code, x.facts["rules"]) for x in found] == [
            ("cascade_bounded", [{"budget": B, "rule": "ab", "metric": "a", "amount": 4}])
        ]
        measure(kernel, "a", 7)
        assert measured(kernel)[4:] == [("a", 7), ("b", 8), ("c", 9), ("a", 10)]


def test_a_rule_that_records_its_own_metric_acts_once():
    with world() as kernel:
        create(kernel, {"rules": [rule("up", "metric", "m", records("m", "cause.amount + 1"))]}, {USD: 0},
               metrics=["m"])  # fmt: skip
        measure(kernel, "m", 1)
        assert measured(kernel) == [("m", 1), ("m", 2)]


def test_a_rule_that_is_due_takes_the_last_of_the_values_that_one_cause_records():
    rules = [
        rule("first", "metric", "go", records("m", "1"), records("m", "5")),
        rule("second", "metric", "go", records("m", "3")),
        rule("told", "metric", "m", issues("T", "cause.amount")),
    ]
    with world("T") as kernel:
        create(kernel, {"rules": rules}, {"T": 0}, metrics=["go", "m"])
        measure(kernel, "go", 1)
        assert [x[0] for x in ended(kernel)] == ["first", "second", "told"]
        assert held(kernel, B, "T") == 3


def test_deeper_than_the_bound_a_value_makes_nothing_due_that_is_carried_out():
    names = [f"m{at}" for at in range(12)]
    rules = [rule(f"r{at}", "metric", f"m{at}", records(f"m{at + 1}", "1")) for at in range(11)]
    with world() as kernel:
        create(kernel, {"rules": rules}, {USD: 0}, metrics=names)
        measure(kernel, "m0", 1)
        assert [x[2:] for x in ended(kernel)] == [("done",)] * 9 + [("skipped", "cascade")]
