"""The governor against a tiny, obvious model; and the stores and clocks that it meets."""

import decimal
import json
import sqlite3
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from splittally.core.governor.judge import REASONS_OF, Case, judge
from splittally.governor import BudgetError, BudgetGovernor, MemoryEnvelope, SpendDigest, check_budget

from tests.governor_stores import NOON, RUNS, ArenaStore, CostLedger, Told, old_store, store, today

CLASSES = ("multi_step_planning", "kv_cache_derivation", "context_overflow", "local_low_confidence")
UNIT = 10**8  # the model counts hundredths of a millionth of a dollar
STEP = UNIT // 10**6


def whole_millionths(n: int) -> int:
    """To the nearest millionth; a half goes to the even one."""
    floor, rest = divmod(n, STEP)
    up = rest * 2 > STEP or (rest * 2 == STEP and floor % 2 == 1)
    return (floor + up) * STEP


def expected(has_ledger, spent, est, cap, usage, failure, lane, size):
    """The decision table, read from top to bottom. Money in hundredths of a millionth."""
    if has_ledger and whole_millionths(spent + est) > cap:
        return "defer", "over_daily_cap"
    if not has_ledger and (usage is None or usage > 800):
        return "defer", "over_usage_cap"
    if has_ledger and failure in CLASSES:
        return "escalate", "local_ceiling"
    if lane and size > 962:
        return "defer", "oom_envelope"
    return "allow", "within_budget"


money = st.integers(0, 6 * UNIT) | st.integers(5 * UNIT - 60, 5 * UNIT + 60) | st.integers(0, 60)
words = st.none() | st.sampled_from([*CLASSES, "crash", "timeout"])
noise = st.dictionaries(
    st.sampled_from(["id", "status", "prompt", "est_tokens", "dispatched_at"]), st.integers()
)


@settings(max_examples=400)
@given(
    has_ledger=st.booleans(), spent=money, est=money, cap=money,
    usage=st.none() | st.integers(0, 1000) | st.integers(798, 802), failure=words,
    lane=st.sampled_from([None, "", "a"]), size=st.integers(0, 2000) | st.integers(960, 964),
    more=noise, as_json=st.booleans(),
)  # fmt: skip
@example(True, 499999960, 60, 500000000, None, None, None, 0, {}, False)
@example(True, 0, 0, 0, None, None, "a", 962, {}, True)
@pytest.mark.req("S3-07", "S3-37", "S3-71")
def test_a_decision_is_that_of_the_table(
    has_ledger, spent, est, cap, usage, failure, lane, size, more, as_json
):
    job = {"lane_id": lane, "failure_class": failure, "est_cost_usd": est / UNIT}
    governor = BudgetGovernor(
        ledger=Told(spent / UNIT) if has_ledger else None,
        envelope=MemoryEnvelope(lane_gb={"a": size / 10}), daily_cap_usd=cap / UNIT,
    )  # fmt: skip
    row = {**more, "payload_json": json.dumps({**job, **more})} if as_json else {**more, **job}
    weekly = None if usage is None else usage / 10
    decision = governor.check_budget(row, weekly_usage_pct=weekly)
    assert (decision.action, decision.reason) == expected(
        has_ledger, spent, est, cap, usage, failure, lane, size
    )
    assert decision.reason in REASONS_OF[decision.action]
    assert governor.check_budget(job, weekly_usage_pct=weekly) == decision


@given(failure=words, spent=money, usage=st.integers(0, 100), lane=st.sampled_from([None, "a", "giant"]))
@pytest.mark.req("S3-36")
def test_a_job_is_escalated_exactly_for_the_local_ceiling(failure, spent, usage, lane):
    envelope = MemoryEnvelope(lane_gb={"giant": 200})
    for ledger in (None, Told(spent / UNIT), old_store()):
        governor = BudgetGovernor(ledger=ledger, envelope=envelope)
        decision = governor.check_budget({"failure_class": failure, "lane_id": lane}, weekly_usage_pct=usage)
        assert (decision.action == "escalate") == (decision.reason == "local_ceiling")


@given(spent=money, est=money, cap=money)
@pytest.mark.req("X3-03", "X3-04")
def test_no_two_ways_of_writing_a_figure_differ_and_no_context_matters(spent, est, cap):
    def reason(form):
        job = {"est_cost_usd": form(est)}
        return check_budget(job, spend_today=form(spent), daily_cap_usd=form(cap)).reason

    told = reason(lambda n: n / UNIT)
    assert reason(lambda n: Decimal(n) / UNIT) == told
    with decimal.localcontext(decimal.Context(prec=2, rounding=decimal.ROUND_UP)):
        assert reason(lambda n: n / UNIT) == told


@given(spent=st.integers(0, 2**70), est=st.integers(0, 2**70), cap=st.integers(0, 2**71))
def test_the_judgement_takes_integers_of_any_unit(spent, est, cap):
    case = Case(
        lane="", failure_class="", estimate=est, spent=spent, cap=cap, usage=None, usage_cap=None,
        has_ledger=True, lane_size=0, reserved=0, total=0, classes=frozenset(), ceiling=0,
    )  # fmt: skip
    judgement = judge(case)
    assert (judgement.reason == "over_daily_cap") == (spent + est > cap)
    if judgement.detail.get("projected") is not None:
        assert judgement.detail["projected"] == spent + est


# --- stores -----------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.integers(0, 10**6)), max_size=12))
def test_a_digest_adds_up_exactly(rows):
    shown = SpendDigest.from_store(store([(lane, n / 10**4, NOON) for lane, n in rows]), now=today)
    assert shown.total_usd == sum(n for _, n in rows) / 10**4
    costs = [line["cost_usd"] for line in shown.by_lane]
    assert costs == sorted(costs, reverse=True)
    assert sum(round(cost * 10**4) for cost in costs) == sum(n for _, n in rows)
    assert shown.n_paid_runs == sum(n > 0 for _, n in rows)


@pytest.mark.parametrize(
    "moment", [None, 1776859200, "22.04.2026", "2026-99-99 00:00:00", "", "now", b"2026-04-21 00:00:00"]
)
def test_a_row_whose_time_cannot_be_read_counts_and_the_digest_says_undated(moment):
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE chat_turns (cost_usd REAL, created_at)")
    connection.execute("INSERT INTO chat_turns VALUES (2, ?)", (moment,))
    shown = SpendDigest.from_store(connection, now=today)
    assert (shown.total_usd, shown.undated) == (2.0, True)


@pytest.mark.parametrize(
    ("moment", "total"),
    [
        ("2026-04-22T08:00:00Z", 2.0),
        ("2026-04-22 08:00:00.125", 2.0),
        ("2026-04-23 01:00:00+02:00", 2.0),
        ("2026-04-22 01:00:00+02:00", 0.0),
        ("2026-04-21T23:59:59.999Z", 0.0),
    ],
)
def test_a_time_is_read_with_its_fraction_and_zone(moment, total):
    shown = SpendDigest.from_store(store((), [(2, moment)]), now=today)
    assert (shown.total_usd, shown.undated) == (total, False)


def test_a_table_without_times_counts_whole_and_one_without_costs_is_skipped():
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE compare_responses (lane_id TEXT, created_at TEXT)")
    connection.execute("CREATE TABLE chat_turns (cost_usd REAL)")
    connection.execute("INSERT INTO chat_turns VALUES (0.5)")
    shown = SpendDigest.from_store(connection, now=today)
    assert (shown.total_usd, shown.undated, shown.has_cost_plane) == (0.5, True, True)


@pytest.mark.parametrize("cost", [-1, "much", float("inf"), b"1"])
def test_a_cost_that_makes_no_sense_raises_and_its_text_names_no_amount(cost):
    with pytest.raises(BudgetError) as caught:
        BudgetGovernor(ledger=store([("secret-lane", cost, NOON)]), now=today).check_budget({})
    assert not any(word in str(caught.value) for word in ("secret-lane", repr(cost)))


def test_the_stores_own_way_of_giving_rows_does_not_matter():
    connection = store()
    for factory in (sqlite3.Row, lambda cursor, row: {"row": row}):
        connection.row_factory = factory
        assert SpendDigest.from_store(connection, now=today).total_usd == 4.75


def test_a_job_may_be_a_row_of_the_store():
    connection = store()
    connection.row_factory = sqlite3.Row
    row = connection.execute("SELECT 1.0 AS est_cost_usd, 'a' AS lane_id, '{}' AS payload_json").fetchone()
    assert BudgetGovernor(ledger=connection, now=today).check_budget(row).reason == "over_daily_cap"


@pytest.mark.parametrize(
    "job", [None, 7, "job", [("lane_id", "a")], {"lane_id": 7}, {"failure_class": ["x"]}]
)
def test_a_job_that_cannot_be_read_raises(job):
    with pytest.raises(BudgetError):
        check_budget(job, spend_today=0)


def test_a_ledger_without_the_tables_tells_its_own_sum():
    """Its connection is for something else; one with an old store's tables is not believed."""
    ledger = CostLedger(ArenaStore(sqlite3.connect(":memory:")))
    assert SpendDigest.from_store(ledger, now=today).total_usd == 0.0
    assert SpendDigest.from_store(CostLedger(ArenaStore(old_store())), now=today).total_usd is None
    for told in (4.75, {"total_usd": 4.75}, SpendDigest(4.75, [], None, 1, True)):
        assert SpendDigest.from_store(Told(told)).total_usd == 4.75
    with pytest.raises(BudgetError):
        SpendDigest.from_store(Told({"spend": 4.75}))


def test_the_clock_is_the_callers_or_the_hosts():
    stamp = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
    connection = store([*RUNS, ("a", 1.5, stamp)])
    assert SpendDigest.from_store(connection).total_usd in (1.5, 0.0)  # 0.0 when midnight passed just now
    with pytest.raises(BudgetError):
        SpendDigest.from_store(connection, now=lambda: datetime(2026, 4, 22))


@pytest.mark.parametrize("classes", ["multi_step_planning", ("",), (7,), {None: "x"}])
def test_classes_that_are_no_names_are_refused(classes):
    with pytest.raises(BudgetError):
        BudgetGovernor(give_up_classes=classes)


def test_settings_of_another_type_are_refused():
    for call in (lambda: BudgetGovernor(envelope={"total_gb": 1}), lambda: MemoryEnvelope(lane_gb=[1])):
        with pytest.raises(BudgetError):
            call()
