"""Row X6-24: what a caller of the asyncio twin gave up is not decided, or its hold is released."""

import asyncio
import threading
import time
from contextlib import suppress

import pytest
from splittally import Intent, Receipt, aio
from splittally.core.events import Decided, Held, Released

from tests.rows.worlds import ACT, manifest, recorded, reserves

GRANTS = {"g": {"budget": {"tokens": 10_000}}}
KEY, MINE = b"k" * 32, b"m" * 16


def ask(tokens=1, **fields):
    return Intent(ACT, {"a": reserves({"tokens": tokens})}, "g", **fields)


def in_a_world(drive, grants=GRANTS, **more):
    """What `drive` gives, asked of a world of these grants; the kernel behind is its second argument."""

    async def run():
        async with aio.open(None, clock="given") as kernel:
            assert (await kernel.apply(manifest(grants, **more))).allowed
            return await drive(kernel, kernel._kernel)

    return asyncio.run(run())


async def settled(kernel):
    """Until everything that was asked so far is done: two turns of the writer."""
    for _ in range(2):
        await kernel.extend(bytes(32), 10)


async def cancelled(*tasks):
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    return sum(isinstance(result, asyncio.CancelledError) for result in results)


def holding(kernel):
    """A call that keeps the writer busy until it is let go."""
    may_go = threading.Event()
    return asyncio.ensure_future(kernel._call(may_go.wait)), may_go


@pytest.mark.req("X6-24")
def test_300_intents_that_are_cancelled_while_they_wait_hold_nothing():
    async def drive(kernel, plain):
        tasks = [asyncio.ensure_future(kernel.submit(ask())) for _ in range(300)]
        await asyncio.sleep(0)
        assert await cancelled(*tasks) == 300
        await settled(kernel)
        return dict(plain.state.reservations), plain.state.counters["g"]["tokens"].reserved

    holds, reserved = in_a_world(drive)
    assert (len(holds), reserved) == (0, 0)


@pytest.mark.req("X6-24")
@pytest.mark.parametrize("shape", ["one", "list", "all", "first", "run", "native"])
def test_what_is_given_up_while_it_waits_is_never_decided(shape):
    async def drive(kernel, plain):
        frames = plain.state.seq
        busy, may_go = holding(kernel)
        await asyncio.sleep(0.05)  # the writer is in the call that waits
        calls = {
            "one": lambda: kernel.submit(ask()),
            "list": lambda: kernel.submit([ask(), ask()]),
            "all": lambda: kernel.submit([ask(), ask(2)], mode="all"),
            "first": lambda: kernel.submit([ask()], mode="first"),
            "run": lambda: kernel.run([ask(), ask()]),
            "native": lambda: kernel.native("account.open", account="a"),
        }
        task = asyncio.ensure_future(calls[shape]())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert await cancelled(task) == 1
        may_go.set()
        await busy
        await settled(kernel)
        return plain.state.seq - frames, "a" in plain.state.accounts

    assert in_a_world(drive) == (0, False)


@pytest.mark.req("X6-24")
@pytest.mark.parametrize("shape", ["one", "list", "all", "first", "run", "approval"])
@pytest.mark.parametrize("when", ["before the writer knows", "before it is told", "after"])
def test_what_is_given_up_after_the_decision_is_released_and_the_journal_says_so(shape, when):
    """The loop is kept busy, so the answer is there and its task has not woken."""
    policy = [{"name": "ask", "decision": "require_approval"}] if shape == "approval" else []

    async def drive(kernel, plain):
        calls = {
            "one": lambda: kernel.submit(ask()),
            "list": lambda: kernel.submit([ask(), ask()]),
            "all": lambda: kernel.submit([ask(), ask(2)], mode="all"),
            "first": lambda: kernel.submit([ask()], mode="first"),
            "run": lambda: kernel.run([ask(), ask()]),
            "approval": lambda: kernel.submit(ask()),
        }
        decided, given_up = threading.Event(), threading.Event()
        commit = plain._world.store.append

        def append(expected, frames):
            try:
                return commit(expected, frames)
            finally:
                decided.set()
                if when == "before the writer knows":
                    given_up.wait(10)

        plain._world.store.append = append
        task = asyncio.ensure_future(calls[shape]())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert decided.wait(10)  # nobody's task runs meanwhile
        if when == "after":
            await asyncio.sleep(0)  # the answer may be set, the task is not woken yet
        assert await cancelled(task) == 1
        given_up.set()
        await settled(kernel)
        held, released = recorded(plain, Held), recorded(plain, Released)
        assert held
        assert {x.intent_hash for x in released} == {x.intent_hash for x in held}
        assert {x.cause for x in released} == {"not_dispatched"}
        return len(plain.state.reservations), plain.state.counters["g"]["tokens"].reserved

    more = {"policy": policy} if policy else {}
    assert in_a_world(drive, **more) == (0, 0)


@pytest.mark.req("X6-24")
@pytest.mark.parametrize("shape", ["list", "run"])
def test_a_list_that_is_given_up_gives_up_those_that_were_answered_too(shape):
    """The first 64 are told, the commit of the others is under way."""

    async def drive(kernel, plain):
        may_go, commits = threading.Event(), []
        commit = plain._world.store.append

        def append(expected, frames):
            commits.append(len(frames))
            assert len(commits) != 2 or may_go.wait(10)
            return commit(expected, frames)

        plain._world.store.append = append
        every = [ask() for _ in range(100)]
        task = asyncio.ensure_future(kernel.submit(every) if shape == "list" else kernel.run(every))
        while len(commits) < 2:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)
        may_go.set()
        assert await cancelled(task) == 1
        await settled(kernel)
        return len(recorded(plain, Held)) >= 64, len(plain.state.reservations)

    assert in_a_world(drive) == (True, 0)


@pytest.mark.req("X6-24")
def test_receipts_and_releases_that_are_given_up_go_on():
    async def drive(kernel, plain):
        first, second, third = await kernel.submit([ask(), ask(), ask(expires_ns=10)])
        calls = [
            kernel.settle(Receipt(first.intent_hash, "ok")),
            kernel.release(second.intent_hash),
            kernel.extend(third.intent_hash, 20),
        ]
        tasks = [asyncio.ensure_future(call) for call in calls]
        await asyncio.sleep(0)
        assert await cancelled(*tasks) == 3
        await settled(kernel)
        ended = [plain.outcome(each.intent_hash).status for each in (first, second)]
        return *ended, plain.state.reservations[third.intent_hash].due_ns

    assert in_a_world(drive) == ("settled", "released", 20)


@pytest.mark.req("X6-24")
def test_a_release_by_order_that_is_given_up_goes_on():
    async def drive(kernel, plain):
        decision = await kernel.submit(ask())
        task = asyncio.ensure_future(kernel.release(decision.intent_hash, "governance", order="order-1"))
        await asyncio.sleep(0)
        assert await cancelled(task) == 1
        await settled(kernel)
        return plain.outcome(decision.intent_hash).cause

    assert in_a_world(drive) == "governance"


@pytest.mark.req("X6-24")
def test_whoever_asks_again_after_giving_up_is_never_allowed_what_is_then_released():
    """The same client times out and asks again with its key and attempt; an allow that it gets stands."""

    async def drive(kernel, plain):
        wrong = 0
        for at in range(150):
            intent = ask(idempotency_key=at.to_bytes(32), attempt=MINE)
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(kernel.submit(intent), (at % 8) * 0.0001)
            again = await kernel.submit(intent)
            await settled(kernel)
            status = plain.outcome(again.intent_hash).status
            wrong += again.allowed != (status == "reserved")
        return wrong

    assert in_a_world(drive) == 0


@pytest.mark.req("X6-24")
def test_who_is_told_what_another_was_allowed_gives_up_nothing_of_theirs():
    async def drive(kernel, plain):
        first = await kernel.submit(ask(idempotency_key=KEY, attempt=MINE))
        again = asyncio.ensure_future(kernel.submit(ask(idempotency_key=KEY)))
        await asyncio.sleep(0)
        time.sleep(0.1)  # it is answered, and its task does not wake
        assert await cancelled(again) == 1
        await settled(kernel)
        return plain.outcome(first.intent_hash).status

    assert in_a_world(drive) == "reserved"


@pytest.mark.req("X6-24")
def test_what_waits_when_a_kernel_is_closed_is_answered_first():
    async def drive(kernel, _):
        busy, may_go = holding(kernel)
        await asyncio.sleep(0.05)  # the writer is in the call that waits
        asked = asyncio.ensure_future(kernel.submit(ask()))
        await asyncio.sleep(0)
        closing = asyncio.ensure_future(kernel.close())
        await asyncio.sleep(0.05)
        may_go.set()
        await asyncio.wait_for(closing, 10)
        assert await busy
        return (await asyncio.wait_for(asked, 1)).outcome

    assert in_a_world(drive) == "allow"


@pytest.mark.req("X6-24")
def test_a_dry_run_that_is_given_up_releases_nothing_of_anybody():
    async def drive(kernel, plain):
        dry = asyncio.ensure_future(kernel.decide(ask(idempotency_key=KEY)))
        await asyncio.sleep(0)
        time.sleep(0.1)  # it is answered, and its task does not wake
        assert plain.submit(ask(idempotency_key=KEY, attempt=MINE)).allowed
        assert await cancelled(dry) == 1
        await settled(kernel)
        return len(plain.state.reservations), len(recorded(plain, Released)), len(recorded(plain, Decided))

    held, released, _ = in_a_world(drive)
    assert (held, released) == (1, 0)


@pytest.mark.req("X6-24")
def test_a_caller_whose_loop_is_gone_has_given_up():
    async def open_world():
        kernel = await aio.open(None, clock="given")
        assert (await kernel.apply(manifest(GRANTS))).allowed
        return kernel

    async def ask_and_leave(kernel):
        busy, may_go = holding(kernel)
        await asyncio.sleep(0.05)  # the writer is in the call that waits
        asked = asyncio.ensure_future(kernel.submit(ask()))
        await asyncio.sleep(0.01)
        return may_go, busy, asked

    kernel = asyncio.run(open_world())
    loop = asyncio.new_event_loop()
    may_go, *left = loop.run_until_complete(ask_and_leave(kernel))
    loop.close()
    may_go.set()
    asyncio.run(kernel.extend(bytes(32), 10))
    assert not recorded(kernel._kernel, Held)
    assert not any(task.done() for task in left)
    asyncio.run(kernel.close())
