"""What users of a governor expect besides: order, edges, what a job may say, what is unknown."""

import json
from decimal import Decimal

import pytest
from splittally.core.governor.terms import GIVE_UP
from splittally.governor import BudgetError, BudgetGovernor, MemoryEnvelope, SpendDigest, check_budget

from tests.governor_stores import NOON, Told, old_store, store, today

GIANT = MemoryEnvelope(lane_gb={"giant": 200.0})
BAD = (
    float("nan"),
    float("inf"),
    float("-inf"),
    -5,
    -1e-9,
    Decimal("NaN"),
    Decimal("sNaN"),
    Decimal("1E-401"),
    "1",
    True,
    [1],
    10**5000,
)


def decide(job, spend=0, **settings):
    return BudgetGovernor(**settings).check_budget(job, spend_today=spend)


@pytest.mark.req("X3-01", "X3-02")
def test_money_goes_before_the_class_of_failure_and_that_before_memory():
    job = {"est_cost_usd": 1, "failure_class": "kv_cache_derivation", "lane_id": "giant"}
    assert decide(job, 4.5, envelope=GIANT).reason == "over_daily_cap"
    assert decide(job, 4.0, envelope=GIANT).reason == "local_ceiling"
    assert decide({**job, "failure_class": None}, 4.0, envelope=GIANT).reason == "oom_envelope"


@pytest.mark.req("X3-03")
def test_equality_with_a_cap_passes():
    assert decide({"est_cost_usd": 0.25}, 4.75).allowed
    assert decide({"est_cost_usd": 0.250001}, 4.75).reason == "over_daily_cap"
    assert decide({"est_cost_usd": 0.2}, 0.1, daily_cap_usd=0.3).allowed
    assert decide({}, 0, daily_cap_usd=0).allowed
    assert decide({"est_cost_usd": 0.01}, 0, daily_cap_usd=0).reason == "over_daily_cap"
    assert check_budget({}, weekly_usage_pct=80).allowed
    assert check_budget({}, weekly_usage_pct=80.1).reason == "over_usage_cap"


@pytest.mark.req("X3-04")
def test_projected_spend_has_six_decimals():
    assert decide({"est_cost_usd": 0.0000006}, 4.9999996).allowed
    held = decide({"est_cost_usd": 0.0000006}, 5.0000001)
    assert held.detail["projected_usd"] == 5.000001


@pytest.mark.req("X3-05", "X3-06")
def test_a_job_without_lane_fits_and_a_lane_may_have_a_size_of_its_own():
    full = MemoryEnvelope(total_gb=31.8, reserved_gb=31.8)
    overfull = MemoryEnvelope(total_gb=30.0, reserved_gb=31.8)
    assert (full.headroom, overfull.headroom) == (0, -1.8)
    for job in ({}, {"lane_id": None}, {"lane_id": ""}):
        for envelope in (full, overfull):
            assert decide(job, envelope=envelope).detail == {"lane_id": None}
            assert envelope.fits(job.get("lane_id"))
    assert decide({"lane_id": "a"}, envelope=full).detail["lane_gb"] == 5.5
    assert decide({"lane_id": "giant"}, envelope=GIANT).detail["lane_gb"] == 200.0
    assert [GIANT.footprint_gb(lane) for lane in ("giant", "other", None)] == [200.0, 5.5, 0.0]


@pytest.mark.req("X3-07")
def test_a_payload_is_a_mapping_or_json_and_the_mapping_wins():
    dear, free = {"est_cost_usd": 9.0}, {"est_cost_usd": 0}
    both = {"payload": dear, "payload_json": json.dumps(free)}
    assert decide(both).reason == "over_daily_cap"
    assert decide({"payload": free, "payload_json": json.dumps(dear)}).allowed
    for job in ({"payload_json": json.dumps(dear)}, {"payload": json.dumps(dear)}):
        assert decide(job).reason == "over_daily_cap"


@pytest.mark.req("X3-07")
@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "7", '"text"', "[" * 100_000, b"\xff", '{"est_cost_usd": NaN}']
)
def test_a_broken_payload_raises_and_never_allows(text):
    for field in ("payload", "payload_json"):
        with pytest.raises(BudgetError):
            decide({field: text})


@pytest.mark.req("X3-08")
def test_the_row_is_read_before_its_payload():
    job = {"failure_class": "crash", "payload": {"failure_class": "multi_step_planning"}}
    assert decide(job).allowed
    assert decide({**job, "failure_class": None}).action == "escalate"
    assert decide({"est_cost_usd": 9, "payload": {"est_cost_usd": 1}}).action == "defer"
    assert decide({"lane_id": "giant", "payload": {"lane_id": "a"}}, envelope=GIANT).action == "defer"


@pytest.mark.req("X3-09")
def test_four_classes_mean_giving_up_and_a_timeout_does_not():
    assert sorted(GIVE_UP) == [
        "context_overflow", "kv_cache_derivation", "local_low_confidence", "multi_step_planning"
    ]  # fmt: skip
    assert {decide({"failure_class": name}).action for name in GIVE_UP} == {"escalate"}
    assert decide({"failure_class": "timeout"}).allowed


@pytest.mark.req("X3-10")
@pytest.mark.parametrize("figure", BAD, ids=lambda figure: type(figure).__name__)
def test_a_figure_that_makes_no_sense_raises_wherever_it_stands(figure):
    calls = (
        lambda: decide({"est_cost_usd": figure}),
        lambda: decide({"payload": {"est_cost_usd": figure}}),
        lambda: decide({}, figure),
        lambda: check_budget({}, weekly_usage_pct=figure),
        lambda: BudgetGovernor(daily_cap_usd=figure),
        lambda: BudgetGovernor(weekly_usage_cap_pct=figure),
        lambda: MemoryEnvelope(total_gb=figure),
        lambda: MemoryEnvelope(lane_gb={"a": figure}),
        lambda: SpendDigest.from_store(store(), figure),
        lambda: check_budget({}, ledger=Told(figure)),
    )
    for call in calls:
        with pytest.raises(BudgetError):
            call()


@pytest.mark.req("X3-11")
def test_usage_that_is_not_known_is_not_zero():
    decision = check_budget({"lane_id": "a"})
    assert (decision.action, decision.reason) == ("defer", "over_usage_cap")
    assert decision.detail == {"weekly_usage_pct": None, "cap_pct": 80.0}


@pytest.mark.req("X3-12")
def test_a_ledger_without_costs_is_degraded_and_says_so():
    """The usage guard decides in place of the cap; what a local model gave up on still escalates."""
    governor = BudgetGovernor(ledger=old_store(), envelope=GIANT, now=today)
    assert governor.spend_digest().display == "—"
    jobs = ({"est_cost_usd": 900}, {"failure_class": "context_overflow"}, {"lane_id": "giant"})
    decisions = [governor.check_budget(job, weekly_usage_pct=10) for job in jobs]
    assert [x.reason for x in decisions] == ["within_budget", "local_ceiling", "oom_envelope"]
    decisions += [governor.check_budget({}, weekly_usage_pct=81), governor.check_budget({})]
    assert [x.reason for x in decisions[3:]] == ["over_usage_cap"] * 2
    for decision in decisions:
        assert (decision.detail["spend_usd"], decision.detail["degraded"]) == (None, "spend_unknown")
    for ledger in (Told(None), Told({"total_usd": None})):
        assert check_budget({}, ledger=ledger, weekly_usage_pct=1).detail["degraded"] == "spend_unknown"


@pytest.mark.req("X3-13")
def test_without_a_cap_only_the_amount_is_shown():
    governor = BudgetGovernor(ledger=store(), daily_cap_usd=None, now=today)
    assert governor.spend_digest().display == "$4.7500"
    assert governor.check_budget({"est_cost_usd": 10**9}).allowed


@pytest.mark.req("X3-14")
def test_spend_without_a_lane_has_a_line_and_lines_add_up():
    runs = [("a", 4.0, NOON), ("b", 0.5, NOON), ("", 0.5, NOON), (None, 0.25, NOON)]
    shown = SpendDigest.from_store(store(runs, [(0.25, NOON)]), now=today)
    assert {line["lane_id"]: line["cost_usd"] for line in shown.by_lane} == {"a": 4.0, "b": 0.5, None: 1.0}
    assert sum(line["cost_usd"] for line in shown.by_lane) == shown.total_usd == 5.5
    told = SpendDigest.from_store(Told(4.75))
    assert told.by_lane == [{"lane_id": None, "cost_usd": 4.75}]
