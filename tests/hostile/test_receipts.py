"""Receipts that are forged, repeated, reordered, late, orphaned or somebody else's.

Whatever the order in which they come, as long as no effect is reported before it was asked for, the world
ends in the same state: each intent is charged once, by the first receipt that counts.
"""

import random

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given
from splittally import InvalidInput, Receipt

from tests.hostile.test_inputs import is_readable
from tests.rows.worlds import (
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
    uses,
    world,
)

GRANTS = {
    "top": {
        "budget": {"tokens": 900, "USD": 900},
        "draws_on": {"USD": "accounts/team"},
        "pays_to": ["accounts/vendor", "vendors/"],
    },
    "g": {"parent": "top", "budget": {"tokens": 500}},
    "h": {"parent": "top", "budget": {"USD": 300}, "above": "cap"},
}
ACCOUNTS = {"accounts/team": {}, "accounts/vendor": {}, "vendors/x": {}, "accounts/thief": {}}


def money_world(chance):
    """A world whose keys, attempts and ids come from `chance`, so that two of them can be compared."""
    kernel = splittally.open(None, clock="given", entropy=chance.randbytes)
    apply(kernel, manifest(GRANTS, resources={"USD": 0}, accounts=ACCOUNTS))
    assert kernel.native("ledger.issue", resource="USD", amount=1_000, to="accounts/team").allowed
    return kernel


def played(seed, order):
    """What a world comes to when its receipts come in an order that `order` draws.

    Some intents are cancelled or have expired before their receipt, some are never heard of again. Each
    receipt comes once to three times.
    """
    kernel, chance, shuffler = money_world(random.Random(seed)), random.Random(seed), random.Random(order)
    with kernel:
        deliveries = []
        for number in range(24):
            reserve = {"tokens": chance.randrange(20), "USD": chance.randrange(20)}
            usage = {dim: chance.randrange(28) for dim in reserve}
            grant, fate = chance.choice("gh"), chance.choice(["", "", "", "cancel", "expire", "silent"])
            key = number.to_bytes(32)
            digest = held(
                kernel, reserve, grant, idempotency_key=key, expires_ns=10 if fate == "expire" else None
            )
            if fate == "cancel":
                kernel.release(digest)
            if fate != "silent":
                payee = chance.choice([None, "vendors/x", "accounts/thief"])
                status = chance.choice(["ok", "error", "timeout"])
                receipt = Receipt(digest, status, "adapter", uses(usage), pays_to=payee)
                deliveries += [receipt] * chance.randint(1, 3)
        kernel.tick(now_ns=10)
        shuffler.shuffle(deliveries)
        orphans = [Receipt(shuffler.randbytes(32), "ok", "adapter", uses({"tokens": 9})) for _ in range(5)]
        answers = kernel.settle(sorted([*deliveries, *orphans], key=lambda _: shuffler.random()))
        counted = [answer.intent_hash for answer in answers if answer.status in ("settled", "late")]
        assert sorted(counted) == sorted({receipt.intent_hash for receipt in deliveries})
        assert sum(answer.status == "duplicate" for answer in answers) == len(deliveries) - len(counted)
        assert sum(answer.status == "not_found" for answer in answers) == len(orphans)
        assert kernel.state.resources["USD"].imbalance == 0
        assert kernel.state.accounts["accounts/thief"].balances.get("USD", 0) == 0
        is_readable(kernel)
        return books(kernel)


@pytest.mark.parametrize("seed", range(6))
def test_receipts_in_any_order_lead_to_the_same_state(seed):
    first = played(seed, 0)
    for order in range(1, 5):
        assert played(seed, order) == first


@few
@given(
    usages=st.lists(st.integers(0, 80), min_size=2, max_size=4),
    fate=st.sampled_from(["", "cancel", "expire", "govern", "unknown"]),
)
def test_of_conflicting_receipts_the_first_counts_and_the_others_change_nothing(usages, fate):
    with world(budget(tokens=1_000)) as kernel:
        digest = held(kernel, {"tokens": 40}, expires_ns=10)
        if fate == "cancel":
            kernel.release(digest)
        elif fate == "govern":
            kernel.release(digest, "governance", order="order 1")
        elif fate == "unknown":
            settle(kernel, digest, {}, "unknown")
        elif fate == "expire":
            kernel.tick(now_ns=10)
        answers = [settle(kernel, digest, {"tokens": usage}) for usage in usages]
        first = "settled" if fate in ("", "unknown") else "late"
        assert [answer.status for answer in answers] == [first] + ["duplicate"] * (len(usages) - 1)
        assert {answer.seq for answer in answers[1:]} <= set(range(kernel.state.seq))
        assert kernel.state.counters["g"]["tokens"].spent == usages[0]
        flagged = "receipt_after_release" in [violation.code for violation in answers[0].violations]
        assert flagged == (fate == "cancel")


@few
@given(
    digest=st.binary(max_size=40) | st.sampled_from(["00" * 32, "zz" * 32, "", None, 5]), late=st.booleans()
)
def test_a_receipt_for_nothing_is_refused_and_leaves_no_record(digest, late):
    with world(budget(tokens=100)) as kernel:
        refused = act(kernel, {"tokens": 101}).intent_hash  # decided, and never held
        frames, before = kernel.state.seq, books(kernel)
        try:
            answer = settle(kernel, refused if late else digest, {"tokens": 9}).status
        except InvalidInput:
            answer = "not_found"
            assert type(digest) is not bytes or len(digest) != 32
        assert answer == "not_found"
        assert (kernel.state.seq, books(kernel)) == (frames, before)


def test_a_receipt_of_another_world_is_an_orphan_in_this_one():
    """A key that is used in two worlds names one intent in both, but only where it was asked is it known."""
    with world(budget(tokens=100)) as one, world(budget(tokens=100)) as other:
        digest = held(one, {"tokens": 40}, idempotency_key=b"k" * 32)
        assert settle(other, digest, {"tokens": 40}).status == "not_found"
        assert other.state.counters["g"]["tokens"].spent == 0
        keyless = held(one, {"tokens": 40})
        held(other, {"tokens": 40})
        assert settle(other, keyless, {"tokens": 40}).status == "not_found"
        assert settle(one, keyless, {"tokens": 40}).status == "settled"


def test_nobody_ends_what_another_principal_asked_for():
    effects = {
        "test.act": {"cap_type": "test", "adapters": ["courier"]},
        "test.other": {"cap_type": "test", "adapters": ["clerk"]},
    }
    with world({"g": {}, "theirs": {"holder": "bob"}}, effects=effects) as kernel:
        bob, courier, clerk = (kernel.as_principal(name) for name in ("bob", "courier", "clerk"))
        mine, theirs = held(kernel, {"tokens": 1}, expires_ns=100), held(bob, {"tokens": 1}, "theirs")
        frames, before = kernel.state.seq, books(kernel)
        assert settle(bob, mine, {"tokens": 0}).status == "not_found"
        assert settle(clerk, mine, {"tokens": 0}).status == "not_found"  # of another kind
        assert settle(bob, mine, {}, "unknown").status == "not_found"
        assert bob.release(mine).status == "not_reserved"
        assert bob.release(mine, "not_dispatched").status == "not_reserved"
        assert bob.extend(mine, 200).status == "not_reserved"
        assert settle(kernel, theirs, {"tokens": 1}).status == "not_found"
        assert (kernel.state.seq, books(kernel)) == (frames, before)
        for attempt in (lambda: bob.approve(mine), lambda: bob.reject(mine)):
            assert attempt().outcome == "deny"
        assert bob.release(mine, "governance", order="mine now").status == "refused"
        assert books(kernel) == before
        assert settle(courier, mine, {"tokens": 1}).status == "settled"
        assert settle(courier, theirs, {"tokens": 1}).status == "settled"
        assert settle(bob, theirs, {"tokens": 1}).status == "duplicate"
        assert settle(bob, mine, {"tokens": 1}).status == "not_found"  # nor is it told that it has ended


def test_a_payee_that_is_not_listed_is_never_paid():
    with money_world(random.Random(1)) as kernel:
        for payee, paid in [
            ("accounts/thief", "accounts/vendor"),
            ("vendors/x", "vendors/x"),
            ("vendors/", None),
            ("vendors/nobody", None),
        ]:
            digest = held(kernel, {"USD": 10}, "g")
            before = {name: row.balances.get("USD", 0) for name, row in kernel.state.accounts.items()}
            answer = kernel.settle(Receipt(digest, "ok", "", uses({"USD": 10}), pays_to=payee))
            after = {name: row.balances.get("USD", 0) for name, row in kernel.state.accounts.items()}
            paid = paid or "accounts/vendor"
            assert [name for name in after if after[name] > before[name] and "team" not in name] == [paid]
            assert ("payee_not_permitted" in [x.code for x in answer.violations]) == (paid != payee)


@few
@given(
    steps=st.lists(st.sampled_from(["ok", "unknown", "cancel", "extend", "govern", "late ok"]), max_size=7)
)
def test_a_hold_ends_exactly_once_whatever_is_done_to_it(steps):
    with world({"g": {"budget": {"tokens": 100}, "unknown_ns": 50}}) as kernel:
        digest = held(kernel, {"tokens": 40})
        for at, step in enumerate(steps):
            now = at * 20
            match step:
                case "ok" | "late ok":
                    settle(kernel, digest, {"tokens": 7}, now_ns=now)
                case "unknown":
                    settle(kernel, digest, {}, "unknown", now_ns=now)
                case "cancel":
                    kernel.release(digest, now_ns=now)
                case "extend":
                    kernel.extend(digest, now + 30, now_ns=now)
                case "govern":
                    kernel.release(digest, "governance", order="o", now_ns=now)
        kernel.tick(now_ns=10**6)
        ended = [
            *recorded(kernel, splittally.core.events.Released),
            *recorded(kernel, splittally.core.events.Settled),
        ]
        in_time = [event for event in ended if getattr(event, "how", "") != "late"]
        assert len(in_time) == (digest not in kernel.state.reservations)
        assert len(ended) - len(in_time) <= 1
        row = kernel.state.counters["g"]["tokens"]
        assert row.spent in (0, 7, 40)  # never, by receipt, by time-out: once
        assert row.reserved == (40 if digest in kernel.state.reservations else 0)
        assert codes(act(kernel, {"tokens": 101})) == ["budget_exceeded"]
