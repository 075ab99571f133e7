"""Reading beside the writer: views are built in threads of their own, and nobody takes them all.

Rule 1. The loop that serves never waits for the world's lock: whatever takes it is asked here.
Rule 2. At most `THREADS` views are built at a time, and `EACH_MAX` of one principal; its others wait for
        these.
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
    """The views of one principal: how many ask, and how many of these at a time."""

    def __init__(self) -> None:
        self.asking = 0
        self.free = asyncio.Semaphore(EACH_MAX)


class Views:
    """The threads in which views are built."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="splittally-view")
        self._turns: dict[str, _Turns] = {}

    async def read(self, principal: str, build: Callable[[], R]) -> R:
        """What `build` gives, once it is this principal's turn."""
        async with self._turn(principal):
            return await asyncio.get_running_loop().run_in_executor(self._pool, build)

    def close(self) -> None:
        """Wait for what is being built."""
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
