"""Intent outcomes: a receipt, a release, or neither, and then it stays and is seen."""

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given
from splittally import Intent, InvalidInput, Receipt, Release
from splittally.core.events import Held, Released, Settled

from tests.rows.walk import Walk
from tests.rows.worlds import (
    ACT,
    act,
    bodies,
    books,
    budget,
    few,
    held,
    listen,
    recorded,
    reserves,
    save_snapshot,
    settle,
    tally,
    world,
)

RESERVE = {"tokens": 50}


def entry(kernel) -> dict:
    return kernel.state.counters["g"]["tokens"]


@pytest.mark.req("S4-44")
@pytest.mark.parametrize("seed", [4, 5])
def test_each_reservation_of_a_run_ends_in_exactly_one_way_or_is_still_reserved(seed):
    with splittally.open(None, clock="given") as kernel:
        Walk(kernel, seed).walk(800)
        settled = [x.intent_hash for x in recorded(kernel, Settled) if x.how not in ("late", "native")]
        released = [x.intent_hash for x in recorded(kernel, Released)]
        still = list(kernel.state.reservations)
        ways = settled + released + still
        assert len(ways) == len(set(ways))
        assert set(ways) == {x.intent_hash for x in recorded(kernel, Held)}
        assert settled and released and still


@pytest.mark.req("S4-45")
def test_a_receipt_settles():
    with world(budget(tokens=100)) as kernel:
        digest = held(kernel, RESERVE)
        settlement = settle(kernel, digest, {"tokens": 30})
        assert (settlement.status, settlement.usage) == ("settled", {"tokens": 30})
        told = kernel.outcome(digest)
        assert (told.status, told.usage, told.charged) == ("settled", {"tokens": 30}, {"tokens": 30})
        assert told.ended_seq == settlement.seq
        assert entry(kernel) == {"limit": 100, "reserved": 0, "spent": 30}


@pytest.mark.req("S4-46")
@pytest.mark.parametrize("cause", ["cancel", "not_dispatched"])
def test_a_cancel_gives_the_reserve_back_and_spends_nothing(cause):
    with world(budget(tokens=100)) as kernel:
        settle(kernel, held(kernel, {"tokens": 9}), {"tokens": 7})
        digest = held(kernel, RESERVE)
        assert entry(kernel) == {"limit": 100, "reserved": 50, "spent": 7}
        calls = listen(kernel)
        assert kernel.release(digest, cause).status == "released"
        assert entry(kernel) == {"limit": 100, "reserved": 0, "spent": 7}
        assert (kernel.outcome(digest).status, kernel.outcome(digest).cause) == ("released", cause)
        assert kernel.release(digest).status == "duplicate"
        assert calls == []


@pytest.mark.req("S4-46")
def test_nobody_else_cancels():
    with world(budget(tokens=100)) as kernel:
        digest = held(kernel, RESERVE)
        assert kernel.as_principal("another").release(digest).status == "not_reserved"
        assert kernel.release(bytes(32)).status == "not_reserved"
        assert list(kernel.state.reservations) == [digest]


@pytest.mark.req("S4-47")
def test_a_reservation_ends_when_logical_time_reaches_its_expiry():
    with world(budget(tokens=100)) as kernel:
        digest = held(kernel, RESERVE, expires_ns=100)
        assert kernel.tick(now_ns=99) == 0
        assert entry(kernel).reserved == 50
        assert kernel.tick(now_ns=100) == 1
        assert entry(kernel) == {"limit": 100, "reserved": 0, "spent": 0}
        assert (kernel.outcome(digest).status, kernel.outcome(digest).cause) == ("released", "expiry")


@pytest.mark.req("S4-47")
def test_a_receipt_at_the_very_instant_of_the_expiry_is_late():
    with world(budget(tokens=100)) as kernel:
        early, late = (held(kernel, {"tokens": 5}, expires_ns=100) for _ in range(2))
        assert settle(kernel, early, {"tokens": 5}, now_ns=99).status == "settled"
        assert settle(kernel, late, {"tokens": 5}, now_ns=100).status == "late"


@pytest.mark.req("S4-47")
def test_an_expiry_is_worked_through_before_any_other_command_and_replays_the_same(folder):
    with world(budget(tokens=60), folder) as kernel:
        first = held(kernel, RESERVE, expires_ns=100)
        assert not act(kernel, RESERVE, now_ns=99).allowed
        assert act(kernel, RESERVE, now_ns=100).allowed
        (released,) = recorded(kernel, Released)
        assert (released.intent_hash, released.cause) == (first, "expiry")
        root, ended = kernel.state.root, kernel.outcome(first).ended_seq
    with splittally.open(folder) as kernel:
        assert kernel.state.root == root
        assert first in kernel.at(ended - 1).reservations
        assert first not in kernel.at(ended).reservations


@pytest.mark.req("S4-47")
@few
@given(
    expiries=st.lists(st.integers(1, 60), min_size=1, max_size=8),
    times=st.lists(st.integers(1, 20), min_size=1, max_size=6),
)
def test_holds_fall_due_in_order_of_time_and_then_of_age(expiries, times):
    with world(budget(tokens=10_000)) as kernel:
        due = [(at, held(kernel, {"tokens": 1}, expires_ns=at)) for at in expiries]
        now = 0
        for later in times:
            now += later
            kernel.tick(now_ns=now)
            left = {digest for at, digest in due if at > now}
            assert set(kernel.state.reservations) == left
            assert entry(kernel).reserved == len(left)
        ended = [event.intent_hash for event in recorded(kernel, Released)]
        gone = [(at, order, digest) for order, (at, digest) in enumerate(due) if at <= now]
        assert ended == [digest for _, _, digest in sorted(gone)]


@pytest.mark.req("S4-47")
@pytest.mark.parametrize("is_reopened", [False, True], ids=["live", "reopened"])
@pytest.mark.parametrize("is_moved", [False, True], ids=["as asked", "extended"])
def test_holds_of_a_group_fall_due_in_its_order(folder, is_moved, is_reopened):
    """Also where each was extended, the last one first, and where the world was opened again since."""
    with world(budget(tokens=100), folder / "w") as kernel:
        groups = [
            [
                Intent(ACT, {"a": reserves({"tokens": 1}), "n": 7 * group + at}, "g", expires_ns=100)
                for at in range(6)
            ]
            for group in range(2)
        ]
        digests = [answer.intent_hash for group in groups for answer in kernel.submit(group, mode="all")]
        for digest in reversed(digests) if is_moved else ():
            assert kernel.extend(digest, 200).status == "extended"
        save_snapshot(kernel)
        if not is_reopened:
            kernel.tick(now_ns=200)
            assert [event.intent_hash for event in recorded(kernel, Released)] == digests
    with splittally.open(folder / "w") as kernel:
        kernel.tick(now_ns=200)
        assert [event.intent_hash for event in recorded(kernel, Released)] == digests


@pytest.mark.req("S4-47", "X5-02")
def test_a_hold_that_was_put_off_and_back_falls_due_once():
    with world(budget(tokens=100)) as kernel:
        digest = held(kernel, RESERVE, expires_ns=100)
        for expires in (300, 100, 200, 100):
            assert kernel.extend(digest, expires).due_ns == expires
        assert kernel.tick(now_ns=400) == 1
        assert [event.intent_hash for event in recorded(kernel, Released)] == [digest]
        assert entry(kernel).reserved == 0


@pytest.mark.req("S4-48")
def test_governance_releases_under_the_order_that_names_it():
    with world(budget(tokens=100)) as kernel:
        digest, other = held(kernel, RESERVE), held(kernel, {"tokens": 5})
        assert kernel.release(digest, cause="governance", order="order-7").status == "released"
        assert kernel.outcome(digest).cause == "governance"
        (released,) = recorded(kernel, Released)
        assert (released.intent_hash, released.cause, released.order) == (digest, "governance", "order-7")
        assert entry(kernel).reserved == 5
        again = kernel.release(digest, cause="governance", order="order-8")
        assert again.status in ("not_reserved", "duplicate")
        assert list(kernel.state.reservations) == [other]


@pytest.mark.req("S4-48")
def test_governance_needs_an_order_and_a_grant_that_covers_it():
    with world(budget(tokens=100)) as kernel:
        digest = held(kernel, RESERVE)
        before = books(kernel)
        assert kernel.release(digest, cause="governance").status == "refused"
        assert isinstance(kernel.run([Release(digest, "governance", "order-7")])[0], InvalidInput)
        stranger = kernel.as_principal("stranger")
        assert stranger.release(digest, cause="governance", order="order-7").status == "refused"
        assert books(kernel) == before
        terms = {"cap": "sys/native@1", "holder": "warden", "params": {"operations": ["reservation.release"]}}
        assert kernel.native("grant.issue", name="warden", terms=terms).allowed
        warden = kernel.as_principal("warden")
        assert warden.release(digest, cause="governance", order="order-7").status == "released"


@pytest.mark.req("S4-49")
def test_without_a_receipt_a_reservation_stays_and_is_listed_with_its_age():
    with world({"g": {"budget": {"tokens": 100}}, "busy": {}}) as kernel:
        digest = held(kernel, RESERVE, now_ns=1)
        for step in range(2, 1_002):
            kernel.tick(now_ns=step)
        assert list(kernel.state.reservations) == [digest]
        other = held(kernel, {}, "busy", now_ns=1_002)
        kernel.release(other)
        row = kernel.state.reservations[digest]
        assert (row.status, row.phase, row.at_ns, row.age_ns) == ("reserved", "open", 1, 1_001)
        assert entry(kernel) == {"limit": 100, "reserved": 50, "spent": 0}
        assert list(kernel.state.reservations(grant="g", dim="tokens")) == [digest]
        assert kernel.state.reservations(grant="busy") == {}


# --- the release path -------------------------------------------------------------------------------


@pytest.mark.req("S4-50")
@pytest.mark.parametrize("cause", ["cancel", "expiry", "governance"])
def test_a_release_replays_to_the_same_status_at_the_same_height(folder, cause):
    with world(budget(tokens=100), folder) as kernel:
        digest = held(kernel, RESERVE, expires_ns=100)
        if cause == "expiry":
            kernel.tick(now_ns=100)
        else:
            kernel.release(digest, cause, "order-7")
        told = kernel.outcome(digest)
        height, root = told.ended_seq, kernel.state.root
    with splittally.open(folder) as kernel:
        assert kernel.state.root == root
        assert kernel.outcome(digest) == told
        assert digest in kernel.at(height - 1).reservations
        assert digest not in kernel.at(height).reservations
        assert [bool(recorded_in(kernel, seq, digest)) for seq in (height - 1, height)] == [False, True]


def recorded_in(kernel, seq: int, digest: bytes) -> list:
    return [x for x in bodies(kernel)[seq].out if isinstance(x, Released) and x.intent_hash == digest]


@pytest.mark.req("S4-50")
@pytest.mark.parametrize("cause", ["cancel", "expiry", "governance", "not_dispatched"])
def test_a_receipt_after_a_release_is_late_and_charged_once(cause):
    with world(budget(tokens=100)) as kernel:
        digest = held(kernel, RESERVE, expires_ns=100)
        if cause == "expiry":
            kernel.tick(now_ns=100)
        else:
            kernel.release(digest, cause, "order-7")
        late = settle(kernel, digest, {"tokens": 30})
        assert (late.status, late.usage) == ("late", {"tokens": 30})
        flags = [violation.code for violation in late.violations]
        assert flags == (["receipt_after_release"] if cause == "cancel" else [])
        again = settle(kernel, digest, {"tokens": 40})
        assert again.status == "duplicate"
        assert entry(kernel) == {"limit": 100, "reserved": 0, "spent": 30}
        assert kernel.outcome(digest).status == "released"
        assert [x.how for x in recorded(kernel, Settled)] == ["late"]


@pytest.mark.req("S4-50")
def test_a_receipt_for_an_intent_that_is_not_there_is_refused_without_a_record():
    with world(budget(tokens=100)) as kernel:
        denied = act(kernel, {"tokens": 101})
        size = kernel.state.seq
        for digest in (bytes(32), denied.intent_hash):
            answer = kernel.settle(Receipt(digest, "ok", "adapter", {}))
            assert (answer.seq, answer.status) == (None, "not_found")
        assert kernel.state.seq == size


@pytest.mark.req("S4-51")
def test_the_command_line_lists_what_is_outstanding_and_it_adds_up(folder):
    terms = {"cap_llm": {"budget": {"tokens": 500, "bytes": 500}}, "other": {"budget": {"tokens": 500}}}
    with world(terms, folder) as kernel:
        for amount in (40, 30, 20):
            held(kernel, {"tokens": amount, "bytes": 1}, "cap_llm")
        held(kernel, {"tokens": 7}, "other")
        settle(kernel, held(kernel, {"tokens": 99}, "cap_llm"), {})
        expected = {
            digest.hex(): row.reserve["tokens"]
            for digest, row in kernel.state.reservations(grant="cap_llm").items()
        }
        reserved = kernel.state.counters["cap_llm"]["tokens"].reserved
    code, told = tally(folder, "reservations", "--grant", "cap_llm", "--dim", "tokens")
    assert code == 0
    assert {row["intent_hash"]: row["amount"] for row in told["reservations"]} == expected
    assert {(row["grant"], row["dim"]) for row in told["reservations"]} == {("cap_llm", "tokens")}
    assert sum(row["amount"] for row in told["reservations"]) == reserved == 90
    assert all("age_ns" in row for row in told["reservations"])
