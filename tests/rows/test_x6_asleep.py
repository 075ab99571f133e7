"""Row X6-33: many windows asleep cost no more than one, and carry as if each had rolled."""

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given
from splittally import Intent
from splittally.core.events import WindowRolled
from splittally.core.ledger import rollover
from splittally.core.ledger.rollover import amount_after
from splittally.core.ledger.windows import periods_until, window_end, window_start
from splittally.core.limits import NATURAL_MAX
from splittally.core.types import CALENDAR_WINDOWS, Limit
from splittally.runtime.recover import fold

from tests.rows.worlds import few, recorded, settle, tally

HOUR = 3600 * 10**9
DAY = 24 * HOUR
YEARS_10 = 3_653 * DAY
AMOUNTS = st.integers(0, 200) | st.integers(0, NATURAL_MAX) | st.integers(NATURAL_MAX - 9, NATURAL_MAX)
SHARES = st.sampled_from([(1, 1), (1, 2), (0, 1), (99, 100), (999_999, 10**6)]) | st.integers(
    1, 10**6
).flatmap(lambda whole: st.tuples(st.integers(0, whole), st.just(whole)))


def rolled_one_by_one(limit, opened, used, per, start_ns, now_ns, offset_ns):
    """The oracle: the loop over every period."""
    share, whole = limit.rollover
    left, end_ns = max(0, opened - used), window_end(per, start_ns, offset_ns)
    while end_ns <= now_ns:
        opened = min(limit.amount + left * share // whole, NATURAL_MAX)
        left, start_ns, end_ns = opened, end_ns, window_end(per, end_ns, offset_ns)
    return start_ns, opened


@pytest.mark.req("X6-33")
@given(
    per=st.sampled_from(CALENDAR_WINDOWS),
    share=SHARES,
    amount=AMOUNTS,
    opened=AMOUNTS,
    used=AMOUNTS,
    at=st.integers(0, 2**62),
    periods=st.integers(1, 400),
    into=st.integers(0, 300 * DAY),
    offset=st.sampled_from([0, 5 * HOUR + HOUR // 2, -11 * HOUR]),
)
def test_one_roll_over_any_periods_carries_what_rolling_once_for_each_carries(
    per, share, amount, opened, used, at, periods, into, offset
):
    limit = Limit(dim="x", per=per, amount=amount, rollover=list(share))
    start = window_start(per, at, offset)
    end = window_end(per, start, offset)
    now = end + (periods - 1) * (end - start) + into % (end - start)
    count, next_ns = periods_until(per, start, now, offset)
    expected = rolled_one_by_one(limit, opened, used, per, start, now, offset)
    assert (next_ns, amount_after(limit, max(0, opened - used), count)) == expected
    assert next_ns == window_start(per, now, offset)


@pytest.mark.req("X6-33")
@pytest.mark.parametrize("share", [(1, 1), (1, 2), (9, 10), (99, 100)])
def test_ten_years_of_hours_are_a_few_steps(share, monkeypatch):
    """87,672 periods; the steps are counted, because a clock says something else on every machine."""
    steps = []
    rollover._amount_after.cache_clear()
    monkeypatch.setattr(
        rollover, "range", lambda stop: (steps.append(at) or at for at in range(stop)), raising=False
    )
    limit = Limit(dim="x", per="hour", amount=1_000_003, rollover=list(share))
    count, _ = periods_until("hour", 0, YEARS_10, 0)
    assert count == 87_672
    assert amount_after(limit, 5, count) == rolled_one_by_one(limit, 5, 0, "hour", 0, YEARS_10, 0)[1]
    assert len(steps) < 2_500


@pytest.mark.req("X6-33")
@pytest.mark.parametrize("per", CALENDAR_WINDOWS)
def test_fifty_windows_that_sleep_for_ten_years_are_one_frame_of_fifty_events(per):
    limit = {"dim": "tokens", "amount": 100, "per": per, "rollover": "50%"}
    grants = {f"g{at:02}": {"cap": "sys/llm.basic@1", "limits": [limit]} for at in range(50)}
    with splittally.open(clock="given") as kernel:
        kernel.apply({"grants": grants})
        for at, name in enumerate(grants):
            assert kernel.submit(Intent("llm.generate", {"max_tokens": at}, name), now_ns=0).allowed
        before = kernel.state.seq
        assert kernel.tick(now_ns=YEARS_10) == 1
        assert kernel.state.seq == before + 1
        rolls = recorded(kernel, WindowRolled)
        assert [x.scope for x in rolls] == sorted(grants)
        model = Limit(dim="tokens", per=per, amount=100, rollover=[50, 100])
        for at, event in enumerate(rolls):
            start = window_start(per, 0, 0)
            expected = rolled_one_by_one(model, 100, at, per, start, YEARS_10, 0)
            assert (event.start_ns, event.next_ns, event.amount) == (start, *expected)
        assert len(kernel.state.windows) == 100
        assert kernel.tick(now_ns=YEARS_10) == 0
        assert fold(kernel._world.store).ledger.windows == kernel._world.state.ledger.windows


@pytest.mark.req("X6-33")
@few
@given(
    waits=st.lists(st.integers(0, 40 * 24), min_size=1, max_size=6),
    amounts=st.lists(st.integers(0, 150), min_size=6, max_size=6),
    per=st.sampled_from(["hour", "day", "week", "month"]),
    share=st.integers(0, 100),
)
def test_a_world_that_sleeps_decides_like_one_that_is_woken_every_hour(waits, amounts, per, share):
    limit = {"dim": "tokens", "amount": 100, "per": per, "rollover": f"{share}%"}
    manifest = {"grants": {"g": {"cap": "sys/llm.basic@1", "limits": [limit], "hold_ns_max": 30 * HOUR}}}
    with splittally.open(clock="given") as sleeper, splittally.open(clock="given") as waking:
        now = 0
        for kernel in (sleeper, waking):
            kernel.apply(manifest)
        for wait, amount in zip(waits, amounts, strict=False):
            for _ in range(min(wait, 60)):
                now += HOUR
                waking.tick(now_ns=now)
            now += (wait - min(wait, 60)) * HOUR
            answers = []
            for kernel in (sleeper, waking):
                told = kernel.submit(Intent("llm.generate", {"max_tokens": amount}, "g"), now_ns=now)
                answers.append((told.outcome, told.findings))
                if told.allowed and amount % 2:
                    settle(kernel, told.intent_hash, {})
            assert answers[0] == answers[1]
            open_ = [dict(kernel._world.state.ledger.windows) for kernel in (sleeper, waking)]
            assert {key: row[:2] for key, row in open_[0].items()} == {
                key: row[:2] for key, row in open_[1].items()
            }


@pytest.mark.req("X6-33")
def test_the_whole_of_time_over_the_shortest_window_is_one_frame(folder):
    limit = {"dim": "tokens", "amount": 5, "per": "hour", "rollover": [1, 2]}
    with splittally.open(folder / "w", clock="given") as kernel:
        kernel.apply({"grants": {"g": {"cap": "sys/llm.basic@1", "limits": [limit]}}})
        kernel.submit(Intent("llm.generate", {"max_tokens": 1}, "g"), now_ns=0)
        assert kernel.tick(now_ns=2**63 - 1) == 1
        assert kernel.submit(Intent("llm.generate", {"max_tokens": 9}, "g")).allowed
    assert tally(folder / "w", "verify")[0] == 0
