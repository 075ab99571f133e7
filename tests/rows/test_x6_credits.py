"""Row X6-12: every credit fires the rules of the budget that receives it, whichever way it came."""

import pytest
import splittally
from splittally import Intent, Receipt
from splittally.core.events import RuleFired

from tests.rows.worlds import bodies

SEEN = {"name": "seen", "on": "deposit", "do": [{"kind": "transfer", "to": "accounts/log", "amount": "1"}]}
PASS_ON = {"name": "on", "on": "deposit", "do": [{"kind": "transfer", "to": "budgets/b", "amount": "40"}]}
SWAP = {"gives": "EUR", "gets": "USD", "rate": [1, 1], "counter": "accounts/a"}
SWAPS = {
    "name": "s",
    "on": "deposit",
    "of": "EUR",
    "do": [{"kind": "convert", "conversion": "swap", "amount": "40"}],
}
BOTH = {"USD": 0, "EUR": 0}
MANIFEST = {
    "resources": BOTH,
    "accounts": {"accounts/a": {}, "accounts/log": {}, "accounts/vendor": {}},
    "grants": {
        "pay": {
            "cap": "sys/spend@1",
            "draws_on": {"USD": "accounts/a"},
            "pays_to": ["budgets/b"],
            "unknown_ns": 10,
            "doubt": "payer",
        }
    },
}


def world(plan=None):
    """Budget `b` under two rules: each deposit raises its part `x` and moves 1 USD to `accounts/log`."""
    kernel = splittally.open(None, clock="given")
    first = {name: {} for name in MANIFEST["accounts"]}
    assert kernel.apply({"resources": BOTH, "accounts": first}).allowed
    for resource in BOTH:
        kernel.native("ledger.issue", resource=resource, amount=1_000, to="accounts/a")
    plan = plan or {"resources": BOTH, "rules": [SEEN | {"of": "USD"}]}
    create(kernel, budget="budgets/b", schema=plan, pays_to=["accounts/vendor"])
    split = kernel.native("budget.split", budget="budgets/b", resource="USD", shares={"x": 100})
    assert split.allowed
    assert kernel.apply(MANIFEST).allowed
    return kernel


def create(kernel, **params):
    made = kernel.native("budget.create", **params)
    assert made.allowed, made.findings


def noticed(kernel):
    """What the part may spend, and how often the rule has run."""
    part = kernel.state.counters["budgets/b/x"]["USD"].limit
    return part, kernel.state.accounts["accounts/log"].balances.get("USD", 0)


def held(kernel, grant="pay", amount=40, **more):
    params = {"result": "x", "amounts": {"USD": amount}}
    decision = kernel.submit(Intent("task.post", params, grant, **more))
    assert decision.allowed, decision.findings
    return decision.intent_hash


def own_hold(kernel, **more):
    """A hold that draws 40 of the 100 USD that the budget got before."""
    move(kernel, "ledger.transfer", 100, **{"from": "accounts/a", "to": "budgets/b"})
    return held(kernel, "budgets/b", **more)


def move(kernel, kind, amount=40, resource="USD", **params):
    moved = kernel.native(kind, resource=resource, amount=amount, **params)
    assert moved.allowed, moved.findings


def by_receipt(kernel):
    kernel.settle(Receipt(held(kernel), "ok"))


def by_late_receipt(kernel):
    digest = held(kernel, expires_ns=5)
    kernel.tick(now_ns=6)
    assert kernel.settle(Receipt(digest, "ok")).status == "late"


def by_attestation(kernel):
    digest = held(kernel)
    kernel.settle(Receipt(digest, "unknown"))
    assert kernel.native("outcome.attest", intent_hash=digest, happened=True).allowed


def by_time_out(kernel):
    kernel.settle(Receipt(held(kernel), "unknown"))
    kernel.tick(now_ns=100)


def by_issue(kernel):
    move(kernel, "ledger.issue", to="budgets/b")


def by_transfer(kernel):
    move(kernel, "ledger.transfer", **{"from": "accounts/a", "to": "budgets/b"})


def by_conversion(kernel):
    terms = {"gets": "USD", "rate": [1, 1], "counter": "accounts/a", "from": "accounts/a", "to": "budgets/b"}
    move(kernel, "ledger.convert", resource="EUR", **terms)


def by_rule(kernel):
    create(kernel, budget="budgets/up", schema={"resources": BOTH, "rules": [PASS_ON]})
    move(kernel, "ledger.issue", to="budgets/up")


def by_rule_of_a_child(kernel):
    """The name of a child budget begins with its parent's; it is another budget all the same."""
    create(kernel, budget="budgets/b/child", schema={"resources": BOTH, "rules": [PASS_ON]})
    move(kernel, "ledger.issue", to="budgets/b/child")


def by_funding(kernel):
    """A group: the first member lets 40 in, the second moves them, and both are one record."""
    members = [
        Intent("ledger.issue", {"resource": "USD", "amount": 40, "to": "accounts/a"}, "root"),
        Intent(
            "ledger.transfer",
            {"resource": "USD", "amount": 40, "from": "accounts/a", "to": "budgets/b"},
            "root",
        ),
    ]
    assert all(decision.allowed for decision in kernel.submit(members, mode="all"))


@pytest.mark.req("X6-12")
@pytest.mark.parametrize(
    "credit",
    [by_receipt, by_late_receipt, by_attestation, by_time_out, by_issue, by_transfer, by_conversion, by_rule,
     by_rule_of_a_child, by_funding],
    ids=lambda credit: credit.__name__,
)  # fmt: skip
def test_each_way_to_be_paid_raises_the_part_and_fires_the_rule(credit):
    with world() as kernel:
        credit(kernel)
        assert noticed(kernel) == (40, 1)


@pytest.mark.req("X6-12")
@pytest.mark.parametrize(
    "way", ["released", "not_dispatched", "expired", "governance", "refunded", "attested not"]
)
def test_what_comes_back_whole_is_a_deposit_too(way):
    """Parts are rights: they may rise above the pool, which still bounds what is spent."""
    with world() as kernel:
        digest = own_hold(kernel, expires_ns=50 if way == "expired" else None)
        assert noticed(kernel) == (100, 1)
        match way:
            case "released":
                kernel.release(digest)
            case "governance":
                kernel.release(digest, "governance", order="o-1")
            case "expired":
                kernel.tick(now_ns=60)
            case "refunded":
                kernel.settle(Receipt(digest, "ok"))
                assert noticed(kernel) == (100, 1)  # the vendor was paid
                refund = kernel.native("settlement.refund", intent_hash=digest, amounts={"USD": 40})
                assert refund.allowed
            case "attested not":
                kernel.settle(Receipt(digest, "unknown"))
                assert kernel.native("outcome.attest", intent_hash=digest, happened=False).allowed
            case "not_dispatched":
                kernel.release(digest, "not_dispatched")
        assert noticed(kernel) == (140, 2)


@pytest.mark.req("X6-12")
def test_what_a_settled_hold_did_not_use_is_no_deposit_in_any_resource():
    plan = {"resources": BOTH, "rules": [SEEN | {"of": "USD"}, SEEN | {"name": "euros", "of": "EUR"}]}
    with world(plan) as kernel:
        move(kernel, "ledger.issue", 100, "EUR", to="budgets/b")
        move(kernel, "ledger.issue", 100, to="budgets/b")
        params = {"result": "x", "amounts": dict.fromkeys(BOTH, 40)}
        decision = kernel.submit(Intent("task.post", params, "budgets/b"))
        kernel.settle(Receipt(decision.intent_hash, "error"))  # `failure_returns`: all of it comes back
        assert kernel.state.accounts["budgets/b"].balances == dict.fromkeys(BOTH, 99)
        assert kernel.state.accounts["accounts/log"].balances == dict.fromkeys(BOTH, 1)
        assert noticed(kernel) == (100, 1)


@pytest.mark.req("X6-12")
def test_what_moves_between_a_budgets_own_accounts_is_no_deposit():
    """Neither what a conversion keeps, nor what comes back from there."""
    euros = SEEN | {"name": "euros", "of": "EUR"}
    plan = {
        "resources": BOTH,
        "conversions": {"swap": SWAP | {"keeps": True}},
        "rules": [SEEN | {"of": "USD"}, SWAPS, euros],
    }
    with world(plan) as kernel:
        move(kernel, "ledger.issue", 41, "EUR", to="budgets/b")
        assert noticed(kernel) == (40, 1)  # the conversion's USD are one; the EUR that it kept are none
        log = kernel.state.accounts["accounts/log"].balances
        assert log == {"USD": 1, "EUR": 1}
        move(kernel, "ledger.transfer", 40, "EUR", **{"from": "budgets/b/reserved", "to": "budgets/b"})
        assert kernel.state.accounts["budgets/b"].balances["EUR"] == 40
        assert (noticed(kernel), kernel.state.accounts["accounts/log"].balances) == ((40, 1), log)


@pytest.mark.req("X6-12")
def test_a_funded_budget_shares_its_funding_once_and_fires_its_rules():
    plan = {"resources": BOTH, "allocations": {"USD": {"x": 100}}, "rules": [SEEN | {"of": "USD"}]}
    kernel = splittally.open(None, clock="given")
    kernel.apply({"resources": BOTH, "accounts": {"accounts/a": {}, "accounts/log": {}}})
    kernel.native("ledger.issue", resource="USD", amount=100, to="accounts/a")
    funding = {"resource": "USD", "amount": 70, "from": "accounts/a"}
    later = {"resource": "USD", "amount": 30, "from": "accounts/a", "to": "budgets/b"}
    members = [
        Intent("budget.create", {"budget": "budgets/b", "schema": plan, **funding}, "root"),
        Intent("ledger.transfer", later, "root"),
    ]
    with kernel:
        assert all(decision.allowed for decision in kernel.submit(members, mode="all"))
        assert noticed(kernel) == (100, 2)  # 70 by its making, 30 by the transfer in the same record


@pytest.mark.req("X6-12")
def test_what_a_rule_moves_is_a_deposit_one_deeper():
    """The depth is what ends a circle of rules."""
    with world() as kernel:
        for name, to in (("down", "accounts/log"), ("mid", "budgets/down"), ("up", "budgets/mid")):
            do = [{"kind": "transfer", "to": to, "amount": "5"}]
            rule = {"name": "on", "on": "deposit", "do": do}
            create(kernel, budget=f"budgets/{name}", schema={"resources": BOTH, "rules": [rule]})
        move(kernel, "ledger.issue", to="budgets/up")
        fired = [x for body in bodies(kernel) for x in body.out if type(x) is RuleFired and x.status == "due"]
        assert [(x.budget, x.depth) for x in fired if x.rule == "on"] == [
            ("budgets/up", 0),
            ("budgets/mid", 1),
            ("budgets/down", 2),
        ]
