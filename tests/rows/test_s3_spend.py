"""The digest of today's spend, and the memory that one lane may use."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from splittally.governor import BudgetGovernor, MemoryEnvelope, SpendDigest

from tests.governor_stores import MINI, NOON, OPUS, YESTERDAY, old_store, store, today

FIELDS = ("total_usd", "by_lane", "cap_usd", "n_paid_runs", "has_cost_plane")


def digest(ledger, cap=None):
    return SpendDigest.from_store(ledger, cap, now=today)


@pytest.mark.req("S3-30")
def test_the_cap_of_a_digest_is_the_daily_cap_unless_another_is_asked_for():
    governor = BudgetGovernor(ledger=store(), daily_cap_usd=5.0, now=today)
    assert governor.spend_digest().cap_usd == 5.0
    assert governor.spend_digest(7).cap_usd == 7
    assert governor.spend_digest(cap_usd=0).over_cap is True


@pytest.mark.req("S3-38")
def test_only_today_counts():
    assert digest(store([("a", 3.0, YESTERDAY), ("a", 1.25, NOON)])).total_usd == 1.25
    assert digest(store([("a", 3.0, "2026-04-23 00:00:00"), ("a", 1.25, NOON)])).total_usd == 1.25


@pytest.mark.req("S3-38")
@pytest.mark.parametrize(("hour", "total"), [(1, 3.0), (3, 1.25)])
def test_the_day_is_that_of_utc_wherever_the_clock_hangs(hour, total):
    """At one o'clock two hours east of Greenwich it is yesterday still."""
    clock = datetime(2026, 4, 22, hour, tzinfo=timezone(timedelta(hours=2)))
    rows = [("a", 3.0, YESTERDAY), ("a", 1.25, "2026-04-22 00:00:00")]
    assert SpendDigest.from_store(store(rows), now=lambda: clock).total_usd == total
    assert SpendDigest.from_store(store(rows), now=lambda: clock.astimezone(UTC)).total_usd == total


@pytest.mark.req("S3-39", "S3-40")
def test_a_digest_has_its_fields_and_splits_by_lane_with_the_larger_first():
    shown = digest(store())
    assert [getattr(shown, field) for field in FIELDS] == [4.75, [OPUS, MINI], None, 2, True]
    assert digest(store(reversed([("b", 1, NOON), ("a", 1, NOON)]))).by_lane[0]["lane_id"] == "a"
    for other in (digest(old_store()), digest(None)):
        assert [getattr(other, field) for field in FIELDS[:3]] == [None, [], None]


@pytest.mark.req("S3-41")
def test_only_runs_that_cost_money_are_counted():
    rows = [("a", cost, NOON) for cost in (0, 0.1, 0.2, None)]
    shown = digest(store(rows))
    assert (shown.n_paid_runs, shown.total_usd) == (2, 0.3)
    free = digest(store([("local", 0, NOON)]))
    assert (free.n_paid_runs, free.by_lane, free.display) == (0, [], "$0.0000")


@pytest.mark.req("S3-42", "S3-44")
def test_before_there_is_a_meter_the_total_is_unknown_and_shown_as_a_dash():
    for ledger in (old_store(), None):
        shown = digest(ledger, 5)
        assert (shown.has_cost_plane, shown.total_usd, shown.display) == (False, None, "—")


@pytest.mark.req("S3-43", "S3-45")
def test_a_digest_says_whether_the_cap_is_passed_and_shows_four_decimals():
    assert [digest(store(), cap).over_cap for cap in (5, 4.75, 4.74, 1, 0, None)] == [
        False, False, True, True, True, False
    ]  # fmt: skip
    assert digest(store(), 5).display == "$4.7500 / $5.00"


@pytest.mark.req("S3-46")
def test_the_payload_of_the_standup_is_json():
    shown = digest(store(), 1)
    payload = json.loads(json.dumps(shown.as_dict()))
    assert payload == shown.as_dict()
    assert {**{field: getattr(shown, field) for field in FIELDS}, "undated": False} == {
        field: payload[field] for field in (*FIELDS, "undated")
    }
    assert (payload["over_cap"], payload["display"]) == (True, "$4.7500 / $1.00")


@pytest.mark.req("S3-47")
def test_both_private_tables_are_summed():
    shown = digest(store([("a", 0.5, NOON)], [(0.25, NOON)]), 2)
    assert (shown.total_usd, shown.cap_usd, shown.n_paid_runs) == (0.75, 2, 2)


@pytest.mark.req("S3-49", "S3-50")
def test_the_envelope_is_a_resident_model_and_one_cold_lane():
    """A governor that has just allowed a lane counts the next one alone."""
    envelope = MemoryEnvelope()
    assert (envelope.total_gb, envelope.reserved_gb, envelope.default_lane_gb) == (128.0, 31.8, 5.5)
    assert (envelope.lane_gb, envelope.headroom) == ({}, 96.2)
    governor = BudgetGovernor(ledger=store(()), envelope=MemoryEnvelope(default_lane_gb=60.0), now=today)
    assert [governor.check_budget({"lane_id": lane}).action for lane in "abab"] == ["allow"] * 4


@pytest.mark.req("S3-51")
def test_a_lane_that_fills_what_is_left_fits_and_a_larger_one_does_not():
    envelope = MemoryEnvelope(lane_gb={"full": 96.2, "over": 96.3})
    assert [envelope.fits(lane) for lane in ("other", "full", "over", None)] == [True, True, False, True]
