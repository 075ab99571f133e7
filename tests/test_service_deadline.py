"""One deadline for everything that is asked: it does what `asyncio.timeout` does, with one timer for all."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st
from splittally.host.service.deadline import Deadline

SECONDS = 0.05
NEVER = 30.0


async def outcome(within, asked_after, takes):
    """What became of a task that asks so late and would wait for so long."""
    await asyncio.sleep(asked_after)
    heard = []

    async def asked():
        try:
            await asyncio.sleep(takes)
        except asyncio.CancelledError:
            heard.append("given up")
            raise
        return "answered"

    try:
        return await within(asked()), heard
    except TimeoutError:
        return "late", heard


async def by_timeout(asked):
    async with asyncio.timeout(SECONDS):
        return await asked


@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.01, 0.03, 0.08]), st.sampled_from([0.0, 0.001, NEVER])),
        min_size=1,
        max_size=12,
    )
)
def test_whoever_asks_whenever_hears_what_a_timeout_of_its_own_would_say(asks):
    async def both():
        deadline = Deadline(SECONDS)
        ours = await asyncio.gather(*(outcome(deadline.within, *ask) for ask in asks))
        theirs = await asyncio.gather(*(outcome(by_timeout, *ask) for ask in asks))
        return ours, theirs

    ours, theirs = asyncio.run(asyncio.wait_for(both(), 5.0))
    assert ours == theirs


def test_who_is_cancelled_by_somebody_else_does_not_hear_of_a_deadline():
    async def cancelled():
        task = asyncio.ensure_future(Deadline(NEVER).within(asyncio.sleep(NEVER)))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert asyncio.run(cancelled())


def test_who_is_late_may_go_on_and_ask_again():
    async def twice():
        deadline, heard = Deadline(SECONDS), []
        for takes in (NEVER, 0.0, NEVER, 0.0):
            heard.append((await outcome(deadline.within, 0.0, takes))[0])
        task = asyncio.current_task()
        assert task is not None
        return heard, task.cancelling()

    assert asyncio.run(asyncio.wait_for(twice(), 5.0)) == (["late", "answered", "late", "answered"], 0)


def test_the_late_one_hears_it_although_it_asks_within_what_it_asks():
    async def nested():
        deadline = Deadline(SECONDS)
        return await outcome(deadline.within, 0.0, NEVER), await outcome(
            lambda asked: deadline.within(deadline.within(asked)), 0.0, NEVER
        )

    plain, inside = asyncio.run(asyncio.wait_for(nested(), 5.0))
    assert plain == inside == ("late", ["given up"])


def test_an_error_of_what_was_asked_is_its_own():
    async def failing():
        raise KeyError("its own")

    async def asked():
        deadline = Deadline(SECONDS)
        try:
            await deadline.within(failing())
        except KeyError:
            return await deadline.within(asyncio.sleep(0, "next"))

    assert asyncio.run(asked()) == "next"
