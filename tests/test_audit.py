"""`tally verify`: a sound journal passes, and whatever is wrong is named, without a traceback."""

import os
import random
import shutil
import tempfile
from pathlib import Path

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given
from splittally import Intent, Receipt
from splittally.core.canonical import decode, encode
from splittally.core.ledger import evolve
from splittally.core.state import load_state, state_root
from splittally.journal.runs import Run, write_run
from splittally.journal.snapshot import Snapshots
from splittally_tools.audit.records import Digests

from tests.cli_tools import busy_world, copied, forged, process, run
from tests.journal_damage import FILE_DAMAGE, INSERTED, RECORD_DAMAGE, edited

FRAMES = 18  # of the busy world: 2-9 asked, 10 denied, 11-14 settled, 15 released, 16 issued, 17 moved
DENIED, RELEASED, ISSUED, MOVED = 10, 15, 16, 17
SUBMIT, DECIDED, POSTED = 1, 1, 7  # tags


@pytest.fixture(scope="module")
def memory():
    """A folder where syncing costs nothing, if the machine has one."""
    shared = "/dev/shm"
    with tempfile.TemporaryDirectory(dir=shared if os.access(shared, os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def world(memory):
    return busy_world(memory / "world")


@pytest.fixture(scope="module")
def long(memory):
    """A world with a snapshot and an index run: it was closed after more than a thousand frames."""
    world = busy_world(memory / "long")
    with splittally.open(world) as kernel:
        params = {"model": "m", "max_tokens": 1}
        asked = kernel.submit([Intent("llm.generate", params, "pool") for _ in range(1_100)])
        held = [decision.intent_hash for decision in asked if decision.allowed]
        kernel.settle([Receipt(each, "ok", "me", {"completion_tokens": 1}) for each in held[:-5]])
    return world


@pytest.fixture
def target(memory):
    folder = memory / "copy"
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def verify(world, *options):
    ran = run("-w", world, "verify", "--json", *options)
    assert ran.code == (0 if ran.json["sound"] else 1)
    return ran.json


def damage_of(world, *options):
    """Where the first damage is, and what is said of it."""
    report = verify(world, *options)
    assert not report["sound"]
    assert report["error"]["code"] == "damaged"
    return report["error"]["facts"]["seq"], report["error"]["message"]


# --- sound ------------------------------------------------------------------------------------------


def test_a_sound_world_passes_and_says_what_was_checked(world, long):
    report = verify(world)
    assert (report["frames"], report["intents"], report["resources"]) == (FRAMES, 12, 1)
    assert report["state_root"] == run("-w", world, "state", "--root").out.strip()
    report = verify(long)
    assert (report["snapshots_equal"], report["index_runs_equal"], report["open_holds"]) == (1, 1, 8)
    people = run("-w", long, "verify").out
    assert people.startswith("sound: ")
    assert report["state_root"] in people


def test_nothing_outside_the_world_changes_what_verify_prints(world):
    settings = (
        {"PYTHONHASHSEED": "0", "TZ": "UTC", "LANG": "C"},
        {"PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo", "LANG": "tr_TR.UTF-8", "COLUMNS": "40"},
    )
    outs = {process("-w", world, "verify", "--rejudge", **environment).out for environment in settings}
    assert len(outs) == 1
    assert outs.pop().startswith(f"sound: {FRAMES} frames")


def test_verifying_writes_nothing(world):
    def content():
        files = sorted(path for path in world.rglob("*") if path.is_file())
        return [(path, path.stat().st_mtime_ns, path.read_bytes()) for path in files]

    before = content()
    verify(world, "--rejudge")
    assert content() == before


# --- damaged files ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FILE_DAMAGE)
def test_a_damaged_file_is_named_or_is_provably_the_same(world, target, kind):
    sound = verify(world)
    damage, _ = FILE_DAMAGE[kind]
    for seed in range(5):
        copied(world, target)
        told = damage(target / "journal" / "data.mdb", random.Random(seed))
        ran = run("-w", target, "verify", "--json")
        assert ran.code in (0, 1), (kind, seed, told)
        if ran.code == 0:
            assert ran.json == sound
        else:
            assert 0 <= ran.json["error"]["facts"]["seq"] <= FRAMES
            assert ran.err == ""


@pytest.mark.parametrize("kind", RECORD_DAMAGE)
@pytest.mark.parametrize("seq", [0, 7, FRAMES - 2])
def test_a_record_that_was_changed_under_the_library_is_named(world, target, kind, seq):
    copied(world, target)
    edited(target / "journal" / "data.mdb", lambda txn: RECORD_DAMAGE[kind](txn, seq))
    found, _ = damage_of(target)
    assert max(seq - 1, 0) <= found <= seq + 1


@pytest.mark.parametrize("kind", INSERTED)
def test_what_was_put_behind_the_end_is_named(world, target, kind):
    copied(world, target)
    edited(target / "journal" / "data.mdb", lambda txn: INSERTED[kind](txn, FRAMES))
    assert damage_of(target)[0] <= FRAMES


@pytest.mark.parametrize("kind", ["cut short", "swapped pages"])
def test_damage_never_ends_the_process_by_a_signal_or_a_traceback(world, target, kind):
    copied(world, target)
    FILE_DAMAGE[kind][0](target / "journal" / "data.mdb", random.Random(1))
    ran = process("-w", target, "verify")
    assert ran.code == 1
    assert "damaged: " in ran.out
    assert "Traceback" not in ran.err


# --- journals that were written anew ----------------------------------------------------------------


def changed(seq, change):
    """An edit of one body."""

    def edit(at, body):
        if at == seq:
            change(body)
        return body

    return edit


def event_of(body, tag):
    return next(event for event in body[5] if event[0] == tag)


def ask_for_more(body):
    body[3][2][0][1] = encode({"model": "m", "max_tokens": 6})


def put(body, *path, value):
    for step in path[:-1]:
        body = body[step]
    body[path[-1]] = value


FORGED = {
    "an unnamed field": (5, lambda body: body[5][0].append(7), "more than its record says"),
    "an older time": (9, lambda body: put(body, 1, value=1), "dated before"),
    "other params": (3, ask_for_more, "is not the hash of what it asks for"),
    "an answer to nobody": (DENIED, lambda body: put(body, 5, 0, 1, value=bytes(32)), "was not asked"),
    "no opening": (0, lambda body: put(body, 3, value=[5, 1]), "does not open"),
    "no record": (4, lambda body: put(body, 3, value=[99]), "does not hold a record"),
    "an ending of nothing": (RELEASED, lambda body: put(body, 5, 0, 1, value=bytes(32)), "cannot be applied"),
    "value let in": (
        MOVED, lambda body: put(event_of(body, POSTED), 1, value="external/issuer"), "without an issue",
    ),
    "more than there is": (
        MOVED, lambda body: put(event_of(body, POSTED), 4, value=10**6), "than it may give",
    ),
    "value out of the air": (
        MOVED, lambda body: put(event_of(body, POSTED), 1, value=""), "that was not there",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", FORGED)
def test_a_forged_journal_whose_chain_holds_is_named(world, target, kind):
    seq, change, said = FORGED[kind]
    found, message = damage_of(forged(world, target, changed(seq, change)))
    assert found == seq
    assert said in message


@pytest.mark.req("S4-74")
def test_every_intent_is_hashed_again_from_the_bytes_that_the_enforcer_saw(world, target):
    assert verify(world)["intents"] == 12
    for field in (0, 1, 2, 3):  # kind, params, grant, key

        def change(body, field=field):
            member = body[3][2][0]
            other = {0: "llm.generated", 1: encode({"model": "m"}), 2: "pool", 3: bytes(32)}
            assert member[field] != other[field]
            member[field] = other[field]

        shutil.rmtree(target, ignore_errors=True)
        seq, message = damage_of(forged(world, target, changed(4, change)))
        assert (seq, "is not the hash" in message) == (4, True)


def test_an_intent_that_is_decided_finally_twice_is_named(world, target):
    kept = []

    def edit(seq, body):
        if seq == DENIED:
            kept.append(body)
        return [*body[:1], body[1], *kept[0][2:]] if seq == ISSUED else body if seq < ISSUED else None

    seq, message = damage_of(forged(world, target, edit))
    assert seq == ISSUED
    assert "a second time" in message


def test_a_journal_of_a_later_release_is_left_alone(world, target):
    ran = run(
        "-w", forged(world, target, changed(6, lambda body: put(body, 0, value=99))), "verify", "--json"
    )
    assert (ran.code, ran.json["error"]["code"]) == (3, "format_too_new")


def test_a_ledger_that_loses_a_unit_is_found_at_the_record_that_lost_it(world, monkeypatch):
    post = evolve.post

    def careless(ledger, event):
        post(ledger, event)
        if event.credit == "accounts/vendor":
            ledger.balances["accounts/vendor", event.resource] -= 1

    monkeypatch.setattr(evolve, "post", careless)
    seq, message = damage_of(world)
    assert (seq, "accounts/vendor in USD" in message) == (MOVED, True)


def test_a_counter_whose_reserve_is_nobodys_is_found(world, monkeypatch):
    monkeypatch.setattr(evolve, "_charge", lambda *_: None)
    assert "the reserve of child in tokens" in damage_of(world)[1]


# --- projections ------------------------------------------------------------------------------------


def spoil_snapshot(world, is_consistent):
    """Gives a counter of the saved state another number; with or without the root that goes with it."""
    snapshots = Snapshots(world / "snapshots")
    saved = snapshots.latest()
    size, tables = decode(saved.data)
    row = next(row for row in tables["counters"] if row[0][:2] == ["pool", "tokens"])
    row[1][2] += 1
    data = encode([size, tables])
    root = state_root(load_state(data)) if is_consistent else saved.root
    snapshots.save(saved.seq, saved.frame_hash, root, data)


@pytest.mark.req("X5-21")
@pytest.mark.parametrize("is_consistent", [False, True])
def test_a_damaged_counter_of_a_snapshot_is_named(long, target, is_consistent):
    spoil_snapshot(copied(long, target), is_consistent)
    report = verify(target)
    assert not report["sound"]
    assert "error" not in report  # the journal itself stands
    (problem,) = report["problems"]
    assert "counters ['pool', 'tokens', 'life', 0]" in problem
    assert "remove the file" in run("-w", target, "verify").out


@pytest.mark.req("X5-21")
def test_opening_names_a_damaged_counter_and_builds_the_snapshot_anew(long, target):
    spoil_snapshot(copied(long, target), is_consistent=False)
    with splittally.open(long) as right, splittally.open(target) as kernel:
        assert any("counters ['pool', 'tokens', 'life', 0]" in repair for repair in kernel.repairs)
        assert kernel.state.root == right.state.root
    assert verify(target)["snapshots_equal"] == 1


@pytest.mark.req("X5-21")
def test_a_command_that_writes_says_what_opening_had_to_rebuild(long, target):
    spoil_snapshot(copied(long, target), is_consistent=False)
    ran = run("-w", target, "tick")
    assert ran.code == 0
    assert "counters ['pool', 'tokens', 'life', 0]" in ran.err


def test_a_snapshot_that_is_no_snapshot_is_named(long, target):
    file = next((copied(long, target) / "snapshots").iterdir())
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    (problem,) = verify(target)["problems"]
    assert file.name in problem


def test_a_damaged_index_run_is_named(long, target):
    file = next((copied(long, target) / "index").glob("*.run"))
    data = bytearray(file.read_bytes())
    data[200] ^= 1
    file.write_bytes(data)
    (problem,) = verify(target)["problems"]
    assert file.name in problem


@pytest.mark.parametrize("verb", ["lacks", "holds"])
def test_the_first_row_in_which_an_index_run_differs_is_named(long, target, verb):
    folder = copied(long, target) / "index"
    run_ = Run(next(folder.glob("*.run")))
    groups = [run_.rows_of(first) for first in range(256)]
    at = next(first for first, rows in enumerate(groups) if rows)
    if verb == "lacks":
        row = groups[at].pop(0)
    else:
        row = groups[at][0][:32] + (999).to_bytes(8)
        groups[at] = sorted([*groups[at], row])
    write_run(folder, run_.cover, sum(map(len, groups)), groups).close()
    run_.close()
    (problem,) = verify(target)["problems"]
    assert f"it {verb} key {row[:32].hex()} of frame {int.from_bytes(row[32:])}" in problem
    assert verify(target, "--rejudge")["rejudged"] > 0  # which rests on an index of its own then


def test_projections_of_another_journal_are_named(world, long, target):
    copied(world, target)
    for name in ("snapshots", "index"):
        shutil.rmtree(target / name, ignore_errors=True)
        shutil.copytree(long / name, target / name)
    problems = verify(target)["problems"]
    assert len(problems) == 2
    assert all("journal" in problem for problem in problems)


def test_a_snapshot_of_another_journal_is_named_though_its_state_is_right(long, target):
    snapshots = Snapshots(copied(long, target) / "snapshots")
    saved = snapshots.latest()
    snapshots.save(saved.seq, bytes(32), saved.root, saved.data)
    (problem,) = verify(target)["problems"]
    assert "another journal" in problem


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 500)), max_size=60))
def test_digests_find_what_was_added_twice(pairs):
    digests, seen, again = Digests(), set(), []
    for number, (digest, _) in enumerate(sorted(pairs)):
        key = digest.to_bytes(1) * 32
        digests.add(key, number)
        if key in seen:
            again.append((key, number))
        seen.add(key)
    assert sorted(digests.repeated()) == sorted(again)
