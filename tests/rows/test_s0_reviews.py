"""Metric objects: what a reviewer records at once, once, with its source, and what it comes to."""

from fractions import Fraction

import hypothesis.strategies as st
import pytest
from hypothesis import given
from splittally import Intent, Receipt
from splittally.core.events import Defined, Measured

from tests.rows.budgets import A, B, done
from tests.rows.worlds import applied, codes, few, recorded

SCALES = {"USD": 2, "Hours": 0}
SHOP = "accounts/shop"
LINK = "https://example.org/ann/repository"
SCORED = {"minimum": 0, "maximum": 10}
GROWTH = {
    "title": "Ann learns Python",
    "resources": SCALES,
    "metrics": {
        "code_quality": {"description": "0 to 10, by the reviewer", "nature": "maximise", **SCORED},
        "complexity": {"description": "0 to 10, by the reviewer", "nature": "maximise", **SCORED},
        "python_proficiency_demonstrated": {
            "description": "points that finished work shows",
            "nature": "output",
            "target": 5,
            "per": "total",
            "reads": "sum",
        },
        "portfolio_projects": {
            "description": "projects that are finished and public",
            "nature": "output",
            "target": 1,
            "per": "total",
            "reads": "count",
        },
    },
    "formulas": {"hours_per_point": {"value": "spent.Hours / metric.python_proficiency_demonstrated"}},
}
OBJECT = {"code_quality": 8, "complexity": 7, "python_proficiency_demonstrated": 6, "portfolio_projects": 1}
REVIEWER = {
    "review": {
        "cap": "sys/native@1",
        "holder": "reviewer",
        "params": {"operations": ["metric.record"], "accounts": [B]},
    }
}


def world(**more):
    kernel = applied({"resources": SCALES, "accounts": {SHOP: {}}})
    done(kernel, "budget.create", budget=B, schema=GROWTH, pays_to=[SHOP], **more)
    done(kernel, "ledger.issue", resource="USD", amount=50_00, to=B)
    done(kernel, "ledger.issue", resource="Hours", amount=10, to=B)
    assert kernel.apply({"resources": SCALES, "accounts": {SHOP: {}}, "grants": REVIEWER}).allowed
    return kernel


def review(kernel, once="repository", **values):
    reviewer = kernel.as_principal("reviewer")
    return reviewer.native("metric.record", budget=B, values=values or OBJECT, source=LINK, once=once)


def progress(kernel, metric):
    at = kernel.state.budgets[B].metrics[metric]["progress"]
    return at["value"], at["goal"], at["is_met"], at["surplus"]


@pytest.mark.req("S0-195", "S0-196", "S0-198")
def test_a_reviewed_repository_is_one_metric_object_and_meets_the_order_with_a_surplus_of_one():
    with world() as kernel:
        assert progress(kernel, "python_proficiency_demonstrated") == (0, 5, False, 0)
        assert progress(kernel, "portfolio_projects") == (0, 1, False, 0)
        seq = kernel.state.seq
        assert review(kernel).allowed
        assert kernel.state.seq == seq + 1, "all values in one record"
        rows = kernel.state.budgets[B].metrics
        assert {name: rows[name]["value"] for name in OBJECT} == OBJECT
        for name in OBJECT:
            (value,) = kernel.state.metric_history(B, name)["values"]
            assert (value["source"], value["by"], value["once"]) == (LINK, "reviewer", "repository")
        assert progress(kernel, "python_proficiency_demonstrated") == (6, 5, True, 1)
        assert progress(kernel, "portfolio_projects") == (1, 1, True, 0)


@pytest.mark.req("S0-197")
def test_a_metric_object_is_consumed_once_and_marked_and_the_second_counts_nothing():
    with world() as kernel:
        first = review(kernel)
        (mark,) = [x for x in recorded(kernel, Defined) if x.table == "consumed"]
        assert mark.key == f"{B}\nrepository"
        assert kernel._world.state.plans.consumed[mark.key] == first.intent_hash
        before = kernel.state.budgets[B].metrics
        again = review(kernel, python_proficiency_demonstrated=6, code_quality=9)
        assert codes(again) == ["recorded_before"]
        told = kernel.native("metric.record", budget=B, values=OBJECT, once="repository")
        assert told.findings[0].facts["intent_hash"] == first.intent_hash
        assert kernel.state.budgets[B].metrics == before
        assert len(recorded(kernel, Measured)) == len(OBJECT)
        assert review(kernel, once="another one").allowed
        other = {"resources": SCALES, "metrics": {"code_quality": GROWTH["metrics"]["code_quality"]}}
        done(kernel, "budget.create", budget=A, schema=other)
        done(kernel, "metric.record", budget=A, metric="code_quality", value=1, once="repository")


def test_an_object_of_which_one_value_is_bad_records_nothing_and_may_come_again():
    with world() as kernel:
        for values, code in (
            ({"code_quality": 11, "complexity": 7}, "value_out_of_bounds"),
            ({"code_quality": -1, "complexity": 7}, "value_out_of_bounds"),
            ({"code_quality": 8, "beauty": 7}, "not_found"),
        ):
            refused = review(kernel, **values)
            assert codes(refused) == [code]
            assert code != "value_out_of_bounds" or refused.findings[0].facts["maximum"] == 10
        assert not recorded(kernel, Measured) and not kernel._world.state.plans.consumed
        assert review(kernel).allowed


def test_two_of_one_identity_in_one_frame_count_once():
    with world() as kernel:
        object_ = {"budget": B, "values": OBJECT, "once": "repository"}
        answers = kernel.submit([Intent("metric.record", object_, "root") for _ in range(2)])
        assert [codes(answer) for answer in answers] == [[], ["recorded_before"]]
        assert len(recorded(kernel, Measured)) == len(OBJECT)


@pytest.mark.req("S0-199")
def test_hours_and_dollars_per_point_are_shown_once_there_is_a_point():
    with world() as kernel:
        metric = "python_proficiency_demonstrated"
        assert "per_unit" not in kernel.state.budgets[B].metrics[metric]
        task = {"result": "a course", "amounts": {"USD": 40_00, "Hours": 9}, "payee": SHOP}
        asked = kernel.submit(Intent("task.post", task, B))
        kernel.settle(Receipt(asked.intent_hash, "ok", "adapter", {}))
        assert review(kernel).allowed
        shown = kernel.state.budgets[B].metrics[metric]["per_unit"]
        assert {name: Fraction(x) for name, x in shown.items()} == {
            "Hours": Fraction(9, 6),
            "USD": Fraction(40_00, 6),
        }
        done(kernel, "budget.solve", budget=B)
        assert kernel.state.budgets[B].solution["cells"]["hours_per_point"]["value"] == 1


@few
@given(objects=st.lists(st.tuples(st.sampled_from("abc"), st.integers(-9, 9)), max_size=12))
def test_the_sum_is_that_of_the_first_object_of_each_identity(objects):
    """The model is a dictionary that keeps what came first."""
    kept: dict[str, int] = {}
    with world() as kernel:
        for once, value in objects:
            told = review(kernel, once, python_proficiency_demonstrated=value)
            assert told.allowed == (once not in kept)
            kept.setdefault(once, value)
        shown = kernel.state.budgets[B].metrics["python_proficiency_demonstrated"]
        assert shown["value"] == sum(kept.values())


BAD = [
    {"metric": "code_quality"},
    {"value": 1},
    {"values": {}},
    {"metric": "code_quality", "value": 1, "values": {"complexity": 1}},
    {"metric": "code_quality", "values": {"complexity": 1}},
    {"value": 1, "values": {"complexity": 1}},
    {"values": {"complexity": 1.5}},
    {"values": {"complexity": "1"}},
    {"values": {f"m{n}": 1 for n in range(257)}},
    {"values": {"complexity": 1}, "source": "x" * 513},
    {"values": {"complexity": 1}, "once": "x" * 129},
    {"values": {"complexity": 1}, "once": "a\n"},
    {"values": {"complexity": 1}, "segments": {"team": ""}},
    {"values": {"complexity": 1}, "segments": {"": "x"}},
    {"values": {"complexity": 1}, "of_ns": 3},
]


@pytest.mark.parametrize("params", BAD, ids=lambda params: "+".join(sorted(params)))
def test_what_is_no_record_of_a_metric_is_refused_and_leaves_nothing(params):
    with world() as kernel:
        seq = kernel.state.seq
        assert codes(kernel.native("metric.record", budget=B, **params)) == ["params.invalid"]
        assert kernel.state.seq == seq
