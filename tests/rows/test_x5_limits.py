"""Limits in windows, soft limits, shadow limits, and estimates that a grant gives for an intent."""

from datetime import datetime, timedelta

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import example, given
from splittally import Intent
from splittally.core.events import LimitCrossed, LimitSet

from tests.rows.worlds import (
    CODES,
    OUTCOMES,
    act,
    apply,
    books,
    budget,
    codes,
    few,
    held,
    manifest,
    recorded,
    settle,
    world,
)

HOUR = 3600 * 10**9
DAY, WEEK = 24 * HOUR, 7 * 24 * HOUR
MONDAY = 4 * DAY  # 1970-01-05
LONG = {"hour": HOUR, "day": DAY, "week": WEEK}
LONGEST = {**LONG, "month": 31 * DAY, "quarter": 92 * DAY, "year": 366 * DAY}
EPOCH = datetime(1970, 1, 1)


def limit(amount, per, over="deny", **more):
    return {"dim": "tokens", "amount": amount, "per": per, "over": over, **more}


def limited(*limits, **terms):
    return world({"g": {"limits": list(limits), **terms}})


def spend(kernel, amount, now_ns):
    """Whether so much could be spent at once."""
    decision = act(kernel, {"tokens": amount}, now_ns=now_ns)
    if decision.allowed:
        settle(kernel, decision.intent_hash, {"tokens": amount})
    return decision


@pytest.mark.req("X5-09")
def test_100_a_day_and_300_a_week_deny_the_fourth_day_of_100():
    with limited(limit(100, "day"), limit(300, "week")) as kernel:
        for day in range(3):
            assert spend(kernel, 100, MONDAY + day * DAY).allowed
            assert spend(kernel, 1, MONDAY + day * DAY).findings[0].facts["per"] == "day"
        fourth = spend(kernel, 100, MONDAY + 3 * DAY)
        assert [(x.code, x.facts["per"]) for x in fourth.findings] == [("budget_exceeded", "week")]
        assert spend(kernel, 100, MONDAY + WEEK).allowed


def calendar_start(per, at_ns, shift):
    """The oracle: the calendar of `datetime`, in hours of the world's own clock."""
    hour = EPOCH + timedelta(hours=(at_ns + shift) // HOUR)
    day = hour.replace(hour=0)
    first = {
        "hour": hour,
        "day": day,
        "week": day - timedelta(days=day.weekday()),
        "month": day.replace(day=1),
        "quarter": day.replace(day=1, month=(day.month - 1) // 3 * 3 + 1),
        "year": day.replace(day=1, month=1),
    }[per]
    return (first - EPOCH) // timedelta(hours=1) * HOUR - shift


@pytest.mark.req("X5-09")
@few
@given(
    at=st.integers(0, 2**33 * 10**9),
    offset=st.sampled_from(["+00:00", "+05:30", "+14:00", "-11:00"]),
)
def test_a_window_is_the_one_of_the_calendar_at_the_worlds_offset(at, offset):
    """It opens once, holds to its last nanosecond, and the next one begins where it ends."""
    shift = int(offset[:3]) * HOUR + int(offset[0] + offset[4:]) * HOUR // 60
    grants = {per: {"limits": [limit(2, per)]} for per in LONGEST}
    with world(grants, world={"utc_offset": offset}) as kernel:
        starts = {per: calendar_start(per, at, shift) for per in LONGEST}
        ends = {per: calendar_start(per, start + LONGEST[per], shift) for per, start in starts.items()}
        for per in LONGEST:
            assert act(kernel, {"tokens": 1}, per, now_ns=at).allowed
        for end in sorted(set(ends.values())):
            closing = [per for per in ends if ends[per] == end]
            last = [act(kernel, {"tokens": 1}, per, now_ns=end - 1).allowed for per in closing * 2]
            assert last == [True] * len(closing) + [False] * len(closing)
            assert all(act(kernel, {"tokens": 1}, per, now_ns=end).allowed for per in closing)
        opened = [(event.scope, event.start_ns) for event in recorded(kernel, LimitSet)]
        assert sorted(opened) == sorted([*starts.items(), *ends.items()])


@pytest.mark.req("X5-09")
@few
@given(
    per=st.sampled_from(sorted(LONGEST)),
    share=st.integers(0, 100),
    spent=st.integers(0, 70),
    used=st.integers(0, 150),
    reserved=st.integers(0, 30),
    refunded=st.integers(0, 40),
)
def test_a_roll_hands_on_the_share_of_what_is_neither_spent_nor_reserved_rounded_down(
    per, share, spent, used, reserved, refunded
):
    """What was refunded is not handed on, and what was used above the limit is taken from nobody."""
    start = calendar_start(per, MONDAY, 0)
    end = calendar_start(per, start + LONGEST[per], 0)
    with limited(limit(100, per, rollover=f"{share}%")) as kernel:
        first = held(kernel, {"tokens": spent}, now_ns=MONDAY)
        held(kernel, {"tokens": reserved})
        settle(kernel, first, {"tokens": used})
        if 0 < refunded <= used:
            amounts = {"tokens": refunded}
            assert kernel.native("settlement.refund", intent_hash=first, amounts=amounts).allowed
        assert kernel.tick(now_ns=end - 1) == 0
        assert kernel.tick(now_ns=end) == 1
        opened = kernel.state.windows["g", "tokens", per, end]
        assert opened.limit == 100 + int(share * max(0, 100 - used - reserved) / 100)
        assert (opened.reserved, opened.spent, opened.get("refunded", 0)) == (0, 0, 0)


@pytest.mark.req("X5-09")
@pytest.mark.parametrize("revoked", ["top", "mid", "g", "other"])
def test_no_window_below_a_revoked_grant_rolls_over(revoked):
    rolls = {"limits": [limit(100, "day", rollover="50%")]}
    grants = {"top": {}, "mid": {"parent": "top"}, "g": {"parent": "mid", **rolls}, "other": {}}
    with world(grants) as kernel:
        assert spend(kernel, 60, MONDAY).allowed
        assert kernel.native("grant.revoke", name=revoked).allowed
        kernel.tick(now_ns=MONDAY + DAY)
        opened = [key[3] for key in kernel.state.windows]
        assert opened == ([MONDAY, MONDAY + DAY] if revoked == "other" else [MONDAY])


@pytest.mark.req("X5-09")
def test_half_of_what_a_day_leaves_is_there_the_next_day():
    with limited(limit(100, "day", rollover="50%")) as kernel:
        assert spend(kernel, 60, MONDAY).allowed
        assert not spend(kernel, 121, MONDAY + DAY).allowed
        assert spend(kernel, 120, MONDAY + DAY).allowed
        assert spend(kernel, 100, MONDAY + 2 * DAY).allowed
        assert not spend(kernel, 1, MONDAY + 2 * DAY).allowed


@pytest.mark.req("X5-09")
@few
@given(
    share=st.integers(0, 100),
    steps=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 180)), max_size=8),
    per=st.sampled_from(["hour", "day", "week"]),
)
def test_a_window_asleep_for_several_periods_rolls_once_for_each_in_order(share, steps, per):
    """The model carries `share` of what is left, rounded down, from window to window."""
    with limited(limit(100, per, rollover=f"{share}%")) as kernel:
        now, opened, left = MONDAY, None, 100
        for waits, amount in steps:
            now += waits * LONG[per]
            if opened is not None:
                for _ in range((now - opened) // LONG[per]):
                    left = 100 + max(0, left) * share // 100
                    opened += LONG[per]
            decision = spend(kernel, amount, now)
            assert decision.allowed == (amount <= left)
            if decision.allowed:  # a window opens with the first that is admitted in it
                opened = now if opened is None else opened
                left -= amount
        assert kernel.at(kernel.state.seq - 1).root == kernel.state.root


@pytest.mark.req("X5-09")
@few
@given(
    limits=st.fixed_dictionaries({per: st.integers(0, 120) for per in LONG}),
    steps=st.lists(st.tuples(st.integers(0, 2 * 24 * 60), st.integers(0, 50)), max_size=12),
    offset=st.sampled_from(["+00:00", "+05:30", "-11:00"]),
)
def test_several_windows_of_one_dimension_all_hold_at_once(limits, steps, offset):
    """The model sums what was spent since the start of each calendar window, at the world's offset."""
    hours, minutes = int(offset[:3]), int(offset[0] + offset[4:])
    shift = (hours * 60 + minutes) * 60 * 10**9
    grants = {"g": {"limits": [limit(amount, per) for per, amount in limits.items()]}}
    with world(grants, world={"utc_offset": offset}) as kernel:
        now, history = MONDAY, []
        for waits, amount in steps:
            now += waits * 60 * 10**9
            starts = {per: (now + shift - MONDAY) // LONG[per] * LONG[per] + MONDAY - shift for per in LONG}
            spent = {per: sum(n for at, n in history if at >= start) for per, start in starts.items()}
            fits = all(spent[per] + amount <= limits[per] for per in LONG)
            assert spend(kernel, amount, now).allowed == fits
            if fits:
                history.append((now, amount))


@pytest.mark.req("X5-09")
def test_a_top_up_of_a_window_holds_in_the_open_one_and_the_next():
    with limited(limit(100, "day")) as kernel:
        assert spend(kernel, 100, MONDAY).allowed
        topup = kernel.native("grant.topup", name="g", dim="tokens", per="day", amount=50)
        assert topup.allowed
        assert spend(kernel, 50, MONDAY).allowed
        assert not spend(kernel, 1, MONDAY).allowed
        assert spend(kernel, 150, MONDAY + DAY).allowed


@pytest.mark.req("X5-09")
def test_what_ends_after_its_window_closed_is_charged_to_that_window():
    with limited(limit(100, "day")) as kernel:
        digest = held(kernel, {"tokens": 90}, now_ns=MONDAY)
        assert spend(kernel, 100, MONDAY + DAY).allowed
        settle(kernel, digest, {"tokens": 80})
        spent = {key[3]: row.spent for key, row in kernel.state.windows.items()}
        assert spent == {MONDAY: 80, MONDAY + DAY: 100}
        assert all(row.reserved == 0 for row in kernel.state.windows.values())


@pytest.mark.req("X5-09")
@pytest.mark.parametrize("per", ["hour", "day", "week", "month", "1ms", "9999999999ms"])
def test_a_window_at_the_end_of_time_opens_and_can_be_hashed(per):
    with limited(limit(10, per, rollover="50%") if per in ("hour", "month") else limit(10, per)) as kernel:
        assert spend(kernel, 7, 2**63 - 1).allowed
        assert not spend(kernel, 7, 2**63 - 1).allowed
        assert kernel.at(kernel.state.seq - 1).root == kernel.state.root


@pytest.mark.req("X5-09")
@pytest.mark.parametrize("per", ["0s", "-1s", "1.5s", "9999999999h", "1d", "", "fortnight", 60, None])
def test_a_period_that_is_none_or_longer_than_time_is_refused(per):
    with splittally.open(None, clock="given") as kernel, pytest.raises(splittally.InvalidManifest):
        kernel.apply(manifest({"g": {"limits": [limit(10, per)]}}))


# --- soft and shadow --------------------------------------------------------------------------------


@pytest.mark.req("X5-10")
def test_at_80_percent_there_is_one_event_a_window_however_often_it_is_crossed():
    with limited(limit(100, "day"), limit(80, "day", "tell")) as kernel:
        told = []
        for day in range(2):
            for _ in range(3):
                decision = act(kernel, {"tokens": 80}, now_ns=MONDAY + day * DAY)
                assert decision.allowed
                told.append("limit_approaching" in codes(decision))
                kernel.release(decision.intent_hash)
            low = act(kernel, {"tokens": 79})
            assert (low.outcome, codes(low)) == ("allow", [])
            kernel.release(low.intent_hash)
        assert told == [True, False, False] * 2
        assert [(x.over, x.amount, x.start_ns) for x in recorded(kernel, LimitCrossed)] == [
            ("tell", 80, MONDAY),
            ("tell", 80, MONDAY + DAY),
        ]


@pytest.mark.req("X5-10")
@pytest.mark.parametrize("share", [0, 50, 100])
def test_a_threshold_is_told_again_in_each_window_that_rolls_over(share):
    """What was carried raises the hard limit and no threshold."""
    hard = limit(100, "day", rollover=f"{share}%")
    with limited(limit(60, "day", "tell"), hard, limit(80, "day", "ask")) as kernel:
        for day in range(3):
            told = [act(kernel, {"tokens": amount}, now_ns=MONDAY + day * DAY) for amount in (59, 1, 20, 1)]
            assert [codes(decision) for decision in told] == [
                [], ["limit_approaching"], [], ["approval_threshold"],
            ]  # fmt: skip
        opened = kernel.state.windows["g", "tokens", "day", MONDAY + DAY]
        assert opened.limit == 100 + 19 * share // 100


@pytest.mark.req("X5-10")
@few
@given(
    stated=st.lists(
        st.tuples(st.sampled_from(["tell", "tell", "tell", "shadow", "ask", "defer"]), st.integers(1, 90)),
        min_size=1,
        max_size=5,
        unique=True,
    ),
    hard=st.integers(0, 5),
    per=st.sampled_from(["life", "day", "60s"]),
    steps=st.lists(st.integers(-9, 40), max_size=8),
)
@example(stated=[("tell", 80), ("tell", 50)], hard=0, per="day", steps=[40, 40, 1])
@example(stated=[("tell", 30), ("tell", 20)], hard=2, per="life", steps=[40, 1])
def test_limits_of_one_period_share_a_counter_and_each_says_its_own(stated, hard, per, steps):
    """The model: what is used, less refunds (steps below 0), and the highest threshold that was told."""
    stated = [*stated[:hard], ("deny", 100), *stated[hard:]]
    with limited(*(limit(amount, per, over) for over, amount in stated)) as kernel:
        first = held(kernel, {"tokens": 0}, now_ns=MONDAY)
        settle(kernel, first, {"tokens": 50})
        told = max((most for x, most in stated if x == "tell" and most <= 50), default=0)
        first_told = sorted(most for x, most in stated if x == "tell" and most <= 50)
        used, crossed = 50, []
        spent = 50  # less refunds; the rest of what is used is held, and may come back
        for amount in steps:
            if amount < 0:
                back = {"tokens": -amount}
                given = kernel.native("settlement.refund", intent_hash=first, amounts=back).allowed
                used, spent = (used + amount, spent + amount) if given else (used, spent)
                continue
            decision = act(kernel, {"tokens": amount}, now_ns=MONDAY)
            over = [
                "deny" if x == "defer" and amount > (most - spent if per == "life" else most) else x
                for x, most in stated
                if x != "tell" and used + amount > most
            ]
            reached = [most for x, most in stated if x == "tell" and used + amount >= most > told]
            outcome = next((OUTCOMES[x] for x in ("deny", "defer", "ask") if x in over), "allow")
            assert decision.outcome == outcome
            assert [x for x in codes(decision) if x != "limit_approaching"] == [CODES[x] for x in over]
            assert [x.facts["limit"] for x in decision.findings if "limit" in x.facts] == reached
            if outcome in ("allow", "require_approval"):
                used, told, crossed = used + amount, max([told, *reached]), crossed + reached
        told_of = [x.amount for x in recorded(kernel, LimitCrossed) if x.over == "tell"]
        assert (sorted(told_of[: len(first_told)]), told_of[len(first_told) :]) == (first_told, crossed)
        life = [kernel.state.counters["g"]["tokens"]] if per == "life" else []
        for row in [*life, *kernel.state.windows.values()]:
            assert (row.limit, row.reserved + row.spent - row.get("refunded", 0)) == (100, used)


@pytest.mark.req("X5-10")
@pytest.mark.parametrize(
    ("over", "outcome", "code"),
    [
        ("deny", "deny", "intent_limit_exceeded"),
        ("defer", "deny", "intent_limit_exceeded"),  # however long one waits
        ("ask", "require_approval", "approval_threshold"),
        ("shadow", "allow", "shadow_exceeded"),
    ],
)
def test_one_intent_may_use_the_whole_of_what_is_stated_for_one_and_no_more(over, outcome, code):
    with limited(limit(10, "intent", over), limit(100, "life")) as kernel:
        for _ in range(3):
            whole = act(kernel, {"tokens": 10})
            assert (whole.outcome, whole.findings) == ("allow", ())
        more = act(kernel, {"tokens": 11})
        assert (more.outcome, codes(more)) == (outcome, [code])
        assert (more.findings[0].facts["needed"], more.findings[0].facts["available"]) == (11, 10)


@pytest.mark.req("X5-10")
@few
@given(shadow=st.integers(0, 50), steps=st.lists(st.integers(0, 30), max_size=8))
def test_a_shadow_limit_admits_everything_and_says_what_it_would_have_denied(shadow, steps):
    with limited(limit(shadow, "life", "shadow")) as kernel:
        used = 0
        for amount in steps:
            decision = act(kernel, {"tokens": amount})
            assert decision.allowed
            assert (codes(decision) == ["shadow_exceeded"]) == (used + amount > shadow)
            used += amount
        crossed = [x for x in recorded(kernel, LimitCrossed) if x.over == "shadow"]
        assert len(crossed) == sum(sum(steps[: at + 1]) > shadow for at in range(len(steps)))


@pytest.mark.req("X5-10")
def test_a_soft_limit_that_is_met_by_a_refused_or_a_dry_intent_tells_nothing():
    with limited(limit(100, "life"), limit(80, "life", "tell"), limit(50, "life", "shadow")) as kernel:
        before = books(kernel)
        assert act(kernel, {"tokens": 101}).outcome == "deny"
        assert codes(kernel.decide(Intent("test.act", {"a": b"\1"}, "g"))) == ["enforcer_fault"]
        assert books(kernel) == before
        assert not recorded(kernel, LimitCrossed)
        assert "limit_approaching" in codes(act(kernel, {"tokens": 80}))


# --- estimates --------------------------------------------------------------------------------------


@pytest.mark.req("X5-14")
@pytest.mark.parametrize(
    ("params", "reserve"),
    [
        ({}, 50),
        ({"prompt_tokens": 7}, 57),
        ({"max_tokens": 5}, 5),
        ({"max_tokens": 0, "prompt_tokens": 3}, 3),
    ],
)
def test_without_max_tokens_the_grants_default_is_reserved_and_never_all_that_is_left(params, reserve):
    grants = {"g": {"cap": "sys/llm.basic@1", "budget": {"tokens": 1_000}, "params": {"default_tokens": 50}}}
    with splittally.open(None, clock="given") as kernel:
        apply(kernel, {"grants": grants})
        decision = kernel.submit(Intent("llm.generate", params, "g"))
        assert decision.reserve == {"tokens": reserve}
        assert kernel.state.counters["g"]["tokens"].reserved == reserve


@pytest.mark.req("X5-14")
def test_without_max_tokens_and_without_a_default_nothing_is_reserved_and_the_caller_is_told():
    grants = {"g": {"cap": "sys/llm.basic@1", "budget": {"tokens": 1_000}}}
    with splittally.open(None, clock="given") as kernel:
        apply(kernel, {"grants": grants})
        decision = kernel.submit(Intent("llm.generate", {"prompt_tokens": 9}, "g"))
        assert (decision.outcome, codes(decision)) == ("deny", ["max_tokens_missing"])
        assert kernel.state.counters["g"]["tokens"].reserved == 0


@pytest.mark.req("X5-14")
def test_an_estimate_is_what_is_held_and_not_the_headroom():
    with world(budget(tokens=1_000)) as kernel:
        assert all(act(kernel, {"tokens": 50}).allowed for _ in range(20))
        assert not act(kernel, {"tokens": 1}).allowed
