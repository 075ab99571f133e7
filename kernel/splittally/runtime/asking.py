"""How a task of asyncio asks: what it wants waits for the writer's thread, and the task for the answer.

Rule 1. Everything that waits when a commit ends shares the next one (`writer.py`).
Rule 2. An intent that finds the queue full is answered `busy`; nothing else is refused.
Rule 3. What a task gave up is not decided, or what it holds is released, unless it `is_kept`.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from splittally.core.findings import find
from splittally.edge.records import At, Extend, Group, Intent, Receipt, Release
from splittally.edge.seal import Refused
from splittally.runtime.answers import answer_refused
from splittally.runtime.kernel import Kernel
from splittally.runtime.writer import Waiting, Writer

R = TypeVar("R")


class Asking:
    """A kernel whose requests go through the queue of one writer."""

    def __init__(self, kernel: Kernel, writer: Writer) -> None:
        self._kernel = kernel
        self._writer = writer

    @property
    def sync(self) -> Kernel:
        """The same world and principal for threads."""
        return self._kernel

    async def _request(self, item: At) -> Any:
        request = item.request
        is_kept = isinstance(request, Receipt | Release | Extend)
        answer = await self._put(item, not isinstance(request, Intent | Group), is_kept)
        return answer_refused(request, Refused(find("busy"))) if answer is None else answer

    async def _together(self, requests: Sequence[Any], return_exceptions: bool = False) -> list[Any]:
        """The answers to all of these; one who gives up gives up those that were answered already, too."""
        items = [x if isinstance(x, At) else At(None, x) for x in requests]
        asked = [asyncio.ensure_future(self._request(item)) for item in items]
        try:
            return list(await asyncio.gather(*asked, return_exceptions=return_exceptions))
        except asyncio.CancelledError:
            for item, task in zip(items, asked, strict=True):
                if task.done() and not task.cancelled() and task.exception() is None:
                    self._writer.give_back(self._kernel, item, task.result())
            raise

    async def _call(self, work: Callable[[], R], is_kept: bool = False) -> R:
        answer: R = await self._put(work, True, is_kept)
        return answer

    async def _put(self, work: At | Callable[[], Any], is_first: bool, is_kept: bool) -> Any:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        waiting = Waiting(kernel=self._kernel, work=work, future=future, loop=loop, is_kept=is_kept)
        if not self._writer.put(waiting, is_first):
            return None
        try:
            return await future
        except asyncio.CancelledError:
            self._writer.give_up(waiting)
            raise
