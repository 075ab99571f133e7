"""A run is called verified only when its journal, read again, says and decides the same."""

import shutil
from pathlib import Path

import pytest
from splittally.core.commands import Judged
from splittally.runtime.reader import open_reader
from splittally_tools.audit import rejudge
from splittally_tools.run_trace.job import Order, run
from splittally_tools.run_trace.rows import survey
from splittally_tools.run_trace.verify import old_module, verify

SAMPLE = Path(__file__).parent.parent / "fixtures" / "traces" / "sample.csv"


def quiet(*_):
    pass


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A kept world of the first calls of the sample, and its result, not verified yet."""
    folder = tmp_path_factory.mktemp("run")
    trace = folder / "short.csv"
    trace.write_bytes(b"\r\n".join(SAMPLE.read_bytes().split(b"\r\n")[:150]))
    order = Order(trace, folder / "world", 4, 1, 1, 64, is_verified=False, is_kept=True)
    return run(order, survey(trace), quiet)


def test_a_run_that_was_left_alone_is_sound(done):
    verdict = verify(done.order.world, done.root, quiet)
    assert verdict.is_sound
    assert (verdict.frames, verdict.rejudged) == (done.frames, done.frames)


def test_a_run_that_claims_another_root_is_not_sound(done):
    verdict = verify(done.order.world, bytes(32), quiet)
    assert not verdict.is_sound
    assert verdict.root == done.root


def test_an_answer_that_comes_out_otherwise_is_a_drift_that_names_its_frame(done, monkeypatch):
    class Stricter(rejudge.Judge):
        def answer(self, state, question):
            answer = super().answer(state, question)
            return Judged(answer.question, b"", "trap")

    monkeypatch.setattr(rejudge, "Judge", Stricter)
    verdict = verify(done.order.world, done.root, quiet)
    assert not verdict.is_sound
    assert verdict.problems[0].startswith("frame 3: ")  # opened, applied, funded; then the first call


def test_a_byte_that_rots_is_damage(done, tmp_path):
    world = tmp_path / "world"
    shutil.copytree(done.order.world, world)
    with open_reader(world) as reader:
        data = reader.record(done.frames // 2).data
    file = world / "journal" / "data.mdb"
    content = bytearray(file.read_bytes())
    at = content.index(data) + len(data) // 2
    content[at] ^= 1
    file.write_bytes(content)
    verdict = verify(world, done.root, quiet)
    assert not verdict.is_sound
    assert str(done.frames // 2) in verdict.problems[0]


def test_a_call_in_flight_is_counted_by_the_module_that_its_settlement_names(done):
    upgrade = done.totals.upgrade
    by_old = old_module(done.order.world, upgrade)
    assert by_old == done.ended and by_old.settled_by_old > 0
    other = old_module(done.order.world, upgrade._replace(old_module=upgrade.new_module))
    assert (other.settled_by_old, other.settled_by_other) == (0, by_old.settled_by_old)
