"""Row X6-26: starting an effect is a journaled step that one caller wins."""

import asyncio
import os
from threading import Thread

import pytest
import splittally
from splittally import At, Dispatch, Intent, InvalidInput, Receipt, Release, aio
from splittally.core import commands
from splittally.core.events import HoldChanged, Released
from splittally.core.frames import body_rows
from splittally.core.snapshot import dump_state, load_state, state_root
from splittally.core.state import FORMAT
from splittally.journal.frame import open_frame, seal
from splittally.journal.memory import MemoryStore
from splittally.runtime import open_store, opening
from splittally.runtime.recover import fold
from splittally_tools.testing.assertions import assert_replays

from tests import golden
from tests.rows.worlds import (
    ACT,
    CAP,
    act,
    apply,
    bodies,
    budget,
    codes,
    held,
    manifest,
    recorded,
    reserves,
    settle,
    tally,
    world,
)

KEY = b"k" * 32
ONE, TWO = b"1" * 16, b"2" * 16


def waiting(**terms):
    return {"g": {"budget": {"tokens": 100}, **terms}}


def sound(kernel):
    """The journal folds to what is in memory, and a snapshot of it reads back as it was."""
    state = kernel._world.state
    assert state_root(fold(kernel._world.store)) == state_root(state)
    again = load_state(dump_state(state))
    assert state_root(again) == state_root(state)
    assert again.ledger.started == state.ledger.started


# --- one caller wins ----------------------------------------------------------------------------------


@pytest.mark.req("X6-26")
def test_of_two_retries_of_one_approved_intent_one_is_dispatched():
    with world(budget(tokens=100), policy=[{"name": "ask", "decision": "require_approval"}]) as kernel:
        asked = act(kernel, {"tokens": 40}, idempotency_key=KEY, attempt=ONE)
        assert kernel.dispatch(asked.intent_hash, ONE).status == "not_approved"
        kernel.approve(asked.intent_hash)
        for attempts in ((ONE, ONE), (ONE, TWO)):
            fork = kernel.fork()
            told = [fork.dispatch(asked.intent_hash, attempt) for attempt in attempts]
            assert [x.status for x in told] == ["dispatched", "already_dispatched"]
            assert [x.seq is not None for x in told] == [True, False]


@pytest.mark.req("X6-26")
def test_what_runs_may_be_done_by_nobody_who_asks_again():
    with world(budget(tokens=100)) as kernel:
        asked = act(kernel, {"tokens": 40}, idempotency_key=KEY, attempt=ONE)
        kernel.dispatch(asked.intent_hash, ONE)
        for attempt in (ONE, TWO):
            again = act(kernel, {"tokens": 40}, idempotency_key=KEY, attempt=attempt)
            assert (again.outcome, again.allowed, codes(again)) == ("allow", False, ["already_dispatched"])
        assert kernel.outcome(asked.intent_hash).phase == "running"


@pytest.mark.req("X6-26")
def test_in_threads_one_attempt_wins_each_race():
    with world(budget(tokens=100)) as kernel:
        for _ in range(20):
            digest, told = held(kernel, {"tokens": 1}), []
            threads = [
                Thread(target=lambda d=digest, t=told: t.append(kernel.dispatch(d, os.urandom(16)).status))
                for _ in range(8)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert sorted(told) == ["already_dispatched"] * 7 + ["dispatched"]


@pytest.mark.req("X6-26")
def test_in_tasks_one_attempt_wins_and_the_winner_is_the_one_that_the_journal_names():
    async def drive():
        async with aio.open(None, clock="given") as kernel:
            await kernel.apply(manifest(budget(tokens=100)))
            asked = await kernel.submit(Intent(ACT, {"a": reserves({"tokens": 1})}, "g"))
            attempts = [os.urandom(16) for _ in range(20)]
            told = await asyncio.gather(*(kernel.dispatch(asked.intent_hash, each) for each in attempts))
            (event,) = recorded(kernel._kernel, HoldChanged)
            winner = attempts[[each.status for each in told].index("dispatched")]
            return [each.status for each in told].count("dispatched"), event.attempt == winner

    assert asyncio.run(drive()) == (1, True)


@pytest.mark.req("X6-26", "X6-24")
def test_a_dispatch_that_its_caller_gave_up_is_called_off():
    async def drive():
        async with aio.open(None, clock="given") as kernel:
            await kernel.apply(manifest(budget(tokens=100)))
            asked = await kernel.submit(Intent(ACT, {"a": reserves({"tokens": 1})}, "g"))
            task = asyncio.ensure_future(kernel.dispatch(asked.intent_hash, ONE))
            await asyncio.sleep(0)
            plain = kernel._kernel
            while not recorded(plain, HoldChanged):
                pass  # the answer is on its way, and the task does not wake
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            for _ in range(2):
                await kernel.extend(bytes(32), 10)
            return plain.outcome(asked.intent_hash).cause

    assert asyncio.run(drive()) == "not_dispatched"


@pytest.mark.req("X6-26")
def test_a_dispatch_belongs_to_the_intents_principal_and_its_adapters():
    with world({"g": {"holder": "ann"}}, effects={ACT: {"cap_type": "test", "adapters": ["mill"]}}) as kernel:
        ann, eve, mill = (kernel.as_principal(name) for name in ("ann", "eve", "mill"))
        digest = held(ann, {"tokens": 1})
        assert eve.dispatch(digest, ONE).status == "not_reserved"
        assert kernel.dispatch(bytes(32), ONE).status == "not_reserved"
        assert mill.dispatch(digest, ONE).status == "dispatched"
        assert mill.release(digest, attempt=ONE).status == "released"
        assert mill.dispatch(digest, TWO).status == "not_reserved"


@pytest.mark.req("X6-26")
@pytest.mark.parametrize("attempt", [b"short", b"", "1" * 16, None, 5])
def test_an_attempt_has_16_bytes(attempt):
    with world(budget(tokens=100)) as kernel:
        digest = held(kernel, {"tokens": 1})
        with pytest.raises(InvalidInput, match="16 bytes"):
            kernel.dispatch(digest, attempt)
        assert kernel.dispatch(digest, ONE).status == "dispatched"
        if attempt is not None:
            with pytest.raises(InvalidInput, match="16 bytes"):
                kernel.release(digest, attempt=attempt)


# --- the life of what runs ----------------------------------------------------------------------------


@pytest.mark.req("X6-26")
def test_a_receipt_settles_what_runs():
    with world(waiting(dispatch=True)) as kernel:
        digest = held(kernel, {"tokens": 40})
        kernel.dispatch(digest, ONE)
        settled = settle(kernel, digest, {"tokens": 30})
        assert (settled.status, settled.violations) == ("settled", ())
        assert not kernel._world.state.ledger.started
        assert kernel.dispatch(digest, TWO).status == "not_reserved"
        sound(kernel)


@pytest.mark.req("X6-26")
@pytest.mark.parametrize("cause", ["cancel", "not_dispatched"])
def test_only_the_attempt_that_started_it_calls_it_off(cause):
    with world(budget(tokens=100)) as kernel:
        digest = held(kernel, {"tokens": 40})
        kernel.dispatch(digest, ONE)
        for attempt in (None, TWO):
            told = kernel.release(digest, cause, attempt=attempt)
            assert (told.status, told.seq) == ("already_dispatched", None)
        assert kernel.release(digest, cause, attempt=ONE).status == "released"
        assert not kernel._world.state.ledger.started
        assert settle(kernel, digest, {"tokens": 5}).status == "late"
        sound(kernel)


@pytest.mark.req("X6-26")
def test_neither_expiry_nor_order_releases_what_runs():
    with world(waiting(unknown_ns=500)) as kernel:
        digest = held(kernel, {"tokens": 40}, expires_ns=1_000)
        kernel.dispatch(digest, ONE)
        assert kernel.release(digest, "governance", order="order-1").status == "refused"
        kernel.native("grant.revoke", name="g")
        assert kernel.outcome(digest).phase == "running"
        kernel.tick(now_ns=1_000)
        row = kernel.state.reservations[digest]
        assert (row.phase, row.due_ns, row.attempt) == ("unknown", 1_500, ONE)
        assert not recorded(kernel, Released)
        assert kernel.dispatch(digest, TWO).status == "already_dispatched"
        assert kernel.release(digest).status == "already_dispatched"
        assert kernel.release(digest, attempt=TWO).status == "already_dispatched"
        sound(kernel)
        assert kernel.fork().release(digest, attempt=ONE).status == "released"
        kernel.tick(now_ns=1_500)
        assert kernel.outcome(digest).status == "settled"
        assert kernel.state.counters["g"]["tokens"].spent == 40
        assert not kernel._world.state.ledger.started


@pytest.mark.req("X6-26")
def test_what_runs_and_has_no_time_out_waits_as_unknown_for_an_answer():
    with world(budget(tokens=100)) as kernel:
        digest = held(kernel, {"tokens": 40}, expires_ns=1_000)
        kernel.dispatch(digest, ONE)
        kernel.tick(now_ns=10**15)
        assert kernel.state.reservations[digest].phase == "unknown"
        assert settle(kernel, digest, {"tokens": 7}).status == "settled"


@pytest.mark.req("X6-26")
def test_a_host_may_say_unknown_or_extend_what_runs():
    with world(waiting(unknown_ns=500)) as kernel:
        digest = held(kernel, {"tokens": 40}, expires_ns=1_000)
        kernel.dispatch(digest, ONE)
        assert kernel.extend(digest, 2_000).status == "extended"
        kernel.tick(now_ns=1_500)
        row = kernel.state.reservations[digest]
        assert (row.phase, row.due_ns, row.attempt, row.started_ns) == ("running", 2_000, ONE, 0)
        settle(kernel, digest, {}, "unknown")
        assert kernel.state.reservations[digest].phase == "unknown"
        assert kernel.native("outcome.attest", intent_hash=digest, happened=False).allowed
        assert kernel.outcome(digest).cause == "not_dispatched"
        sound(kernel)


# --- a grant may require it ---------------------------------------------------------------------------


@pytest.mark.req("X6-26")
@pytest.mark.parametrize("above", [True, False])
@pytest.mark.parametrize("status", ["ok", "error"])
def test_a_receipt_without_a_required_dispatch_is_charged_and_flagged(above, status):
    grants = {
        "team": {"dispatch": above, "budget": {"tokens": 100}},
        "g": {"parent": "team", "dispatch": not above},
    }
    with world(grants) as kernel:
        first, second = held(kernel, {"tokens": 40}), held(kernel, {"tokens": 40})
        told = settle(kernel, first, {"tokens": 30}, status)
        assert (told.status, [x.code for x in told.violations]) == ("settled", ["receipt_without_dispatch"])
        assert told.violations[0].facts["grant"] == ("team" if above else "g")
        kernel.dispatch(second, ONE)
        assert settle(kernel, second, {"tokens": 30}, status).violations == ()
        assert kernel.state.counters["team"]["tokens"].spent == 60


@pytest.mark.req("X6-26")
def test_without_that_term_a_dispatch_is_free():
    with world(budget(tokens=100)) as kernel:
        assert settle(kernel, held(kernel, {"tokens": 40}), {"tokens": 30}).violations == ()


@pytest.mark.req("X6-26")
def test_the_term_is_part_of_what_a_grant_is_and_an_older_grant_is_what_it_was():
    with world({"g": {}, "h": {"dispatch": True}, "i": {"dispatch": False}}) as kernel:
        grants = kernel._world.state.caps.grants
        assert [grants[name].dispatch for name in "ghi"] == [False, True, False]
        chains = [kernel._world.state.caps.chain(name, ACT).links[0] for name in "ghi"]
        assert len({link.leg.terms_hash for link in chains}) == 3
        rows = [event[1] for body in bodies(kernel) for event in rows_of(body) if event[0] == 11]
        assert {row[0]: len(row) for row in rows if row[0] in "ghi"} == {"g": 18, "h": 19, "i": 18}
        sound(kernel)
        apply(kernel, manifest({"g": {"dispatch": True}, "h": {}, "i": {}}))
        grants = kernel._world.state.caps.grants
        assert [grants[name].dispatch for name in "ghi"] == [True, False, False]
        sound(kernel)
        child = {"cap": CAP, "dispatch": True}
        assert kernel.native("grant.issue", name="child", terms=child).allowed
        assert kernel._world.state.caps.grants["child"].dispatch


def rows_of(body):
    return body_rows(body.at_ns, body.by, body.command, body.seen, body.out)[5]


# --- orphans ------------------------------------------------------------------------------------------


@pytest.mark.req("X6-26")
def test_what_was_dispatched_and_never_answered_is_listed_with_its_age(tmp_path):
    path = tmp_path / "w"
    with world(budget(tokens=100), path) as kernel:
        quiet = held(kernel, {"tokens": 1})
        running = held(kernel, {"tokens": 2})
        lost = held(kernel, {"tokens": 3}, expires_ns=300)
        for digest in (running, lost):
            kernel.dispatch(digest, ONE, now_ns=100)
        kernel.tick(now_ns=400)
        orphans = kernel.state.reservations(is_orphan=True)
        assert set(orphans) == {running, lost}
        assert {(row.phase, row.started_ns, row.running_ns) for row in orphans.values()} == {
            ("running", 100, 300), ("unknown", 100, 300),
        }  # fmt: skip
        assert list(kernel.state.reservations(phase="running")) == [running]
    code, document = tally(path, "reservations", "--orphans")
    assert code == 0
    rows = {bytes.fromhex(row["intent_hash"]): row for row in document["reservations"]}
    assert set(rows) == {running, lost}
    assert {row["running_ns"] for row in rows.values()} == {300}
    assert {row["attempt"] for row in rows.values()} == {ONE.hex()}
    assert quiet in {
        bytes.fromhex(row["intent_hash"]) for row in tally(path, "reservations")[1]["reservations"]
    }


@pytest.mark.req("X6-26")
def test_the_command_line_dispatches_and_calls_off(tmp_path):
    path = tmp_path / "w"
    with world(budget(tokens=100), path) as kernel:
        digest = held(kernel, {"tokens": 1}).hex()
    code, told = tally(path, "dispatch", digest, "--attempt", ONE.hex())
    assert (code, told["status"]) == (0, "dispatched")
    code, told = tally(path, "dispatch", digest, "--attempt", TWO.hex())
    assert (code, told["status"]) == (1, "already_dispatched")
    assert tally(path, "dispatch", digest, "--attempt", "zz")[0] == 2
    assert tally(path, "release", digest)[0] == 1
    code, told = tally(path, "release", digest, "--attempt", ONE.hex())
    assert (code, told["status"]) == (0, "released")


# --- the journal --------------------------------------------------------------------------------------


@pytest.mark.req("X6-26")
def test_dispatches_replay_and_are_decided_again_to_the_same_bytes():
    with world(waiting(dispatch=True, unknown_ns=50)) as kernel:
        digests = [held(kernel, {"tokens": 1}, expires_ns=100 + n) for n in range(6)]
        for digest in digests[:5]:
            kernel.dispatch(digest, ONE)
        kernel.release(digests[0], "not_dispatched", attempt=ONE)
        kernel.run([Receipt(digests[1], "ok"), At(None, Dispatch(digests[5], TWO)), Release(digests[2])])
        kernel.tick(now_ns=200)
        kernel.tick(now_ns=300)
        assert_replays(kernel)
        sound(kernel)
        told = [body for body in bodies(kernel) if isinstance(body.command, commands.Dispatch)]
        assert len(told) == 6


@pytest.mark.req("X6-26")
@pytest.mark.parametrize("engine", ["the same", "another"])
def test_a_world_of_format_1_is_read_for_ever_and_goes_on_in_format_2(engine, monkeypatch):
    store = MemoryStore()
    for data in golden.stored_frames(golden.RELEASED):
        store.append(store.head, [seal(*open_frame(data))])
    folded = fold(store)
    before = state_root(folded)
    if engine == "the same":
        monkeypatch.setattr(opening, "current_engine", lambda: folded.engine)
    with open_store(store) as kernel:
        assert kernel._world.state.format == FORMAT == 2
        digest = held_of(kernel)
        if digest is not None:
            assert kernel.dispatch(digest, ONE).status == "dispatched"
        written = bodies(kernel)
        assert {body.version for body in written} == {1, 2}
        assert [body.version for body in written] == sorted(body.version for body in written)
        assert state_root(fold(store, len(golden.stored_frames(golden.RELEASED)))) == before
        sound(kernel)


def held_of(kernel):
    rows = kernel.state.reservations(phase="open")
    return next((digest for digest, row in rows.items() if row.principal == "operator"), None)


@pytest.mark.req("X6-26")
def test_a_frame_of_a_later_format_is_refused_as_such(monkeypatch):
    with splittally.open(None, clock="given") as kernel:
        rows = bodies(kernel)[0]
        later = body_rows(rows.at_ns, rows.by, rows.command, rows.seen, rows.out, FORMAT + 1)
        with pytest.raises(splittally.SplittallyError, match="later release"):
            splittally.core.frames.read_body(later, 0)
