"""Many callers in one process: how long each waits for its answer.

Rule 1. A caller asks for one intent at a time and waits; its answer comes after the commit that holds it.
Rule 2. Callers are tasks of one loop, as in an agent runtime; whoever waits shares the next commit.
"""

import asyncio
import time
from pathlib import Path

import splittally.aio
from splittally import Intent

from splittally_tools.bench.workload import KIND, params


def latencies_ms(world: Path, callers: int, calls: int) -> list[float]:
    """How long every one of `calls` calls of each of `callers` callers took, sorted, in milliseconds."""
    return asyncio.run(_latencies_ms(world, callers, calls))


async def _latencies_ms(world: Path, callers: int, calls: int) -> list[float]:
    found: list[float] = []

    async def call(count: int) -> None:
        for number in range(count):
            asked = time.perf_counter()
            decision = await kernel.submit(Intent(KIND, params(number), "leaf"))
            found.append(1_000 * (time.perf_counter() - asked))
            assert decision.allowed

    async with splittally.aio.open(world) as kernel:
        await asyncio.gather(*(call(1) for _ in range(callers)))
        found.clear()  # the first round compiles and caches
        await asyncio.gather(*(call(calls) for _ in range(callers)))
    return sorted(found)


def percentile(ordered: list[float], share: float) -> float:
    """The value that this share of `ordered` does not pass."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
