"""Makes the n-th call to the machine fail, or ends the process before it, and says what came of it.

    python tests/failing_calls.py FOLDER < points        with `LD_PRELOAD` of the library made by `library`

A point is a line: [scenario, call, n, error, times]. ["loop", "pwrite", 3, 28, 1] makes the third fail once;
n = 0 fails nothing and counts the calls of this kind. An error of -1 ends the process. The answer is a line,
`Came`. Each point has a process and a copy of a world of its own; what is acknowledged is said at once, also
by a process that is then ended.
"""

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import splittally
from splittally import Intent, Receipt
from splittally.core.errors import SplittallyError
from splittally.runtime import world as open_world
from splittally.runtime.reader import open_reader
from splittally_tools.cli.menu import tally

HERE = Path(__file__).parent
CALLS = (
    *("open", "read", "write", "pread", "pwrite", "fsync", "fdatasync", "ftruncate", "mmap"),
    *("unlink", "rename", "mkdir", "flock", "fstat", "stat", "close"),
)
MANIFEST = {"grants": {"g": {"cap": "sys/llm.basic@1", "budget": {"tokens": 10**6}}}}


class Came(NamedTuple):
    """What came of a point: `first` of the scenario, `again` in the same process, `later` in the next.

    `first` and `again` are "fine" or the class and text of an error; `is_typed`: it is one of ours.
    `lost` counts acknowledged intents that the next opening did not find, `left` names unfinished files,
    `repairs` is what the next opening said that it mended.
    """

    point: list
    count: int
    first: str
    is_typed: bool
    again: str
    later: str
    lost: int
    left: list
    clock: str
    repairs: list


def library(folder: Path, source: Path = HERE / "failing_calls.c") -> Path:
    """The library for `LD_PRELOAD` that a source makes, compiled into `folder`."""
    made = folder / source.with_suffix(".so").name
    compiler = [cc] if (cc := shutil.which("cc")) else [sys.executable, "-m", "ziglang", "cc"]
    subprocess.run(
        [*compiler, "-shared", "-fPIC", "-o", made, source, "-ldl"], check=True, capture_output=True
    )
    return made


def enumerate_points(made: Path, folder: Path, points: list) -> list[Came]:
    """What came of each point, asked of one process."""
    env = os.environ | {
        "LD_PRELOAD": str(made),
        "FAILING_CALLS": str(made),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    text = "".join(json.dumps(point) + "\n" for point in points)
    done = subprocess.run(
        [sys.executable, __file__, folder], input=text, env=env, capture_output=True, text=True, check=False
    )
    lines = [Came(*json.loads(line)) for line in done.stdout.splitlines()]
    assert len(lines) == len(points), done.stderr[-3000:]
    return lines


# --- scenarios --------------------------------------------------------------------------------------


def _loop(kernel, told, rounds: int = 2) -> None:
    for _ in range(rounds):
        decision = kernel.submit(Intent("llm.generate", {"max_tokens": 5}, "g"))
        told(decision.intent_hash)
        if kernel.settle(
            Receipt(decision.intent_hash, "ok", payload={"usage": {"output_tokens": 1}}, adapter_id="a")
        ):
            told(decision.intent_hash)


def making(folder: Path, told, arm) -> None:
    """A world is made, and asked once."""
    arm(folder)
    with splittally.open(folder, clock="given") as kernel:
        kernel.apply(MANIFEST, now_ns=1)


def loop(folder: Path, told, arm) -> None:
    """A world is opened; intents are submitted and settled."""
    arm(folder)
    with splittally.open(folder) as kernel:
        _loop(kernel, told)


def merge(folder: Path, told, arm) -> None:
    """The index is written three times, so that runs are merged."""
    arm(folder)
    with splittally.open(folder) as kernel:
        for _ in range(3):
            _loop(kernel, told, 1)
            kernel._world.flush_index()


def closing(folder: Path, told, arm) -> None:
    """A snapshot is written when the world is closed."""
    arm(folder)
    open_world.SNAPSHOT_CLOSE_FRAMES = 1
    with splittally.open(folder) as kernel:
        _loop(kernel, told)


def reading(folder: Path, told, arm) -> None:
    """A world is read: its state, its records, an intent by its hash."""
    arm(folder)
    with open_reader(folder) as reader:
        for record in reader.records():
            assert record.body
        assert reader.state.grants["g"]
        reader.refresh()


def _tally(*words: str) -> None:
    """The command line: exit code 3 with a line of its own is a `WorldError`, any other code is not."""
    out, said = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = StringIO(), StringIO()
    try:
        tally.main(list(words))
    except SystemExit as ended:
        code = ended.code
    finally:
        text = sys.stderr.getvalue()
        sys.stdout, sys.stderr = out, said
    if code == 3 and "tally: " in text and "Traceback" not in text:
        raise splittally.WorldError(text.strip())
    if code or "Traceback" in text:
        raise RuntimeError(f"exit code {code}: {text}")


def command(folder: Path, told, arm) -> None:
    """The command line writes and reads."""
    arm(folder)
    intents = folder.with_suffix(".ndjson")
    intents.write_text(json.dumps({"kind": "llm.generate", "params": {"max_tokens": 1}, "grant": "g"}))
    _tally("-w", str(folder), "submit", str(intents))
    _tally("-w", str(folder), "ledger", "--json")


def snapshots(folder: Path, told, arm) -> None:
    """A snapshot cannot be written, or an old one not removed, after all is recorded."""
    open_world.SNAPSHOT_CLOSE_FRAMES = 1
    with splittally.open(folder) as kernel:
        _loop(kernel, told)
        arm(folder / "snapshots")


def runs(folder: Path, told, arm) -> None:
    """The index cannot be written or merged, after all is recorded."""
    with splittally.open(folder) as kernel:
        arm(folder / "index")
        for _ in range(3):
            _loop(kernel, told, 1)
            kernel._world.flush_index()


SCENARIOS = {one.__name__: one for one in (making, loop, merge, closing, reading, command, snapshots, runs)}
NOTED = ("snapshots", "runs")  # where nothing that fails is an error


# --- the process that asks --------------------------------------------------------------------------


class Library:
    """The library that is loaded already, by its functions."""

    def __init__(self) -> None:
        loaded = ctypes.CDLL(os.environ["FAILING_CALLS"])
        self.disarm, self.count = loaded.failing_disarm, loaded.failing_count
        self._arm = loaded.failing_arm

    def arm(self, folder: Path, call: str, nth: int, error: int, times: int) -> None:
        self._arm(os.fsencode(folder), call.encode(), nth, error, times if nth else 0)


def _told_of(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:300]


def _in_child(lib: Library, point: list, folder: Path, out: int) -> None:
    """Runs the scenario, then opens the world again in the same process; says all of it to `out`."""
    scenario, call, nth, error, times = point

    def told(digest: bytes) -> None:
        os.write(out, b"A" + digest.hex().encode() + b"\n")

    first, is_typed = "fine", True
    try:
        SCENARIOS[scenario](folder, told, lambda under: lib.arm(under, call, nth, error, times))
    except BaseException as wrong:
        first, is_typed = _told_of(wrong), isinstance(wrong, SplittallyError)
    lib.disarm()
    count = lib.count()
    again = "fine"
    try:
        splittally.open(folder, clock="given").close()
    except BaseException as wrong:
        again = _told_of(wrong)
    os.write(out, b"B" + json.dumps([count, first, is_typed, again]).encode() + b"\n")


def _ask(lib: Library, point: list, base: Path, room: Path) -> Came:
    folder = room / "w"
    if point[0] != "making":
        shutil.copytree(base, folder)
    got, out = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(got)
        try:
            _in_child(lib, point, folder, out)
        finally:
            os._exit(0)
    os.close(out)
    with open(got) as stream:
        lines = stream.read().splitlines()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    acked = {line[1:] for line in lines if line.startswith("A")}
    said = [json.loads(line[1:]) for line in lines if line.startswith("B")]
    count, first, is_typed, again = (
        said[0] if said else (0, f"ended by {-status}", status == -signal.SIGKILL, "fine")
    )
    later, lost, left, clock, repairs = "fine", 0, [], "", []
    try:
        with splittally.open(folder, clock="given") as kernel:
            clock, repairs = kernel.state.clock, list(kernel.repairs)
            lost = sum(kernel.outcome(bytes.fromhex(digest)) is None for digest in acked)
        left = [path.name for path in folder.rglob("*.new")]
    except Exception as wrong:
        later = _told_of(wrong)
    shutil.rmtree(room)
    return Came(point, count, first, is_typed, again, later, lost, left, clock, repairs)


def _base(folder: Path) -> None:
    """A world with snapshots and runs."""
    open_world.SNAPSHOT_CLOSE_FRAMES = 1
    with splittally.open(folder, clock="given") as kernel:
        kernel.apply(MANIFEST, now_ns=1)
        for _ in range(40):
            kernel.submit(Intent("llm.generate", {"max_tokens": 5}, "g"))
    with splittally.open(folder) as kernel:
        _loop(kernel, lambda _: None)
    open_world.SNAPSHOT_CLOSE_FRAMES = 1_000


def _serve(folder: Path) -> None:
    lib = Library()
    _base(folder / "base")
    for at, line in enumerate(sys.stdin):
        room = folder / str(at)
        room.mkdir()
        print(json.dumps(_ask(lib, json.loads(line), folder / "base", room)), flush=True)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
