"""Several writers, a process that forks, a projection that cannot be written or dies half way."""

import json
import os
import subprocess
import sys
import threading
import time

import pytest
import splittally
from splittally import Intent, KernelStopped, NoWorld, WorldLocked
from splittally.core.errors import DiskFull
from splittally.journal import disk
from splittally.runtime import pipeline
from splittally.runtime import world as worlds

from tests.hostile.test_crashes import new_world
from tests.hostile.test_inputs import is_readable
from tests.rows.worlds import (
    _PATHS,
    ACT,
    act,
    bodies,
    budget,
    held,
    reserves,
    run_python,
    save_snapshot,
    settle,
    tally,
    tally_elsewhere,
    world,
)

PROCESSES = 8

WRITER = """
import sys, splittally
from splittally import Intent
path, me, rounds, each = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
answer = bytes.fromhex(sys.argv[5])
for number in range(rounds):
    with splittally.open(path, lock_seconds=60) as kernel:
        asked = [Intent("test.act", {"a": answer, "of": me}, "g") for _ in range(each)]
        for decision in kernel.submit(asked):
            print(decision.seq, decision.outcome, decision.intent_hash.hex())
"""


def writer(path, *arguments):
    command = [sys.executable, "-c", WRITER, str(path), *map(str, arguments), reserves({"tokens": 1}).hex()]
    return subprocess.Popen(command, env={"PYTHONPATH": _PATHS}, stdout=subprocess.PIPE, text=True)


def test_eight_processes_on_one_budget_are_allowed_exactly_the_budget(folder):
    path, limit, rounds, each = folder / "w", 100, 3, 6
    with world(budget(tokens=limit), path):
        pass
    children = [writer(path, me, rounds, each) for me in range(PROCESSES)]
    answers = []
    for child in children:
        output, _ = child.communicate(timeout=120)
        assert child.returncode == 0
        answers += [line.split() for line in output.splitlines()]
    assert len(answers) == PROCESSES * rounds * each > limit
    assert len({seq for seq, _, _ in answers}) == len(answers)
    assert sum(outcome == "allow" for _, outcome, _ in answers) == limit
    with splittally.open(path) as kernel:
        assert kernel.state.counters["g"]["tokens"] == {"limit": limit, "reserved": limit, "spent": 0}
        for seq, outcome, digest in answers:
            row = kernel.outcome(digest)
            assert (str(row.seq), row.outcome) == (seq, outcome)
        is_readable(kernel)
    assert tally(path, "verify")[0] == 0


def test_four_command_lines_on_one_world_are_served_one_after_the_other(folder):
    path, file = folder / "w", folder / "intents.ndjson"
    with world({"g": {"cap": "sys/allow@1"}}, path):
        pass
    file.write_text('{"kind": "test.act", "params": {}, "grant": "g"}\n' * 3)
    command = [sys.executable, "-m", "splittally_tools", "-w", str(path), "--json", "submit", "--wait", "60"]
    children = [
        subprocess.Popen([*command, file], env={"PYTHONPATH": _PATHS}, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    outputs = [child.communicate(timeout=120)[0] for child in children]
    assert [child.returncode for child in children] == [0] * len(children)
    assert all(output.count('"outcome":"allow"') == 3 for output in outputs)
    with splittally.open(path) as kernel:
        assert len(kernel.state.reservations) == 12


def test_a_second_writer_is_told_who_the_first_is_and_changes_nothing(folder):
    path = folder / "w"
    with world(budget(tokens=9), path) as kernel:
        begun = time.monotonic()
        link = folder / "link"
        link.symlink_to(path)
        for name in (path, link, os.path.relpath(path)):
            with pytest.raises(WorldLocked) as error:
                splittally.open(name, lock_seconds=0)
            assert error.value.facts["pid"] == os.getpid()
        told = run_python("-m", "splittally_tools", "-w", str(path), "tick", "--wait", "0")
        assert told.returncode == 3
        assert str(os.getpid()) in told.stderr
        assert time.monotonic() - begun < 30
        assert tally_elsewhere(path, "ledger")[0] == 0  # reading needs no lock
        assert act(kernel, {"tokens": 1}).allowed
    with splittally.open(path, lock_seconds=0) as kernel:
        assert kernel.state.counters["g"]["tokens"].reserved == 1


@pytest.mark.parametrize("how", ["killed", "closed"])
def test_a_lock_goes_with_its_holder_however_that_ends(folder, how):
    path = folder / "w"
    new_world(path)
    program = "import splittally, sys; k = splittally.open(sys.argv[1]); print('open', flush=True); input()"
    child = subprocess.Popen(
        [sys.executable, "-c", program, str(path)],
        env={"PYTHONPATH": _PATHS},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with child:
        assert child.stdout.readline() == b"open\n"
        with pytest.raises(WorldLocked):
            splittally.open(path, lock_seconds=0)
        if how == "killed":
            child.kill()
        else:
            child.stdin.close()
        child.wait(timeout=30)
    splittally.open(path, lock_seconds=5).close()


FORKING = """
import os, sys, splittally
from splittally import Intent, KernelStopped, Receipt, SplittallyError
path, answer = sys.argv[1], bytes.fromhex(sys.argv[2])
intent = lambda: Intent("test.act", {"a": answer}, "g")
kernel = splittally.open(path)
digest = kernel.submit(intent()).intent_hash
pid = os.fork()
if pid == 0:
    asks = [
        lambda: kernel.submit(intent()), lambda: kernel.settle(Receipt(digest, "ok")), lambda: kernel.tick(),
        lambda: kernel.release(digest), lambda: kernel.state.counters, lambda: kernel.outcome(digest),
        lambda: kernel.fork(), lambda: kernel.decide(intent()), lambda: kernel.at(0),
        lambda: kernel.as_principal("bob").submit(intent()), lambda: kernel.upgrade(),
        lambda: kernel.apply({}),
    ]
    refused = 0
    for ask in asks:
        try:
            ask()
        except KernelStopped:
            refused += 1
    kernel.close()
    os._exit(0 if refused == len(asks) else 1)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
assert kernel.submit(intent()).allowed
try:
    splittally.open(path, lock_seconds=0)
    sys.exit("a second writer")
except SplittallyError as error:
    assert error.code == "locked"
print(kernel.state.counters["g"]["tokens"].reserved)
kernel.close()
"""


def test_a_forked_child_is_refused_in_words_and_takes_nothing_from_its_parent(folder):
    path = folder / "w"
    with world(budget(tokens=9), path):
        pass
    done = run_python("-W", "ignore", "-c", FORKING, str(path), reserves({"tokens": 1}).hex())
    assert (done.returncode, done.stdout, done.stderr) == (0, "2\n", "")
    assert tally(path, "verify")[0] == 0


def test_threads_share_one_kernel_and_spend_exactly_the_budget():
    with world(budget(tokens=120)) as kernel:
        outcomes = []

        def spend():
            for _ in range(30):
                decision = act(kernel, {"tokens": 1})
                outcomes.append(decision.outcome)
                if decision.allowed:
                    settle(kernel, decision.intent_hash, {"tokens": 1})

        threads = [threading.Thread(target=spend) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == ["allow"] * 120 + ["deny"] * 60
        assert kernel.state.counters["g"]["tokens"] == {"limit": 120, "reserved": 0, "spent": 120}
        is_readable(kernel)


# --- projections ------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [DiskFull("no room"), OSError(13, "permission denied")])
def test_a_snapshot_that_cannot_be_written_keeps_nobody_waiting(folder, monkeypatch, error):
    """What was decided is durable: a projection can be made anew."""
    path = folder / "w"
    monkeypatch.setattr(pipeline, "SNAPSHOT_FRAMES", 3)
    monkeypatch.setattr(worlds, "SNAPSHOT_CLOSE_FRAMES", 1)
    with world(budget(tokens=99), path) as kernel:

        def fail(*arguments):
            raise error if isinstance(error, DiskFull) else disk.refusal("a snapshot", error)

        monkeypatch.setattr(disk, "write_file", fail)
        holds = [held(kernel, {"tokens": 1}) for _ in range(12)]
        assert sorted(kernel.state.reservations) == sorted(holds)
        root = kernel.state.root
    monkeypatch.undo()
    with splittally.open(path) as kernel:
        assert kernel.state.root == root


@pytest.mark.parametrize("what", ["journal", "snapshots", "index", "lock"])
def test_what_is_not_a_world_is_refused_in_words_and_left_as_it_is(folder, what):
    path = folder / "w"
    with world(budget(tokens=9), path) as kernel:
        held(kernel, {"tokens": 1})
        save_snapshot(kernel)
        root = kernel.state.root
    aside = folder / "aside"
    (path / what).rename(aside)
    if what == "journal":
        with pytest.raises(NoWorld):
            splittally.open(path)
        assert not (path / "journal").exists()
        aside.rename(path / what)
    with splittally.open(path) as kernel:
        assert kernel.state.root == root


def test_a_file_a_device_and_a_foreign_folder_are_no_worlds(folder):
    file = folder / "file"
    file.write_text("not a world")
    foreign = folder / "foreign"
    foreign.mkdir()
    (foreign / "letter.txt").write_text("dear reader")
    os.mkfifo(folder / "fifo")
    for path in (file, foreign, folder / "fifo", "/dev/null"):
        for create in (True, False):
            with pytest.raises(NoWorld):
                splittally.open(path, create=create)
    assert [name.name for name in foreign.iterdir()] == ["letter.txt"]
    assert tally(foreign, "init")[0] == 3
    with pytest.raises(NoWorld):
        splittally.open(folder / "none", create=False)
    assert not (folder / "none").exists()


def test_a_closed_kernel_answers_nothing_and_closing_twice_is_fine(folder):
    with world(budget(tokens=9), folder / "w") as kernel:
        pass
    kernel.close()
    view = kernel.as_principal("bob")
    for ask in (
        lambda: kernel.submit(Intent(ACT, {}, "g")),
        lambda: view.submit(Intent(ACT, {}, "g")),
        lambda: kernel.state.root,
        lambda: kernel.at(0),
        lambda: kernel.fork(),
    ):
        with pytest.raises(KernelStopped):
            ask()
    with splittally.open(folder / "w") as kernel:
        assert len(bodies(kernel)) == 2


# --- turns ------------------------------------------------------------------------------------------

OPENER = """
import sys, time, splittally
from splittally import Intent
path, until, answer = sys.argv[1], float(sys.argv[2]), bytes.fromhex(sys.argv[3])
done = 0
while time.time() < until:
    with splittally.open(path, lock_seconds=60) as kernel:
        assert kernel.submit(Intent("test.act", {"a": answer}, "g")).allowed
    done += 1
print(done)
"""
LINE = '{"kind": "test.act", "params": {}, "grant": "g"}\n'
TALLY = [sys.executable, "-m", "splittally_tools"]


def co_process(path):
    """`tally submit -`, to which lines are written one by one."""
    command = [*TALLY, "-w", str(path), "--json", "submit", "--wait", "60", "-"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen(command, env={"PYTHONPATH": _PATHS}, text=True, **pipes)


def asked(child):
    child.stdin.write(LINE)
    child.stdin.flush()
    return json.loads(child.stdout.readline())["outcome"]


def allow_world(path):
    with world({"g": {"cap": "sys/allow@1"}}, path):
        pass


def test_two_processes_that_write_in_a_loop_have_the_world_in_turn(folder):
    """One opens the world anew for each intent, the other never stops sending lines; nobody starves."""
    path, seconds = folder / "w", 3
    allow_world(path)
    stream = co_process(path)
    assert asked(stream) == "allow"
    ends = time.time() + seconds
    arguments = [str(path), str(ends), reserves({"tokens": 1}).hex()]
    opener = subprocess.Popen(
        [sys.executable, "-c", OPENER, *arguments],
        env={"PYTHONPATH": _PATHS},
        stdout=subprocess.PIPE,
        text=True,
    )
    lines = 0
    while time.time() < ends:
        assert asked(stream) == "allow"
        lines += 1
    assert int(opener.communicate(timeout=60)[0]) >= 3
    assert lines >= 20
    stream.communicate(timeout=60)
    assert (opener.returncode, stream.returncode) == (0, 0)
    assert tally(path, "verify")[0] == 0


def test_a_loop_of_submits_and_a_loop_that_opens_the_world_are_both_served(folder):
    path, seconds = folder / "w", 3
    allow_world(path)
    ends = time.time() + seconds
    arguments = [str(path), str(ends), reserves({"tokens": 1}).hex()]
    openers = [
        subprocess.Popen(
            [sys.executable, "-c", OPENER, *arguments],
            env={"PYTHONPATH": _PATHS},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    submits = 0
    while time.time() < ends:
        done = subprocess.run(
            [*TALLY, "-w", str(path), "--json", "submit", "--wait", "2"],
            input=LINE, env={"PYTHONPATH": _PATHS}, text=True, capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        submits += 1
    counts = [int(opener.communicate(timeout=60)[0]) for opener in openers]
    assert submits >= 3
    assert min(counts) * 2 >= max(counts) >= 5


def test_an_idle_stream_keeps_nobody_waiting_and_goes_on_when_a_line_comes(folder):
    path = folder / "w"
    allow_world(path)
    with co_process(path) as child:
        for others in range(1, 4):
            assert asked(child) == "allow"
            with splittally.open(path, lock_seconds=5) as kernel:  # the stream is open and says nothing
                assert kernel.submit(Intent(ACT, {"a": reserves({})}, "g")).allowed
                assert len(kernel.state.reservations) == 2 * others
        child.stdin.write(LINE[:10])  # half a line is no line
        child.stdin.flush()
        splittally.open(path, lock_seconds=5).close()
        child.stdin.write(LINE[10:])
        child.stdin.close()
        assert json.loads(child.stdout.readline())["outcome"] == "allow"
        assert child.wait(timeout=30) == 0


def test_a_stream_to_which_nothing_is_written_takes_no_lock(folder):
    path = folder / "w"
    allow_world(path)
    with splittally.open(path):
        done = subprocess.run(
            [*TALLY, "-w", str(path), "submit", "--wait", "0"],
            input="", env={"PYTHONPATH": _PATHS}, text=True, capture_output=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
    missing = tally(folder / "none", "submit")
    assert missing[0] == 3


def test_receipts_come_in_a_stream_that_keeps_nobody_waiting_either(folder):
    path = folder / "w"
    allow_world(path)
    command = [*TALLY, "-w", str(path), "--json", "settle", "--wait", "60", "-"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, env={"PYTHONPATH": _PATHS}, text=True, **pipes) as child:
        for _ in range(2):
            with splittally.open(path, lock_seconds=5) as kernel:
                digest = kernel.submit(Intent(ACT, {"a": reserves({})}, "g")).intent_hash.hex()
            child.stdin.write(json.dumps({"intent_hash": digest, "status": "ok"}) + "\n")
            child.stdin.flush()
            assert json.loads(child.stdout.readline())["status"] == "settled"
        child.stdin.close()
        assert child.wait(timeout=30) == 0
