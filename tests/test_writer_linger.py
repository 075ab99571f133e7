"""A writer that lingers: whoever comes one after the other shares a commit, and nobody waits for nothing."""

import asyncio
import time

import splittally
from splittally import Intent, aio
from splittally.core.limits import GROUP_MAX, QUEUE_MAX
from splittally.runtime.writer import Writer

MANIFEST = {"grants": {"cap": {"cap": "sys/llm.basic@1", "budget": {"tokens": 10**9}}}}
ASK = Intent("llm.generate", {"model": "m", "max_tokens": 50}, "cap")
LONG, GAP, PATIENCE = 0.5, 0.02, 60.0


class Lingering:
    """A kernel in memory whose last commit had company."""

    def __init__(self, linger_s):
        self._linger_s = linger_s

    async def __aenter__(self):
        kernel = splittally.open(None, clock="given")
        kernel.apply(MANIFEST)
        self.twin = aio.AsyncKernel(kernel, Writer(QUEUE_MAX, self._linger_s))
        self._kernel = kernel
        while (await self.commits_of(self._two()))[0] != 1:  # until two of them share one
            pass
        return self

    async def __aexit__(self, *_):
        await self.twin.close()

    async def _two(self):
        with self._kernel._lock:  # both wait while something else is done
            busy = asyncio.create_task(self.twin.health())
            await asyncio.sleep(GAP)
            both = [asyncio.create_task(self.twin.submit(ASK)) for _ in range(2)]
            await asyncio.sleep(GAP)
        await busy
        return await asyncio.gather(*both)

    async def commits_of(self, asked):
        before = self._kernel._world.commits
        answers = await asked
        return self._kernel._world.commits - before, answers


def test_who_comes_while_the_writer_lingers_shares_the_commit():
    async def drive():
        async def later(twin, delay):
            await asyncio.sleep(delay)
            return await twin.submit(ASK)

        async with Lingering(LONG) as kernel:
            return await kernel.commits_of(
                asyncio.gather(*(later(kernel.twin, LONG * at / 8) for at in range(6)))
            )

    commits, decisions = asyncio.run(drive())
    assert commits == 1
    assert all(decision.allowed for decision in decisions)


def test_a_full_commit_is_not_lingered_for():
    async def drive():
        async with Lingering(PATIENCE) as kernel:
            started = time.monotonic()
            first = asyncio.create_task(kernel.twin.submit(ASK))
            await asyncio.sleep(GAP)  # the writer lingers for more
            commits, _ = await kernel.commits_of(
                asyncio.gather(first, *(kernel.twin.submit(ASK) for _ in range(GROUP_MAX - 1)))
            )
            return commits, time.monotonic() - started

    commits, seconds = asyncio.run(drive())
    assert commits == 1
    assert seconds < PATIENCE / 2


def test_a_list_that_fills_a_commit_is_not_lingered_for():
    async def drive():
        async with Lingering(PATIENCE) as kernel:
            started = time.monotonic()
            await kernel.twin.submit([ASK] * GROUP_MAX)
            return time.monotonic() - started

    assert asyncio.run(drive()) < PATIENCE / 2


def test_who_closes_a_kernel_does_not_wait_for_company():
    async def drive():
        async with Lingering(PATIENCE) as kernel:
            alone = asyncio.create_task(kernel.twin.submit(ASK))
            await asyncio.sleep(GAP)
            started = time.monotonic()
            await kernel.twin.close()
            return (await alone).allowed, time.monotonic() - started

    is_allowed, seconds = asyncio.run(drive())
    assert is_allowed
    assert seconds < PATIENCE / 2


def test_after_a_commit_without_company_nobody_lingers():
    async def drive():
        async with Lingering(LONG) as kernel:
            await kernel.twin.submit(ASK)  # it lingers, and nobody comes
            started = time.monotonic()
            for _ in range(5):
                await kernel.twin.submit(ASK)
            return time.monotonic() - started

    assert asyncio.run(drive()) < 5 * LONG
