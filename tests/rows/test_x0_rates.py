"""Row X0-25: the rate of a conversion floats with supply and demand, and the one used is recorded."""

import hypothesis.strategies as st
import pytest
from hypothesis import given
from splittally.core.events import Decided, RuleFired
from splittally.core.limits import WEIGHT_MAX

from tests.rows.acting import create, measure, rule, world
from tests.rows.budgets import LOG, MARKET, B, deposit, done, ended, held
from tests.rows.worlds import applied, codes, few, recorded

CR, HOURS = "CREDITS", "GPUH"
BOTH = {CR: 0, HOURS: 0}
TERMS = {"conversion": "rent", "resource": CR, "gets": HOURS, "counter": MARKET, "from": B, "to": B}


def floating(floats="20000 / supply.GPUH", **more):
    return {"gives": CR, "gets": HOURS, "rate": [1, 100], "counter": MARKET, "floats": floats, **more}


def market(kernel, hours, credits=10_000, floats="20000 / supply.GPUH", **more):
    create(kernel, {"conversions": {"rent": floating(floats)}, **more}, BOTH, metrics=["demand"])
    deposit(kernel, credits, resource=CR)
    deposit(kernel, hours, MARKET, HOURS)


def expected(kernel):
    (row,) = kernel.state.budgets[B].expected
    return row


def rent(kernel, amount, rate, **more):
    return kernel.native("ledger.convert", amount=amount, rate=rate, **{**TERMS, **more})


def told(kernel):
    """The rates that were recorded, with the decision or the firing."""
    found = [x for kind in (Decided, RuleFired) for event in recorded(kernel, kind) for x in event.findings]
    return [x.facts for x in found if x.code == "rate_floated"]


@pytest.mark.req("X0-25")
def test_scarcer_hours_cost_more_credits_and_each_conversion_records_its_rate():
    with world(CR, HOURS) as kernel:
        market(kernel, 100)
        assert (expected(kernel)["rate"], expected(kernel)["expected"]) == ([1, 200], 50)
        assert rent(kernel, 10_000, [1, 200]).allowed
        assert (held(kernel, B, HOURS), held(kernel, MARKET, HOURS)) == (50, 50)
        deposit(kernel, 10_000, resource=CR)
        assert (expected(kernel)["rate"], expected(kernel)["expected"]) == ([1, 400], 25)
        assert rent(kernel, 10_000, [1, 400]).allowed
        assert held(kernel, B, HOURS) == 75
        assert told(kernel) == [
            {"conversion": "rent", "rate": [1, 200]},
            {"conversion": "rent", "rate": [1, 400]},
        ]


@pytest.mark.req("X0-25")
def test_a_rule_converts_at_the_rate_of_the_moment_and_records_it():
    bought = {"kind": "convert", "conversion": "rent", "amount": "cause.amount"}
    with world(CR, HOURS) as kernel:
        market(kernel, 100, 0, "100 + metric.demand", rules=[rule("rent", "deposit", CR, bought)])
        for demand, amount in ((0, 1_000), (100, 1_000), (400, 1_000)):
            measure(kernel, "demand", demand)
            deposit(kernel, amount, resource=CR)
        assert held(kernel, B, HOURS) == 10 + 5 + 2
        assert [x["rate"] for x in told(kernel)] == [[1, 100], [1, 200], [1, 500]]
        assert [x[2] for x in ended(kernel)] == ["done"] * 3


@pytest.mark.req("X0-25")
def test_nobody_converts_at_a_rate_that_has_moved():
    with world(CR, HOURS) as kernel:
        market(kernel, 100)
        refused = rent(kernel, 100, [1, 199])
        assert [(x.code, x.facts["needed"], x.facts["value"]) for x in refused.findings] == [
            ("rate_moved", [1, 200], [1, 199])
        ]
        assert rent(kernel, 400, [2, 400]).allowed  # the same fraction


@few
@given(text=st.sampled_from(["metric.demand", "0 - metric.demand", "metric.none", "7 / (metric.demand - 5)"]),
       demand=st.integers(0, 9) | st.integers(WEIGHT_MAX - 2, WEIGHT_MAX + 2))  # fmt: skip
def test_a_rate_that_cannot_be_is_the_stated_one_and_says_why(text, demand):
    model = {
        "metric.demand": lambda: demand,
        "0 - metric.demand": lambda: -demand,
        "metric.none": lambda: {}["none"],
        "7 / (metric.demand - 5)": lambda: int(7 / (demand - 5)),
    }[text]
    try:
        given_ = model()
        reason = None if 0 < given_ <= WEIGHT_MAX else "range"
    except (KeyError, ZeroDivisionError):
        reason = "fault"
    with world(CR, HOURS) as kernel:
        market(kernel, 10**12, 10**12, text)
        measure(kernel, "demand", demand)
        rate = [1, 100] if reason else [1, given_]
        assert expected(kernel)["rate"] == rate
        assert rent(kernel, 10**11, rate).allowed
        (facts,) = told(kernel)
        assert (facts["rate"], facts.get("reason")) == (rate, reason)
        assert held(kernel, B, HOURS) == 10**11 // rate[1]


@pytest.mark.parametrize(
    ("more", "code", "fact"),
    [
        ({"conversion": "none"}, "not_found", {"conversion": "none"}),
        ({"from": LOG}, "not_found", {"budget": LOG}),
        ({"counter": LOG}, "cannot_change", {"field": "counter"}),
        ({"gets": CR, "resource": HOURS}, "cannot_change", {"field": "resource"}),
    ],
)
def test_only_the_plans_own_conversion_is_named(more, code, fact):
    with world(CR, HOURS) as kernel:
        market(kernel, 100)
        refused = rent(kernel, 100, [1, 200], **more)
        assert refused.findings[0].code == code
        assert fact.items() <= refused.findings[0].facts.items()
        assert (held(kernel, B, CR), held(kernel, MARKET, CR)) == (10_000, 0)


def test_a_conversion_that_keeps_what_is_given_is_left_to_the_rules():
    with world(CR, HOURS) as kernel:
        create(kernel, {"conversions": {"rent": floating("100", keeps=True)}}, BOTH)
        deposit(kernel, 100, resource=CR)
        deposit(kernel, 5, MARKET, HOURS)
        refused = rent(kernel, 100, [1, 100])
        assert [(x.code, x.facts["field"]) for x in refused.findings] == [("cannot_change", "keeps")]


def test_who_may_convert_at_listed_rates_alone_adopts_no_rate_that_floats():
    rates = [{"resource": CR, "gets": HOURS, "rate": [1, 100]}]
    for listed in (rates, []):
        params = {"accounts": [B, MARKET], "resources": [CR, HOURS], "rates": listed}
        grants = {"desk": {"cap": "sys/native@1", "holder": "desk", "params": params}}
        document = {"resources": BOTH, "accounts": {MARKET: {}}, "grants": grants}
        with applied(document) as kernel:
            schema = {"resources": BOTH, "conversions": {"rent": floating()}}
            told = kernel.as_principal("desk").native("budget.create", grant="desk", budget=B, schema=schema)
            assert codes(told) == (["account_not_yours"] if listed else []), told
            if listed:
                schema["conversions"]["rent"].pop("floats")
                done(kernel.as_principal("desk"), "budget.create", grant="desk", budget=B, schema=schema)
