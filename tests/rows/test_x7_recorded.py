"""Spend that happened without a hold: it is booked in full, where it counts, by whom it may be."""

import json

import hypothesis.strategies as st
import pytest
from hypothesis import given
from splittally import Intent
from splittally.core.events import Settled

from tests.rows.test_x5_money import ACCOUNTS, balance, issue, money_world
from tests.rows.worlds import act, codes, few, held, recorded, settle, tally, world

DAY = 86_400 * 10**9


def record(kernel, usage, of="g", under=None, **more):
    """The kernel's answer to a booking; `of` is the grant that is charged."""
    if not more:
        return kernel.native("usage.record", grant=of, usage=usage, under=under)
    return kernel.submit(Intent("usage.record", {"grant": of, "usage": usage}, under or "root", **more))


def violations(kernel):
    return {x.code: x.facts for x in recorded(kernel, Settled)[-1].violations}


@pytest.mark.req("X7-19")
def test_forty_under_a_limit_with_ten_left_are_charged_told_and_the_next_is_denied():
    grants = {"team": {"budget": {"tokens": 1000}}, "g": {"parent": "team", "budget": {"tokens": 100}}}
    with world(grants | {"other": {"budget": {"tokens": 100}}}) as kernel:
        settle(kernel, held(kernel, {"tokens": 90}), {"tokens": 90})
        assert act(kernel, {"tokens": 5}, "other").allowed
        assert record(kernel, {"tokens": 40}).allowed
        assert violations(kernel) == {"unreserved": {"grant": "g", "usage": {"tokens": 40}}}
        spent = {name: kernel.state.counters[name]["tokens"]["spent"] for name in ("g", "team", "other")}
        assert spent == {"g": 130, "team": 130, "other": 0}
        refused = act(kernel, {"tokens": 1})
        assert (codes(refused), refused.findings[0].facts["available"]) == (["budget_exceeded"], -30)
        assert act(kernel, {"tokens": 1}, "team").allowed


@pytest.mark.req("X7-19")
@few
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["hold", "book"]),
            st.sampled_from(["team", "g"]),
            st.integers(1, 60),
            st.integers(0, DAY // 2),
        ),
        max_size=12,
    )
)
def test_what_is_booked_counts_as_what_was_held_for_life_and_in_the_window_of_now(steps):
    """The model: a sum for life and one for each day, of every grant of the chain; only holds are refused."""
    limits = {"tokens": 150}, [{"dim": "tokens", "per": "day", "amount": 80}]
    terms = dict(zip(("budget", "limits"), limits, strict=True))
    life, days, now = {"team": 0, "g": 0}, {}, 0
    with world({"team": terms, "g": {"parent": "team", **terms}}) as kernel:
        for how, grant, amount, later in steps:
            now += later
            day = now // DAY
            chain = ["g", "team"] if grant == "g" else ["team"]
            fits = all(life[x] + amount <= 150 and days.get((x, day), 0) + amount <= 80 for x in chain)
            if how == "book":
                intent = Intent("usage.record", {"grant": grant, "usage": {"tokens": amount}}, "root")
                assert kernel.submit(intent, now_ns=now).allowed
            else:
                asked = act(kernel, {"tokens": amount}, grant, now_ns=now)
                assert asked.allowed == fits
                if fits:
                    settle(kernel, asked.intent_hash, {"tokens": amount})
            if how == "book" or fits:
                for x in chain:
                    life[x] += amount
                    days[x, day] = days.get((x, day), 0) + amount
        assert {x: kernel.state.counters[x]["tokens"]["spent"] for x in life} == life
        found = {(x, start // DAY): row["spent"] for (x, _, _, start), row in kernel.state.windows.items()}
        assert {key: spent for key, spent in found.items() if spent} == days


@pytest.mark.req("X7-19")
@pytest.mark.parametrize(("has", "paid"), [(25, 25), (100, 40), (0, 0)])
def test_the_account_that_the_grant_draws_on_pays_what_it_can(has, paid):
    draws = {"draws_on": {"USD": "accounts/team"}, "pays_to": ["accounts/vendor"], "budget": {"USD": 50}}
    with money_world({"g": draws}) as kernel:
        if has:
            issue(kernel, has)
        assert record(kernel, {"USD": 40}).allowed
        assert (balance(kernel, "team"), balance(kernel, "vendor")) == (has - paid, paid)
        assert kernel.state.counters["g"]["USD"]["spent"] == 40
        unfunded = violations(kernel).get("unfunded")
        assert unfunded == (None if paid == 40 else {
            "account": "accounts/team", "resource": "USD", "needed": 40, "paid": paid,
        })  # fmt: skip
        assert kernel.state.resources["USD"]["imbalance"] == 0


@pytest.mark.req("X7-19")
def test_an_account_that_may_owe_goes_as_far_as_it_may():
    draws = {"draws_on": {"USD": "accounts/credit"}, "pays_to": ["accounts/vendor"]}
    with money_world({"g": draws}) as kernel:
        assert record(kernel, {"USD": 30}).allowed
        assert (balance(kernel, "credit"), balance(kernel, "vendor")) == (-20, 20)
        assert violations(kernel)["unfunded"]["paid"] == 20


@pytest.mark.req("X7-19")
def test_what_was_booked_by_mistake_is_refunded_like_what_was_settled():
    draws = {"draws_on": {"USD": "accounts/team"}, "pays_to": ["accounts/vendor"]}
    terms = {**draws, "budget": {"USD": 50, "tokens": 9}}
    with money_world({"g": terms}) as kernel:
        issue(kernel, 30)
        booked = record(kernel, {"USD": 40, "tokens": 5})
        over = {"USD": 31}  # 30 were paid
        assert codes(kernel.native("settlement.refund", intent_hash=booked.intent_hash, amounts=over)) == [
            "refund_too_large"
        ]
        back = {"USD": 30, "tokens": 5}
        assert kernel.native("settlement.refund", intent_hash=booked.intent_hash, amounts=back).allowed
        assert (balance(kernel, "team"), balance(kernel, "vendor")) == (30, 0)
        rows = kernel.state.counters["g"]
        assert (rows["USD"]["refunded"], rows["tokens"]["refunded"]) == (30, 5)


@pytest.mark.req("X7-19")
def test_the_same_booking_again_is_the_same_and_a_receipt_for_it_is_a_duplicate():
    with world({"g": {"budget": {"tokens": 10}}}) as kernel:
        first, again = (record(kernel, {"tokens": 4}, idempotency_key=bytes(32)) for _ in range(2))
        assert (first.duplicate, again.duplicate, again.reserve) == (False, True, first.reserve)
        assert settle(kernel, first.intent_hash, {"tokens": 4}).status == "duplicate"
        assert kernel.state.counters["g"]["tokens"]["spent"] == 4


@pytest.mark.req("X7-19")
def test_an_invoice_for_a_revoked_grant_is_booked_and_one_for_none_is_not():
    with world({"g": {"budget": {"tokens": 10}}}) as kernel:
        assert kernel.native("grant.revoke", name="g").allowed
        assert record(kernel, {"tokens": 4}).allowed
        assert kernel.state.counters["g"]["tokens"]["spent"] == 4
        for name in ("nobody", "root"):
            assert codes(record(kernel, {"tokens": 4}, of=name)) == ["not_found"]


@pytest.mark.req("X7-19")
@pytest.mark.parametrize("usage", [{}, {"tokens": 0}, {"tokens": -1}, {"": 1}, {"tokens": 2**64}, [1]])
def test_a_usage_that_says_nothing_is_refused_before_it_is_recorded(usage):
    with world({"g": {"budget": {"tokens": 10}}}) as kernel:
        refused = record(kernel, usage)
        assert (refused.outcome, refused.seq) == ("deny", None)


@pytest.mark.req("X7-19")
def test_who_administers_a_subtree_books_below_it_and_nowhere_else():
    native = {"cap": "sys/native@1", "params": {"operations": ["usage.record"]}, "holder": "eve"}
    grants = {
        "team": {"cap": "sys/all@1", "budget": {"tokens": 100}},
        "desk": {**native, "parent": "team"},
        "g": {"parent": "team"},
        "other": {"budget": {"tokens": 100}},
    }
    with world(grants) as kernel:
        eve = kernel.as_principal("eve")
        assert record(eve, {"tokens": 4}, under="desk").allowed
        for beyond in ("team", "other"):
            assert codes(record(eve, {"tokens": 4}, of=beyond, under="desk")) == ["out_of_reach"]
        assert kernel.state.counters["team"]["tokens"]["spent"] == 4


@pytest.mark.req("X7-19")
def test_lists_of_accounts_bind_whom_a_booking_pays():
    desk = {"cap": "sys/native@1", "params": {"accounts": ["accounts/other"]}, "holder": "eve"}
    draws = {"draws_on": {"USD": "accounts/team"}, "pays_to": ["accounts/vendor"]}
    with money_world({"desk": desk, "g": draws}) as kernel:
        issue(kernel, 50)
        refused = record(kernel.as_principal("eve"), {"USD": 4}, under="desk")
        assert codes(refused) == ["account_not_covered"] * 2
        assert record(kernel, {"USD": 4}).allowed


@pytest.mark.req("X7-19")
def test_a_terminal_books_explains_and_verifies(tmp_path):
    grants = {"g": {"budget": {"USD": 50, "tokens": 9}}}
    with world(grants, tmp_path / "w", resources={"USD": 2}, accounts=ACCOUNTS):
        pass
    usage = ["--usage", "USD=0.40 USD", "--usage", "tokens=12"]
    code, booked = tally(
        tmp_path / "w", "native", "usage.record", "--grant", "g", *usage, "--note", "invoice 7"
    )
    assert (code, booked["outcome"]) == (0, "allow")
    code, told = tally(tmp_path / "w", "explain", booked["intent_hash"])
    (settled,) = [x for x in told["then"] if x["type"] == "settled"]
    assert [x["code"] for x in settled["violations"]] == ["unreserved"]
    assert [x["charged"] for x in settled["legs"] if x["grant"] == "g"] == [{"USD": 40, "tokens": 12}]
    code, rows = tally(tmp_path / "w", "ledger")
    assert code == 0 and '"spent": 12' in json.dumps(rows)
    assert tally(tmp_path / "w", "verify", "--rejudge")[0] == 0


@pytest.mark.req("X7-19")
def test_a_governor_sees_what_is_booked():
    governor = {"caps": [{"resource": "USD", "per": "day", "amount": 100}]}
    with world({"g": {"budget": {"USD": 1000}}}, resources={"USD": 0}, governor=governor) as kernel:
        assert record(kernel, {"USD": 95}).allowed
        assert not act(kernel, {"USD": 6}).allowed
        assert act(kernel, {"USD": 5}).allowed
