"""The sandbox in its process: no crash, no leak, one call at a time, one sandbox a thread."""

import faulthandler
import resource
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest
from splittally.core.abi import Fault
from splittally.sandbox import Sandbox, pooled

from tests.test_sandbox_calls import load, pure
from tests.test_sandbox_fixtures import FAULTY, expected

STATM = Path("/proc/self/statm")


@pytest.mark.req("X4-12")
def test_a_fault_handler_that_is_enabled_late_does_not_turn_traps_into_crashes():
    """With traps by signals it did: the handler saw the illegal instruction first."""
    sandbox = Sandbox()
    was_enabled = faulthandler.is_enabled()
    faulthandler.enable(sys.__stderr__)
    for path in FAULTY:
        assert sandbox.judge(load(sandbox, path), b"question") == Fault(expected(path))
    if not was_enabled:
        faulthandler.disable()
    sandbox.close()


def growth_over_many_calls() -> int:
    sandbox = Sandbox()
    quick = [load(sandbox, path) for path in FAULTY if expected(path) != "out_of_fuel"]
    echo = sandbox.load(pure("echo"))

    def calls(rounds):
        for _ in range(rounds):
            sandbox.judge(echo, b"x" * 1_000)
            for judged in quick:
                sandbox.judge(judged, b"question")

    calls(100)
    before = _resident_bytes()
    calls(20_000 // len(quick))
    return _resident_bytes() - before


def growth_over_many_sandboxes() -> int:
    def open_and_close(times):
        for _ in range(times):
            sandbox = Sandbox()
            sandbox.judge(sandbox.load(pure("echo")), b"x")
            sandbox.close()

    open_and_close(10)
    before = _resident_bytes()
    open_and_close(100)
    return _resident_bytes() - before


def _resident_bytes() -> int:
    """What the process holds now; where the machine does not say, the most it ever held."""
    if STATM.exists():
        return int(STATM.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.mark.req("X4-11")
@pytest.mark.parametrize("grow", [growth_over_many_calls, growth_over_many_sandboxes])
def test_memory_stays_flat(grow):
    """In a process of its own: room that other tests left in this one would hide a leak of megabytes."""
    code = f"from {__name__} import {grow.__name__}; print({grow.__name__}())"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
    assert int(done.stdout) < 1024 * 1024


def test_a_sandbox_in_each_thread_answers_as_one_alone():
    answers = {}

    def judge(name):
        sandbox = Sandbox()
        judged = sandbox.load(pure("machine"))
        answers[name] = [sandbox.judge(judged, bytes((name, *range(32)))) for _ in range(500)]
        sandbox.close()

    threads = [Thread(target=judge, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in range(4):
        here = Sandbox()
        alone = here.judge(here.load(pure("machine")), bytes((name, *range(32))))
        assert answers[name] == [alone] * 500
        here.close()


def test_a_second_call_inside_a_call_is_refused(monkeypatch):
    """Prepared arguments are shared by the calls of one sandbox; two at a time would mix them up."""
    sandbox = Sandbox()
    judged = sandbox.load(pure("echo"))
    alone = sandbox.judge(judged, b"x")
    string_at = pooled.string_at

    def inside(*place):
        monkeypatch.setattr(pooled, "string_at", string_at)
        with pytest.raises(AssertionError, match="one call at a time"):
            sandbox.judge(judged, b"y")
        return string_at(*place)

    monkeypatch.setattr(pooled, "string_at", inside)
    assert sandbox.judge(judged, b"x") == alone
    assert sandbox.judge(judged, b"x") == alone


def test_more_threads_than_the_pool_has_instances_take_turns():
    """A call of an instance waits for no slot: threads take turns, however often they are switched."""
    found = []
    interval = sys.getswitchinterval()

    def judge():
        sandbox = Sandbox()
        judged = sandbox.load(pure("echo"))
        found.append({sandbox.judge(judged, b"x") for _ in range(300)})

    threads = [Thread(target=judge) for _ in range(20)]
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert len(found) == 20
    assert len(set().union(*found)) == 1
