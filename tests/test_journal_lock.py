"""One writer: the lock names its holder, goes with its process, passes to no fork and is taken in turn."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from itertools import chain, pairwise
from pathlib import Path

import pytest
from splittally.core.errors import NoWorld, WorldLocked
from splittally.journal import turns
from splittally.journal.lock import PASS_SECONDS, WriterLock, is_waited_for

KERNEL = Path(__file__).parent.parent / "kernel"
HOLD = """
import sys, time
from splittally.journal.lock import WriterLock
with WriterLock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "lock"


@pytest.fixture
def holder(path):
    env = os.environ | {"PYTHONPATH": str(KERNEL)}
    child = subprocess.Popen([sys.executable, "-c", HOLD, path], env=env, stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"held\n"
    yield child
    child.kill()
    child.communicate()


def test_whoever_gives_up_learns_who_holds_the_lock_and_since_when(path, holder):
    begun = time.monotonic()
    with pytest.raises(WorldLocked) as caught:
        WriterLock(path, seconds=0.2).acquire()
    assert 0.2 <= time.monotonic() - begun < 5
    assert caught.value.facts["pid"] == holder.pid
    assert str(holder.pid) in str(caught.value)
    assert caught.value.facts["since"] in str(caught.value)


def test_a_stopped_holder_still_holds_and_waiting_has_an_end(path, holder):
    holder.send_signal(signal.SIGSTOP)
    with pytest.raises(WorldLocked):
        WriterLock(path, seconds=0.1).acquire()
    holder.send_signal(signal.SIGCONT)


def test_the_lock_of_a_killed_holder_is_free_at_once(path, holder):
    holder.kill()
    holder.wait()
    with WriterLock(path, seconds=0) as lock:
        assert lock.is_held


def test_a_waiting_writer_gets_the_lock_when_it_is_given_back(path):
    first = WriterLock(path)
    first.acquire()
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD.replace("time.sleep(60)", ""), path],
        env=os.environ | {"PYTHONPATH": str(KERNEL)},
        stdout=subprocess.PIPE,
    )
    time.sleep(0.3)
    first.release()
    assert child.communicate(timeout=20)[0] == b"held\n"
    assert child.returncode == 0


def test_the_lock_is_exclusive_within_a_process_and_can_be_taken_again(path):
    lock = WriterLock(path)
    for _ in range(2):
        with lock, pytest.raises(WorldLocked):
            WriterLock(path, seconds=0).acquire()
        assert not lock.is_held
        lock.release()


def test_a_forked_child_neither_holds_the_lock_nor_keeps_it_alive(path):
    lock = WriterLock(path)
    lock.acquire()
    begin, end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(end)
        is_held = lock.is_held
        lock.release()
        os.read(begin, 1)
        os._exit(is_held)
    os.close(begin)
    with pytest.raises(WorldLocked):
        WriterLock(path, seconds=0).acquire()
    lock.release()
    with WriterLock(path, seconds=0):
        os.close(end)
        assert os.waitpid(child, 0)[1] == 0


ORPHAN = """
import os, sys, time
from splittally.journal.lock import WriterLock
WriterLock(sys.argv[1]).acquire()
if os.fork() == 0:
    os.write(1, b"%d" % os.getpid())
time.sleep(60)
"""


def test_the_fork_of_a_killed_holder_does_not_keep_the_lock(path):
    env = os.environ | {"PYTHONPATH": str(KERNEL)}
    with subprocess.Popen([sys.executable, "-c", ORPHAN, path], env=env, stdout=subprocess.PIPE) as process:
        orphan = int(os.read(process.stdout.fileno(), 20))
        process.kill()
        process.wait()
        WriterLock(path, seconds=0).acquire()
        os.kill(orphan, signal.SIGKILL)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"pid":"x"}', b"\xff\xfe", b'{"pid": 1}'])
def test_a_lock_file_that_says_nothing_useful_still_locks(path, content):
    with WriterLock(path):
        path.write_bytes(content)
        with pytest.raises(WorldLocked):
            WriterLock(path, seconds=0).acquire()


def test_the_lock_file_is_private_and_tells_who_holds_it(path):
    with WriterLock(path):
        assert path.stat().st_mode & 0o777 == 0o600
        assert json.loads(path.read_text())["pid"] == os.getpid()
    assert path.read_bytes() == b""


def test_a_world_that_is_not_there_cannot_be_locked(tmp_path):
    with pytest.raises(NoWorld):
        WriterLock(tmp_path / "no" / "lock").acquire()


# --- turns ------------------------------------------------------------------------------------------

LOOP = """
import sys, time
from splittally.journal.lock import WriterLock
print("ready", flush=True)
sys.stdin.readline()
for _ in range(int(sys.argv[2])):
    with WriterLock(sys.argv[1], seconds=60):
        print(time.monotonic_ns(), flush=True)
        time.sleep(float(sys.argv[3]))
"""


def started(program, *arguments):
    child = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(KERNEL)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout.readline() == "ready\n"
    return child


def turns_of(children):
    """Who had the lock, in order, while all of them still wanted it."""
    for child in children:
        child.stdin.write("\n")
        child.stdin.flush()
    had = []
    for who, child in enumerate(children):
        told, _ = child.communicate(timeout=120)
        assert child.returncode == 0
        had.append([(int(at), who) for at in told.split()])
    first, last = max(each[0] for each in had), min(each[-1] for each in had)
    return [who for at, who in sorted(chain.from_iterable(had)) if first[0] <= at <= last[0]]


@pytest.mark.parametrize("count", [2, 5])
def test_those_who_ask_again_and_again_have_the_lock_in_turn(path, count):
    """Of any `count` turns that follow each other everybody has one; half of them may slip by a place."""
    had = turns_of([started(LOOP, path, 40, 0.005) for _ in range(count)])
    assert len(had) >= 20 * count
    rounds = [had[at : at + count] for at in range(len(had) - count + 1)]
    assert sum(len(set(each)) == count for each in rounds) >= len(rounds) * 0.5
    for who in range(count):
        places = [at for at, each in enumerate(had) if each == who]
        assert max(later - at for at, later in pairwise(places)) <= 4 * count


def test_who_holds_on_for_long_and_who_is_quick_have_the_lock_equally_often(path):
    had = turns_of([started(LOOP, path, 20, 0.05), started(LOOP, path, 20, 0)])
    assert abs(had.count(0) - had.count(1)) <= 3


WAIT = 'print("ready", flush=True)\n' + HOLD


@pytest.mark.parametrize("end", ["killed", "stopped"])
def test_a_waiter_that_dies_or_stops_before_its_turn_keeps_nobody_waiting(path, end):
    first = WriterLock(path)
    first.acquire()
    ahead = started(WAIT, path)
    wait_until(lambda: is_waited_for(path))
    try:
        ahead.send_signal(signal.SIGKILL if end == "killed" else signal.SIGSTOP)
        if end == "killed":
            ahead.wait()
        first.release()
        begun = time.monotonic()
        with WriterLock(path, seconds=30):
            assert time.monotonic() - begun < (1 if end == "killed" else PASS_SECONDS + 2)
    finally:
        ahead.kill()
        ahead.communicate()


def test_who_came_first_is_served_before_who_does_not_wait(path):
    """A writer that gives the lock back and asks again at once stands behind who waited meanwhile."""
    lock = WriterLock(path)
    lock.acquire()
    ahead = started(WAIT, path)
    wait_until(lambda: is_waited_for(path))
    lock.release()
    with pytest.raises(WorldLocked):
        WriterLock(path, seconds=0).acquire()
    assert ahead.stdout.readline() == "held\n"
    ahead.kill()
    ahead.communicate()
    assert not is_waited_for(path)


def test_a_waiter_that_gives_up_leaves_no_place_behind_and_neither_does_its_fork(path):
    with WriterLock(path):
        ended = []

        def wait():
            with pytest.raises(WorldLocked):
                WriterLock(path, seconds=0.5).acquire()
            ended.append(True)

        thread = threading.Thread(target=wait)
        thread.start()
        wait_until(lambda: is_waited_for(path))
        begin, end = os.pipe()
        child = os.fork()  # while somebody waits: it has a copy of the open file
        if child == 0:
            os.close(end)
            os.read(begin, 1)
            os._exit(0)
        os.close(begin)
        thread.join()
        assert ended and not is_waited_for(path)
        os.close(end)
        os.waitpid(child, 0)


def test_where_the_system_has_no_such_locks_there_is_no_order_and_the_lock_still_works(path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EINVAL, "invalid argument")

    monkeypatch.setattr(turns.fcntl, "fcntl", refuse)
    with WriterLock(path):
        assert not is_waited_for(path)
        with pytest.raises(WorldLocked):
            WriterLock(path, seconds=0.05).acquire()
    with WriterLock(path, seconds=0):
        pass


def wait_until(claim, seconds=20):
    end = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < end
        time.sleep(0.01)
