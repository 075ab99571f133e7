"""What takes its time is done beside the loop, in threads of which nobody has them all.

Rule 1. The loop that serves never waits for the world's lock, and reads no long document: both is done here.
Rule 2. At most `THREADS` such things are done at a time, and `EACH_MAX` of one principal, whose others wait
        for these. That bounds their memory, too: a document of 4 MiB may have 60 MB of parts.
Rule 3. A thread cannot be called back: who gives up has its turn back when what it asked for is done.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from splittally.host.service.shares import Shares

THREADS = 12
EACH_MAX = 2
R = TypeVar("R")


class Threads:
    """The threads in which views are built and long documents read."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="splittally-beside")
        self._shares = Shares(EACH_MAX)

    async def do(self, principal: str, work: Callable[[], R]) -> R:
        """What `work` gives, once it is this principal's turn."""
        await self._shares.take(principal, 1)
        loop = asyncio.get_running_loop()

        def give_back(_: object) -> None:
            with suppress(RuntimeError):  # the loop is gone
                loop.call_soon_threadsafe(self._shares.give, principal, 1)

        doing = self._pool.submit(work)
        doing.add_done_callback(give_back)
        return await asyncio.wrap_future(doing)

    def close(self) -> None:
        """Begin nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)
