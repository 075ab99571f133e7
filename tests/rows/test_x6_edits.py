"""Row X6-15: an edit of a limit, a rate or a cap holds for the windows that are open."""

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given
from splittally import Intent
from splittally.core.events import LimitSet
from splittally.core.governor.cap_changes import spent_rows
from splittally.core.governor.state import Governed
from splittally.core.governor.terms import CapOnSpend, GovernorTerms

from tests.rows.worlds import codes, few, recorded

DAY = 86_400 * 10**9
PERS = ("60s", "hour", "day", "week", "month")
AMOUNTS = st.integers(0, 6)
OVERS = st.sampled_from(["deny", "defer", "ask", "none"])
OUTCOMES = {"deny": "deny", "defer": "defer", "ask": "require_approval"}


def limits(amount, over="deny", per="day"):
    return [] if over == "none" else [{"per": per, "amount": amount, "over": over}]


def by_rule(amount, over="deny", per="day"):
    rule = {"name": "r", "decision": "allow", "rates": limits(amount, over, per)}
    return {"grants": {"g": {"cap": "sys/llm.basic@1"}}, "policy": [rule]}


def by_grant(amount, over="deny", per="day"):
    stated = [{"dim": "tokens", **limit} for limit in limits(amount, over, per)]
    return {"grants": {"g": {"cap": "sys/llm.basic@1", "limits": stated}}}


def by_governor(amount, over="deny", per="day"):
    caps = [] if over == "none" else [{"resource": "tokens", "per": per, "amount": amount}]
    return {
        "resources": {"tokens": 0},
        "grants": {"g": {"cap": "sys/llm.basic@1"}},
        **({"governor": {"caps": caps}} if caps else {}),
    }


KINDS = {"rate": by_rule, "limit": by_grant}


def used(kernel, now_ns=0):
    return kernel.submit(Intent("llm.generate", {"max_tokens": 1}, "g"), now_ns=now_ns)


def settled(kernel, now_ns=0):
    told = used(kernel, now_ns)
    if told.allowed:
        kernel.settle(
            splittally.Receipt(told.intent_hash, "ok", "", {"prompt_tokens": 1, "completion_tokens": 0})
        )
    return told


@pytest.fixture
def kernel():
    with splittally.open(clock="given") as opened:
        yield opened


@pytest.mark.req("X6-15")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("per", PERS)
def test_a_lowered_amount_refuses_and_a_raised_one_passes_in_the_window_that_is_open(kernel, kind, per):
    stated = KINDS[kind]
    assert kernel.apply(stated(5, per=per)).allowed
    assert used(kernel).allowed
    assert kernel.apply(stated(0, per=per)).allowed
    assert used(kernel).outcome == "deny"
    assert kernel.apply(stated(1_000, per=per)).allowed
    assert used(kernel).allowed
    assert kernel.apply(stated(2, per=per)).allowed
    assert used(kernel).outcome == "deny"


@pytest.mark.req("X6-15")
@pytest.mark.parametrize("kind", KINDS)
def test_what_deferred_denies_from_now_on_and_the_counts_are_kept(kernel, kind):
    stated = KINDS[kind]
    kernel.apply(stated(2, "defer"))
    assert [used(kernel).outcome for _ in range(3)] == ["allow", "allow", "defer"]
    kernel.apply(stated(3, "deny"))
    third, fourth = used(kernel), used(kernel)
    assert (third.outcome, fourth.outcome) == ("allow", "deny")
    assert fourth.findings[0].facts["available"] == 0


@pytest.mark.req("X6-15")
@few
@given(
    kind=st.sampled_from(sorted(KINDS)),
    steps=st.lists(st.tuples(AMOUNTS, OVERS, st.integers(0, 3)), min_size=1, max_size=6),
)
def test_after_any_edits_the_open_window_decides_as_if_it_had_always_been_so(kind, steps):
    """The model: one number that counts what was let through, and the limit as it stands now."""
    with splittally.open(clock="given") as kernel:
        count, is_counting = 0, False
        for amount, over, attempts in steps:
            assert kernel.apply(KINDS[kind](amount, over)).allowed
            for _ in range(attempts):
                expected = "allow" if over == "none" or count < amount else OUTCOMES[over]
                assert used(kernel).outcome == expected, (count, amount, over)
                is_counting |= over != "none"
                if expected in ("allow", "require_approval") and over != "none":
                    count += 1


@pytest.mark.req("X6-15")
@pytest.mark.parametrize("kind", KINDS)
def test_a_rollover_that_was_carried_is_kept_by_an_edit(kernel, kind):
    def stated(amount):
        document = KINDS[kind](amount)
        for limit in document["grants"]["g"].get("limits", []) + [
            rate for rule in document.get("policy", []) for rate in rule["rates"]
        ]:
            limit["rollover"] = [1, 1]
        return document

    kernel.apply(stated(2))
    assert used(kernel).allowed
    kernel.tick(now_ns=DAY)
    kernel.apply(stated(1))  # one was carried
    assert [used(kernel, DAY).outcome for _ in range(3)] == ["allow", "allow", "deny"]


@pytest.mark.req("X6-15")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("per", PERS)
def test_an_edit_reaches_no_window_of_another_name_or_period(kernel, kind, per):
    """Names may begin alike, and one name may have two windows."""

    def stated(amount):
        names = {"g": amount, "gg": 2, "ggg": 2}
        every = {name: limits(most, per=per) + limits(9, per="90s") for name, most in names.items()}
        if kind == "limit":
            grants = {
                name: {"cap": "sys/llm.basic@1", "limits": [{"dim": "tokens", **x} for x in every[name]]}
                for name in names
            }
            return {"grants": grants}
        rules = [
            {"name": name, "decision": "allow", "cap_name": name, "rates": every[name]} for name in names
        ]
        return {"grants": {name: {"cap": "sys/llm.basic@1"} for name in names}, "policy": rules}

    def ask(name):
        return kernel.submit(Intent("llm.generate", {"max_tokens": 1}, name)).outcome

    assert kernel.apply(stated(5)).allowed
    assert [ask(name) for name in ("ggg", "gg")] == ["allow"] * 2
    before = recorded(kernel, LimitSet)
    assert kernel.apply(stated(4)).allowed  # of `g` none is open
    assert recorded(kernel, LimitSet) == before
    assert ask("g") == "allow"
    assert kernel.apply(stated(1)).allowed
    assert [ask(name) for name in ("ggg", "gg", "g")] == ["allow", "allow", "deny"]
    assert [ask(name) for name in ("ggg", "gg")] == ["deny"] * 2
    limits_of_90s = {row.limit for key, row in kernel.state.windows.items() if key[2] == "rolling:90s"}
    assert limits_of_90s == {9}


@pytest.mark.req("X6-15")
def test_the_rate_of_a_rule_that_went_and_came_back_counts_from_what_was_used(kernel):
    kernel.apply(by_rule(2))
    assert [used(kernel).outcome for _ in range(3)] == ["allow", "allow", "deny"]
    kernel.apply({"grants": {"g": {"cap": "sys/llm.basic@1"}}})
    assert used(kernel).allowed
    kernel.apply(by_rule(2))
    assert used(kernel).outcome == "deny"


# --- the governor -----------------------------------------------------------------------------------


@pytest.mark.req("X6-15")
@pytest.mark.parametrize("between", [None, ("none", "day"), ("deny", "week")], ids=repr)
@pytest.mark.parametrize("ends", [used, settled], ids=["held", "settled"])
def test_a_cap_that_was_edited_counts_what_was_spent_in_its_open_window(kernel, between, ends):
    """Lowered at once, by way of no governor at all, and by way of a week's cap."""
    kernel.apply(by_governor(3))
    assert [ends(kernel).outcome for _ in range(2)] == ["allow", "allow"]
    if between:
        kernel.apply(by_governor(3, *between))
        assert ends(kernel).allowed
    kernel.apply(by_governor(2))
    assert codes(ends(kernel)) == ["over_daily_cap"]
    kernel.apply(by_governor(4))
    assert ends(kernel).allowed
    assert ends(kernel, DAY).allowed or ends is used


@pytest.mark.req("X6-15")
def test_a_days_cap_that_becomes_a_weeks_counts_the_whole_week(kernel):
    kernel.apply(by_governor(3))
    monday = 4 * DAY
    assert settled(kernel, monday).allowed
    assert settled(kernel, monday + DAY).allowed
    kernel.apply(by_governor(2, per="week"))
    assert codes(settled(kernel, monday + DAY)) == ["over_weekly_cap"]
    assert settled(kernel, monday + 7 * DAY).allowed


@pytest.mark.req("X6-15")
@few
@given(steps=st.lists(st.tuples(st.integers(0, 6), st.sampled_from(["day", "week", ""]), st.integers(0, 3),
                                st.integers(0, 2 * DAY)), min_size=1, max_size=6))  # fmt: skip
def test_after_any_edits_the_governor_counts_the_open_day_and_week(steps):
    """The model: every charge with its time. Only what nobody counted is unknown: before the first cap."""
    with splittally.open(clock="given") as kernel:
        now, spent = 4 * DAY, []
        kernel.apply(by_governor(10**6), now_ns=now)
        for amount, per, attempts, later in steps:
            now += later
            assert kernel.apply(by_governor(amount, "deny" if per else "none", per), now_ns=now).allowed
            days = {"day": 1, "week": 7, "": 1}[per]
            for _ in range(attempts):  # day 4 was a Monday
                counted = sum(
                    (at - 4 * DAY) // (days * DAY) == (now - 4 * DAY) // (days * DAY) for at in spent
                )
                full = "defer" if amount else "deny"  # none is none, however long one waits
                expected = "allow" if not per or counted < amount else full
                assert settled(kernel, now).outcome == expected
                spent += [now] if expected == "allow" else []


@pytest.mark.req("X6-15")
def test_a_week_of_which_only_the_day_was_counted_begins_at_what_is_known_of_it():
    """A world from before, in which a cap counted nothing but its own window."""
    governed, starts = Governed(), {"day": 7 * DAY, "week": 4 * DAY}
    governed.spent = {
        ("USD", "day"): (7 * DAY, 40),
        ("EUR", "day"): (6 * DAY, 9),
        ("GBP", "week"): (4 * DAY, 5),
    }
    terms = GovernorTerms(caps=[CapOnSpend(resource="USD", per="week", amount=100)])
    assert spent_rows(governed, terms, starts, starts) == [
        ["EUR", "day", 7 * DAY, 0],
        ["EUR", "week", 4 * DAY, 0],
        ["GBP", "day", 7 * DAY, 0],
        ["GBP", "week", 4 * DAY, 5],
        ["USD", "day", 7 * DAY, 40],
        ["USD", "week", 4 * DAY, 40],
    ]
