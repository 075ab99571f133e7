"""How far a plan has come: what is funded, at which pace, by which metrics, and what a result costs."""

from fractions import Fraction

import hypothesis.strategies as st
import pytest
from hypothesis import given
from splittally import Intent, Receipt

from tests.cli_tools import run
from tests.rows.budgets import BOTH, DAY, LOG, B, create, deposit, done, held, world
from tests.rows.worlds import applied, few


def record(kernel, metric, value, now_ns=None):
    return done(kernel, "metric.record", now_ns=now_ns, budget=B, metric=metric, value=value)


# --- lines --------------------------------------------------------------------------------------------


@pytest.mark.req("S0-55")
def test_percent_funded_is_shown_for_each_line_and_overall():
    lines = {
        "ads": {"resource": "USD", "amount": 400},
        "fairs": {"resource": "USD", "amount": 600},
        "writing": {"resource": "EUR", "amount": 50},
    }
    with world() as kernel:
        create(kernel, {"lines": lines})
        assert kernel.state.budgets[B].funded == {
            "lines": {"ads": 0, "fairs": 0, "writing": 0},
            "overall": 0,
        }
        deposit(kernel, 700)
        deposit(kernel, 60, resource="EUR")
        assert kernel.state.budgets[B].funded == {
            "lines": {"ads": 100, "fairs": 50, "writing": 100},
            "overall": 85,
        }, "70 % of the USD and all of the EUR; what is beyond a line funds no other"


@pytest.mark.req("S0-60")
def test_a_hundred_hours_in_ten_of_twenty_days_are_insufficient_by_a_hundred():
    lines = {"effort": {"resource": "EUR", "amount": 300}}
    schema = {"resources": BOTH, "lines": lines, "starts_ns": DAY, "ends_ns": 21 * DAY}
    with world() as kernel:
        done(kernel, "budget.create", budget=B, schema=schema, now_ns=DAY)
        assert kernel.state.budgets[B].pace == {}, "nothing has passed yet"
        done(kernel, "ledger.issue", resource="EUR", amount=100, to=B, now_ns=11 * DAY)
        assert kernel.state.budgets[B].pace["effort"] == {
            "done": 100,
            "needed": 300,
            "rate_per_day": 10,
            "days_left": 10,
            "projected": 200,
            "insufficient_by": 100,
        }
        deposit(kernel, 50, resource="EUR")
        assert kernel.state.budgets[B].pace["effort"]["insufficient_by"] == 0


@few
@given(done_=st.integers(0, 10**6), needed=st.integers(1, 10**6), passed=st.integers(1, 30))
def test_what_is_missing_at_this_pace_is_what_a_day_by_day_count_gives(done_, needed, passed):
    from_day_to_day = sum(Fraction(done_, passed) for _ in range(30))
    lines = {"effort": {"resource": "EUR", "amount": needed, "metric": "m"}}
    metrics = {"m": {"description": "hours", "nature": "output"}}
    schema = {"resources": BOTH, "lines": lines, "metrics": metrics, "starts_ns": DAY, "ends_ns": 31 * DAY}
    with world() as kernel:
        done(kernel, "budget.create", budget=B, schema=schema, now_ns=DAY)
        record(kernel, "m", done_, now_ns=(1 + passed) * DAY)
        at = kernel.state.budgets[B].pace["effort"]
        assert Fraction(at["projected"]) == from_day_to_day
        assert Fraction(at["insufficient_by"]) == max(0, needed - from_day_to_day)


@pytest.mark.req("S0-64")
def test_a_merged_pull_request_fills_its_line_and_its_bucket_by_one_record(tmp_path):
    merged = {"description": "pull requests merged", "nature": "output", "per": "total", "reads": "sum"}
    lines = {
        "merges": {"resource": "EUR", "amount": 12, "metric": "merged"},
        "money": {"resource": "EUR", "amount": 5},
    }
    path = tmp_path / "w"
    with applied({"resources": BOTH}, path=path) as kernel:
        create(kernel, {"metrics": {"merged": merged}, "lines": lines})
        deposit(kernel, 4, resource="EUR")
        seen = []
        for _ in range(2):
            record(kernel, "merged", 1)
            assert run("-w", path, "stats", "update").code == 0
            shown = run("-w", path, "--json", "stats", "show", "--resource", "merged", "--per", "day").json
            (bucket,) = shown["windows"]
            line = kernel.state.budgets[B].lines["merges"]
            seen.append((line["filled"], int(bucket["sum"])))
        assert seen == [(1, 1), (2, 2)]
        assert kernel.state.budgets[B].lines["money"]["filled"] == 4, "what a metric fills takes no funds"


def test_a_line_that_a_part_spends_for_shows_what_the_part_used():
    lines = {"ads": {"resource": "USD", "amount": 100, "part": "ads"}}
    with world() as kernel:
        create(kernel, {"lines": lines}, pays_to=[LOG])
        deposit(kernel, 100)
        done(kernel, "budget.split", budget=B, resource="USD", shares={"ads": 100})
        assert kernel.state.budgets[B].lines["ads"]["spent"] == 0
        task = {"result": "a banner", "amounts": {"USD": 30}, "payee": LOG}
        assert kernel.submit(Intent("task.post", task, f"{B}/ads")).allowed
        assert kernel.state.budgets[B].lines["ads"]["spent"] == 30


# --- a work order and what it costs -------------------------------------------------------------------


@pytest.mark.req("S0-106")
def test_articles_written_have_progress_and_a_digest_and_formulas_read_them():
    articles = {
        "description": "articles that are out",
        "nature": "output",
        "target": 10,
        "per": "total",
        "reads": "sum",
    }
    plan = {
        "metrics": {"articles_written": articles},
        "lines": {"articles": {"resource": "EUR", "amount": 10, "metric": "articles_written"}},
        "formulas": {"left": {"value": "10 - metric.articles_written", "unit": "articles"}},
    }
    with world() as kernel:
        create(kernel, plan)
        for value in (1, 3):
            record(kernel, "articles_written", value)
        done(kernel, "budget.solve", budget=B)
        row = kernel.state.budgets[B]
        metric = row.metrics["articles_written"]
        assert (metric["value"], metric["progress"]["share"]) == (4, "2/5")
        assert (metric["digest"]["count"], metric["digest"]["average"]) == (2, 2)
        assert (row.lines["articles"]["share"], row.funded["overall"]) == ("2/5", 40)
        assert row.solution["cells"]["left"]["value"] == 6


@pytest.mark.req("S0-121")
def test_an_article_costs_three_hundred_and_takes_five_days():
    plan = {
        "metrics": {
            "articles": {"description": "articles", "nature": "output", "per": "total", "reads": "sum"},
            "days": {"description": "days from start to end", "nature": "minimise", "per": "total"},
        },
        "formulas": {
            "average_cost_per_article": {"value": "spent.USD / metric.articles", "unit": "USD"},
            "time_to_completion": {"value": "digest.days.average", "unit": "days"},
        },
    }
    with world() as kernel:
        create(kernel, plan, pays_to=[LOG])
        deposit(kernel, 5_000)
        for days in (2, 4, 6, 8):
            task = {"result": "an article", "amounts": {"USD": 300}, "payee": LOG}
            decision = kernel.submit(Intent("task.post", task, B))
            kernel.settle(Receipt(decision.intent_hash, "ok", "adapter", {}))
            done(kernel, "metric.record", budget=B, values={"articles": 1, "days": days})
        assert held(kernel, LOG) == 1_200
        done(kernel, "budget.solve", budget=B)
        row = kernel.state.budgets[B]
        cells = {name: cell["value"] for name, cell in row.solution["cells"].items()}
        assert cells == {"average_cost_per_article": 300, "time_to_completion": 5}
        assert row.metrics["articles"]["per_unit"] == {"EUR": 0, "USD": 300}


# --- as people read it --------------------------------------------------------------------------------


def test_the_sheet_says_what_is_enough_what_is_too_much_and_what_will_come_too_late(tmp_path):
    path = tmp_path / "w"
    metrics = {
        "outreach": {
            "description": "people written to in a week",
            "nature": "capped",
            "threshold": 20,
            "per": "week",
            "reads": "sum",
            "frees": {"resource": "EUR", "amount": 4},
        },
        "tickets": {
            "description": "support tickets",
            "nature": "capped",
            "threshold": 100,
            "follow_up": "fix root causes",
        },
        "quality": {"description": "of the product", "nature": "output", "target": 9, "priority": 1},
    }
    schema = {
        "resources": BOTH,
        "metrics": metrics,
        "lines": {"hours": {"resource": "EUR", "amount": 300}},
        "starts_ns": 0,
        "ends_ns": 20 * DAY,
    }
    with applied({"resources": BOTH}, path=path) as kernel:
        done(kernel, "budget.create", budget=B, schema=schema)
        for metric, value in (("outreach", 20), ("tickets", 101), ("quality", 3)):
            record(kernel, metric, value, now_ns=10 * DAY)
        deposit(kernel, 100, resource="EUR")
    told = run("-w", path, "budgets", B)
    assert told.code == 0, "a plan without constraints has a sheet, too"
    for text in (
        "outreach is good enough: 20 of 20; 4 EUR are free; next: quality; until 1970-01-12",
        "tickets has passed its cap: 101 of 100; fix root causes",
        "hours at 10 EUR a day: insufficient by 100 EUR at the plan's end",
        "funded overall: ███░░░░░░░  33 %",
        "people written to in a week",
    ):
        assert text in told.out
