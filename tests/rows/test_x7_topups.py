"""Row X7-11: a top-up may end by itself, and what rolls over may have a maximum."""

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given
from splittally import Intent, Receipt
from splittally.core.events import Defined
from splittally.core.ledger.rollover import amount_after
from splittally.core.limits import NATURAL_MAX
from splittally.core.snapshot import dump_state, load_state, state_root
from splittally.core.types import Limit
from splittally.runtime.recover import fold

from tests.rows.test_x7_calendars import ask, manifest, ns, use
from tests.rows.worlds import codes, few, recorded, tally

NOON, MIDNIGHT, NEXT_NOON = map(ns, ("2026-03-01T12:00", "2026-03-02T00:00", "2026-03-02T12:00"))
DAY = 24 * 3600 * 10**9
DAILY = {"per": "day", "amount": 100}


@pytest.fixture
def kernel():
    with splittally.open(None, clock="given") as opened:
        yield opened


def raise_by(kernel, amount=50, **more):
    return kernel.native("grant.topup", name="g", dim="usd", amount=amount, **{"per": "day", **more})


@pytest.mark.req("X7-11")
@pytest.mark.parametrize("end", [{"until": MIDNIGHT}, {"until": "2026-03-02T01:00+01:00"}, {"once": True}])
def test_fifty_more_today_are_gone_tomorrow_and_no_manifest_takes_them_back_today(kernel, end):
    document = manifest(DAILY, {"per": "week", "amount": 400})
    kernel.apply(document, now_ns=NOON)
    assert [use(kernel, 100), use(kernel, 1)] == ["allow", "deny"]
    assert raise_by(kernel, **end).allowed
    again = kernel.apply(document)
    assert (again.seq, codes(again)) == (None, ["topup_stands"])
    assert {name: again.findings[0].facts[name] for name in ("amount", "until_ns")} == {
        "amount": 50, "until_ns": MIDNIGHT,
    }  # fmt: skip
    assert [use(kernel, 51), use(kernel, 50), use(kernel, 1)] == ["deny", "allow", "deny"]
    assert use(kernel, 150, NEXT_NOON) == "deny"
    assert use(kernel, 100) == "allow"
    assert codes(kernel.apply(document)) == []
    assert [x.value == b"" for x in recorded(kernel, Defined) if x.table == "topups"] == [False, True]


@pytest.mark.req("X7-11")
def test_a_top_up_ends_at_its_time_inside_a_window_and_others_stand(kernel):
    kernel.apply(manifest(DAILY, {"per": "life", "amount": 1000}), now_ns=NOON)
    raise_by(kernel, 50, until=NOON + 60)
    raise_by(kernel, 7, until=MIDNIGHT)
    raise_by(kernel, 500, per="life", until=NEXT_NOON + 1)
    assert kernel.state.windows == {}
    assert use(kernel, 150) == "allow"
    (row,) = kernel.state.windows.values()
    assert row == {"limit": 100, "reserved": 0, "spent": 150, "raised": 57}
    assert kernel.state.counters["g"]["usd"] == {"limit": 1000, "reserved": 0, "spent": 150, "raised": 500}
    assert [x.amount for x in kernel.state.grants["g"].topups] == [50, 7, 500]
    assert fold(kernel._world.store).ledger.raised == kernel._world.state.ledger.raised
    refused = ask(kernel, 1, NOON + 60)
    assert [(x.code, x.facts["available"]) for x in refused.findings] == [("budget_exceeded", -43)]
    assert use(kernel, 100, NEXT_NOON) == "allow"


@pytest.mark.req("X7-11")
def test_what_a_top_up_added_is_not_carried_and_a_limit_that_it_covers_is_not_exhausted(kernel):
    kernel.apply(manifest({**DAILY, "rollover": "100%"}, {"per": "life", "amount": 100}), now_ns=NOON)
    raise_by(kernel, 50, until=MIDNIGHT)
    raise_by(kernel, 50, per="life", until=NEXT_NOON + DAY)
    assert use(kernel, 120) == "allow"
    assert not kernel.state.grants["g"].exhausted
    assert use(kernel, 30, NEXT_NOON) == "allow"
    assert [row.limit for row in kernel.state.windows.values()] == [100, 100]


@pytest.mark.req("X7-11")
@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"until": NOON}, "already_expired"), ({"until": 1}, "already_expired"),
        ({"until": MIDNIGHT, "once": True}, "params.invalid"),
        ({"once": True, "per": "life"}, "params.invalid"),
        ({"once": True, "per": "week"}, "not_found"), ({"until": MIDNIGHT, "amount": 0}, "params.invalid"),
        ({"until": "soon"}, "params.invalid"),
    ],
)  # fmt: skip
def test_a_top_up_that_cannot_end_so_is_refused(kernel, said, code):
    kernel.apply(manifest(DAILY, {"per": "life", "amount": 1000}), now_ns=NOON)
    assert codes(raise_by(kernel, **said)) == [code]


@pytest.mark.req("X7-11")
def test_a_child_is_raised_at_most_to_its_parent_with_all_that_stands(kernel):
    document = manifest(DAILY)
    document["grants"]["child"] = {
        **document["grants"]["g"],
        "parent": "g",
        "limits": [{"dim": "usd", **DAILY, "amount": 60}],
    }
    kernel.apply(document, now_ns=NOON)
    child = {"name": "child", "dim": "usd", "per": "day", "until": MIDNIGHT}
    raised = [codes(kernel.native("grant.topup", amount=amount, **child)) for amount in (30, 11, 10)]
    assert raised == [["topup_stands"], ["wider_than_parent"], ["topup_stands"] * 2]


@pytest.mark.req("X7-11")
def test_the_command_line_raises_until_a_time_and_the_journal_is_sound(tmp_path):
    path = tmp_path / "w"
    with splittally.open(path, clock="given") as kernel:
        kernel.apply(manifest(DAILY), now_ns=NOON)
    words = ("--name", "g", "--dim", "usd", "--amount", "50", "--per", "day")
    assert tally(path, "native", "grant.topup", *words, "--until", "2026-03-02T00:00:00Z")[0] == 0
    with splittally.open(path) as kernel:
        assert [use(kernel, 150), use(kernel, 1)] == ["allow", "deny"]
        assert use(kernel, 101, NEXT_NOON) == "deny"
    assert tally(path, "verify", "--rejudge", "--strict")[0] == 0


# --- at most so much is carried ---------------------------------------------------------------------


@pytest.mark.req("X7-11")
def test_after_thirty_idle_days_one_days_worth_was_carried(kernel):
    kernel.apply(manifest({**DAILY, "rollover": "100%", "rollover_max": 100}), now_ns=NOON)
    assert use(kernel, 0) == "allow"
    assert [use(kernel, 201, NOON + 30 * DAY), use(kernel, 200), use(kernel, 1)] == ["deny", "allow", "deny"]


@pytest.mark.req("X7-11")
def test_the_most_that_is_carried_may_be_quoted_and_an_edit_of_it_holds_for_the_open_day(kernel):
    grant = {"cap": "sys/rules@1", "params": {"kinds": ["job.run"], "reserve": {"USD": "params.usd"}}}

    def stated(most):
        limit = {"dim": "USD", "per": "day", "amount": "1.00 USD", "rollover": "50%", "rollover_max": most}
        return {
            "resources": {"USD": 2},
            "effects": {"job.run": {}},
            "grants": {"g": {**grant, "limits": [limit]}},
        }

    kernel.apply(stated("0.30 USD"), now_ns=NOON)
    assert kernel.submit(Intent("job.run", {"usd": 0}, "g")).allowed
    assert kernel.submit(Intent("job.run", {"usd": 0}, "g"), now_ns=NEXT_NOON).allowed
    assert [row.limit for row in kernel.state.windows.values()] == [100, 130]
    kernel.apply(stated("0.10 USD"))
    assert [row.limit for row in kernel.state.windows.values()] == [100, 110]


@pytest.mark.req("X7-11")
@pytest.mark.parametrize(
    ("limit", "why"),
    [
        ({**DAILY, "rollover_max": 5}, "has a `rollover`"),
        ({**DAILY, "rollover": "50%", "rollover_max": -1}, "natural"),
        ({**DAILY, "rollover": "50%", "max_rollover": 1}, "rollover_max"),
    ],
)
def test_a_maximum_that_bounds_nothing_is_refused(kernel, limit, why):
    with pytest.raises(splittally.SplittallyError, match=why):
        kernel.apply(manifest(limit))


@pytest.mark.req("X7-11")
@pytest.mark.parametrize(("most", "is_wider"), [(None, True), (31, True), (30, False), (0, False)])
def test_a_child_carries_at_most_what_its_parent_does(kernel, most, is_wider):
    limit = {**DAILY, "dim": "usd", "rollover": "50%", "rollover_max": 30}
    document = manifest(limit)
    child = {name: value for name, value in {**limit, "rollover_max": most}.items() if value is not None}
    document["grants"]["child"] = {**document["grants"]["g"], "parent": "g", "limits": [child]}
    assert codes(kernel.apply(document)) == ["wider_than_parent"] * is_wider


AMOUNTS = st.integers(0, 300) | st.integers(NATURAL_MAX - 300, NATURAL_MAX)


@pytest.mark.req("X7-11")
@given(
    amount=AMOUNTS,
    left=AMOUNTS,
    most=AMOUNTS,
    share=st.integers(1, 20).flatmap(lambda whole: st.tuples(st.integers(0, whole), st.just(whole))),
    periods=st.integers(1, 60),
)
def test_one_roll_with_a_maximum_carries_what_rolling_once_for_each_period_carries(
    amount, left, most, share, periods
):
    limit = Limit(dim="x", per="day", amount=amount, rollover=list(share), carried_max=most)
    opened, before = None, left
    for _ in range(periods):
        opened = min(NATURAL_MAX, amount + min(most, before * share[0] // share[1]))
        before = opened
    assert amount_after(limit, left, periods) == opened


@pytest.mark.req("X7-11")
@few
@given(
    days=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 250)), min_size=1, max_size=8),
    most=st.integers(0, 150),
)
def test_a_world_carries_at_most_what_a_plain_loop_over_its_days_says(days, most):
    with splittally.open(None, clock="given") as kernel:
        kernel.apply(manifest({**DAILY, "rollover": "100%", "rollover_max": most}))
        now, opened, used, was_used = 0, 100, 0, False
        for idle, usd in days:
            now += idle
            for _ in range(idle if was_used else 0):
                opened, used = 100 + min(most, max(0, opened - used)), 0
            asked = ask(kernel, usd, now * DAY)
            assert asked.allowed == (used + usd <= opened)
            if asked.allowed:
                used, was_used = used + usd, True
                kernel.settle(Receipt(asked.intent_hash, "ok", "h", {}))


@pytest.mark.req("X7-11")
def test_a_world_that_is_loaded_still_has_its_top_ups_and_its_slices(kernel):
    kernel.apply(manifest(DAILY, {"per": "60s", "amount": 500}), now_ns=NOON)
    raise_by(kernel, until=MIDNIGHT)
    assert [use(kernel, 40), use(kernel, 50, NOON + 1)] == ["allow", "allow"]
    state = kernel._world.state
    loaded = load_state(dump_state(state))
    assert state_root(loaded) == kernel.state.root
    for name in ("raised", "slices", "topups"):
        assert getattr(loaded.ledger, name) == getattr(state.ledger, name) != {}
    assert loaded.ledger.next_due() == state.ledger.next_due()
