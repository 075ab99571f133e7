"""What a world does about its projections: they are saved, and the kernel goes on without them."""

import splittally
from splittally import DiskFull, Intent

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
