"""What takes its time is done beside the loop, in threads of which nobody has them all.

Rule 1. The loop that serves never waits for the world's lock, and reads no long document: both is done here.
Rule 2. At most `THREADS` such things are done at a time, and `EACH_MAX` of one principal, whose others wait
        for these. That bounds their memory, too: a document of 4 MiB may have 200 MB of parts.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

THREADS = 12
EACH_MAX = 2
R = TypeVar("R")


class _Turns:
    """What one principal has done: how many wait or go on, and how many more may."""

    def __init__(self) -> None:
        self.asking = 0
        self.free = asyncio.Semaphore(EACH_MAX)


class Threads:
    """The threads in which views are built and long documents read."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="splittally-beside")
        self._turns: dict[str, _Turns] = {}

    async def do(self, principal: str, work: Callable[[], R]) -> R:
        """What `work` gives, once it is this principal's turn."""
        async with self._turn(principal):
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def close(self) -> None:
        """Wait for what is being done."""
        self._pool.shutdown()

    @asynccontextmanager
    async def _turn(self, principal: str) -> AsyncIterator[None]:
        turns = self._turns.setdefault(principal, _Turns())
        turns.asking += 1
        try:
            async with turns.free:
                yield
        finally:
            turns.asking -= 1
            if not turns.asking:
                del self._turns[principal]
