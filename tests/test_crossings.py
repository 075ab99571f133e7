"""Where two mechanisms meet: one claim for each meeting that nothing else here would have noticed."""

import pytest
from splittally import Intent, Receipt
from splittally.core.events import LimitCrossed, RuleFired
from splittally.core.limits import ACTIONS_PER_RULE_MAX, PLAN_ITEMS_MAX

from tests.rows.budgets import BOTH, DAY, LOG, MARKET, A, B, create, deposit, done, pays
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


# --- plans and what is shown or read of them --------------------------------------------------------


def test_lines_of_one_resource_fill_by_name_and_the_last_takes_the_rest_what_is_kept_included():
    lines = {name: {"resource": "USD", "amount": most} for name, most in (("a", 30), ("b", 50))}
    keep = {"gives": "USD", "gets": "EUR", "rate": [1, 1], "counter": MARKET, "keeps": True}
    swap = {"kind": "convert", "conversion": "swap", "amount": "cause.amount / 2"}
    rule = {"name": "half", "on": "deposit", "of": "USD", "do": [swap]}
    with treasury() as kernel:
        create(kernel, {"lines": lines, "conversions": {"swap": keep}, "rules": [rule]})
        deposit(kernel, 100, MARKET, "EUR")
        for more, filled in ((20, [20, 0]), (40, [30, 30]), (40, [30, 70])):
            deposit(kernel, more)
            row = kernel.state.budgets[B]
            assert [row.lines[name]["filled"] for name in "ab"] == filled
        assert (held_by(kernel, B), held_by(kernel, f"{B}/reserved")) == (50, 50)


def test_a_rule_that_is_approved_reads_the_time_and_the_metric_of_its_approval():
    amount = f"now_ns / {DAY} + metric.m"
    asked = {"name": "asked", "on": "metric", "of": "m", "do": [pays(amount)], "approval": True}
    metrics = {"m": {"description": "what is measured", "nature": "output"}}
    with treasury() as kernel:
        create(kernel, {"metrics": metrics, "rules": [asked]})
        deposit(kernel, 100)
        done(kernel, "metric.record", budget=B, metric="m", value=7)
        (waiting,) = kernel.state.budgets[B].waiting
        done(kernel, "budget.answer", budget=B, item=waiting["item"], answer="approve", now_ns=3 * DAY + 5)
        assert held_by(kernel, LOG) == 3 + 7


# --- what reserves nothing, and what stands at its bound --------------------------------------------


def test_what_reserves_nothing_is_held_against_every_limit_and_charged_in_its_windows():
    limits = [{"dim": "a", "per": "day", "amount": 5, "over": "deny"}]
    with world({"g": {"limits": limits}}) as kernel:
        settle(kernel, held(kernel, {}), {"a": 6})
        ((_, row),) = kernel.state.windows.items()
        assert (row.spent, row.reserved) == (6, 0)
        assert codes(act(kernel, {})) == ["budget_exceeded"]


def test_a_plan_takes_as_many_actions_and_parts_as_are_allowed_and_no_more():
    for more in (0, 1):
        rule = {"name": "r", "on": "deposit", "do": [pays(1)] * (ACTIONS_PER_RULE_MAX + more)}
        shares = {f"p{at}": 1 for at in range(PLAN_ITEMS_MAX + more)}
        with treasury() as kernel:
            asked = {"budget": A, "schema": {"resources": BOTH, "rules": [rule]}}
            assert kernel.native("budget.create", **asked).allowed == (not more)
            create(kernel, {})
            split = {"budget": B, "resource": "USD", "shares": shares, "whole": len(shares)}
            assert kernel.native("budget.split", **split).allowed == (not more)
