"""How a task of asyncio asks: what it wants waits for the writer's thread, and the task for the answer.

Rule 1. Everything that waits when a commit ends shares the next one (`writer.py`).
Rule 2. Intents that find the queue full are answered `busy`; nothing else is refused.
Rule 3. What a task gave up is not decided, or what it holds is released, unless it `is_kept`.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from splittally.core.findings import find
from splittally.core.limits import GROUP_MAX
from splittally.edge.records import At, Group, Intent
from splittally.edge.seal import Refused
from splittally.runtime.answers import answer_refused, or_raise
from splittally.runtime.kernel import Kernel
from splittally.runtime.writer import Waiting, Writer

R = TypeVar("R")
_MAY_BE_BUSY = (Intent, Group)  # not a union, which is made anew for every request that is looked at


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
        (answer,) = await self._group([item])
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _together(self, requests: Iterable[Any]) -> list[Any]:
        """The answers to all of these, an error where one could not be decided."""
        items = [x if isinstance(x, At) else At(None, x) for x in requests]
        groups = [items[at : at + GROUP_MAX] for at in range(0, len(items), GROUP_MAX)]
        if len(groups) == 1:
            return await self._group(groups[0])
        asked = [asyncio.ensure_future(self._group(group)) for group in groups]
        try:
            return [answer for answers in await asyncio.gather(*asked) for answer in answers]
        except asyncio.CancelledError:  # what was answered already is given up, too
            for group, task in zip(groups, asked, strict=True):
                if task.done() and not task.cancelled() and task.exception() is None:
                    self._writer.give_back(self._kernel, group, task.result())
            raise

    async def _group(self, items: list[At]) -> list[Any]:
        """The answers to what is decided together."""
        others = [item for item in items if not may_be_busy(item)]
        answers = await self._put(items, is_first=len(others) == len(items))
        if answers is not None:
            return answers
        rest = iter(await self._put(others, is_first=True) or () if others else ())
        return [busy_answer(item) if may_be_busy(item) else next(rest) for item in items]

    async def _call(self, work: Callable[[], R], is_kept: bool = False) -> R:
        given = await self._put(work, is_first=True, is_kept=is_kept)
        assert given is not None
        answer: R = given[0]
        return answer

    async def _put(
        self, work: Sequence[At] | Callable[[], Any], is_first: bool, is_kept: bool = False
    ) -> list[Any] | None:
        """The answers; None where the queue is full."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Any]] = loop.create_future()
        waiting = Waiting(kernel=self._kernel, work=work, future=future, loop=loop, is_kept=is_kept)
        if not self._writer.put(waiting, is_first):
            return None
        try:
            return await future
        except asyncio.CancelledError:
            self._writer.give_up(waiting)
            raise


def may_be_busy(item: At) -> bool:
    """Whether a request is refused where the queue is full."""
    return isinstance(item.request, _MAY_BE_BUSY)


def busy_answer(item: At) -> Any:
    """What it is answered then."""
    return answer_refused(item.request, Refused(find("busy")))


def raised(answers: list[Any]) -> list[Any]:
    """The answers, where none of them is an error."""
    return [or_raise(answer) for answer in answers]
