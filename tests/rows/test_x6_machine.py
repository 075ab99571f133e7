"""Row X6-32: what the machine does to us is typed and passing.

A library under liblmdb and Python makes the n-th call of one kind fail, once or from then on, or ends the
process before it. Whatever fails: the error is one of ours, nothing is called damaged, the world opens at
once in the same process and in the next, every acknowledged intent is there, no unfinished file is left.
"""

import errno
import os
import random
from collections import Counter

import pytest
import splittally
from msgspec.structs import replace
from splittally import Intent
from splittally.journal import index
from splittally.runtime import pipeline
from splittally.runtime.reader import open_reader

from tests.failing_calls import CALLS, NOTED, SCENARIOS, enumerate_points, library
from tests.rows.worlds import save_snapshot

ENDED = -1
ERRORS = (errno.EIO, errno.ENOSPC, errno.EMFILE, errno.ENOMEM, ENDED)
ONCE, FROM_THEN_ON = 1, 1_000_000
SAMPLE = 80
MANIFEST = {"grants": {"g": {"cap": "sys/llm.basic@1", "budget": {"tokens": 10**6}}}}
INTENT = Intent("llm.generate", {"max_tokens": 5}, "g")


def every_point(shim, folder):
    """How many calls of each kind there are in each scenario, and each of them refused in every way."""
    folder.mkdir()
    asked = [[name, call, 0, 0, 0] for name in SCENARIOS for call in CALLS]
    counted = {tuple(came.point[:2]): came.count for came in enumerate_points(shim, folder, asked)}
    return counted, [
        [name, call, nth, error, times]
        for (name, call), count in counted.items()
        for nth in range(1, count + 1)
        for error in ERRORS
        for times in (ONCE, FROM_THEN_ON)
        if error != ENDED or times == ONCE
    ]


def check(came):
    """Nothing came of it but an error of ours."""
    assert came.is_typed, came
    assert "damaged" not in (came.first + came.again + came.later).lower(), came
    assert (came.again, came.later) == ("fine", "fine"), came
    assert (came.lost, came.left, came.clock) == (0, [], "given"), came
    if came.point[0] in NOTED and came.point[3] != ENDED:
        assert came.first == "fine", came


@pytest.mark.req("X6-32")
def test_some_call_that_fails_ends_in_an_error_of_ours_and_costs_nothing(folder):
    shim = library(folder)
    counted, points = every_point(shim, folder / "counted")
    for call in (
        "open",
        "read",
        "write",
        "pread",
        "pwrite",
        "fsync",
        "fdatasync",
        "ftruncate",
        "mmap",
        "unlink",
    ):
        assert any(count for (_, kind), count in counted.items() if kind == call), call
    (folder / "tried").mkdir()
    cut_off = [point for point in points if point[0] == "snapshots" and point[3] == ENDED]
    for came in enumerate_points(shim, folder / "tried", cut_off + random.Random(32).sample(points, SAMPLE)):
        check(came)


@pytest.mark.soak
def test_any_call_that_fails_ends_in_an_error_of_ours_and_costs_nothing(folder):
    shim = library(folder)
    counted, points = every_point(shim, folder / "counted")
    (folder / "tried").mkdir()
    came = enumerate_points(shim, folder / "tried", points)
    for each in came:
        check(each)
    print(f"\n{len(points)} points: {len(ERRORS)} errors, once and from then on; calls in each scenario:")
    for name in SCENARIOS:
        print(
            f"  {name}: " + ", ".join(f"{call} {n}" for (of, call), n in counted.items() if of == name and n)
        )
    print(f"  ended in: {dict(Counter(each.first.split(':')[0] for each in came))}")


@pytest.mark.req("X6-32")
@pytest.mark.parametrize("name", ["snapshots", "index"])
def test_a_snapshot_that_cannot_be_written_is_a_note_beside_what_was_decided(folder, name, monkeypatch):
    monkeypatch.setattr(pipeline, "SNAPSHOT_FRAMES", 1)
    with splittally.open(folder / "w", clock="given") as kernel:
        kernel.apply(MANIFEST, now_ns=1)
    found = folder / "w" / name
    for path in found.iterdir():
        path.unlink()
    found.rmdir()
    found.write_bytes(b"")  # a file where the folder should be
    with splittally.open(folder / "w") as kernel:
        decision = kernel.submit(INTENT, now_ns=2)
        assert decision.outcome == "allow"
        assert any(f"`{found}`" in note and "will be rebuilt" in note for note in kernel.repairs)
        assert kernel.submit(INTENT, now_ns=3).outcome == "allow"
    with splittally.open(folder / "w") as kernel:
        assert kernel.state.seq == 5  # the last anchors what was built anew
        assert kernel.outcome(decision.intent_hash) is not None


@pytest.mark.req("X6-32")
def test_projections_cut_short_under_an_open_world_end_in_an_error_of_ours_and_cost_nothing(
    folder, monkeypatch
):
    """No page of a file is read through a map, where a short file or a bad disk ends the process."""
    monkeypatch.setattr(index, "HELD_BYTES_MAX", 0)  # as of older runs, which are read as they are asked
    with splittally.open(folder / "w", clock="given") as kernel:
        kernel.apply(MANIFEST, now_ns=1)
        known = [kernel.submit(INTENT, now_ns=2 + n).intent_hash for n in range(50)]
        for digest in known:
            kernel.release(digest, "cancel", now_ns=60)
        save_snapshot(kernel)
    with splittally.open(folder / "w") as kernel, open_reader(folder / "w") as reader:
        assert len(reader.seqs(known[0])) == 2
        for path in (*(folder / "w" / "index").iterdir(), *(folder / "w" / "snapshots").iterdir()):
            os.truncate(path, 0)
        for ask in (kernel.outcome, reader.seqs):
            with pytest.raises(splittally.WorldError, match=r"cut short .* open the world again"):
                ask(known[0])
        with pytest.raises(splittally.WorldError):
            kernel.submit(replace(INTENT, idempotency_key=bytes(32)), now_ns=100)
    with splittally.open(folder / "w") as kernel:
        assert len(kernel.repairs) >= 2
        assert all(kernel.outcome(digest) is not None for digest in known)
        assert kernel.submit(INTENT, now_ns=100).allowed


@pytest.mark.req("X6-32")
def test_a_world_where_a_file_is_or_nothing_may_be_made_is_refused_in_our_words(folder):
    (folder / "file").write_bytes(b"mine")
    for path in (folder / "file", folder / "file" / "w", folder / ("n" * 300), "/proc/no/world"):
        with pytest.raises(splittally.WorldError):
            splittally.open(path)
