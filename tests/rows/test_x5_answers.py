"""What is approved, revoked, attested or given back after the world has changed since it was asked."""

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given
from splittally import Intent, Receipt
from splittally.core.events import HoldChanged, LimitCrossed, Posted, Released, Settled

from tests.rows.budgets import A, B, done
from tests.rows.worlds import (
    act,
    apply,
    canned,
    codes,
    few,
    held,
    manifest,
    recorded,
    reserves,
    settle,
    uses,
    world,
)

VENDOR = "accounts/vendor"
ASK = [{"name": "ask", "decision": "require_approval"}]


def move(kernel, amount, resource, debit, to):
    if amount:
        done(kernel, "ledger.transfer", resource=resource, amount=amount, to=to, **{"from": debit})


# --- approvals ------------------------------------------------------------------------------------------


@pytest.mark.req("S4-82")
@few
@given(
    asked=st.fixed_dictionaries({"USD": st.integers(0, 3), "EUR": st.integers(0, 3)}),
    taken=st.fixed_dictionaries({"USD": st.integers(0, 6), "EUR": st.integers(0, 6)}),
)
def test_an_approval_asks_again_every_plan_that_was_drawn_on(asked, taken):
    """10 of each less what is asked and what root takes away; at least 4 must be left, or it is planning."""
    units = {"USD": A, "EUR": B}
    with splittally.open(None, clock="given") as kernel:
        resources = dict.fromkeys(units, 0)
        apply(kernel, {"resources": resources, "accounts": {VENDOR: {}}})
        for unit, budget in units.items():
            floor = {"name": "floor", "resource": unit, "minimum": 4, "tier": "partial"}
            done(
                kernel,
                "budget.create",
                budget=budget,
                schema={"resources": {unit: 0}, "constraints": [floor]},
            )
            done(kernel, "ledger.issue", resource=unit, amount=10, to=budget)
        card = {"cap": "sys/spend@1", "draws_on": units, "pays_to": [VENDOR]}
        document = {"resources": resources, "accounts": {VENDOR: {}}, "grants": {"card": card}}
        apply(kernel, document | {"policy": ASK})
        told = kernel.submit(Intent("task.post", {"result": "x", "amounts": asked}, "card"))
        assert told.outcome == "require_approval", told
        for unit, budget in units.items():
            move(kernel, min(taken[unit], 10 - asked[unit]), unit, budget, VENDOR)
        fallen = [
            budget
            for unit, budget in units.items()
            if asked[unit] and 10 - asked[unit] - min(taken[unit], 10 - asked[unit]) < 4
        ]
        assert kernel.approve(told.intent_hash).allowed
        if not fallen:
            assert [x.phase for x in recorded(kernel, HoldChanged)] == ["open"]
            return
        (released,) = recorded(kernel, Released)
        stale, *found = released.findings
        assert (stale.code, [(x.code, x.facts["budget"]) for x in found]) == (
            "approval_stale",
            [("planning_stage", budget) for budget in sorted(fallen)],
        )
        for unit, budget in units.items():
            assert kernel.state.accounts[budget].in_flight == {}, unit


@pytest.mark.req("S4-82")
def test_what_was_approved_is_not_rejected_any_more_and_approving_it_again_changes_nothing():
    with world({"g": {"budget": {"tokens": 9}}}, policy=ASK) as kernel:
        digest = act(kernel, {"tokens": 5}).intent_hash
        assert kernel.approve(digest).allowed
        assert codes(kernel.reject(digest)) == ["not_reserved"]
        assert kernel.approve(digest).allowed
        assert (kernel.state.reservations[digest].phase, len(recorded(kernel, HoldChanged))) == ("open", 1)


# --- attestations ---------------------------------------------------------------------------------------

CHAIN = {"top": {"budget": {"tokens": 9}}, "g": {"parent": "top", "unknown_ns": 100}}


def lost(kernel, reserve):
    digest = held(kernel, reserve)
    kernel.settle(Receipt(digest, "unknown"))
    return digest


@pytest.mark.req("X4-26")
@pytest.mark.parametrize(("usage", "spent"), [(None, 5), ({}, 0), ({"tokens": 3}, 3), ({"tokens": 12}, 12)])
def test_an_attestation_charges_every_level_and_says_which_limit_it_crosses(usage, spent):
    with world(CHAIN) as kernel:
        digest = lost(kernel, {"tokens": 5})
        more = {} if usage is None else {"usage": usage}
        done(kernel, "outcome.attest", intent_hash=digest, happened=True, **more)
        assert kernel.state.counters["top"]["tokens"] == {"limit": 9, "reserved": 0, "spent": spent}
        (settled,) = recorded(kernel, Settled)
        assert [leg.charged.get("tokens", 0) for leg in settled.legs[:2]] == [spent] * 2
        crossed = [(x.scope, x.dim, x.over) for x in recorded(kernel, LimitCrossed)]
        assert crossed == ([("top", "tokens", "exhausted")] if spent > 9 else [])


@pytest.mark.req("X4-26")
@pytest.mark.parametrize(("usage", "paid"), [(None, 5), ({}, 0), ({"USD": 3}, 3)])
@pytest.mark.parametrize("doubt", ["payer", "payee"])
def test_an_attestation_pays_by_the_answer_for_the_level_that_drew(usage, paid, doubt):
    """Who attests leaves no doubt, so it does not matter who would bear it."""
    grants = {
        "top": {"draws_on": {"USD": "accounts/team"}, "pays_to": [VENDOR], "doubt": doubt},
        "g": {"parent": "top", "unknown_ns": 100, "doubt": doubt},
    }
    accounts = {"accounts/team": {}, VENDOR: {}}
    with world(grants, resources={"USD": 0}, accounts=accounts) as kernel:
        done(kernel, "ledger.issue", resource="USD", amount=9, to="accounts/team")
        digest = lost(kernel, {"USD": 5})
        more = {} if usage is None else {"usage": usage}
        done(kernel, "outcome.attest", intent_hash=digest, happened=True, **more)
        rows = kernel.state.accounts
        assert (rows[VENDOR].balances.get("USD", 0), rows["accounts/team"].balances["USD"]) == (
            paid,
            9 - paid,
        )


# --- refunds --------------------------------------------------------------------------------------------


@pytest.mark.req("X5-08")
@pytest.mark.parametrize("amount", [1, 2, 5])
def test_each_level_gets_back_at_most_what_it_was_charged(amount):
    """The grant above has an enforcer of its own, which charges 2 where the leaf is charged 5."""
    above = canned(reserves({"tokens": 2}), uses({"tokens": 2}))
    document = manifest({"top": {"budget": {"tokens": 9}}, "g": {"parent": "top", "budget": {"tokens": 9}}})
    document["caps"]["test/above@1"] = {"cap_type": "test", "enforcer": above}
    document["grants"]["top"]["cap"] = "test/above@1"
    with splittally.open(None, clock="given") as kernel:
        apply(kernel, document)
        digest = held(kernel, {"tokens": 5})
        settle(kernel, digest, {"tokens": 5})
        done(kernel, "settlement.refund", intent_hash=digest, amounts={"tokens": amount})
        counters = kernel.state.counters
        assert {name: counters[name]["tokens"]["spent"] for name in ("top", "g")} == {"top": 2, "g": 5}
        assert counters["top"]["tokens"]["refunded"] == min(2, amount)
        assert counters["g"]["tokens"]["refunded"] == amount


@pytest.mark.req("X5-08")
def test_a_refund_is_posted_under_the_grant_that_drew_and_needs_the_lists_of_the_payee():
    grants = {
        "top": {"draws_on": {"USD": "accounts/team"}, "pays_to": [VENDOR]},
        "g": {"parent": "top", "budget": {"USD": 9}},
        "clerk": {"cap": "sys/native@1", "holder": "eve", "params": {"accounts": ["accounts/team"]}},
        "desk": {"cap": "sys/native@1", "holder": "eve", "params": {"accounts": ["accounts/team", VENDOR]}},
    }
    accounts = {"accounts/team": {}, VENDOR: {}}
    with world(grants, resources={"USD": 0}, accounts=accounts) as kernel:
        done(kernel, "ledger.issue", resource="USD", amount=9, to="accounts/team")
        digest = held(kernel, {"USD": 5})
        settle(kernel, digest, {"USD": 5})
        eve = kernel.as_principal("eve")
        asked = {"intent_hash": digest, "amounts": {"USD": 2}}
        refused = eve.native("settlement.refund", grant="clerk", **asked)
        assert (codes(refused), refused.findings[0].facts["account"]) == (["account_not_covered"], VENDOR)
        assert eve.native("settlement.refund", grant="desk", **asked).allowed
        last = recorded(kernel, Posted)[-1]
        assert (last.debit, last.credit, last.amount, last.grant) == (VENDOR, "accounts/team", 2, "top")
