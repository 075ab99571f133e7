"""Ledger invariants: reservations are records, counters are their sums, and an ending counts once."""

from collections import Counter

import hypothesis.strategies as st
import pytest
import splittally
from blake3 import blake3
from hypothesis import given
from splittally import Intent, InvalidManifest, Receipt
from splittally.core.events import Held, HoldChanged, LimitSet, Refunded, Released, Settled
from splittally.sandbox import builtin

from tests.rows.walk import Walk
from tests.rows.worlds import (
    ACT,
    CAP,
    PARROT,
    act,
    another,
    apply,
    bodies,
    books,
    budget,
    canonical,
    few,
    held,
    manifest,
    module_hash,
    save_snapshot,
    settle,
    uses,
    world,
)

AMOUNTS = st.integers(0, 200)


def counters(kernel) -> dict:
    """The life counters by grant and dimension."""
    return {(grant, dim): row for grant, dims in kernel.state.counters.items() for dim, row in dims.items()}


def sums_hold(kernel) -> None:
    """What each counter says is reserved is what the open reservations hold of it."""
    reserved = Counter()
    for row in kernel.state.reservations.values():
        assert row.status == "reserved"
        for leg in row.legs:
            reserved.update({(leg.grant, dim): amount for dim, amount in leg.reserve.items()})
    for key, row in counters(kernel).items():
        assert row.reserved == reserved[key], key


# --- reservations are records -----------------------------------------------------------------------


@pytest.mark.req("S4-34")
def test_a_reservation_is_found_by_the_hash_of_its_intent_as_a_whole_record():
    with world(budget(tokens=100)) as kernel:
        digest = held(kernel, {"tokens": 40, "bytes": 7}, now_ns=5, expires_ns=99)
        row = kernel.state.reservations[digest]
        assert row.intent_hash == digest
        told = (row.kind, row.grant, row.principal, row.at_ns, row.due_ns, row.status, row.phase)
        assert told == (ACT, "g", "operator", 5, 99, "reserved", "open")
        assert row.reserve == {"tokens": 40, "bytes": 7}
        assert kernel.outcome(digest).reserve == kernel.outcome(digest.hex()).reserve == row.reserve
        settle(kernel, digest, {"tokens": 9})
        assert digest not in kernel.state.reservations
        ended = kernel.outcome(digest)
        assert (ended.status, ended.reserve, ended.charged) == ("settled", row.reserve, {"tokens": 9})
        assert kernel.outcome(bytes(32)) is None


@pytest.mark.req("S4-34")
@pytest.mark.parametrize("seed", range(3))
def test_counters_can_be_rebuilt_from_the_records_alone(seed):
    with splittally.open(None, clock="given") as kernel:
        Walk(kernel, seed).walk(400)
        limits, reserved, spent, refunded = {}, Counter(), Counter(), Counter()
        legs: dict[bytes, list] = {}
        for event in (event for body in bodies(kernel) for event in body.out):
            match event:
                case LimitSet(per="life"):
                    limits[event.scope, event.dim] = event.amount if event.amount >= 0 else None
                case Held():
                    legs[event.intent_hash] = event.legs
                case Settled():
                    legs.pop(event.intent_hash, None)
                    for leg in event.legs:
                        spent.update({(leg.grant, dim): amount for dim, amount in leg.charged.items()})
                case Released():
                    del legs[event.intent_hash]
                case Refunded():
                    for leg in event.legs:
                        refunded.update({(leg.grant, dim): amount for dim, amount in leg.amounts.items()})
        for leg in (leg for each in legs.values() for leg in each):
            reserved.update({(leg.grant, dim): amount for dim, amount in leg.reserve.items()})
        rows = {
            (grant, dim): row for grant, dims in kernel.state.counters.items() for dim, row in dims.items()
        }
        assert set(rows) == set(limits)
        assert rows == {
            key: {"limit": limits[key], "reserved": reserved[key], "spent": spent[key]}
            | ({"refunded": refunded[key]} if refunded[key] else {})
            for key in rows
        }
        assert any(spent[key] and reserved[key] for key in rows)


CHAIN = {
    "team": {"cap": "sys/allow@1", "params": {"reserve": {"calls": 1}}, "budget": {"calls": 5, "tokens": 90}},
    "agent": {"parent": "team", "budget": {"tokens": 50}},
}


@pytest.mark.req("S4-35")
def test_a_reservation_holds_a_leg_for_each_grant_of_the_chain_leaf_first():
    with world(CHAIN) as kernel:
        digest = held(kernel, {"tokens": 40}, "agent")
        row = kernel.state.reservations[digest]
        assert (row.intent_hash, row.status) == (digest, "reserved")
        assert [(leg.grant, leg.enforcer_ref, leg.reserve) for leg in row.legs] == [
            ("agent", module_hash(PARROT), {"tokens": 40}),
            ("team", module_hash(builtin("sys/CapAllowAll@1")), {"calls": 1}),
            ("root", b"", {}),
        ]
        (recorded,) = [event for body in bodies(kernel) for event in body.out if isinstance(event, Held)]
        assert [leg.reserve for leg in recorded.legs] == [leg.reserve for leg in row.legs]
        assert kernel.state.counters["team"]["calls"].reserved == 1
        assert kernel.state.counters["team"]["tokens"].reserved == 0


# --- who is asked is named by hash ------------------------------------------------------------------


def with_enforcer(enforcer) -> dict:
    caps = {CAP: {"cap_type": "test", "enforcer": enforcer}}
    return {**manifest(budget(tokens=100)), "caps": caps}


@pytest.mark.req("S4-36")
@pytest.mark.parametrize("spell", [bytes, bytes.hex], ids=["bytes", "hex"])
def test_an_enforcer_is_named_by_its_hash(spell):
    with splittally.open(None, clock="given") as kernel:
        installed = kernel.native("module.install", name="acme/Parrot@1", wasm=PARROT)
        assert installed.allowed
        apply(kernel, with_enforcer(spell(module_hash(PARROT))))
        digest = held(kernel, {"tokens": 5})
        assert kernel.state.reservations[digest].legs[0].enforcer_ref == module_hash(PARROT)


@pytest.mark.req("S4-36")
def test_a_module_is_named_by_a_manifest_and_the_name_that_it_had_there():
    """The reference keeps its meaning when the name is given to another module."""
    caps = {CAP: {"cap_type": "test", "enforcer": "acme/Parrot@1"}}
    first = {**manifest(budget(tokens=100)), "modules": {"acme/Parrot@1": PARROT}, "caps": caps}
    with splittally.open(None, clock="given") as kernel:
        apply(kernel, first)
        ((digest, named),) = kernel.state.manifests.items()
        assert named == {"acme/Parrot@1": module_hash(PARROT)}
        params = bodies(kernel)[-1].command.members[0].params
        assert digest == blake3(params, derive_key_context="splittally 1 manifest").hexdigest()
        apply(kernel, {**first, "modules": {"acme/Parrot@1": another()}})
        assert kernel.state.caps[CAP].enforcer == module_hash(another())
        reference = {"manifest_hash": digest, "module_name": "acme/Parrot@1"}
        apply(kernel, with_enforcer(reference))
        intent = held(kernel, {"tokens": 5})
        assert kernel.state.reservations[intent].legs[0].enforcer_ref == module_hash(PARROT)
        for part, wrong in (("manifest_hash", bytes(32).hex()), ("module_name", "acme/Other@1")):
            with pytest.raises(InvalidManifest, match="enforcer"):
                kernel.apply(with_enforcer({**reference, part: wrong}))
            lacking = {name: value for name, value in reference.items() if name != part}
            with pytest.raises(InvalidManifest, match="enforcer"):
                kernel.apply(with_enforcer(lacking))


@pytest.mark.req("S4-36")
@pytest.mark.parametrize("name", ["Parrot", "acme/Parrot", "Parrot@1", "acme/Parrot@1", "", "llm.basic"])
def test_a_bare_module_name_is_no_enforcer(name):
    """A full name stands for the hash under which the world knows it; here it knows none."""
    with splittally.open(None, clock="given") as kernel:
        before = kernel.state.root
        with pytest.raises(InvalidManifest, match="enforcer"):
            kernel.apply(with_enforcer(name))
        assert kernel.state.root == before


@pytest.mark.req("S4-36")
def test_a_hash_that_names_no_module_is_refused():
    with splittally.open(None, clock="given") as kernel:
        decision = kernel.apply(with_enforcer(bytes(31) + b"\1"))
        assert (decision.outcome, decision.findings[0].code) == ("deny", "not_found")


# --- statuses ---------------------------------------------------------------------------------------


@pytest.mark.req("S4-37")
def test_a_reservation_is_reserved_then_settled_or_released():
    with world(budget(tokens=100)) as kernel:
        one, other, denied = (
            held(kernel, {"tokens": 1}),
            held(kernel, {"tokens": 2}),
            act(kernel, {"tokens": 99}),
        )
        assert [kernel.outcome(digest).status for digest in (one, other)] == ["reserved", "reserved"]
        assert kernel.outcome(denied.intent_hash).status == ""
        settle(kernel, one, {})
        kernel.release(other)
        assert [kernel.outcome(digest).status for digest in (one, other)] == ["settled", "released"]


@pytest.mark.req("S4-37")
def test_a_reserved_hold_is_open_or_waits_for_approval_or_is_unknown():
    rules = [
        {"name": "ask", "decision": "require_approval", "origin_kind": "reducer"},
        {"name": "may", "decision": "allow"},
    ]
    with world(budget(tokens=100), policy=rules) as kernel:
        digest = held(kernel, {"tokens": 1})
        waits = act(kernel, {"tokens": 1}, origin=("reducer", "com.acme/p@1")).intent_hash
        phases = {kernel.state.reservations[x].phase for x in (digest, waits)}
        assert phases == {"open", "approval"}
        assert kernel.settle(Receipt(digest, "unknown")).status == "held"
        assert kernel.state.reservations[digest].phase == kernel.outcome(digest).phase == "unknown"
        assert kernel.outcome(digest).status == "reserved"


@pytest.mark.req("S4-37", "S4-44")
@pytest.mark.parametrize("seed", [37])
def test_ten_thousand_random_steps_know_three_statuses_and_end_no_reservation_twice(seed):
    with splittally.open(None, clock="given") as kernel:
        walk = Walk(kernel, seed)
        for step in range(10_000):
            walk.step()
            if step % 100 == 0:
                sums_hold(kernel)
                phases = {row.phase for row in kernel.state.reservations.values()}
                assert phases <= {"open", "approval", "unknown"}
        status: dict[bytes, str] = {}
        for event in (event for body in bodies(kernel) for event in body.out):
            match event:
                case Held():
                    assert event.intent_hash not in status
                    status[event.intent_hash] = "reserved"
                case HoldChanged():
                    assert status[event.intent_hash] == "reserved"
                case Settled(how="late"):
                    assert status[event.intent_hash] == "released"
                case Settled():
                    assert status[event.intent_hash] == "reserved"
                    status[event.intent_hash] = "settled"
                case Released():
                    assert status[event.intent_hash] == "reserved"
                    status[event.intent_hash] = "released"
        assert {digest for digest in status if status[digest] == "reserved"} == set(kernel.state.reservations)
        for digest in walk.hashes[::7]:
            assert kernel.outcome(digest).status == status.get(digest, "")
        assert set(status.values()) == {"reserved", "settled", "released"}


# --- sums -------------------------------------------------------------------------------------------


@pytest.mark.req("S4-38")
@pytest.mark.parametrize("seed", [1, 2])
def test_reserved_is_the_sum_of_open_reservations_after_every_step(folder, seed):
    """Upgrades are steps of the walk; snapshots and restarts come in between."""
    kernel = splittally.open(folder, clock="given")
    walk = Walk(kernel, seed)
    for step in range(1, 301):
        walk.step()
        sums_hold(walk.kernel)
        if step % 100 == 0:
            save_snapshot(walk.kernel)
            before = walk.kernel.state.root
            walk.kernel.close()
            walk.kernel = splittally.open(folder)
            assert walk.kernel.state.root == before
            sums_hold(walk.kernel)
    assert "upgrade" in walk.taken
    assert walk.kernel.state.reservations
    walk.kernel.close()


@pytest.mark.req("S4-39")
@pytest.mark.parametrize("seed", range(3))
def test_spent_never_falls_and_grows_by_what_settlements_charge(seed):
    with splittally.open(None, clock="given") as kernel:
        walk = Walk(kernel, seed)
        last: dict = {}
        for _ in range(500):
            walk.step()
            rows = counters(kernel)
            for key, row in {**rows, **kernel.state.windows}.items():
                assert row.spent >= last.get(key, 0), key
                last[key] = row.spent
        charged, given_back = Counter(), Counter()
        for event in (event for body in bodies(kernel) for event in body.out):
            for leg in getattr(event, "legs", ()):
                if isinstance(event, Settled):
                    charged.update({(leg.grant, dim): amount for dim, amount in leg.charged.items()})
                if isinstance(event, Refunded):
                    given_back.update({(leg.grant, dim): amount for dim, amount in leg.amounts.items()})
        assert {key: row.spent for key, row in rows.items()} == {key: charged[key] for key in rows}
        assert {key: row.get("refunded", 0) for key, row in rows.items()} == {
            key: given_back[key] for key in rows
        }
        assert sum(given_back.values()) > 0


@pytest.mark.req("S4-39")
def test_a_refund_is_a_number_of_its_own():
    with world(budget(tokens=100)) as kernel:
        digest = held(kernel, {"tokens": 60})
        settle(kernel, digest, {"tokens": 60})
        assert kernel.native("settlement.refund", intent_hash=digest, amounts={"tokens": 25}).allowed
        assert kernel.state.counters["g"]["tokens"] == {
            "limit": 100, "reserved": 0, "spent": 60, "refunded": 25,
        }  # fmt: skip
        assert act(kernel, {"tokens": 65}).allowed


@pytest.mark.req("S4-39")
def test_what_one_window_spent_is_no_part_of_the_next():
    second = 10**9
    terms = {"g": {"limits": [{"dim": "tokens", "per": "1s", "amount": 100, "rolling": False}]}}
    with world(terms) as kernel:
        one = held(kernel, {"tokens": 60})
        other = held(kernel, {"tokens": 40}, now_ns=second // 2)
        settle(kernel, one, {"tokens": 50})
        assert act(kernel, {"tokens": 11}).outcome == "deny"
        later = held(kernel, {"tokens": 90}, now_ns=second)
        settle(kernel, other, {"tokens": 30})
        rows = kernel.state.windows
        assert rows["g", "tokens", "1s", 0] == {"limit": 100, "reserved": 0, "spent": 80}
        assert rows["g", "tokens", "1s", second] == {"limit": 100, "reserved": 90, "spent": 0}
        settle(kernel, later, {"tokens": 90})


@pytest.mark.req("S4-40")
def test_the_same_receipt_three_times_spends_once():
    with world(budget(tokens=100)) as kernel:
        digest = held(kernel, {"tokens": 50})
        answers = [settle(kernel, digest, {"tokens": 30}) for _ in range(3)]
        assert [answer.status for answer in answers] == ["settled", "duplicate", "duplicate"]
        assert {answer.seq for answer in answers} == {answers[0].seq}
        assert kernel.state.counters["g"]["tokens"] == {"limit": 100, "reserved": 0, "spent": 30}


@pytest.mark.req("S4-40")
@few
@given(
    usages=st.lists(st.dictionaries(st.sampled_from("ab"), AMOUNTS), min_size=2, max_size=4),
    status=st.sampled_from(["ok", "error", "timeout", "unknown"]),
)
def test_whatever_comes_after_a_settlement_changes_nothing(usages, status):
    with world(budget(a=500)) as kernel:
        digest = held(kernel, {"a": 50, "b": 50})
        settle(kernel, digest, usages[0])
        before, size = books(kernel), kernel.state.seq
        for usage in usages[1:]:
            answer = kernel.settle(Receipt(digest, status, "another", uses(usage)))
            assert (answer.status, answer.violations) == ("duplicate", ())
        assert kernel.release(digest).status == "not_reserved"
        assert kernel.native("reservation.release", intent_hash=digest, order="o").outcome == "deny"
        assert books(kernel) == before
        assert kernel.state.seq == size + 1  # the governance that was refused


@pytest.mark.req("S4-40")
def test_a_repeated_intent_reserves_once():
    with world(budget(tokens=100)) as kernel:
        answers = [act(kernel, {"tokens": 60}, idempotency_key=bytes(32)) for _ in range(3)]
        assert [(x.outcome, x.duplicate) for x in answers] == [
            ("allow", False),
            ("allow", True),
            ("allow", True),
        ]
        assert kernel.state.counters["g"]["tokens"].reserved == 60
        assert canonical(answers[0].reserve) == canonical(answers[2].reserve)
        assert kernel.submit(Intent(ACT, {"a": b"other"}, "g", idempotency_key=bytes(32))).seq is None
