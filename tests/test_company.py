"""Threads that ask one world at once share its commits, and each hears its own answer and no other."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import splittally
from splittally import Intent, KernelStopped, Receipt
from splittally.runtime import pipeline

LIMIT = 300
MANIFEST = {"grants": {"tools": {"cap": "sys/mcp@1", "budget": {"calls": LIMIT}}}}
LONG_S = 30.0


def ask(number: int) -> Intent:
    return Intent("mcp.call", {"server": "s", "tool": "t", "arguments": {"n": number}}, "tools")


def in_line(kernel, count: int) -> None:
    """Returns once so many threads wait for the world."""
    until = time.monotonic() + LONG_S
    while len(kernel._world.line._waiting) < count and time.monotonic() < until:
        time.sleep(0.001)


def test_threads_that_wait_together_share_a_commit(tmp_path) -> None:
    with splittally.open(tmp_path / "w") as kernel, ThreadPoolExecutor(20) as pool:
        kernel.apply(MANIFEST)
        with kernel._lock:
            asked = [pool.submit(kernel.submit, ask(n)) for n in range(20)]
            in_line(kernel, 20)
            before = kernel._world.commits
        every = [each.result(LONG_S) for each in asked]
        assert kernel._world.commits == before + 1
        assert sorted(x.seq for x in every) == list(range(every[0].seq, every[0].seq + 20))
        shown = {kernel.outcome(x.intent_hash).attempt: n for n, x in enumerate(every)}
        assert [shown[x.attempt] for x in every] == list(range(20))


def test_threads_together_get_what_a_limit_has_and_no_more() -> None:
    with splittally.open(None) as kernel, ThreadPoolExecutor(16) as pool:
        kernel.apply(MANIFEST)

        def act(number: int) -> str:
            decision = kernel.submit(ask(number))
            if decision.allowed and number % 2:
                assert kernel.settle(Receipt(decision.intent_hash, "ok", "a", {})).status == "settled"
            return decision.outcome

        outcomes = list(pool.map(act, range(2 * LIMIT)))
        counter = kernel.state.counters["tools"]["calls"]
    assert outcomes.count("allow") == LIMIT == counter["spent"] + counter["reserved"]


class Interrupt(BaseException):
    """As a signal raises it, in whatever thread."""


@pytest.mark.parametrize("nth", range(6))
@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_interrupted_leader_costs_nobody_else_an_answer(monkeypatch, nth: int, moment: str) -> None:
    """The leader is interrupted over the nth of six requests, its own or another's, before or after it is
    recorded. Only whose request that was cannot know what became of it, and is told so."""
    carried = []
    carry_out = pipeline.carry_out

    def interrupted(*asked):
        carried.append(asked)
        if len(carried) == nth + 1 and moment == "before":
            raise Interrupt
        done = carry_out(*asked)
        if len(carried) == nth + 1:
            raise Interrupt
        return done

    with splittally.open(None) as kernel, ThreadPoolExecutor(6) as pool:
        kernel.apply(MANIFEST)
        with kernel._lock:
            asked = []
            for n in range(6):
                asked.append(pool.submit(kernel.submit, ask(n)))
                in_line(kernel, n + 1)
            monkeypatch.setattr(pipeline, "carry_out", interrupted)
        ends = [each.exception(LONG_S) for each in asked]
        held = {each.result().intent_hash for each in asked if each.exception() is None}
        assert isinstance(ends[0], Interrupt)
        assert [at for at, end in enumerate(ends) if isinstance(end, KernelStopped)] == ([nth] if nth else [])
        assert len(held) == (4 if nth else 5)
        assert held <= set(kernel.state.reservations)
        assert len(kernel.state.reservations) == 6 - (moment == "before")
        assert kernel.submit(ask(9)).allowed


def test_a_world_that_is_closed_answers_everybody_who_waits() -> None:
    kernel = splittally.open(None)
    kernel.apply(MANIFEST)
    with ThreadPoolExecutor(8) as pool:
        with kernel._lock:
            asked = [pool.submit(kernel.submit, ask(n)) for n in range(8)]
            in_line(kernel, 8)
            kernel.close()
        assert all(isinstance(each.exception(LONG_S), KernelStopped) for each in asked)
