"""Raw records and what is made of them: segments, digests, composites, values that fit their plan."""

import hypothesis.strategies as st
import pytest
from hypothesis import given
from splittally.core.canonical import decode
from splittally.core.events import Defined, Measured
from splittally.runtime.reader import read_store

from tests.rows.budgets import BOTH, DAY, B, create, done, ended, held, pays, world
from tests.rows.worlds import codes, few, recorded

COUNTED = {"description": "d", "nature": "output", "per": "total", "reads": "sum"}
HIGHEST = 2**64 - 1


def record(kernel, value, metric="m", now_ns=None, **more):
    return kernel.native("metric.record", now_ns=now_ns, budget=B, metric=metric, value=value, **more)


def shown(kernel, metric="m"):
    return kernel.state.budgets[B].metrics[metric]


# --- digests ------------------------------------------------------------------------------------------


@pytest.mark.req("X0-12")
def test_one_two_three_make_a_digest_of_count_sum_average_min_and_max():
    with world() as kernel:
        create(kernel, {"metrics": {"m": COUNTED}})
        for value in (1, 2, 3):
            assert record(kernel, value).allowed
        digest = shown(kernel)["digest"]
        assert [digest[x] for x in ("count", "sum", "average", "min", "max")] == [3, 6, 2, 1, 3]
        assert (digest["last"], digest["version"]) == (3, 1)


@few
@given(
    records=st.lists(st.tuples(st.integers(0, 20 * DAY), st.integers(-9, 9)), min_size=1, max_size=12),
    reads=st.sampled_from(["last", "sum", "count", "average", "min", "max"]),
    per=st.sampled_from(["day", "week", "total"]),
)
def test_a_metric_reads_the_values_of_the_period_that_it_states(records, reads, per):
    """The model keeps every value with its time; 1970-01-01 was a Thursday."""
    metric = {**COUNTED, "per": per, "reads": reads}
    kept: list[tuple[int, int]] = []

    def period(at_ns):
        day = at_ns // DAY
        return {"day": day, "week": (day + 3) // 7, "total": 0}[per]

    with world() as kernel:
        create(kernel, {"metrics": {"m": metric}})
        for at_ns, value in sorted(records):
            assert record(kernel, value, now_ns=at_ns).allowed
            kept.append((at_ns, value))
            values = [x for at, x in kept if period(at) == period(at_ns)]
            assert (
                shown(kernel)["value"]
                == {
                    "last": values[-1],
                    "sum": sum(values),
                    "count": len(values),
                    "average": sum(values) // len(values),
                    "min": min(values),
                    "max": max(values),
                }[reads]
            )
            assert shown(kernel)["count"] == len(kept)


def test_a_sum_that_no_integer_holds_is_refused_and_the_digest_stays():
    with world() as kernel:
        create(kernel, {"metrics": {"m": COUNTED}})
        assert record(kernel, HIGHEST).allowed
        assert codes(record(kernel, 1)) == ["amount_overflow"]
        assert record(kernel, 0).allowed
        assert shown(kernel)["digest"]["count"] == 2


def test_a_plain_metric_is_one_event_as_ever():
    with world() as kernel:
        create(kernel, {"metrics": {"m": {"description": "d", "nature": "output"}}})
        before = len(recorded(kernel, Defined))
        assert record(kernel, 3, source="x", segments={"team": "a"}).allowed
        assert len(recorded(kernel, Defined)) == before
        assert recorded(kernel, Measured) == [Measured(B, "m", 3)]


def test_what_is_not_stated_is_not_in_the_bytes_so_plain_requests_keep_their_hashes():
    """A default that were written would change the intent hash of every record of an older release."""
    with world() as kernel:
        create(kernel, {"metrics": {"m": {"description": "d", "nature": "output"}}})
        assert record(kernel, 3).allowed
        made, plain = [decode(x.body.command.members[0].params) for x in read_store(kernel).records(2)]
        assert plain == {"budget": B, "metric": "m", "value": 3}
        assert "initial" not in made


def test_each_value_of_an_object_makes_the_rules_of_its_metric_due_and_they_read_the_digest():
    rules = [
        {"name": f"on {x}", "on": "metric", "of": x, "when": f"digest.{x}.sum >= 3", "do": [pays(1)]}
        for x in ("a", "b", "c")
    ]
    with world() as kernel:
        create(kernel, {"metrics": dict.fromkeys("abc", COUNTED), "rules": rules})
        done(kernel, "ledger.issue", resource="USD", amount=9, to=B)
        done(kernel, "metric.record", budget=B, values={"b": 3, "a": 2})
        assert ended(kernel) == [("on a", 1, "skipped", "condition"), ("on b", 1, "done")]
        assert held(kernel, "accounts/log") == 1


# --- segments -----------------------------------------------------------------------------------------


@pytest.mark.req("X0-11")
def test_a_record_without_its_team_is_refused_and_names_the_key():
    metric = {**COUNTED, "segments": ["department", "team"]}
    with world() as kernel:
        create(kernel, {"metrics": {"m": metric, "free": COUNTED}})
        refused = record(kernel, 1, segments={"department": "sales"})
        assert [(x.code, x.facts["segment"]) for x in refused.findings] == [("segment_missing", "team")]
        assert codes(record(kernel, 1)) == ["segment_missing", "segment_missing"]
        assert not recorded(kernel, Measured)
        assert record(kernel, 1, segments={"department": "sales", "team": "north"}).allowed
        assert record(kernel, 1, "free").allowed
        (value,) = kernel.state.metric_history(B, "m")["values"]
        assert value["segments"] == {"department": "sales", "team": "north"}


# --- composites ---------------------------------------------------------------------------------------

SIMPLE = {"description": "percent", "nature": "maximise"}


def composite(whole, **weights):
    health = {"description": "health", "nature": "maximise", "weights": weights, "whole": whole}
    return {"metrics": {"on_time": SIMPLE, "satisfaction": SIMPLE, "health": health}}


@pytest.mark.req("X0-17")
def test_a_composite_states_its_weights_and_weights_of_nine_tenths_are_refused():
    with world() as kernel:
        schema = {"resources": BOTH, **composite(10, on_time=5, satisfaction=4)}
        refused = kernel.native("budget.create", budget=B, schema=schema)
        assert codes(refused) == ["weights_unequal"]
        assert refused.findings[0].facts == {"metric": "health", "needed": 10, "value": 9, "next": "replan"}
        create(kernel, composite(10, on_time=5, satisfaction=5))
        assert record(kernel, 90, "on_time").allowed
        assert shown(kernel, "health")["value"] is None, "one of the two is not known yet"
        assert record(kernel, 70, "satisfaction").allowed
        assert (shown(kernel, "health")["value"], shown(kernel, "health")["weights"]) == (
            80,
            {"on_time": 5, "satisfaction": 5},
        )
        assert codes(record(kernel, 99, "health")) == ["metric_computed"]


# --- initial values -----------------------------------------------------------------------------------

BOUNDED = {"metrics": {"analytics": {**COUNTED, "minimum": 1, "maximum": 5_000}}}


@pytest.mark.req("X0-29")
def test_initial_analytics_of_ten_thousand_are_refused_where_five_thousand_is_the_most():
    schema = {"resources": BOTH, **BOUNDED}
    with world() as kernel:
        refused = kernel.native("budget.create", budget=B, schema=schema, initial={"analytics": 10_000})
        assert [(x.code, x.facts["value"], x.facts["maximum"]) for x in refused.findings] == [
            ("value_out_of_bounds", 10_000, 5_000)
        ]
        assert B not in kernel.state.budgets and B not in kernel.state.accounts
        for initial, code in (({"analytics": 0}, "value_out_of_bounds"), ({"lost": 1}, "not_found")):
            assert codes(kernel.native("budget.create", budget=B, schema=schema, initial=initial)) == [code]
        seq = kernel.state.seq
        create(kernel, BOUNDED, initial={"analytics": 5_000})
        assert kernel.state.seq == seq + 1, "in the record that makes the budget"
        assert (shown(kernel, "analytics")["value"], shown(kernel, "analytics")["digest"]["count"]) == (
            5_000,
            1,
        )
        assert codes(record(kernel, 5_001, "analytics")) == ["value_out_of_bounds"]


def test_initial_values_stand_in_a_manifest_and_come_with_the_budget_alone():
    stated = {"resources": BOTH, "budgets": {B: {"schema": BOUNDED | {"resources": BOTH}}}}
    stated["budgets"][B]["initial"] = {"analytics": 7}
    with world() as kernel:
        for _ in range(2):
            assert kernel.apply(stated).allowed
            assert shown(kernel, "analytics")["count"] == 1
