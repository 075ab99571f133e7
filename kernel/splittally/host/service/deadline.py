"""Until when tasks wait for answers, where all of them wait for equally long.

Rule 1. What waits for equally long falls due in the order in which it was asked: one timer, for the oldest,
        looks after all. A timer for each request costs as much as reading it.
Rule 2. What is late is cancelled, and its task hears `TimeoutError`; where somebody else cancelled it, too,
        it hears that.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

R = TypeVar("R")


class _Waiting:
    """A task that waits, until when, and whether it was told that it is late."""

    __slots__ = ("due", "is_late", "task")

    def __init__(self, task: "asyncio.Task[Any]", due: float) -> None:
        self.task = task
        self.due = due
        self.is_late = False


class Deadline:
    """So many seconds for each thing that is asked within it."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waiting: dict[_Waiting, None] = {}  # the oldest first
        self._timer: asyncio.TimerHandle | None = None

    async def within(self, asked: Awaitable[R]) -> R:
        """What this gives; `TimeoutError` where it takes longer, and it is cancelled."""
        task = asyncio.current_task()
        assert task is not None
        loop = task.get_loop()
        waiting = _Waiting(task, loop.time() + self._seconds)
        self._waiting[waiting] = None
        if self._timer is None:
            self._timer = loop.call_at(waiting.due, self._sweep, loop)
        try:
            return await asked
        except asyncio.CancelledError:
            if waiting.is_late and task.cancelling() == 1:  # by nobody else
                raise TimeoutError from None
            raise
        finally:
            del self._waiting[waiting]
            if waiting.is_late:
                task.uncancel()

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Cancel what is late, and come back when the next is."""
        self._timer, now = None, loop.time()
        for waiting in self._waiting:
            if waiting.due > now:
                self._timer = loop.call_at(waiting.due, self._sweep, loop)
                return
            if not waiting.is_late:
                waiting.is_late = True
                waiting.task.cancel()
