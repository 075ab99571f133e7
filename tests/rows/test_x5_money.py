"""Above the hold, back from the payee, up the chain: what each grant pays and gets back."""

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import example, given
from splittally import Intent
from splittally.core.events import Posted, Settled

from tests.rows.worlds import ACT, CAP, act, books, codes, few, held, recorded, reserves, settle, tally, world

ACCOUNTS = {
    "accounts/team": {},
    "accounts/vendor": {},
    "accounts/other": {},
    "accounts/credit": {"debt_limit": 20},
}
DRAWS = {"draws_on": {"USD": "accounts/team"}, "pays_to": ["accounts/vendor"]}


def money_world(grants, path=None):
    return world(grants, path, resources={"USD": 0}, accounts=ACCOUNTS)


def issue(kernel, amount, to="accounts/team"):
    assert kernel.native("ledger.issue", resource="USD", amount=amount, to=to).allowed


def balance(kernel, name):
    return kernel.state.accounts[f"accounts/{name}"].balances.get("USD", 0)


def violations(settlement):
    return {violation.code: violation.facts for violation in settlement.violations}


# --- above the hold ---------------------------------------------------------------------------------


@pytest.mark.req("X5-05")
@pytest.mark.parametrize("above", ["charge", "cap", "debt"])
@few
@given(reserve=st.just(50) | st.integers(0, 60), usage=st.just(60) | st.integers(0, 120))
def test_the_grant_says_what_a_usage_above_the_reserve_costs(above, reserve, usage):
    """Only a reserve above 0 is a bound: above it is a violation, which a capped grant is not charged."""
    limits = [{"dim": "tokens", "per": "day", "amount": 100}]
    with world({"g": {"budget": {"tokens": 100}, "limits": limits, "above": above}}) as kernel:
        settlement = settle(kernel, held(kernel, {"tokens": reserve}), {"tokens": usage})
        is_above = usage > reserve > 0
        found = violations(settlement)
        assert list(found) == (["usage_exceeds_reserve"] if is_above else [])
        if is_above:
            found = found["usage_exceeds_reserve"]
            assert (found["reserve"], found["usage"]) == (reserve, usage)
        spent = reserve if above == "cap" and is_above else usage
        assert settlement.usage == {"tokens": usage}
        for row in (kernel.state.counters["g"]["tokens"], *kernel.state.windows.values()):
            assert row == {"limit": 100, "reserved": 0, "spent": spent}
        (charge,) = [leg for leg in recorded(kernel, Settled)[-1].legs if leg.grant == "g"]
        assert (charge.usage, charge.charged) == ({"tokens": usage}, {"tokens": spent})


@pytest.mark.req("X5-05")
def test_debt_takes_an_account_to_minus_ten():
    terms = {"draws_on": {"USD": "accounts/credit"}, "pays_to": ["accounts/vendor"], "above": "debt"}
    with money_world({"g": terms}) as kernel:
        issue(kernel, 50, "accounts/credit")
        settlement = settle(kernel, held(kernel, {"USD": 50}), {"USD": 60})
        assert (balance(kernel, "credit"), balance(kernel, "vendor")) == (-10, 60)
        assert "unfunded" not in violations(settlement)


@pytest.mark.req("X5-05")
@pytest.mark.parametrize(("above", "paid"), [("charge", 50), ("cap", 50), ("debt", 60)])
def test_the_grant_that_draws_says_what_is_paid_and_stands_in_the_postings(above, paid):
    draws = {"draws_on": {"USD": "accounts/credit"}, "pays_to": ["accounts/vendor"], "above": above}
    grants = {"team": draws, "lead": {"parent": "team", "above": "cap"}, "g": {"parent": "lead"}}
    with money_world(grants) as kernel:
        issue(kernel, 50, "accounts/credit")
        settlement = settle(kernel, held(kernel, {"USD": 50}), {"USD": 60})
        assert (balance(kernel, "credit"), balance(kernel, "vendor")) == (50 - paid, paid)
        assert ("unfunded" in violations(settlement)) == (above == "charge")
        assert kernel.release(held(kernel, {"USD": 1})).status == "released"
        assert {event.grant for event in recorded(kernel, Posted)[1:]} == {"team"}


@pytest.mark.req("X5-05")
@few
@given(
    above=st.sampled_from(["charge", "cap", "debt"]),
    account=st.sampled_from(["team", "credit"]),
    funds=st.integers(0, 90),
    reserve=st.integers(0, 60),
    usage=st.integers(0, 120),
    spent=st.integers(0, 90),
    is_late=st.booleans(),
)
@example(above="debt", account="credit", funds=50, reserve=20, usage=60, spent=0, is_late=True)
def test_an_account_pays_what_the_grant_allows_and_the_rest_is_said(
    above, account, funds, reserve, usage, spent, is_late
):
    """Late it pays what it still has of what was drawn: it was given back, and some of it was spent since."""
    debt_limit = ACCOUNTS[f"accounts/{account}"].get("debt_limit", 0)
    terms = {"draws_on": {"USD": f"accounts/{account}"}, "pays_to": ["accounts/vendor"], "above": above}
    with money_world({"g": terms}) as kernel:
        if funds:
            issue(kernel, funds, f"accounts/{account}")
        decision = act(kernel, {"USD": reserve})
        assert decision.allowed == (reserve <= funds + debt_limit)
        if not decision.allowed:
            return
        if is_late:
            kernel.release(decision.intent_hash)
        left = funds + debt_limit - (0 if is_late else reserve)
        spent = min(spent, left)
        if spent:
            move = {"from": f"accounts/{account}", "to": "accounts/other"}
            assert kernel.native("ledger.transfer", resource="USD", amount=spent, **move).allowed
        settlement = settle(kernel, decision.intent_hash, {"USD": usage})
        paid = min(usage, reserve, left - spent) if is_late else min(usage, reserve)
        if above == "debt" and usage > reserve and not is_late:
            paid += min(usage - reserve, left - spent)
        assert (balance(kernel, account), balance(kernel, "vendor")) == (funds - spent - paid, paid)
        assert ("unfunded" in violations(settlement)) == (paid < usage and above != "cap")
        assert kernel.state.resources["USD"].imbalance == kernel.state.resources["USD"].in_flight == 0


# --- refunds ----------------------------------------------------------------------------------------


@pytest.mark.req("X5-08")
def test_a_refund_comes_back_to_counter_and_account_and_stands_beside_the_settlement(tmp_path):
    with money_world({"g": {"budget": {"USD": 100}, **DRAWS}}, tmp_path / "w") as kernel:
        issue(kernel, 100)
        digest = held(kernel, {"USD": 30})
        settle(kernel, digest, {"USD": 30})
        assert codes(kernel.native("settlement.refund", intent_hash=digest, amounts={"USD": 31})) == [
            "refund_too_large"
        ]
        assert kernel.native("settlement.refund", intent_hash=digest, amounts={"USD": 10}).allowed
        row = kernel.state.counters["g"]["USD"]
        assert row == {"limit": 100, "reserved": 0, "spent": 30, "refunded": 10}
        assert (balance(kernel, "team"), balance(kernel, "vendor")) == (80, 20)
        assert act(kernel, {"USD": 81}).outcome == "deny"
        assert act(kernel, {"USD": 80}).allowed  # as after a spend of 20
    code, shown = tally(tmp_path / "w", "show", digest.hex())
    kinds = [event["type"] for frame in shown["frames"] for event in frame["events"]]
    assert code == 0
    assert kinds.index("settled") < kinds.index("refunded")


@pytest.mark.req("X5-08")
@few
@given(usage=st.integers(0, 40), refunds=st.lists(st.integers(1, 30), max_size=5), late=st.booleans())
def test_refunds_never_give_back_more_than_was_charged_at_any_level(usage, refunds, late):
    grants = {"top": {"budget": {"USD": 100}, **DRAWS}, "g": {"parent": "top", "budget": {"USD": 60}}}
    with money_world(grants) as kernel:
        issue(kernel, 100)
        digest = held(kernel, {"USD": 40}, expires_ns=10)
        settle(kernel, digest, {"USD": usage}, now_ns=20 if late else 5)
        given_back = 0
        for amount in refunds:
            decision = kernel.native("settlement.refund", intent_hash=digest, amounts={"USD": amount})
            assert decision.allowed == (given_back + amount <= usage)
            given_back += amount if decision.allowed else 0
        assert balance(kernel, "team") == 100 - usage + given_back
        assert balance(kernel, "vendor") == usage - given_back
        for name in grants:
            assert kernel.state.counters[name]["USD"].get("refunded", 0) == given_back
        assert kernel.state.resources["USD"].imbalance == 0


DAY = 86_400 * 10**9


@pytest.mark.req("X5-08")
@few
@given(
    asked=st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 20), st.integers(0, 5)), min_size=1, max_size=4
    ),
    refunds=st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from(["tokens", "calls"]), st.integers(1, 20)), max_size=5
    ),
    is_late=st.booleans(),
)
@example(asked=[(0, 10, 5)], refunds=[(0, "tokens", 5)] * 3 + [(0, "calls", 5)], is_late=False)
@example(asked=[(0, 10, 5)], refunds=[(0, "calls", 5), (0, "tokens", 5), (0, "tokens", 5)], is_late=False)
def test_what_is_charged_and_refunded_counts_in_the_windows_it_was_reserved_in(asked, refunds, is_late):
    """Two dimensions, two levels, three days of one week. The model sums up each window over the intents."""
    day, week = {"per": "day", "amount": 100}, {"per": "week", "amount": 100}
    grants = {
        "top": {"limits": [{"dim": "tokens", **day}, {"dim": "calls", **day}]},
        "g": {"parent": "top", "budget": {"tokens": 100}, "limits": [{"dim": "tokens", **week}]},
    }
    monday = 4 * DAY
    with world(grants) as kernel:
        ended = []
        for at, tokens, calls in sorted(asked):
            usage = {"tokens": tokens, "calls": calls}
            ended.append((at, usage, dict.fromkeys(usage, 0), held(kernel, usage, now_ns=monday + at * DAY)))
        for _, usage, _, digest in ended:
            if is_late:
                kernel.release(digest)
            settle(kernel, digest, usage, now_ns=monday + 9 * DAY)
        for which, dim, amount in refunds:
            _, usage, back, digest = ended[which % len(ended)]
            told = kernel.native("settlement.refund", intent_hash=digest, amounts={dim: amount})
            assert told.allowed == (back[dim] + amount <= usage[dim])
            back[dim] += amount if told.allowed else 0
        windows = kernel.state.windows
        assert {key[:3] for key in windows} == {
            ("top", "tokens", "day"), ("top", "calls", "day"), ("g", "tokens", "week")
        }  # fmt: skip
        for (_, dim, per, start), row in windows.items():
            mine = [x for x in ended if per == "week" or start == monday + x[0] * DAY]
            assert row.reserved == 0
            assert row.spent == sum(usage[dim] for _, usage, _, _ in mine)
            assert row.get("refunded", 0) == sum(back[dim] for _, _, back, _ in mine)
        assert kernel.state.counters["g"]["tokens"].get("refunded", 0) == sum(x[2]["tokens"] for x in ended)


@pytest.mark.req("X5-08")
@few
@given(reserve=st.integers(1, 50), usage=st.integers(0, 80), refunds=st.lists(st.integers(1, 60), max_size=4))
@example(reserve=50, usage=60, refunds=[20, 35, 5])
def test_each_leg_gets_back_at_most_what_it_was_charged_itself(reserve, usage, refunds):
    """The grant above is capped: it was charged its reserve, where the leaf was charged the usage."""
    grants = {"top": {"budget": {"tokens": 100}, "above": "cap"}}
    grants["g"] = {"parent": "top", "budget": {"tokens": 100}}
    with world(grants) as kernel:
        digest = held(kernel, {"tokens": reserve})
        settle(kernel, digest, {"tokens": usage})
        left = {"g": usage, "top": min(usage, reserve)}
        charged = dict(left)
        for amount in refunds:
            amounts = {"tokens": amount}
            refund = kernel.native("settlement.refund", intent_hash=digest, amounts=amounts)
            assert refund.allowed == (amount <= left["g"])
            if refund.allowed:
                left = {name: rest - min(amount, rest) for name, rest in left.items()}
            for name, rest in left.items():
                row = kernel.state.counters[name]["tokens"]
                assert (row.spent, row.get("refunded", 0)) == (charged[name], charged[name] - rest)


@pytest.mark.req("X5-08")
@few
@given(refunds=st.lists(st.integers(1, 40), max_size=5))
@example(refunds=[30, 21, 20, 1])
def test_no_refund_takes_from_a_payee_more_than_is_left_of_what_this_intent_paid(refunds):
    """60 were charged and 50 paid; the payee has 100 from others, which are not given back for it."""
    with money_world({"g": DRAWS}) as kernel:
        issue(kernel, 50)
        issue(kernel, 100, "accounts/vendor")
        digest = held(kernel, {"USD": 50})
        settle(kernel, digest, {"USD": 60})
        left = 50
        for amount in refunds:
            refund = kernel.native("settlement.refund", intent_hash=digest, amounts={"USD": amount})
            assert codes(refund) == ([] if amount <= left else ["refund_too_large"])
            left -= amount if refund.allowed else 0
            assert (balance(kernel, "team"), balance(kernel, "vendor")) == (50 - left, 100 + left)


@pytest.mark.req("X5-08")
def test_what_was_not_settled_or_is_no_longer_with_the_payee_is_not_refunded():
    with money_world({"g": {"budget": {"USD": 100}, **DRAWS}}) as kernel:
        issue(kernel, 100)
        digest = held(kernel, {"USD": 30})

        def refund(intent_hash, amount=10):
            return codes(kernel.native("settlement.refund", intent_hash=intent_hash, amounts={"USD": amount}))

        assert refund(digest) == ["not_found"]
        assert refund(bytes(32)) == ["not_found"]
        settle(kernel, digest, {"USD": 30})
        move = {"from": "accounts/vendor", "to": "accounts/other"}
        assert kernel.native("ledger.transfer", resource="USD", amount=25, **move).allowed
        assert refund(digest) == ["insufficient_balance"]
        assert refund(digest, 5) == []
        cancelled = held(kernel, {"USD": 10})
        kernel.release(cancelled)
        assert refund(cancelled) == ["not_found"]


@pytest.mark.req("X5-08")
def test_a_native_effect_that_cost_something_can_be_refunded_or_is_refused_in_words():
    """Its charge has no hold; asking for a refund must not end in an error of ours."""
    caps = {
        CAP: {"cap_type": "test", "enforcer": "sys/CapAllowAll@1"},
        "test/paid@1": {"cap_type": "native", "enforcer": "sys/CapAllowAll@1"},
    }
    day = [{"dim": "calls", "per": "day", "amount": 6}]
    terms = {"params": {"reserve": {"calls": 3, "pages": 5}}, "budget": {"calls": 9}, "limits": day}
    grants = {"g": {"cap": "test/paid@1", **terms}}
    with splittally.open(None, clock="given") as kernel:
        assert kernel.apply({"caps": caps, "grants": grants}).allowed
        opening = Intent("account.open", {"account": "a"}, "g", idempotency_key=b"k" * 32)
        decision, again = kernel.submit(opening), kernel.submit(opening)
        assert (decision.allowed, decision.reserve) == (True, {"calls": 3, "pages": 5})
        assert (again.duplicate, again.reserve) == (True, decision.reserve)
        counters = kernel.state.counters["g"]["calls"], kernel.state.windows["g", "calls", "day", 0]
        assert [row.spent for row in counters] == [3, 3]
        (charge, *_) = recorded(kernel, Settled)[-1].legs
        assert charge.uncounted == ["pages"]
        assert kernel.native("account.open", grant="g", account="b").allowed
        assert codes(kernel.native("account.open", grant="g", account="c")) == ["budget_exceeded"]
        amounts = {"calls": 2, "pages": 4}
        assert kernel.native("settlement.refund", intent_hash=decision.intent_hash, amounts=amounts).allowed
        counters = kernel.state.counters["g"]["calls"], kernel.state.windows["g", "calls", "day", 0]
        assert [(row.spent, row.refunded) for row in counters] == [(6, 2), (6, 2)]
        assert kernel.outcome(decision.intent_hash).status == "settled"


# --- every ancestor, or nothing ---------------------------------------------------------------------

CHAIN = {
    "grand": {"budget": {"tokens": 1_000, "USD": 50}},
    "mid": {"parent": "grand", "budget": {"tokens": 500}},
    "g": {"parent": "mid", "budget": {"tokens": 100}},
}


@pytest.mark.req("X5-16")
def test_a_dimension_that_does_not_fit_two_levels_up_changes_no_counter_anywhere():
    with money_world(CHAIN) as kernel:
        held(kernel, {"tokens": 1, "USD": 40})
        before = books(kernel)
        decision = act(kernel, {"tokens": 10, "USD": 11})
        assert (decision.outcome, codes(decision)) == ("deny", ["budget_exceeded"])
        assert (decision.findings[0].facts["grant"], decision.findings[0].facts["dim"]) == ("grand", "USD")
        assert books(kernel) == before


@pytest.mark.req("X5-16")
@few
@given(
    asked=st.lists(
        st.fixed_dictionaries({"tokens": st.integers(0, 60), "USD": st.integers(0, 30)}), max_size=8
    )
)
def test_a_hold_is_in_every_level_and_dimension_or_in_none(asked):
    used = {"tokens": 0, "USD": 0}
    with money_world(CHAIN) as kernel:
        for reserve in asked:
            decision = act(kernel, reserve)
            wanted = {dim: used[dim] + amount for dim, amount in reserve.items()}
            assert decision.allowed == (wanted["tokens"] <= 100 and wanted["USD"] <= 50)
            used = wanted if decision.allowed else used
            for name, terms in CHAIN.items():
                for dim in terms["budget"]:
                    assert kernel.state.counters[name][dim].reserved == used[dim]
            for row in kernel.state.reservations.values():
                assert [leg.grant for leg in row.legs] == ["g", "mid", "grand", "root"]


@pytest.mark.req("X5-16")
def test_an_account_that_holds_too_little_keeps_every_counter_as_it_was():
    with money_world({**CHAIN, "grand": {**CHAIN["grand"], **DRAWS}}) as kernel:
        issue(kernel, 5)
        before = books(kernel)
        decision = kernel.submit(Intent(ACT, {"a": reserves({"tokens": 5, "USD": 6})}, "g"))
        assert codes(decision) == ["insufficient_balance"]
        assert {k: decision.findings[0].facts[k] for k in ("needed", "available", "shortage")} == {
            "needed": 6,
            "available": 5,
            "shortage": 1,
        }
        both = act(kernel, {"tokens": 101, "USD": 6})
        assert codes(both) == ["budget_exceeded", "insufficient_balance"]
        assert books(kernel) == before
        assert act(kernel, {"tokens": 5, "USD": 5}).allowed
