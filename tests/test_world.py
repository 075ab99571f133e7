"""What a world does about its projections: they are saved, and the kernel goes on without them."""

import shutil

import pytest
import splittally
from splittally import DiskFull, Intent, KernelStopped, Receipt
from splittally.core.state import State
from splittally.journal.lmdb import LmdbStore
from splittally.runtime import world
from splittally.runtime.reader import open_reader
from splittally_tools.audit.rejudge import full_index, rejudge_range

MANIFEST = {"grants": {"cap": {"cap": "sys/llm.basic@1", "budget": {"tokens": 10**9}}}}
ASK = Intent("llm.generate", {"model": "m", "max_tokens": 5}, "cap")


def test_a_disk_that_refuses_a_projection_stops_nothing_and_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("splittally.runtime.pipeline.SNAPSHOT_FRAMES", 8)
    with splittally.open(tmp_path, clock="given") as kernel:
        assert kernel.apply(MANIFEST).allowed

        def refuse(*_):
            raise DiskFull("the disk is full")

        monkeypatch.setattr(kernel._world.snapshots, "save", refuse)
        decisions = kernel.submit([ASK] * 200)
        assert {decision.outcome for decision in decisions} == {"allow"}
        assert any("disk is full" in repair for repair in kernel.repairs)
        root = kernel.state.root
    with splittally.open(tmp_path) as kernel:
        assert kernel.state.root == root


def test_the_rows_of_the_index_leave_memory_before_they_pass_their_bound(tmp_path, monkeypatch):
    monkeypatch.setattr("splittally.runtime.pipeline.INDEX_FLUSH_ROWS", 100)
    with splittally.open(tmp_path, clock="given") as kernel:
        assert kernel.apply(MANIFEST).allowed
        keyed = [
            Intent(ASK.kind, ASK.params, ASK.grant, idempotency_key=at.to_bytes(32)) for at in range(1_000)
        ]
        first = kernel.submit(keyed)
        assert kernel._world.index.size_in_memory < 100 + 2 * 64
        again = kernel.submit(keyed)
        assert [x.seq for x in again] == [x.seq for x in first]
        assert all(x.duplicate for x in again)
    shutil.rmtree(tmp_path / "index")
    monkeypatch.setattr("splittally.runtime.recover.INDEX_FLUSH_ROWS", 100)
    with splittally.open(tmp_path) as kernel:  # and so they do where they are read again
        assert kernel._world.index.size_in_memory < 100 + 2 * 64
        assert kernel.submit(keyed[0]).duplicate


def test_a_disk_that_refuses_an_anchor_stops_nothing_and_is_said(tmp_path, monkeypatch):
    """The files stand and are synced; the frame that would name them does not fit any more."""
    with splittally.open(tmp_path, clock="given") as kernel:
        assert kernel.apply(MANIFEST).allowed
        with monkeypatch.context() as patch:

            def refuse(*_):
                raise DiskFull("the disk is full")

            patch.setattr(LmdbStore, "append", refuse)
            kernel._world.save_projections()
        assert any("anchored" in repair and "disk is full" in repair for repair in kernel.repairs)
        assert kernel.submit(ASK).allowed
        root = kernel.state.root
    with splittally.open(tmp_path) as kernel:
        assert kernel.state.root == root


def test_a_kernel_that_stopped_saves_nothing_of_what_it_could_not_record(tmp_path, monkeypatch):
    monkeypatch.setattr(world, "SNAPSHOT_CLOSE_FRAMES", 1)
    with splittally.open(tmp_path, clock="given") as kernel:
        assert kernel.apply(MANIFEST).allowed
    with open_reader(tmp_path) as reader:
        before = reader.state.root
    with splittally.open(tmp_path) as kernel:
        saved = sorted((tmp_path / "snapshots").iterdir())

        def refuse(*_):
            raise OSError("no such device")

        monkeypatch.setattr(kernel._world.store, "append", refuse)
        with pytest.raises(OSError, match="no such device"):
            kernel.submit(ASK)
        with pytest.raises(KernelStopped):
            kernel.submit(ASK)
    assert sorted((tmp_path / "snapshots").iterdir()) == saved
    with splittally.open(tmp_path) as kernel:
        assert (kernel.repairs, kernel.state.root) == ((), before)


def test_each_member_of_a_group_is_settled_by_what_it_asked_also_by_another_process(tmp_path):
    """The second member has other params, and what a settle is asked has them in it."""
    prices = {
        "resource": "USD",
        "prompt": 1,
        "completion": 1,
        "models": {"dear": {"prompt": 9, "completion": 9}},
    }
    terms = {
        "cap": "sys/llm.basic@1",
        "params": {"prices": prices},
        "budget": {"tokens": 10**9, "USD": 10**12},
    }
    used_up = {"prompt_tokens": 10**6, "completion_tokens": 0}
    asked = [
        Intent(ASK.kind, {"model": model, "prompt_tokens": 10**6, "max_tokens": 5}, "cap")
        for model in ("m", "dear")
    ]
    with splittally.open(tmp_path, clock="given") as kernel:
        assert kernel.apply({"resources": {"USD": 6}, "grants": {"cap": terms}}).allowed
        digests = [decision.intent_hash for decision in kernel.submit(asked, mode="all")]
    with splittally.open(tmp_path) as kernel:
        used = [kernel.settle(Receipt(x, "ok", "a", used_up)).usage["USD"] for x in digests]
    assert used[1] == 9 * used[0] > 0
    with open_reader(tmp_path) as reader:
        result = rejudge_range(reader, full_index(reader, False), State(), reader.head.size)
        assert (result.drift, result.compared) == (None, reader.head.size)
