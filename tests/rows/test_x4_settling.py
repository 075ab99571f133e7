"""Settling is total, whole and exact: broken receipts, faults half way, and amounts at the edge of 2^64."""

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given, settings
from splittally import KernelStopped, Receipt
from splittally.core.events import LimitCrossed
from splittally.core.ledger import evolve as ledger

from tests.rows.worlds import (
    NATURAL_MAX,
    act,
    apply,
    books,
    budget,
    codes,
    few,
    held,
    manifest,
    recorded,
    settle,
    tally,
    world,
)

BROKEN = [b"", b"\xff", b"\x9f\x01", b"\xa1\x61a", b"\x81" * 10_000, b"\xfb" + b"\x7f\xf8" + bytes(6)]


@pytest.mark.req("X4-01", "X4-12")
@settings(max_examples=12)
@given(payload=st.sampled_from(BROKEN) | st.binary(max_size=64))
def test_an_undecodable_payload_ends_its_reservation_and_the_world_opens_again(tmp_path_factory, payload):
    path = tmp_path_factory.mktemp("world") / "w"
    with world(budget(tokens=100), path) as kernel:
        digest = held(kernel, {"tokens": 40})
        settlement = kernel.settle(Receipt(digest, "ok", "adapter", payload))
        assert settlement.status == "settled"
        root = kernel.state.root
    with splittally.open(path) as kernel:
        assert kernel.state.root == root
        assert not kernel.state.reservations
        assert kernel.outcome(digest).status == "settled"
        assert held(kernel, {"tokens": 1})


@pytest.mark.req("X4-01")
def test_the_violation_of_a_broken_receipt_can_be_seen_after_a_restart(tmp_path):
    with world(budget(tokens=100), tmp_path / "w") as kernel:
        digest = held(kernel, {"tokens": 40})
        assert codes_of_violations(settle(kernel, digest, b"\xff")) == ["receipt_invalid", "enforcer_fault"]
    code, frames = tally(tmp_path / "w", "show", digest.hex())
    assert code == 0
    assert "enforcer_fault" in str(frames)
    assert tally(tmp_path / "w", "verify", "--rejudge")[0] == 0


def codes_of_violations(settlement):
    return [violation.code for violation in settlement.violations]


class Torn(Exception):
    """Stands for whatever may break half way: no memory, an interrupt."""


@pytest.mark.req("X4-02")
@pytest.mark.parametrize("calls", range(6))
def test_a_fault_after_any_dimension_leaves_one_consistent_state(tmp_path, monkeypatch, calls):
    """The kernel stops: nothing half applied is ever shown, decided on or written."""
    grants = {"team": {"budget": {"a": 100, "b": 100}}, "g": {"parent": "team", "budget": {"a": 50, "b": 50}}}
    charge, left = ledger._charge, [calls]

    def torn(*arguments):
        if not left[0]:
            raise Torn
        left[0] -= 1
        charge(*arguments)

    with world(grants, tmp_path / "w") as kernel:
        digest = held(kernel, {"a": 10, "b": 20})
        before = books(kernel)
        monkeypatch.setattr(ledger, "_charge", torn)
        is_whole = calls > 3  # two grants, two dimensions
        if is_whole:
            settle(kernel, digest, {"a": 1, "b": 2})
        else:
            with pytest.raises(Torn):
                settle(kernel, digest, {"a": 1, "b": 2})
            monkeypatch.undo()
            for look in (
                lambda: kernel.state.counters,
                lambda: held(kernel, {}),
                lambda: kernel.outcome(digest),
            ):
                with pytest.raises(KernelStopped):
                    look()
    monkeypatch.undo()
    with splittally.open(tmp_path / "w") as kernel:
        if not is_whole:
            assert books(kernel) == before
            assert settle(kernel, digest, {"a": 1, "b": 2}).status == "settled"
        for grant in grants:
            assert kernel.state.counters[grant] == {
                "a": {"limit": grants[grant]["budget"]["a"], "reserved": 0, "spent": 1},
                "b": {"limit": grants[grant]["budget"]["b"], "reserved": 0, "spent": 2},
            }


# --- the edge of 2^64 -------------------------------------------------------------------------------


@pytest.mark.req("X4-14")
def test_an_estimate_that_would_overflow_is_denied_and_wraps_nothing():
    with world(budget(tokens=NATURAL_MAX)) as kernel:
        held(kernel, {"tokens": NATURAL_MAX - 1})
        before = books(kernel)
        decision = act(kernel, {"tokens": 2})
        assert (decision.outcome, codes(decision)) == ("deny", ["amount_overflow"])
        assert books(kernel) == before
        assert held(kernel, {"tokens": 1})
        assert kernel.state.counters["g"]["tokens"].reserved == NATURAL_MAX


NEAR = st.integers(0, 3) | st.integers(NATURAL_MAX - 3, NATURAL_MAX) | st.integers(2**63 - 2, 2**63 + 2)


@pytest.mark.req("X4-14", "X4-26")
@few
@given(
    limit=NEAR, over=st.sampled_from(["deny", "tell", "shadow", "ask"]), steps=st.lists(st.tuples(NEAR, NEAR))
)
def test_no_amount_wraps_crashes_or_leaves_the_naturals(limit, over, steps):
    """Every answer is given, every counter stays a natural below 2^64, and the journal folds to the state."""
    grants = {"g": {"limits": [{"dim": "tokens", "amount": limit, "over": over}], "budget": {"more": 5}}}
    with world(grants) as kernel:
        for reserve, usage in steps:
            decision = act(kernel, {"tokens": reserve, "more": 0})
            if decision.outcome in ("allow", "require_approval"):
                assert settle(kernel, decision.intent_hash, {"tokens": usage}).status == "settled"
            row = kernel.state.counters["g"]["tokens"]
            assert 0 <= row.spent <= NATURAL_MAX
            assert 0 <= row.reserved + row.spent <= 2 * NATURAL_MAX
        assert kernel.at(kernel.state.seq - 1).root == kernel.state.root


@pytest.mark.req("X4-14")
@pytest.mark.parametrize("amount", [NATURAL_MAX, 2**63, 2**63 + 1])
def test_no_issue_or_transfer_drives_a_balance_out_of_bounds(amount):
    accounts = {"a": {}, "b": {}, "external/mint": {}}
    with splittally.open(None, clock="given") as kernel:
        apply(kernel, {"resources": {"USD": 0}, "accounts": accounts})
        for issuer in ("external/issuer", "external/mint"):
            for to in ("a", "b"):
                kernel.native("ledger.issue", resource="USD", amount=amount, to=to, **{"from": issuer})
                kernel.native("ledger.transfer", resource="USD", amount=amount, **{"from": to, "to": "a"})
        assert all(-(2**63) <= row.balances.get("USD", 0) < 2**64 for row in kernel.state.accounts.values())
        assert kernel.state.resources["USD"].imbalance == 0
        assert kernel.at(kernel.state.seq - 1).root == kernel.state.root


@pytest.mark.req("X4-14")
def test_a_transfer_of_more_than_there_is_moves_nothing():
    with splittally.open(None, clock="given") as kernel:
        apply(kernel, {"resources": {"USD": 0}, "accounts": {"a": {}, "b": {}}})
        assert kernel.native("ledger.issue", resource="USD", amount=10, to="a").allowed
        before = books(kernel)
        for amount in (11, NATURAL_MAX):
            decision = kernel.native(
                "ledger.transfer", resource="USD", amount=amount, **{"from": "a", "to": "b"}
            )
            assert codes(decision) == ["insufficient_balance"]
        assert books(kernel) == before


# --- below zero -------------------------------------------------------------------------------------


@pytest.mark.req("X4-26")
def test_a_settle_below_zero_is_recorded_and_marks_the_grant_exhausted_until_it_is_topped_up():
    with world(budget(tokens=10)) as kernel:
        digest = held(kernel, {"tokens": 0})
        settle(kernel, digest, {"tokens": 14})
        assert kernel.state.counters["g"]["tokens"] == {"limit": 10, "reserved": 0, "spent": 14}
        assert kernel.state.grants["g"].exhausted
        refused = act(kernel, {"tokens": 0})
        assert (codes(refused), refused.findings[0].facts["available"]) == (["budget_exceeded"], -4)
        assert kernel.native("grant.topup", name="g", dim="tokens", amount=4).allowed
        assert not kernel.state.grants["g"].exhausted
        assert act(kernel, {"tokens": 0}).allowed
        (crossed,) = recorded(kernel, LimitCrossed)
        assert (crossed.scope, crossed.over, crossed.amount, crossed.balance) == ("g", "exhausted", 10, -4)


@pytest.mark.req("X4-26")
def test_a_refund_lifts_exhaustion_as_a_top_up_does_and_it_is_told_of_again():
    with world(budget(tokens=10)) as kernel:
        first, second = held(kernel, {"tokens": 0}), held(kernel, {"tokens": 0})
        settle(kernel, first, {"tokens": 14})
        amounts = {"tokens": 4}
        assert kernel.native("settlement.refund", intent_hash=first, amounts=amounts).allowed
        assert not kernel.state.grants["g"].exhausted
        assert act(kernel, {"tokens": 0}).allowed
        settle(kernel, second, {"tokens": 1})
        assert kernel.state.grants["g"].exhausted
        assert [x.balance for x in recorded(kernel, LimitCrossed)] == [-4, -1]


@pytest.mark.req("X4-26")
@few
@given(
    life=st.integers(0, 50),
    day=st.integers(0, 50),
    steps=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 40), st.booleans()), min_size=1, max_size=6),
)
def test_exhausted_is_told_of_each_counter_that_a_charge_takes_below_zero(life, day, steps):
    """In time or late, which frees nothing more. The model: what is left of each of the two limits."""
    limits = [{"dim": "tokens", "per": "day", "amount": day}]
    with world({"g": {"budget": {"tokens": life}, "limits": limits}, "free": {}}) as kernel:
        left, told, ending = {"life": life, "day": day}, [], []
        for reserve, usage, is_late in steps:
            decision = act(kernel, {"tokens": reserve})
            if decision.allowed:
                ending.append((decision.intent_hash, reserve, usage, is_late))
                left = {per: amount - reserve for per, amount in left.items()}
        for digest, reserve, usage, is_late in ending:
            if is_late:
                kernel.release(digest)
                left = {per: amount + reserve for per, amount in left.items()}
            assert settle(kernel, digest, {"tokens": usage}).status == ("late" if is_late else "settled")
            freed = 0 if is_late else reserve
            after = {per: amount + freed - usage for per, amount in left.items()}
            told += [(per, after[per]) for per in ("life", "day") if after[per] < 0 <= left[per]]
            left = after
        assert [(x.per, x.balance) for x in recorded(kernel, LimitCrossed)] == told
        spent = sum(usage for _, _, usage, _ in ending)
        assert kernel.state.grants["g"].exhausted == (spent > life)
        assert act(kernel, {}).allowed == (spent <= life and spent <= day)
        apply(kernel, manifest({"g": {"budget": {"tokens": max(life, spent)}}, "free": {}}))
        assert not kernel.state.grants["g"].exhausted
