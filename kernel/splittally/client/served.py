"""A link to a service: threads each have a connection of their own, tasks share one where it speaks frames.

Rule 1. Connections are kept and used again; what one of them was asked is answered before it is given back.
Rule 2. A task that gives up leaves what it asked to its answer, and what that holds or started is released.
        Over HTTP tasks ask in threads.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, Protocol, TypeVar

from splittally.client.connection import AsyncConnection, Connection, Recorded
from splittally.core.errors import SplittallyError
from splittally.edge.records import At, Decision
from splittally.runtime.undone import taken_back
from splittally.wire.tasks import TaskCalls

R = TypeVar("R")
THREADS_MAX = 64
CLOSE_SECONDS = 5.0


class Asked(Connection, Protocol):
    """A connection that one thread at a time uses."""

    principal: str

    def close(self) -> None:
        """Hang up."""


class Threads:
    """A connection for each thread that asks, out of those that are idle."""

    def __init__(self, make: Callable[[], Asked]) -> None:
        self._make = make
        self._lock = threading.Lock()
        first = make()
        self.principal = first.principal
        self._idle = [first]
        self._is_closed = False

    @contextmanager
    def _one(self) -> Iterator[Asked]:
        with self._lock:
            asked = self._idle.pop() if self._idle else None
        asked = self._make() if asked is None else asked
        try:
            yield asked
        finally:
            with self._lock:
                is_kept = not self._is_closed
                if is_kept:
                    self._idle.append(asked)
            if not is_kept:
                asked.close()

    def run(self, requests: Sequence[At]) -> list[Any]:
        with self._one() as asked:
            return asked.run(requests)

    def outcome(self, intent_hash: bytes) -> Recorded | None:
        with self._one() as asked:
            return asked.outcome(intent_hash)

    def wait(self, intent_hash: bytes, timeout_s: float | None) -> Recorded | None:
        with self._one() as asked:
            return asked.wait(intent_hash, timeout_s)

    def approve(self, intent_hash: bytes, reasons: Sequence[str] | None) -> Decision:
        with self._one() as asked:
            return asked.approve(intent_hash, reasons)

    def reject(self, intent_hash: bytes) -> Decision:
        with self._one() as asked:
            return asked.reject(intent_hash)

    def close(self) -> None:
        """Hang up on all that are idle; the others when they are given back."""
        with self._lock:
            self._is_closed, idle, self._idle = True, self._idle, []
        for asked in idle:
            asked.close()


class GivingBack:
    """Where a task gives up, its answer is awaited, and what that holds or started is released."""

    def __init__(self, run: Callable[[Sequence[At]], Awaitable[list[Any]]]) -> None:
        self._run = run
        self._given_up: set[asyncio.Future[None]] = set()

    async def run(self, requests: Sequence[At]) -> list[Any]:
        """The answers, in order."""
        asked = asyncio.ensure_future(self._run(requests))
        try:
            return await asyncio.shield(asked)
        except asyncio.CancelledError:
            giving = asyncio.ensure_future(self._give_back(requests, asked))
            self._given_up.add(giving)
            giving.add_done_callback(self._given_up.discard)
            raise

    async def _give_back(self, requests: Sequence[At], asked: "asyncio.Future[list[Any]]") -> None:
        with suppress(SplittallyError):  # a service that is gone gives up itself what its callers did
            releases = taken_back(requests, await asked)
            if releases:
                await self._run(releases)

    async def settled(self) -> None:
        """Returns once nothing is left to give back, or after some seconds."""
        if self._given_up:
            await asyncio.wait(self._given_up, timeout=CLOSE_SECONDS)


class FrameTasks:
    """Frames for tasks: one connection for each loop that asks."""

    def __init__(self, make: Callable[[], TaskCalls]) -> None:
        self._make = make
        self._ways: dict[asyncio.AbstractEventLoop, tuple[TaskCalls, GivingBack]] = {}

    def _of_loop(self) -> tuple[TaskCalls, GivingBack]:
        loop = asyncio.get_running_loop()
        if loop not in self._ways:
            self._ways = {x: way for x, way in self._ways.items() if not x.is_closed()}
            calls = self._make()
            self._ways[loop] = (calls, GivingBack(calls.run))
        return self._ways[loop]

    async def run(self, requests: Sequence[At]) -> list[Any]:
        return await self._of_loop()[1].run(requests)

    async def outcome(self, intent_hash: bytes) -> Recorded | None:
        return await self._of_loop()[0].outcome(intent_hash)

    async def wait(self, intent_hash: bytes, timeout_s: float | None) -> Recorded | None:
        return await self._of_loop()[0].wait(intent_hash, timeout_s)

    async def approve(self, intent_hash: bytes, reasons: Sequence[str] | None) -> Decision:
        return await self._of_loop()[0].approve(intent_hash, reasons)

    async def reject(self, intent_hash: bytes) -> Decision:
        return await self._of_loop()[0].reject(intent_hash)

    async def close(self) -> None:
        """Hang up in this loop, once what was given up is given back."""
        way = self._ways.pop(asyncio.get_running_loop(), None)
        if way is not None:
            await way[1].settled()
            way[0].close()

    def let_go(self) -> None:
        """A loop that ends lets go of its connection itself."""


class ThreadTasks:
    """Connections of threads, for tasks."""

    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self._pool = ThreadPoolExecutor(THREADS_MAX, "splittally-client")
        self._giving = GivingBack(lambda requests: self._in_thread(lambda: threads.run(requests)))

    async def run(self, requests: Sequence[At]) -> list[Any]:
        return await self._giving.run(requests)

    async def outcome(self, intent_hash: bytes) -> Recorded | None:
        return await self._in_thread(lambda: self._threads.outcome(intent_hash))

    async def wait(self, intent_hash: bytes, timeout_s: float | None) -> Recorded | None:
        return await self._in_thread(lambda: self._threads.wait(intent_hash, timeout_s))

    async def approve(self, intent_hash: bytes, reasons: Sequence[str] | None) -> Decision:
        return await self._in_thread(lambda: self._threads.approve(intent_hash, reasons))

    async def reject(self, intent_hash: bytes) -> Decision:
        return await self._in_thread(lambda: self._threads.reject(intent_hash))

    async def close(self) -> None:
        """Returns once what was given up is given back."""
        await self._giving.settled()

    def let_go(self) -> None:
        """Begin nothing more."""
        self._pool.shutdown(wait=False)

    async def _in_thread(self, work: Callable[[], R]) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)


class Served:
    """Both ways to one service, for one principal."""

    def __init__(self, make: Callable[[], Asked], tasks: Callable[[], TaskCalls] | None = None) -> None:
        self._threads = Threads(make)
        self._tasks = ThreadTasks(self._threads) if tasks is None else FrameTasks(tasks)

    @property
    def principal(self) -> str:
        """For whom it asks."""
        return self._threads.principal

    @property
    def threads(self) -> Connection:
        """The way for threads."""
        return self._threads

    @property
    def tasks(self) -> AsyncConnection:
        """The way for tasks."""
        return self._tasks

    def close(self) -> None:
        """Hang up."""
        self._tasks.let_go()
        self._threads.close()

    async def close_async(self) -> None:
        """The same, once what tasks gave up is given back."""
        await self._tasks.close()
        self.close()
