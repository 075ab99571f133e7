"""Where two mechanisms meet: one claim for each meeting that nothing else here would have noticed."""

import pytest
from splittally.core.events import LimitCrossed

from tests.rows.budgets import BOTH, LOG, MARKET, B, create, done
from tests.rows.budgets import world as treasury
from tests.rows.worlds import CAP, act, apply, codes, held, manifest, recorded, settle, world

MONEY = {"resources": {"USD": 0}, "accounts": {"accounts/team": {}, "accounts/vendor": {}}}
DRAWS = {"draws_on": {"USD": "accounts/team"}, "pays_to": ["accounts/vendor"]}


def funded(kernel, amount):
    done(kernel, "ledger.issue", resource="USD", amount=amount, to="accounts/team")


def balances(kernel):
    return [kernel.state.accounts[f"accounts/{x}"].balances.get("USD", 0) for x in ("team", "vendor")]


# --- approvals and plans ----------------------------------------------------------------------------


def test_an_approval_asks_no_plan_of_a_budget_from_which_nothing_was_drawn():
    """The budget is still planned: who takes nothing from it is not held up by that."""
    asks = {"limits": [{"dim": "a", "per": "intent", "amount": 1, "over": "ask"}]}
    accounts = {LOG: {}, MARKET: {}}
    with treasury() as kernel:
        create(kernel, {"constraints": [{"name": "runway", "resource": "USD", "minimum": 5}]})
        apply(kernel, manifest({}, resources=BOTH, accounts=accounts))
        terms = {"cap": CAP, "draws_on": {"USD": B}, "pays_to": [LOG], **asks}
        done(kernel, "grant.issue", name="g", terms=terms)
        decision = act(kernel, {"a": 2, "USD": 0})
        assert decision.outcome == "require_approval", decision
        assert kernel.approve(decision.intent_hash).allowed
        assert kernel.outcome(decision.intent_hash).status == "reserved"
        assert codes(act(kernel, {"a": 2, "USD": 1})) == ["approval_threshold", "insufficient_balance"]


# --- refunds ----------------------------------------------------------------------------------------


def test_a_refund_takes_from_several_payments_of_one_intent_no_more_than_it_says():
    """Above its reserve the grant owes, so the vendor was paid twice: 12 of the hold, and 3 more."""
    with world({"g": {**DRAWS, "above": "debt"}}, **MONEY) as kernel:
        funded(kernel, 100)
        digest = held(kernel, {"USD": 12})
        settle(kernel, digest, {"USD": 15})
        assert balances(kernel) == [85, 15]
        for amount, left in ((10, [95, 5]), (4, [99, 1])):
            done(kernel, "settlement.refund", intent_hash=digest, amounts={"USD": amount})
            assert balances(kernel) == left
        refused = kernel.native("settlement.refund", intent_hash=digest, amounts={"USD": 2})
        assert codes(refused) == ["refund_too_large"]
        assert refused.findings[0].facts["available"] == 1


# --- receipts ---------------------------------------------------------------------------------------


def test_a_missing_dispatch_is_told_once_and_of_the_nearest_grant_that_asks_for_one():
    grants = {"top": {"dispatch": True, "delegations": 3}, "g": {"dispatch": True, "parent": "top"}}
    with world(grants) as kernel:
        settlement = settle(kernel, held(kernel, {"a": 1}), {"a": 1})
        told = [x.facts["grant"] for x in settlement.violations if x.code == "receipt_without_dispatch"]
        assert told == ["g"]


def test_a_late_receipt_that_drives_a_limit_below_zero_says_so():
    with world({"g": {"budget": {"a": 10}}}) as kernel:
        released = held(kernel, {"a": 6})
        kernel.release(released)
        settle(kernel, held(kernel, {"a": 10}), {"a": 10})
        assert settle(kernel, released, {"a": 5}).status == "late"
        (crossed,) = recorded(kernel, LimitCrossed)
        assert (crossed.scope, crossed.over, crossed.balance) == ("g", "exhausted", -5)


# --- extensions -------------------------------------------------------------------------------------


def test_an_extension_is_bounded_from_when_the_hold_began_by_every_grant_of_its_chain():
    grants = {"top": {"hold_ns_max": 100, "delegations": 3}, "g": {"parent": "top"}}
    with world(grants) as kernel:
        digest = held(kernel, {"a": 1}, expires_ns=60)
        assert kernel.extend(digest, 101, now_ns=50).status == "refused"
        assert kernel.extend(digest, 100, now_ns=50).status == "extended"
        kernel.tick(now_ns=99)
        assert kernel.outcome(digest).status == "reserved"
        kernel.tick(now_ns=100)
        assert (kernel.outcome(digest).status, kernel.outcome(digest).cause) == ("released", "expiry")


@pytest.mark.parametrize("is_started", [True, False])
def test_what_was_extended_falls_due_then_also_where_it_is_started_afterwards(is_started):
    with world({"g": {}}) as kernel:
        digest = held(kernel, {"a": 1}, expires_ns=60)
        assert kernel.extend(digest, 90).status == "extended"
        if is_started:
            assert kernel.dispatch(digest, b"1" * 16).status == "dispatched"
        kernel.tick(now_ns=89)
        assert kernel.state.reservations[digest].phase == ("running" if is_started else "open")
        kernel.tick(now_ns=90)
        if is_started:
            assert kernel.state.reservations[digest].phase == "unknown"
        else:
            assert kernel.outcome(digest).cause == "expiry"
