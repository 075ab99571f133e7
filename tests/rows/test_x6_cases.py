"""The worlds in which authority once leaked, each with its right answer (rows X6-01 ... X6-07, X6-28)."""

import pytest
import splittally
from splittally import Intent, Receipt

from tests.rows.worlds import applied, codes

NATIVE = {"cap": "sys/native@1", "holder": "eve"}
CHAT = {"cap": "sys/llm.basic@1", "holder": "ann", "budget": {"tokens": 100}}


def balances(kernel, resource="USD"):
    return {
        name: row.balances[resource]
        for name, row in kernel.state.accounts.items()
        if resource in row.balances
    }


@pytest.mark.req("X6-01", "X6-04")
def test_the_bank_is_not_paid_out_through_a_dummy_native_child():
    alice = {"cap": "sys/spend@1", "holder": "alice", "delegations": 1, "pays_to": ["accounts/shop"]}
    alice |= {"draws_on": {"USD": "accounts/alice"}}
    accounts = {f"accounts/{name}": {} for name in ("alice", "bank", "shop")}
    with applied({"resources": {"USD": 0}, "accounts": accounts, "grants": {"alice": alice}}) as kernel:
        kernel.native("ledger.issue", resource="USD", amount=1000, to="accounts/bank")
        by = kernel.as_principal("alice")
        card = {"cap": "sys/spend@1", "holder": "alice", "draws_on": {"USD": "accounts/bank"}}
        issued = by.native(
            "grant.issue", grant="alice", name="d", terms={"cap": "sys/native@1", "holder": "alice"}
        )
        assert codes(issued) == ["wider_than_parent"]
        for name in ("steal", "steal2"):
            assert codes(by.native("grant.issue", grant="alice", name=name, terms=card)) == [
                "account_not_yours"
            ]
        task = Intent("task.post", {"result": "x", "amounts": {"USD": 1000}}, "steal")
        assert codes(by.submit(task)) == ["unknown_grant"]
        assert balances(kernel) == {"accounts/bank": 1000, "external/issuer": -1000}


@pytest.mark.req("X6-02")
def test_who_may_record_metrics_and_delegate_revokes_nobody_elses_grant():
    """`delegations` covers `grant.revoke` past the list of operations; what it reaches is below."""
    metrics = NATIVE | {"delegations": 1, "params": {"operations": ["metric.record"]}}
    treasury = {"cap": "sys/native@1", "holder": "tim", "params": {"operations": ["ledger.transfer"]}}
    grants = {"metrics": metrics, "payroll": CHAT, "treasury": treasury}
    with applied({"grants": grants}) as kernel:
        eve = kernel.as_principal("eve")
        for name in ("payroll", "treasury", "metrics", "root"):
            assert codes(eve.native("grant.revoke", grant="metrics", name=name)) == ["not_found"]
        assert kernel.as_principal("ann").submit(Intent("llm.generate", {"max_tokens": 1}, "payroll")).allowed
        below = {"cap": "sys/native@1", "holder": "bob", "params": {"operations": ["metric.record"]}}
        assert eve.native("grant.issue", grant="metrics", name="mine", terms=below).allowed
        assert eve.native("grant.revoke", grant="metrics", name="mine").allowed


@pytest.mark.req("X6-01")
def test_a_child_without_lists_lets_no_plan_convert_from_an_account_its_parent_does_not_list():
    takes = {"gives": "A", "gets": "B", "rate": [1000, 1], "counter": "accounts/rich"}
    action = {"kind": "convert", "conversion": "c", "amount": "1"}
    plan = {"resources": {"A": 0, "B": 0}, "conversions": {"c": takes}}
    plan |= {"rules": [{"name": "r", "on": "deposit", "of": "A", "do": [action]}]}
    lists = {"operations": ["budget.create"], "accounts": ["accounts/petty", "budgets/eve/*"]}
    manifest = {"resources": {"A": 0, "B": 0}, "accounts": {"accounts/rich": {}, "accounts/petty": {}}}
    manifest |= {"grants": {"n": NATIVE | {"delegations": 1, "params": lists}}}
    with applied(manifest) as kernel:
        for resource, to in (("B", "accounts/rich"), ("A", "accounts/petty")):
            kernel.native("ledger.issue", resource=resource, amount=50, to=to)
        eve = kernel.as_principal("eve")
        asked = {
            "budget": "budgets/eve/x",
            "schema": plan,
            "resource": "A",
            "amount": 2,
            "from": "accounts/petty",
        }
        assert eve.native("grant.issue", grant="n", name="n2", terms=NATIVE).allowed
        for grant in ("n", "n2"):
            assert codes(eve.native("budget.create", grant=grant, **asked)) == ["account_not_covered"]
        assert balances(kernel, "B")["accounts/rich"] == 50


@pytest.mark.req("X6-06")
def test_team_a_neither_approves_nor_releases_nor_refunds_what_team_b_asked():
    admin = {"operations": ["approval.answer", "reservation.release", "settlement.refund", "outcome.attest"]}
    pay = {"cap": "sys/spend@1", "holder": "bob", "budget": {"USD": 100}, "pays_to": ["accounts/v"]}
    manifest = {
        "resources": {"USD": 0},
        "accounts": {"accounts/a": {}, "accounts/v": {}},
        "policy": [
            {"name": "ask", "decision": "require_approval", "effect_kind": "llm.generate"},
            {"name": "rest", "decision": "allow"},
        ],
        "grants": {
            "teamA": {"cap": "sys/all@1", "holder": "lead"},
            "adminA": NATIVE | {"parent": "teamA", "params": admin},
            "teamB": CHAT | {"holder": "bob"},
            "payB": pay | {"draws_on": {"USD": "accounts/a"}},
        },
    }
    with applied(manifest) as kernel:
        kernel.native("ledger.issue", resource="USD", amount=100, to="accounts/a")
        bob, eve = kernel.as_principal("bob"), kernel.as_principal("eve")
        chat = bob.submit(Intent("llm.generate", {"max_tokens": 5}, "teamB")).intent_hash
        assert codes(eve.approve(chat)) == codes(eve.reject(chat)) == ["out_of_reach"]
        assert eve.release(chat, "governance", "mine").status == "refused"
        task = bob.submit(Intent("task.post", {"result": "x", "amounts": {"USD": 60}}, "payB")).intent_hash
        bob.settle(Receipt(task, "ok"))
        refund = eve.native("settlement.refund", grant="adminA", intent_hash=task, amounts={"USD": 60})
        assert codes(refund) == ["out_of_reach"]
        assert balances(kernel) == {"accounts/a": 40, "accounts/v": 60, "external/issuer": -100}
        assert kernel.approve(chat).allowed


@pytest.mark.req("X6-07")
def test_a_budget_with_a_debt_of_a_thousand_millions_is_not_made_of_nothing():
    accounts = {"accounts/eve": {}, "accounts/bank": {}}
    lists = {"operations": ["budget.create"], "accounts": ["budgets/eve/*", "accounts/eve"]}
    grants = {"n": NATIVE | {"params": lists}}
    with applied({"resources": {"USD": 0}, "accounts": accounts, "grants": grants}) as kernel:
        refused = kernel.as_principal("eve").native(
            "budget.create", budget="budgets/eve/x", schema={"resources": {"USD": 0}}, holder="eve",
            debt_limit=10**15, pays_to=["accounts/eve"],
        )  # fmt: skip
        (finding,) = refused.findings
        assert (finding.code, finding.facts["available"]) == ("insufficient_balance", 0)
        assert "budgets/eve/x" not in kernel.state.budgets


@pytest.mark.req("X6-28")
@pytest.mark.parametrize("cap", ["sys/all@1", "sys/allow@1"])
def test_a_limit_that_let_a_million_tokens_through_is_said(cap):
    team = {"cap": cap, "budget": {"tokens": 100}}
    team |= {"limits": [{"dim": "tokens", "amount": 10, "per": "intent"}], "delegations": 1}
    chat = {"cap": "sys/llm.basic@1", "parent": "team"}
    with splittally.open(None, clock="given") as kernel:
        decision = kernel.apply({"grants": {"team": team, "chat": chat}})
        assert [(x.code, x.facts["grant"]) for x in decision.findings] == [("limit_uncounted", "team")]
