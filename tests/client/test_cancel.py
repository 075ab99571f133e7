"""Cancelled at any point and interrupted at any question: no hold is left that nobody knows of.

Afterwards there are as many open holds as bodies began and did not end, each marked unknown; before the start
nothing is held at all.
"""

import asyncio
import random

import pytest
from splittally import KernelStopped
from splittally.client import Waiting, connect
from splittally.runtime import Kernel
from splittally.runtime.requests import Requests

from tests.client.worlds import act, client_of, kinds, used, world


async def settled(kernel):
    """Until the writer has released what was given up."""
    for _ in range(2_000):
        phases = [hold["phase"] for _, hold in kernel.state.reservations.items()]
        if not {"open", "approval", "running"} & set(phases):
            return phases
        await asyncio.sleep(0.005)
    return phases


async def stepped(task, turns):
    """Cancel a task after so many turns of the loop; whether it was still going."""
    for _ in range(turns):
        if task.done():
            break
        await asyncio.sleep(0 if turns % 3 else 0.0004)
    return task.cancel()


@pytest.mark.parametrize("form", ["async with", "coroutine", "async stream"])
@pytest.mark.parametrize("dispatch", [True, False])
def test_a_task_that_is_cancelled_at_any_await_leaves_nothing_that_nobody_knows_of(form, dispatch):
    async def once(client, kernel, turns):
        began = []

        async def body():
            began.append("began")
            await asyncio.sleep(0)
            await asyncio.sleep(0)

        @client.effect("mail.send", grant="mail", dispatch=dispatch, used=lambda _: {"mails": 1})
        async def send() -> None:
            await body()

        @client.effect("mail.send", grant="mail", dispatch=dispatch)
        async def stream():
            await body()
            yield 1

        async def act():
            if form == "coroutine":
                await send()
            elif form == "async stream":
                async for _ in stream():
                    pass
            else:
                async with client.effect("mail.send", {}, grant="mail", dispatch=dispatch):
                    await body()

        held = len(kernel.state.reservations)
        task = asyncio.ensure_future(act())
        await stepped(task, turns)
        try:
            await task
            ended = "returned"
        except asyncio.CancelledError:
            ended = "cancelled"
        phases = await settled(kernel)
        more = len(phases) - held
        assert set(phases) <= {"unknown"}
        if not began:
            assert (ended, more) == ("cancelled", 0)
        elif ended == "returned":
            assert more == 0
        return ended, bool(began), more

    async def drive():
        with world(limit=10_000) as kernel:
            async with connect(kernel, principal="agent") as client:
                seen = [await once(client, kernel, turns) for turns in [*range(45), *range(45), 20_000]]
                assert client.unsettled == ()
        return set(seen)

    seen = asyncio.run(drive())
    assert ("cancelled", False, 0) in seen
    assert ("returned", True, 0) in seen


def test_many_tasks_that_are_cancelled_at_random_add_up():
    async def drive(seed):
        chance = random.Random(seed)
        began, returned = [], []
        with world(limit=10_000) as kernel:
            async with connect(kernel, principal="agent") as client:

                async def act(number):
                    async with client.effect("mail.send", {"n": number}, grant="mail") as call:
                        began.append(number)
                        call.used({"mails": 1})
                        await asyncio.sleep(chance.random() / 500)
                        returned.append(number)

                tasks = [asyncio.ensure_future(act(number)) for number in range(100)]
                for task in chance.sample(tasks, 60):
                    await asyncio.sleep(chance.random() / 1_000)
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                phases = await settled(kernel)
                counter = kernel.state.counters["mail"]["mails"]
                assert phases == ["unknown"] * (len(began) - len(returned))
                assert (counter["reserved"], counter["spent"]) == (len(phases), len(returned))

    for seed in range(3):
        asyncio.run(drive(seed))


def test_a_cancel_that_comes_while_the_ending_is_told_waits_until_it_is():
    async def drive():
        with world() as kernel, client_of(kernel) as (client, link):
            telling = asyncio.Event()

            class Slow:
                def __getattr__(self, name):
                    return getattr(link.link.tasks, name)

                async def run(self, requests):
                    if type(requests[0].request).__name__ == "Receipt":
                        telling.set()
                        await asyncio.sleep(0.02)
                    return await link.link.tasks.run(requests)

            type(link).tasks, before = property(lambda self: Slow()), type(link).tasks
            try:
                task = asyncio.ensure_future(once(client))
                await telling.wait()
                for _ in range(3):
                    task.cancel()
                    await asyncio.sleep(0)
                with pytest.raises(asyncio.CancelledError):
                    await task
            finally:
                type(link).tasks = before
            return dict(kernel.state.counters["mail"]["mails"]), len(kernel.state.reservations)

    async def once(client):
        async with client.effect("mail.send", {}, grant="mail") as call:
            call.used({"mails": 1})

    counter, held = asyncio.run(drive())
    assert (counter["spent"], counter["reserved"], held) == (1, 0, 0)


# --- threads: a signal --------------------------------------------------------------------------------


@pytest.mark.parametrize("request_", ["Intent", "Dispatch", "Receipt"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("key", [None, "k"])
def test_an_interrupt_at_any_question_is_called_off_or_told(request_, when, key, monkeypatch):
    """Control-C in the main thread while the kernel is being asked."""
    real = Requests._one
    left = ["once"]

    def interrupted(self: Kernel, item):
        is_it = type(item.request).__name__ == request_ and left
        if is_it and when == "before":
            left.clear()
            raise KeyboardInterrupt
        answer = real(self, item)
        if is_it:
            left.clear()
            raise KeyboardInterrupt
        return answer

    with world() as kernel, client_of(kernel) as (client, _):
        monkeypatch.setattr(Requests, "_one", interrupted)
        got = act("with", client, used(1), key=key)
        assert type(got.error) is KeyboardInterrupt
        ran = [got.call] if got.call is not None else []
        assert bool(ran) == (request_ == "Receipt")
        assert len(kernel.state.reservations) == 0
        assert kernel.state.counters["mail"]["mails"]["spent"] == len(ran)


def test_of_a_group_that_was_interrupted_over_a_request_the_client_asks_again(monkeypatch):
    """Another thread led, and was interrupted: this one hears that nobody knows, and asks once more."""
    real, tries = Requests._one, []

    def once(self: Kernel, item):
        tries.append(type(item.request).__name__)
        answer = real(self, item)
        if len(tries) == 1:
            raise KernelStopped("the thread that decided this was interrupted")
        return answer

    with world() as kernel, client_of(kernel) as (client, _):
        monkeypatch.setattr(Requests, "_one", once)
        with client.effect("mail.send", {}, grant="mail") as call:
            used(1)(call)
        assert (call.decision.duplicate, tries[:2]) == (True, ["Intent", "Intent"])
        assert kernel.state.counters["mail"]["mails"]["spent"] == 1


def test_a_stream_that_is_collected_inside_of_the_kernel_is_told_later():
    """The last reference may go wherever memory is freed, also while this thread decides something."""
    with world() as kernel, client_of(kernel) as (client, _):

        @client.effect("mail.send", grant="mail")
        def stream():
            yield 1
            yield 2

        items = stream()
        next(items)
        with kernel._lock:
            items.close()
            assert kernel.state.counters["mail"]["mails"]["spent"] == 0
        assert [each.status for each in client.unsettled] == ["ok"]
        client.settle_again()
        assert client.unsettled == ()
        assert kernel.state.counters["mail"]["mails"]["spent"] == 1


def test_what_was_called_off_can_be_asked_for_again_with_its_key():
    with world() as kernel, client_of(kernel) as (client, link):
        link.fault = lambda name, given: name == "wait" and (_ for _ in ()).throw(KeyboardInterrupt)
        interrupted = act("with", client, grant="asked", key="k", approval_timeout_s=9)
        assert type(interrupted.error) is KeyboardInterrupt
        link.fault = lambda *asked: None
        assert type(act("with", client, grant="asked", key="k").error) is Waiting


@pytest.mark.parametrize("form", ["with", "async with"])
def test_one_who_gives_up_waiting_does_not_call_off_what_another_waits_for(form):
    """Two requests for one refund wait for its approval, and one of the people closes the page."""
    with world() as kernel, client_of(kernel) as (client, link):
        waiting = act("with", client, grant="asked", key="k").error
        stop = KeyboardInterrupt if form == "with" else asyncio.CancelledError
        link.fault = lambda name, given: name == "wait" and (_ for _ in ()).throw(stop)
        assert isinstance(act(form, client, grant="asked", key="k", approval_timeout_s=9).error, stop)
        link.fault = lambda *asked: None
        assert kernel.approve(waiting.intent_hash).allowed
        assert act("with", client, used(1), grant="asked", key="k").error is None


def test_a_start_whose_answer_was_lost_is_called_off_also_where_an_earlier_call_had_it_held():
    with world() as kernel, client_of(kernel) as (client, link):
        waiting = act("with", client, grant="asked", key="k").error
        assert kernel.approve(waiting.intent_hash).allowed
        link.after = lambda name, given: "Dispatch" in kinds(given) and (_ for _ in ()).throw(OSError("lost"))
        assert type(act("with", client, grant="asked", key="k").error) is OSError
        row = kernel.outcome(waiting.intent_hash)
        assert (row.status, row.cause) == ("released", "not_dispatched")
