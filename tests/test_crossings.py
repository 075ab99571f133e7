"""Where two mechanisms meet: one claim for each meeting that nothing else here would have noticed."""

import pytest
from splittally import Intent, Receipt
from splittally.core.events import LimitCrossed, RuleFired

from tests.rows.budgets import BOTH, LOG, MARKET, A, B, create, deposit, done, pays
from tests.rows.budgets import held as held_by
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


# --- groups and rules -------------------------------------------------------------------------------


def test_what_a_later_member_deposits_is_set_off_by_nobody():
    """The first member approves a rule, whose deposits are one deeper; the second is a deposit of its own."""
    asked = {"name": "asked", "on": "deposit", "of": "USD", "do": [pays(3, A)], "approval": True}
    told = {"name": "told", "on": "deposit", "of": "EUR", "do": []}
    with treasury() as kernel:
        create(kernel, {"rules": [asked]})
        create(kernel, {"rules": [asked | {"approval": False, "do": []}, told]}, budget=A)
        deposit(kernel, 10)
        (waiting,) = kernel.state.budgets[B].waiting
        members = [
            Intent("budget.answer", {"budget": B, "item": waiting["item"], "answer": "approve"}, "root"),
            Intent("ledger.issue", {"resource": "EUR", "amount": 5, "to": A}, "root"),
        ]
        assert all(x.allowed for x in kernel.submit(members, mode="all"))
        fired = [x for x in recorded(kernel, RuleFired) if (x.budget, x.status) == (A, "due")]
        assert [(x.rule, x.depth) for x in fired] == [("told", 0), ("asked", 1)]


# --- policy and approvals ---------------------------------------------------------------------------


@pytest.mark.parametrize("decision", ["allow", "require_approval"])
def test_what_waits_counts_against_a_rate_as_what_is_allowed_does(decision):
    rule = {"name": "two a day", "decision": decision, "rates": [{"per": "day", "amount": 2, "over": "deny"}]}
    with world({"g": {}}, policy=[rule]) as kernel:
        assert [act(kernel, {"a": 1}).outcome for _ in range(3)] == [decision, decision, "deny"]
        last = act(kernel, {"a": 1})
        assert codes(last)[-1] == "rate_exceeded"
        assert last.findings[-1].facts["available"] == 0


# --- payees -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("named", ["", "accounts/vendor", "accounts/other"])
def test_a_receipt_may_name_any_listed_payee_whomever_the_task_named_first(named):
    accounts = {**MONEY["accounts"], "accounts/other": {}}
    grant = {
        "cap": "sys/spend@1",
        "draws_on": DRAWS["draws_on"],
        "pays_to": ["accounts/vendor", "accounts/other"],
    }
    with treasury() as kernel:
        apply(kernel, {"resources": BOTH, "accounts": accounts, "grants": {"g": grant}})
        funded(kernel, 10)
        params = {"result": "work", "amounts": {"USD": 4}, "payee": "accounts/other"}
        digest = kernel.submit(Intent("task.post", params, "g")).intent_hash
        settlement = kernel.settle(Receipt(digest, "ok", "adapter", {}, pays_to=named or None))
        assert settlement.violations == ()
        assert held_by(kernel, named or "accounts/other") == 4
