"""How a task of asyncio waits for what others do to a world: `waits.py`, without holding a thread.

Rule 1. A commit rings a bell in the task's loop; what it is told then it asks through the writer's queue.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from functools import partial

from splittally.core.errors import KernelStopped
from splittally.edge.arguments import require
from splittally.edge.hashes import require_hash
from splittally.runtime.asking import Asking
from splittally.runtime.record import Record
from splittally.runtime.rows import Row
from splittally.runtime.waits import PAUSE_SECONDS_MAX, Patience
from splittally.runtime.world import World


class Awaiting(Asking):
    """A kernel whose commits tasks wait for."""

    async def wait(
        self, intent_hash: bytes | str, timeout_s: float | None = None, *, ended: bool = False
    ) -> Row | None:
        """The outcome of an intent once it no longer waits for approval; see `Kernel.wait`."""
        digest, world = require_hash(intent_hash), self._kernel._world
        await wait_async(Patience(world, digest, timeout_s, ended), world, digest, self._tick)
        return await self._call(lambda: self._kernel.outcome(digest))

    async def watch(self, after_seq: int = -1) -> AsyncIterator[Record]:
        """The durable frames after `after_seq`, verified, as they come; see `Kernel.watch`."""
        require(after_seq, int, "after_seq", "the sequence of a frame")
        seq, world, bell = max(-1, after_seq), self._kernel._world, Bell()
        with world.signals.waking(bell.ring):
            while not world.is_closed:
                try:
                    found = await self._call(partial(self._kernel._records_after, seq))
                except KernelStopped:  # it is being closed, unless it could not go on
                    if world.stopped:
                        raise
                    return
                for record in found:
                    seq = record.seq
                    yield record
                if not found:
                    await bell.heard(PAUSE_SECONDS_MAX)

    async def _tick(self) -> int:
        return await self._call(self._kernel.tick)


async def wait_async(
    patience: Patience, world: World, intent_hash: bytes, tick: Callable[[], Awaitable[object]]
) -> None:
    """The same for a task; `tick` gives something to await."""
    bell = Bell()
    while not patience.is_over(phase := patience.phase):
        with world.signals.waking(bell.ring, intent_hash, phase):
            is_still = patience.phase == phase and not world.is_closed
            if is_still and not await bell.heard(patience.pause_s()):
                await tick()
        if world.is_closed:
            return


class Bell:
    """Wakes one task from any thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    def ring(self) -> None:
        """Wake the task; a loop that is gone waits for nothing."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._event.set)

    async def heard(self, timeout_s: float) -> bool:
        """Whether it rang since it was last heard, or does in this time."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._event.wait(), timeout_s)
        has_rung = self._event.is_set()
        self._event.clear()
        return has_rung
