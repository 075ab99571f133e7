"""A link to a world that this process has open: threads ask its kernel, tasks of asyncio its writer's queue.

Rule 1. Both ask one world: what they wait for shares commits (`runtime/company.py`, `runtime/writer.py`).
Rule 2. A signal that interrupts a thread has what was asked called off, as a cancelled task has.
Rule 3. Nothing is asked from inside of the kernel: a stream that is collected there is told of later.
"""

import asyncio
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from splittally.aio import AsyncKernel
from splittally.client.connection import AsyncConnection, Connection, Recorded
from splittally.core.errors import KernelStopped, SplittallyError, WorldError
from splittally.core.limits import QUEUE_MAX
from splittally.edge.records import At, Decision, Dispatch, Intent, Receipt, Release
from splittally.runtime import Kernel
from splittally.runtime.writer import Writer


class Embedded:
    """Both ways to one open world; `closes` says whether it is closed with this link."""

    def __init__(self, kernel: Kernel, tasks: AsyncKernel | None = None, closes: bool = False) -> None:
        self._kernel = kernel
        self._tasks = tasks
        self._writer: Writer | None = None
        self._closes = closes
        self._lock = threading.Lock()
        self._threads = Threads(kernel)

    @property
    def principal(self) -> str:
        """For whom it asks."""
        return self._kernel.principal

    @property
    def threads(self) -> Connection:
        """The way for threads."""
        return self._threads

    @property
    def tasks(self) -> AsyncConnection:
        """The way for tasks; its thread starts with the first of them."""
        with self._lock:
            if self._tasks is None:
                self._writer = Writer(QUEUE_MAX)
                self._tasks = AsyncKernel(self._kernel, self._writer)
            return Tasks(self._tasks)

    def close(self) -> None:
        """Answer what was asked, and close what was opened for this link."""
        with self._lock:
            if self._writer is not None:
                self._writer.close()
            if self._closes:
                self._kernel.close()

    async def close_async(self) -> None:
        """The same for a task."""
        await asyncio.to_thread(self.close)


class Threads:
    """A kernel as a connection."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def run(self, requests: Sequence[At]) -> list[Any]:
        """The answers in order; what fails has its error as its answer."""
        lock: Any = self._kernel._lock
        if lock._is_owned():  # a collected generator is closed wherever memory was wanted
            raise WorldError("asked from inside of the kernel; it is asked again later")
        size = self._kernel._world.state.size
        try:
            if len(requests) == 1:
                return [self._one(requests[0])]
            answers: list[Any] = self._kernel.run(list(requests))
            return answers
        except Exception:
            raise
        except BaseException:
            with suppress(Exception):
                self._call_off(requests, size)
            raise

    def outcome(self, intent_hash: bytes) -> Recorded | None:
        return self._kernel.outcome(intent_hash)

    def wait(self, intent_hash: bytes, timeout_s: float | None) -> Recorded | None:
        return self._kernel.wait(intent_hash, timeout_s)

    def approve(self, intent_hash: bytes, reasons: Sequence[str] | None) -> Decision:
        return self._kernel.approve(intent_hash, reasons=reasons)

    def reject(self, intent_hash: bytes) -> Decision:
        return self._kernel.reject(intent_hash)

    def _one(self, item: At) -> Any:
        """One request, which shares its commit with those of other threads. Where a thread that decided for
        several was interrupted over this one it is asked again: all but a dispatch may be."""
        try:
            try:
                return self._kernel._one(item)
            except KernelStopped:
                if isinstance(item.request, Dispatch):
                    raise
                return self._kernel._one(item)
        except SplittallyError as error:
            return error

    def _call_off(self, requests: Sequence[At], size: int) -> None:
        """Release what was decided since the journal had this size, or was started, and nobody learns of it;
        receipts and releases go on."""
        for item in requests:
            match item.request:
                case Intent():
                    known = self._kernel.decide(item.request)
                    row = self._kernel.outcome(known.intent_hash) if known.intent_hash else None
                    if row is not None and row.seq >= size:
                        self._kernel.release(row.intent_hash, "not_dispatched")
                case Dispatch(intent_hash, attempt):
                    self._kernel.release(intent_hash, "not_dispatched", attempt=attempt)
                case Receipt() | Release():
                    self._one(item)


class Tasks:
    """A kernel of asyncio as a connection."""

    def __init__(self, kernel: AsyncKernel) -> None:
        self._kernel = kernel

    async def run(self, requests: Sequence[At]) -> list[Any]:
        answers: list[Any] = await self._kernel.run(list(requests))
        return answers

    async def outcome(self, intent_hash: bytes) -> Recorded | None:
        return await self._kernel.outcome(intent_hash)

    async def wait(self, intent_hash: bytes, timeout_s: float | None) -> Recorded | None:
        return await self._kernel.wait(intent_hash, timeout_s)

    async def approve(self, intent_hash: bytes, reasons: Sequence[str] | None) -> Decision:
        return await self._kernel.approve(intent_hash, reasons=reasons)

    async def reject(self, intent_hash: bytes) -> Decision:
        return await self._kernel.reject(intent_hash)
