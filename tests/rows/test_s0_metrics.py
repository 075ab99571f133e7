"""Metrics: natures and scores, thresholds and what they signal, definitions and their versions."""

import hypothesis.strategies as st
import pytest
from hypothesis import given
from splittally.core.budget.parts import Metric
from splittally.core.budget.score import progress, score

from tests.cli_tools import run
from tests.rows.budgets import BOTH, DAY, B, create, done, world
from tests.rows.worlds import applied, codes, few

SCALES = {"USD": 2, "Hours": 0}
MONDAY = 4 * DAY  # 1970-01-05


def record(kernel, metric, value, now_ns=None, **more):
    return done(kernel, "metric.record", now_ns=now_ns, budget=B, metric=metric, value=value, **more)


def measured(metric, *values, plan=None):
    """What the view says of a metric after each of these values."""
    rows = []
    with world() as kernel:
        create(kernel, {"metrics": {"m": metric}, **(plan or {})})
        for value in values:
            record(kernel, "m", value)
            rows.append(kernel.state.budgets[B].metrics["m"])
    return rows


# --- natures ------------------------------------------------------------------------------------------


@pytest.mark.req("S0-15")
def test_the_goal_of_ten_articles_is_stored_and_shown_with_its_progress():
    articles = {"description": "articles that are out", "nature": "output", "target": 10}
    plan = {"goals": ["at least ten articles"], "metrics": {"articles": articles}}
    with world() as kernel:
        create(kernel, plan)
        assert kernel.state.budgets[B].schema["goals"] == ["at least ten articles"]
        shown = []
        for value in (None, 4, 10, 12):
            if value is not None:
                record(kernel, "articles", value)
            at = kernel.state.budgets[B].metrics["articles"]["progress"]
            shown.append((at["value"], at["goal"], at["share"], at["is_met"], at["missing"], at["surplus"]))
        assert shown == [
            (0, 10, 0, False, 10, 0),
            (4, 10, "2/5", False, 6, 0),
            (10, 10, 1, True, 0, 0),
            (12, 10, 1, True, 0, 2),
        ]


@pytest.mark.req("S0-18")
def test_revenue_raises_the_score_at_every_step_and_nothing_is_ever_enough():
    metric = {"description": "revenue", "nature": "maximise"}
    scores = [row["score"] for row in measured(metric, *range(100, 201, 10), 10**12, 2**64 - 1)]
    assert scores == sorted(set(scores)), "no value of these saturates"


@pytest.mark.req("S0-19")
def test_fewer_bugs_are_better_and_more_are_worse():
    five, three, again = (
        row["score"] for row in measured({"description": "bugs", "nature": "minimise"}, 5, 3, 5)
    )
    assert three > five == again


OUTREACH = {
    "description": "people written to in a week",
    "nature": "capped",
    "threshold": 20,
    "per": "week",
    "reads": "sum",
    "frees": {"resource": "Hours", "amount": 4},
    "priority": 1,
}


@pytest.mark.req("S0-20")
def test_twenty_of_twenty_is_as_good_as_thirty():
    nineteen, twenty, thirty = measured(
        {"description": "people written to", "nature": "capped", "threshold": 20}, 19, 20, 30
    )
    assert nineteen["score"] == "19/20"
    assert twenty["score"] == thirty["score"] == 1
    assert twenty["progress"]["is_met"] and thirty["progress"]["surplus"] == 10


numbers = st.integers(-(10**6), 10**6)
goals = st.one_of(st.none(), numbers)


@few
@given(
    nature=st.sampled_from(["maximise", "minimise", "capped", "spend", "output", "debt"]),
    target=goals,
    threshold=goals,
    values=st.lists(numbers, min_size=2, max_size=2, unique=True),
)
def test_a_better_value_never_scores_less_and_what_saturates_is_only_a_cap(nature, target, threshold, values):
    """A small model: which of two values is the better one, by the words of the natures."""
    metric = Metric(description="d", nature=nature, target=target, threshold=threshold)
    low, high = sorted(values)
    better, worse = {
        "maximise": (high, low),
        "output": (high, low),
        "capped": (high, low),
        "minimise": (low, high),
        "debt": (low, high),
        "spend": sorted(values, key=abs),
    }[nature]
    assert score(metric, better) >= score(metric, worse)
    is_equal = score(metric, better) == score(metric, worse)
    cap = target if threshold is None else threshold
    saturates = nature == "capped" and cap is not None and low >= cap
    assert is_equal == (saturates or (nature == "spend" and abs(low) == abs(high)))


@few
@given(
    nature=st.sampled_from(["maximise", "minimise", "capped", "spend", "output", "debt"]),
    goal=numbers,
    value=st.one_of(st.none(), numbers),
)
def test_progress_is_met_exactly_where_nothing_is_missing(nature, goal, value):
    at = progress(Metric(description="d", nature=nature, target=goal), value)
    if at is None:
        assert value is None and nature == "minimise"
        return
    assert at.is_met == (at.missing == 0)
    assert at.missing == 0 or at.surplus == 0
    assert 0 <= at.share <= 1
    if nature == "output":
        assert (at.missing, at.surplus) == (max(0, goal - (value or 0)), max(0, (value or 0) - goal))
        assert (at.share == 1) == at.is_met or goal <= 0


# --- thresholds ---------------------------------------------------------------------------------------

QUALITY = {"description": "quality of the product", "nature": "maximise", "priority": 2}
DOCS = {"description": "pages of documentation", "nature": "output", "target": 9, "priority": 3}
THREE = {"outreach": OUTREACH, "product_quality": QUALITY, "documentation": DOCS}


@pytest.mark.req("S0-21", "S0-22")
def test_enough_outreach_names_the_freed_hours_and_what_comes_next_until_the_new_week():
    with applied({"resources": SCALES}) as kernel:
        schema = {"resources": SCALES, "metrics": THREE}
        done(kernel, "budget.create", budget=B, schema=schema, now_ns=MONDAY)
        record(kernel, "outreach", 19)
        assert kernel.state.budgets[B].signals == []
        record(kernel, "outreach", 1)
        assert kernel.state.budgets[B].signals == [
            {
                "signal": "enough",
                "metric": "outreach",
                "value": 20,
                "threshold": 20,
                "frees": {"Hours": 4},
                "next": ["product_quality", "documentation"],
                "until_ns": MONDAY + 7 * DAY,
            }
        ]
        record(kernel, "product_quality", 1, now_ns=MONDAY + 7 * DAY - 1)
        assert len(kernel.state.budgets[B].signals) == 1
        record(kernel, "product_quality", 1, now_ns=MONDAY + 7 * DAY)
        row = kernel.state.budgets[B]
        assert row.signals == []
        assert row.metrics["outreach"]["value"] == 0, "a new week, 0 of 20"


def test_a_signal_goes_with_the_value_and_what_is_good_enough_comes_next_no_more():
    plain = {"description": "d", "nature": "capped", "threshold": 5}
    metrics = {"a": {**plain, "priority": 2}, "b": {**plain, "priority": 1}, "c": plain}
    with world() as kernel:
        create(kernel, {"metrics": metrics})

        def said():
            return {x["metric"]: x["next"] for x in kernel.state.budgets[B].signals}

        record(kernel, "c", 5)
        assert said() == {"c": ["b", "a"]}
        record(kernel, "b", 5)
        assert said() == {"b": ["a"], "c": ["a"]}
        record(kernel, "c", 4)
        assert said() == {"b": ["a"]}


@pytest.mark.req("S0-29")
def test_a_hundred_tickets_say_nothing_and_one_more_says_that_root_causes_come_first():
    tickets = {
        "description": "support tickets in a week; beyond a hundred something is broken",
        "nature": "capped",
        "threshold": 100,
        "per": "week",
        "reads": "count",
        "follow_up": "fix root causes",
    }
    with world() as kernel:
        create(kernel, {"metrics": {"tickets": tickets}})
        for _ in range(100):
            record(kernel, "tickets", 1)
        assert kernel.state.budgets[B].signals == []
        record(kernel, "tickets", 1)
        (signal,) = kernel.state.budgets[B].signals
        assert (signal["signal"], signal["value"], signal["follow_up"]) == ("excess", 101, "fix root causes")


# --- definitions --------------------------------------------------------------------------------------


@pytest.mark.req("S0-23")
def test_a_metric_without_a_description_is_refused_and_each_value_shows_its_own():
    with world() as kernel:
        for description in ("", " \t"):
            schema = {"resources": BOTH, "metrics": {"m": {"description": description, "nature": "output"}}}
            refused = kernel.native("budget.create", budget=B, schema=schema)
            assert codes(refused) == ["params.invalid"]
            assert "description" in refused.findings[0].facts["message"]
        create(kernel, {"metrics": {"m": {"description": "stars given", "nature": "output"}}})
        record(kernel, "m", 3)
        assert kernel.state.budgets[B].metrics["m"]["description"] == "stars given"
        (value,) = kernel.state.metric_history(B, "m")["values"]
        assert (value["value"], value["description"]) == (3, "stars given")


RANKS = {
    name: {"cap": "sys/native@1", "holder": holder, "params": {"rank": rank, "accounts": [B]}}
    for name, holder, rank in (("plan", "ann", "strategic"), ("note", "bob", "tactical"))
}
TWO_RANKS = {"resources": BOTH, "grants": RANKS}


@pytest.mark.req("S0-24", "S0-25")
def test_a_new_definition_is_a_strategic_act_with_author_and_date_and_old_values_keep_the_old_one():
    first = {"description": "all bugs", "nature": "minimise"}
    second = {"description": "bugs that users met", "nature": "minimise"}
    with applied({"resources": BOTH}) as kernel:
        create(kernel, {"metrics": {"bugs": first, "others": first}})
        assert kernel.apply(TWO_RANKS).allowed
        ann, bob = kernel.as_principal("ann"), kernel.as_principal("bob")
        done(bob, "metric.record", budget=B, metric="bugs", value=7, now_ns=DAY)
        schema = {"resources": BOTH, "metrics": {"bugs": second, "others": first}}
        refused = bob.native("budget.amend", budget=B, schema=schema)
        assert codes(refused) == ["rank_too_low"]
        assert kernel.state.budgets[B].version == 1
        done(ann, "budget.amend", budget=B, schema=schema, now_ns=2 * DAY)
        done(bob, "metric.record", budget=B, metric="bugs", value=4, now_ns=3 * DAY)
        told = kernel.state.metric_history(B, "bugs")
        assert [(x["version"], x["description"], x["by"], x["at_ns"]) for x in told.versions] == [
            (1, "all bugs", "operator", 0),
            (2, "bugs that users met", "ann", 2 * DAY),
        ]
        assert [(x["value"], x["version"], x["description"], x["at_ns"]) for x in told["values"]] == [
            (7, 1, "all bugs", DAY),
            (4, 2, "bugs that users met", 3 * DAY),
        ]
        others = kernel.state.metric_history(B, "others")
        assert [x["is_new"] for x in others.versions] == [True, False], "only the other one changed"
        before = kernel.at(2 * DAY - 1).metric_history(B, "bugs")
        assert [len(before[name]) for name in ("versions", "values")] == [1, 1]


def test_the_history_of_a_metric_is_read_from_the_command_line_as_from_a_program(tmp_path):
    metric = {"description": "stars given", "nature": "output"}
    with applied({"resources": BOTH}, path=tmp_path / "w") as kernel:
        create(kernel, {"metrics": {"stars": metric}})
        record(kernel, "stars", 3, source="https://example.org/1", once="review 1")
        expected = kernel.state.metric_history(B, "stars")
    ran = run("-w", tmp_path / "w", "--json", "budgets", "metric", B, "stars")
    assert ran.code == 0, ran
    assert [x["value"] for x in ran.json["values"]] == [x["value"] for x in expected["values"]]
    assert ran.json["values"][0]["source"] == "https://example.org/1"
    told = run("-w", tmp_path / "w", "budgets", "metric", B, "stars")
    assert "stars given" in told.out and "review 1" in told.out
    lost = run("-w", tmp_path / "w", "budgets", "metric", B, "moons")
    assert lost.code == 2 and f"`{B}` has no metric `moons`" in lost.err
