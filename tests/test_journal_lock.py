"""One writer: the lock names its holder, goes with its process and does not pass to a fork."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from splittally.core.errors import NoWorld, WorldLocked
from splittally.journal.lock import WriterLock

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
