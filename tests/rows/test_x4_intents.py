"""What an intent is, when two are one, who sees it when, and how many may be open."""

import os

import blake3
import cbor2
import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given
from splittally import DiskFull, Group, Intent, InvalidInput, KernelStopped, Receipt
from splittally.core.commands import Submit
from splittally.journal.memory import MemoryStore
from splittally.journal.store import Conflict, Unknown
from splittally.runtime.open_kernel import open_store
from splittally.runtime.reader import open_reader

from tests.rows.worlds import (
    ACT,
    act,
    apply,
    bodies,
    books,
    budget,
    codes,
    few,
    held,
    manifest,
    reserves,
    settle,
    world,
)

KEYS = st.binary(min_size=32, max_size=32)


# --- when two are one -------------------------------------------------------------------------------


@pytest.mark.req("X4-06")
def test_a_second_identical_intent_never_reserves_twice():
    with world(budget(tokens=1_000)) as kernel:
        first = act(kernel, {"tokens": 50}, idempotency_key=b"\1" * 32)
        for _ in range(3):
            again = act(kernel, {"tokens": 50}, idempotency_key=b"\1" * 32)
            assert again.duplicate
            assert (again.seq, again.outcome, again.reserve) == (first.seq, "allow", first.reserve)
        assert list(kernel.state.reservations) == [first.intent_hash]
        assert kernel.state.counters["g"]["tokens"].reserved == 50
        settle(kernel, first.intent_hash, {"tokens": 50})
        assert act(kernel, {"tokens": 50}, idempotency_key=b"\1" * 32).duplicate
        assert not kernel.state.reservations


@pytest.mark.req("X4-06", "X4-07")
@few
@given(keys=st.lists(st.integers(0, 3), min_size=1, max_size=12), in_one_list=st.booleans())
def test_there_is_one_reservation_for_each_key_however_often_it_comes(keys, in_one_list):
    with world(budget(tokens=10_000)) as kernel:
        asked = [
            Intent(ACT, {"a": reserves({"tokens": 50})}, "g", idempotency_key=key.to_bytes(32))
            for key in keys
        ]
        answers = kernel.submit(asked) if in_one_list else [kernel.submit(intent) for intent in asked]
        assert [answer.duplicate for answer in answers] == [key in keys[:at] for at, key in enumerate(keys)]
        assert len({answer.intent_hash for answer in answers}) == len(set(keys))
        assert kernel.state.counters["g"]["tokens"].reserved == 50 * len(set(keys))


@pytest.mark.req("X4-07")
def test_keys_01_and_02_are_two_hashes_and_reserve_100():
    with world(budget(tokens=1_000)) as kernel:
        hashes = {held(kernel, {"tokens": 50}, idempotency_key=bytes([key]) * 32) for key in (1, 2)}
        assert len(hashes) == 2
        assert kernel.state.counters["g"]["tokens"].reserved == 100


@pytest.mark.req("X4-08")
@few
@given(key=st.binary(max_size=80).filter(lambda key: len(key) != 32) | st.sampled_from(["", 5, [1] * 32]))
def test_a_key_of_another_length_is_refused_without_a_record(key):
    with world(budget(tokens=1_000)) as kernel:
        frames = kernel.state.seq
        decision = act(kernel, {"tokens": 50}, idempotency_key=key)
        assert (decision.seq, decision.outcome, codes(decision)) == (None, "deny", ["idempotency.invalid"])
        assert decision.findings[0].facts["needed"] == 32
        assert kernel.state.seq == frames


@few
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=9, max_size=9))
def test_every_key_and_attempt_that_is_drawn_is_whole_and_no_byte_is_given_twice(stated):
    """Random bytes come from a pool, whose end falls anywhere."""
    with world(budget(tokens=10**6)) as kernel:
        asked = [
            Intent(
                ACT,
                {"a": reserves({"tokens": 1})},
                "g",
                idempotency_key=at.to_bytes(32) if has_key else None,
                attempt=at.to_bytes(16) if has_attempt else None,
            )
            for at in range(150)
            for has_key, has_attempt in [stated[at % len(stated)]]
        ]
        kernel.submit(asked)
        members = [body.command.members[0] for body in bodies(kernel)[-len(asked) :]]
    assert {(len(member.key), len(member.attempt)) for member in members} == {(32, 16)}
    keys = [member.key for member in members if not member.keyed]
    attempts = [member.attempt for member in members if any(member.attempt[:8])]
    drawn = [piece for key in keys for piece in (key[:16], key[16:])] + attempts
    assert len(set(drawn)) == len(drawn)


@pytest.mark.req("X4-08")
def test_two_submits_without_a_key_are_two_intents_and_their_keys_stand_in_the_record():
    with world(budget(tokens=1_000)) as kernel:
        answers = [act(kernel, {"tokens": 50}) for _ in range(2)]
        assert answers[0].intent_hash != answers[1].intent_hash
        assert kernel.state.counters["g"]["tokens"].reserved == 100
        members = [bodies(kernel)[answer.seq].command.members[0] for answer in answers]
        assert [(len(member.key), member.keyed) for member in members] == [(32, False)] * 2
        assert members[0].key != members[1].key


# --- what an intent is ------------------------------------------------------------------------------


def hash_independently(kind, params, grant, key):
    """The intent hash as the design says it, by an encoder and a hash of others."""
    preimage = {
        "kind": kind,
        "params": cbor2.dumps(params, canonical=True),
        "cap": grant,
        "idempotency_key": key,
    }
    hasher = blake3.blake3(derive_key_context="splittally 1 intent")
    return hasher.update(cbor2.dumps(preimage, canonical=True)).digest()


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.text(max_size=30)
    | st.binary(max_size=300),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.req("X4-09")
@few
@given(
    params=st.dictionaries(st.text(max_size=9), VALUES, max_size=5),
    key=KEYS,
    grant=st.sampled_from(["g", "a grant with a rather long name that needs two bytes of head", "gränt/№5"]),
)
def test_the_intent_hash_is_what_an_independent_encoder_computes(params, key, grant):
    with world({grant: {}}) as kernel:
        decision = kernel.submit(Intent(ACT, params, grant, idempotency_key=key))
        assert decision.intent_hash == hash_independently(ACT, params, grant, key)


@pytest.mark.req("X4-09")
def test_every_part_of_the_preimage_changes_the_hash_and_nothing_else_does():
    with world(
        {"g": {}, "h": {}}, effects={ACT: {"cap_type": "test"}, "test.other": {"cap_type": "test"}}
    ) as kernel:

        def hashed(kind=ACT, params=None, grant="g", key=b"k" * 32, **fields):
            return kernel.decide(
                Intent(kind, params or {"a": 1}, grant, idempotency_key=key, **fields)
            ).intent_hash

        base = hashed()
        others = [hashed("test.other"), hashed(params={"a": 2}), hashed(grant="h"), hashed(key=b"K" * 32)]
        others += [hashed(params={"a": b"\1"}), hashed(params={"a": "1"}), hashed(params={"a": 1.0})]
        assert len({base, *others}) == 8
        assert (
            base == hashed(origin=("reducer", "a/b@1")) == hashed(expires_ns=9) == hashed(attempt=bytes(16))
        )


# --- approvals --------------------------------------------------------------------------------------


@pytest.mark.req("X4-18")
def test_an_approval_request_is_named_by_its_intent_hash_and_a_second_answer_changes_nothing():
    with world(budget(tokens=100), policy=[{"name": "ask", "decision": "require_approval"}]) as kernel:
        decision = act(kernel, {"tokens": 40})
        assert decision.outcome == "require_approval"
        (waiting,) = kernel.state.reservations(phase="approval").values()
        assert waiting.intent_hash == decision.intent_hash
        assert kernel.approve(decision.intent_hash.hex()).allowed
        before = books(kernel)
        assert kernel.approve(decision.intent_hash).allowed
        assert books(kernel) == before
        assert kernel.state.counters["g"]["tokens"].reserved == 40
        assert codes(kernel.reject(decision.intent_hash)) == ["not_reserved"]
        assert settle(kernel, decision.intent_hash, {"tokens": 40}).violations == ()


# --- only what is durable is seen -------------------------------------------------------------------


def failing(how):
    def append(expected, frames):
        if how == "conflict":
            return Conflict(expected)
        if how == "unknown":
            return Unknown("the sync failed")
        raise DiskFull("no room") if how == "full" else OSError(5, "input/output error")

    return append


@pytest.mark.req("X4-20")
@pytest.mark.parametrize("how", ["conflict", "unknown", "full", "error"])
def test_an_intent_whose_commit_fails_is_seen_by_nobody_and_reserves_nothing(tmp_path, monkeypatch, how):
    with world(budget(tokens=100), tmp_path / "w") as kernel:
        kept = held(kernel, {"tokens": 10})
        root = kernel.state.root
        monkeypatch.setattr(kernel._world.store, "append", failing(how))
        with pytest.raises((KernelStopped, DiskFull, OSError)):
            act(kernel, {"tokens": 40}, idempotency_key=b"k" * 32)
        looks = [
            lambda: kernel.state.reservations,
            lambda: kernel.state.root,
            lambda: kernel.outcome(kept),
            lambda: kernel.submit(Intent(ACT, {}, "g")),
            lambda: kernel.settle(Receipt(kept, "ok")),
            lambda: kernel.tick(),
            lambda: kernel.decide(Intent(ACT, {}, "g")),
            lambda: kernel.fork(),
        ]
        for look in looks:
            with pytest.raises(KernelStopped):
                look()
        monkeypatch.undo()
    with splittally.open(tmp_path / "w") as kernel:
        assert kernel.state.root == root
        assert list(kernel.state.reservations) == [kept]
        assert not act(kernel, {"tokens": 40}, idempotency_key=b"k" * 32).duplicate


@pytest.mark.req("X4-20")
def test_an_answer_is_given_only_once_its_frame_can_be_read_from_the_file(tmp_path, monkeypatch):
    path = tmp_path / "w"
    with world(budget(tokens=100_000), path) as kernel:
        store = kernel._world.store
        real, durable = store.append, [kernel.state.seq]

        def append(expected, frames):
            head = real(expected, frames)
            durable[0] = head.size
            return head

        monkeypatch.setattr(store, "append", append)
        asked = (Intent(ACT, {"a": reserves({"tokens": 1})}, "g") for _ in range(150))
        for group in kernel.stream(asked):
            assert all(answer.seq < durable[0] for answer in group)
            with open_reader(path) as reader:
                assert reader.outcome(group[-1].intent_hash).status == "reserved"


# --- how many may be open ---------------------------------------------------------------------------


def small_world(most):
    kernel = splittally.open(None, clock="given", open_max=most)
    apply(kernel, manifest({"g": {"approval_ns": 1_000}}))
    return kernel


@pytest.mark.req("X4-22")
def test_the_fourth_open_intent_of_three_is_refused_and_the_others_are_not_touched():
    with small_world(3) as kernel:
        holds = [held(kernel, {"tokens": 1}, idempotency_key=bytes([n]) * 32) for n in range(3)]
        before = books(kernel)
        refused = act(kernel, {"tokens": 1}, idempotency_key=b"4" * 32)
        assert (refused.seq, codes(refused)) == (None, ["over_capacity"])
        assert refused.findings[0].facts == {"available": 3, "next": "retry_after"}
        assert books(kernel) == before
        assert act(kernel, {"tokens": 1}, idempotency_key=bytes(32)).duplicate  # not a fourth one
        settle(kernel, holds[1], {"tokens": 1})
        assert act(kernel, {"tokens": 1}, idempotency_key=b"4" * 32).allowed


@pytest.mark.parametrize("odd", [-1, True, 2.5, "3"])
def test_the_bound_of_what_is_open_is_a_natural(odd):
    for opened in (splittally.open, lambda _, open_max: open_store(MemoryStore(), open_max=open_max)):
        with pytest.raises(InvalidInput, match="open_max"):
            opened(None, open_max=odd)


@pytest.mark.req("X4-21")
def test_at_the_bound_receipts_releases_and_the_operator_still_get_through():
    with small_world(2) as kernel:
        first, second = held(kernel, {"tokens": 1}), held(kernel, {"tokens": 1})
        assert codes(act(kernel, {})) == ["over_capacity"]
        assert kernel.native("account.open", account="a").allowed
        assert kernel.release(second, "governance", order="make room").status == "released"
        second = held(kernel, {"tokens": 1})
        requests = [
            Intent(ACT, {"a": reserves({})}, "g"),
            Receipt(first, "ok"),
            Intent(ACT, {"a": reserves({})}, "g"),
        ]
        refused, settled, allowed = kernel.run(requests)
        assert (codes(refused), settled.status, allowed.outcome) == (["over_capacity"], "settled", "allow")
        assert kernel.release(second).status == "released"


@pytest.mark.req("X4-21", "X4-22")
def test_what_has_expired_makes_room_without_anybody_asking():
    with small_world(2) as kernel:
        held(kernel, {"tokens": 1}, expires_ns=100)
        held(kernel, {"tokens": 1}, expires_ns=200)
        assert codes(act(kernel, {}, now_ns=99)) == ["over_capacity"]
        assert act(kernel, {}, now_ns=100).allowed
        group = Group("all", tuple(Intent(ACT, {"a": reserves({}), "n": n}, "g") for n in range(2)))
        assert [codes(x) for x in kernel.run([group])[0]] == [["over_capacity"]] * 2


@pytest.mark.req("X4-22")
@few
@given(most=st.integers(1, 6), members=st.integers(1, 8), mode=st.sampled_from(["all", "first", "each"]))
def test_the_bound_counts_what_would_be_open(most, members, mode):
    with small_world(most) as kernel:
        grants = {f"g{n}": {} for n in range(members)}
        apply(kernel, manifest({**grants, "g": {"approval_ns": 1_000}}))
        asked = [Intent(ACT, {"a": reserves({"tokens": 1})}, f"g{n}") for n in range(members)]
        answers = kernel.submit(asked, mode=mode)
        answers = answers if isinstance(answers, list) else [answers]
        opened = len(kernel.state.reservations)
        assert opened <= most
        assert (
            opened == {"all": members if members <= most else 0, "first": 1, "each": min(members, most)}[mode]
        )
        assert sum(answer.outcome == "allow" for answer in answers) == opened


# --- a lost reply -----------------------------------------------------------------------------------


@pytest.mark.req("X4-06")
def test_a_lost_reply_loses_nothing_and_two_hosts_never_both_execute():
    """Who sends again recognises its own attempt; another host with the same key does not."""
    with world(budget(tokens=100)) as kernel:
        mine, theirs = os.urandom(16), os.urandom(16)
        first = act(kernel, {"tokens": 40}, idempotency_key=b"k" * 32, attempt=mine)
        resent = act(kernel, {"tokens": 40}, idempotency_key=b"k" * 32, attempt=mine)
        other = act(kernel, {"tokens": 40}, idempotency_key=b"k" * 32, attempt=theirs)
        assert first.attempt == resent.attempt == other.attempt == mine
        assert (first.duplicate, resent.duplicate, other.duplicate) == (False, True, True)
        assert kernel.outcome(first.intent_hash).attempt == mine
        (command,) = [body.command for body in bodies(kernel) if isinstance(body.command, Submit)][1:]
        assert command.members[0].attempt == mine
