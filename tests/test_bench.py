"""`tally bench`: the floor does the work and nothing else, and the report has every number."""

import json
import subprocess
import sys
from itertools import accumulate

import pytest
from splittally.core.limits import GROUP_MAX, HASH_BYTES
from splittally_tools.bench import face_load
from splittally_tools.bench.baseline import Baseline
from splittally_tools.bench.faces import Face
from splittally_tools.bench.sample import take_sample
from splittally_tools.bench.stages import STAGES, stages_of
from splittally_tools.bench.stats import Contestant, Series, interleaved, ratio
from splittally_tools.bench.workload import Workload

KEYS = {
    "decisions_per_s", "decisions_floor_per_s", "decisions_ratio", "pairs_per_s", "pairs_floor_per_s",
    "pairs_ratio", "depth3_ratio", "fold_frames_per_s", "rejudge_frames_per_s", "p99_ms", "fdatasync_us",
    "bytes_per_open_hold", "open_seconds", "cost_many_over_few",
}  # fmt: skip
FACE_KEYS = {
    f"{face}{number}"
    for face in ("http", "ndjson", "frames")
    for number in (
        "_face_ratio", "_face_ratio_least", "_face_ratio_most", "_per_s", "_in_process_per_s", "_echo_per_s",
        "_us", "_in_process_us", "_echo_us",
    )
}  # fmt: skip


def tally_bench(*arguments):
    command = [sys.executable, "-m", "splittally_tools", "bench", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_the_report_for_programs_is_one_object_with_every_number():
    done = tally_bench("--quick", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found) >= KEYS | FACE_KEYS
    assert all(found[key] > 0 for key in KEYS - {"bytes_per_open_hold"})
    assert found["codec"] in ("cbrrr", "cbor2")
    assert found["holds_many"] > found["holds_few"] > 0
    for name in ("decisions", "pairs"):
        spread = found["ratios"][name]
        assert spread["least"] <= found[f"{name}_ratio"] <= spread["most"]


def test_the_faces_of_a_service_are_measured_alone_and_against_an_echo():
    done = tally_bench("--faces", "--quick", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found) == FACE_KEYS
    assert all(found[key] > 0 for key in FACE_KEYS if "_ratio" not in key)  # a face may seem to be free
    for face in ("http", "ndjson", "frames"):
        least, most = found[f"{face}_face_ratio_least"], found[f"{face}_face_ratio_most"]
        assert least <= found[f"{face}_face_ratio"] <= most
        assert found[f"{face}_echo_us"] < found[f"{face}_us"]  # an echo decides nothing


def test_the_face_is_what_a_request_costs_beyond_the_same_in_process():
    series = Face(Series("served"), Series("in_process"), Series("echo"))
    for slowness in (1, 2, 10):  # a machine that gets busier slows all three
        for one, microseconds in zip(series, (150, 100, 40), strict=True):
            one.enter(1_000, 1.0, slowness * microseconds * 1e-3)
    assert series.ratios == pytest.approx([1.25] * 3)


@pytest.mark.parametrize(
    ("ends", "answers"),
    [
        (face_load.ends_of_posts, [b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n{ }\n"]),
        (face_load.ends_of_lines, [b"HTTP/1.1 200 OK\r\n\r\n4\r\n{ }\n\r\n0\r\n\r\n"]),
        (face_load.ends_of_frames, [face_load.frames(1)[0], face_load.hello(), face_load.frames(1)[0]]),
    ],
)
def test_an_answer_counts_once_it_is_whole(ends, answers):
    buffer, wholes = b"".join(answers), list(accumulate(map(len, answers)))
    for size in range(len(buffer) + 1):
        assert ends(bytearray(buffer[:size])) == [end for end in wholes if end <= size]


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    return take_sample(tmp_path_factory.mktemp("sample") / "world")


def test_the_floor_makes_as_many_durable_frames_of_the_same_size_as_the_kernel(tmp_path, sample):
    floor, kernel = Baseline(tmp_path / "floor", sample), Workload(tmp_path / "kernel")
    kernel.decide(1)
    before = kernel.kernel.state.seq
    assert floor.decide(2) == kernel.decide(2) == 2 * GROUP_MAX
    frames = kernel.kernel.state.seq - before
    kernel.settle()
    assert floor.pair(1) == kernel.pair(1) == GROUP_MAX
    with floor._env.begin() as txn:
        stored = [len(value) for _, value in txn.cursor()]
    assert len(stored) == frames + 2 * GROUP_MAX  # a pair is two frames
    assert len(set(stored[:frames])) == 1
    frame = sample.check.frame_front + bytes(HASH_BYTES) + sample.check.frame_back
    assert stored[0] == HASH_BYTES + len(frame)
    floor.close()
    kernel.close()


def test_the_floor_asks_what_the_kernel_asked(sample):
    assert sample.check.question.startswith(b"\xa1eCheck")
    assert sample.settle.question.startswith(b"\xa1fSettle")
    assert sample.wasm.startswith(b"\x00asm")


def test_stages_do_not_overlap_and_leave_the_kernel_as_it_was(tmp_path):
    originals = {place: getattr(*place) for places in STAGES.values() for place in places}
    workload = Workload(tmp_path / "world")
    stages = stages_of(workload, 2)
    workload.close()
    assert {place: getattr(*place) for place in originals} == originals
    for spent in stages.values():
        total = spent.pop("total")
        assert total == pytest.approx(sum(spent.values()), abs=0.2)
        assert all(microseconds >= 0 for microseconds in spent.values())
    assert stages["decision"]["judge"] > 0 and stages["settlement"]["commit"] > 0


def test_contestants_take_turns_and_the_first_turn_is_not_counted():
    order = []
    found = interleaved(
        {name: Contestant(lambda name=name: order.append(name) or 1) for name in "ab"}, repeats=3
    )
    assert order == ["a", "b"] * 4
    assert all(len(series.rates) == 3 for series in found.values())


def test_a_ratio_compares_neighbouring_repeats():
    ours, floor = Series("ours"), Series("floor")
    for slowness in (1, 2, 10):  # a machine that gets busier slows both
        ours.enter(100, 2.0 * slowness, 1.0)
        floor.enter(100, 1.0 * slowness, 0.25)
    assert ratio(ours, floor) == (0.5, 0.5, 0.5, 0.25)
