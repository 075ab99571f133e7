"""Snapshots carry all that decisions rest on; an effect that cannot be sent is released with its reason."""

import random

import pytest
import splittally
from splittally import Intent, Receipt
from splittally.core.events import Released

from tests.rows.walk import Walk
from tests.rows.worlds import (
    ACT,
    act,
    apply,
    books,
    budget,
    codes,
    held,
    manifest,
    recorded,
    reserves,
    save_snapshot,
    settle,
    tally,
    world,
)


class Seeded:
    """The same keys, attempts and ids in every run."""

    def __init__(self, seed):
        self.chance = random.Random(seed)

    def __call__(self, size):
        return self.chance.randbytes(size)


def walked(path, seed, stops, is_closed):
    """A walk of 120 steps in a world at `path`, a snapshot at each stop, closed and opened there or not."""
    chance = Seeded(seed)
    kernel = splittally.open(path, clock="given", entropy=chance)
    walk = Walk(kernel, seed)
    for step in range(120):
        if step in stops:
            save_snapshot(kernel)
        if step in stops and is_closed:
            kernel.close()
            kernel = walk.kernel = splittally.open(path, entropy=chance)
            assert kernel.repairs == ()
            assert kernel._world.snapshot_size == kernel.state.seq
        walk.step()
    with kernel:
        assert kernel.at(kernel.state.seq - 1).root == kernel.state.root
        return kernel.state.seq, kernel.state.root, kernel._world.store.head.hash


@pytest.mark.req("X4-29")
@pytest.mark.parametrize("seed", range(3))
def test_a_world_restored_from_snapshots_goes_on_to_the_same_last_hash(folder, seed):
    stops = (1, 40, 41, 97)
    assert walked(folder / "whole", seed, stops, False) == walked(folder / "stopped", seed, stops, True)


@pytest.mark.req("X4-29")
def test_a_snapshot_carries_ledger_reservations_in_order_and_logical_time(folder):
    grants = {
        "g": {"budget": {"tokens": 10_000}, "limits": [{"dim": "tokens", "per": "day", "amount": 5_000}]}
    }
    with world(grants, folder / "w") as kernel:
        holds = [held(kernel, {"tokens": n}, expires_ns=10**12 + n, now_ns=7 * n) for n in range(1, 20)]
        settle(kernel, holds.pop(), {"tokens": 5})
        save_snapshot(kernel)
        told = kernel.state.tables()
        kept = kernel._world.snapshots.latest()
        assert (kept.seq, kept.root) == (kernel.state.seq - 2, kernel.state.root)  # and the anchor
        now = kernel.state.now_ns
    rows = [bytes(key) for key, _ in told["holds"]]
    assert rows == sorted(holds)
    with splittally.open(folder / "w") as kernel:
        assert kernel._world.snapshot_size == kernel.state.seq
        assert kernel.state.now_ns == now
        assert kernel.state.tables() == told
        assert kernel.tick(now_ns=10**12 + 18) == 1  # what falls due is known again
        assert not kernel.state.reservations


# --- an effect that cannot be sent ------------------------------------------------------------------

PARAMS = {"type": "object", "properties": {"token": {"x-secret": True}, "a": {"x-bytes": True}}}
REFERENCE = {"$secret": {"alias": "mail/api", "version": 3}}


@pytest.mark.req("X4-30")
@pytest.mark.parametrize("reference", [REFERENCE, {"secret": REFERENCE["$secret"]}])
def test_a_secret_that_cannot_be_resolved_releases_the_reservation_with_its_reason(tmp_path, reference):
    """The host looks secrets up after the allow; what it does not find it reports as not dispatched."""
    bindings, sent = {("mail/api", 2): "sk-live"}, []
    path = tmp_path / "w"
    document = manifest(budget(tokens=100), effects={ACT: {"cap_type": "test", "params_schema": PARAMS}})
    with splittally.open(path, clock="given") as kernel:
        apply(kernel, document)
        decision = kernel.submit(Intent(ACT, {"a": reserves({"tokens": 40}), "token": reference}, "g"))
        assert decision.allowed
        secret = bindings.get(("mail/api", 3))
        if secret is None:
            order = "no binding for secret `mail/api` version 3"
            assert kernel.release(decision.intent_hash, "not_dispatched", order).status == "released"
        else:
            sent.append(secret)
        assert sent == []
        assert kernel.state.counters["g"]["tokens"] == {"limit": 100, "reserved": 0, "spent": 0}
        (released,) = recorded(kernel, Released)
        assert (released.cause, released.order) == ("not_dispatched", order)
    with splittally.open(path) as kernel:
        assert kernel.outcome(decision.intent_hash).cause == "not_dispatched"
    assert order in str(tally(path, "show", decision.intent_hash.hex())[1])


@pytest.mark.req("X4-30")
def test_a_reason_is_bounded_text_and_a_cause_is_one_of_the_hosts():
    with world(budget(tokens=100)) as kernel:
        digest = held(kernel, {"tokens": 1})
        before = books(kernel)
        for cause, order in [
            ("not_dispatched", "x" * 513),
            ("not_dispatched", "\ud800"),
            ("not_dispatched", 5),
            ("expiry", None),
            ("rejected", None),
            ("", None),
            (None, None),
        ]:
            with pytest.raises(splittally.InvalidInput):
                kernel.release(digest, cause, order)
        assert books(kernel) == before
        assert kernel.release(digest, "not_dispatched", "x" * 512).status == "released"
        assert kernel.settle(Receipt(digest, "ok", "", b"")).status == "late"
        assert codes(act(kernel, {"tokens": 99})) == []
