"""Snapshots and index runs are compared with the frames, and what differs is named."""

import shutil

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given
from splittally import Intent, Receipt
from splittally.core.canonical import decode, encode
from splittally.core.snapshot import load_state, state_root
from splittally.journal.runs import Run, write_run
from splittally.journal.snapshot import Snapshots
from splittally_tools.audit.records import Digests

from tests.cli_tools import busy_world, copied, run


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return busy_world(tmp_path_factory.mktemp("projections") / "world")


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """A world with a snapshot and an index run: it was closed after more than a thousand frames."""
    world = busy_world(tmp_path_factory.mktemp("projections") / "long")
    with splittally.open(world) as kernel:
        params = {"model": "m", "max_tokens": 1}
        asked = kernel.submit([Intent("llm.generate", params, "pool") for _ in range(1_100)])
        held = [decision.intent_hash for decision in asked if decision.allowed]
        kernel.settle([Receipt(each, "ok", "me", {"completion_tokens": 1}) for each in held[:-5]])
    return world


@pytest.fixture
def target(tmp_path):
    return tmp_path / "copy"


def verify(world, *options):
    ran = run("-w", world, "verify", "--json", *options)
    assert ran.code == (0 if ran.json["sound"] else 1)
    return ran.json


def test_a_sound_snapshot_and_run_are_counted(long):
    report = verify(long)
    assert (report["snapshots_equal"], report["index_runs_equal"], report["open_holds"]) == (1, 1, 8)


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
    *whole, last = file.read_bytes()
    file.write_bytes(bytes([*whole, last ^ 1]))
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
