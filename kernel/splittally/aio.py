"""The kernel for asyncio: many tasks, one writer thread, one commit for all who wait.

    async with splittally.aio.open(path) as kernel:
        decision = await kernel.submit(Intent(...))

Rule 1. Everything that waits when a commit ends shares the next one (`runtime/writer.py`).
Rule 2. The queue is bounded: an intent that finds it full is answered `busy` without a record, a
        receipt is never refused.
Rule 3. What a caller gave up is not decided, or what it holds is released as `not_dispatched`. Receipts,
        releases and extensions always go on.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeVar, overload

from splittally.core.errors import SplittallyError
from splittally.core.limits import GROUP_MAX, OPEN_HOLDS_MAX, QUEUE_MAX
from splittally.edge.arguments import Mode, Several, listed, require_natural, require_several
from splittally.edge.hashes import require_hash
from splittally.edge.moments import When
from splittally.edge.records import (
    At,
    Decision,
    Dispatch,
    Extend,
    HoldChange,
    Intent,
    Receipt,
    Release,
    Request,
    Settlement,
)
from splittally.runtime import Kernel, open_world
from splittally.runtime.asking import raised
from splittally.runtime.asking_natives import AskingNatives
from splittally.runtime.awaiting import Awaiting
from splittally.runtime.clock import Clock
from splittally.runtime.lineage import Level
from splittally.runtime.queries import Queries
from splittally.runtime.requests import RECEIPTS, REQUESTS, Answered, Change, asked_of
from splittally.runtime.rows import Row
from splittally.runtime.writer import Writer

R = TypeVar("R")


class AsyncKernel(AskingNatives, Awaiting):
    """The asyncio twin of `splittally.Kernel`: the same methods, awaited."""

    async def __aenter__(self) -> "AsyncKernel":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trail: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Answer what is queued, then close the world."""
        await asyncio.to_thread(self._writer.close)
        self._kernel.close()

    def as_principal(self, name: str) -> "AsyncKernel":
        """A view that may use only the grants `name` holds."""
        return AsyncKernel(self._kernel.as_principal(name), self._writer)

    @property
    def principal(self) -> str:
        """For whom this kernel acts."""
        return self._kernel.principal

    @property
    def repairs(self) -> tuple[str, ...]:
        """What opening had to rebuild, and why."""
        return self._kernel.repairs

    @property
    def state(self) -> Queries:
        """Read-only queries; they wait for the group that is being decided."""
        return self._kernel.state

    @overload
    async def submit(self, intent: Intent, mode: Mode = "each", now_ns: int | None = None) -> Decision: ...
    @overload
    async def submit(
        self, intent: Several[Intent], mode: Literal["first"], now_ns: int | None = None
    ) -> Decision: ...
    @overload
    async def submit(
        self, intent: Several[Intent], mode: Literal["each", "all"] = "each", now_ns: int | None = None
    ) -> list[Decision]: ...
    async def submit(
        self, intent: Intent | Several[Intent], mode: Mode = "each", now_ns: int | None = None
    ) -> Any:
        """A `Decision`, or a list of them for a list; see `Kernel.submit`."""
        asked = asked_of(intent, mode, now_ns)
        if isinstance(asked, At):
            return await self._request(asked)
        return raised(await self._together(asked))

    @overload
    async def settle(self, receipt: Receipt, now_ns: int | None = None) -> Settlement: ...
    @overload
    async def settle(self, receipt: Several[Receipt], now_ns: int | None = None) -> list[Settlement]: ...
    async def settle(self, receipt: Receipt | Several[Receipt], now_ns: int | None = None) -> Any:
        """A `Settlement`, or a list of them for a list."""
        if isinstance(receipt, Receipt):
            return await self._request(At(now_ns, receipt))
        receipts = listed(receipt, Receipt, RECEIPTS)
        return raised(await self._together([At(now_ns, each) for each in receipts]))

    async def release(
        self,
        intent_hash: bytes | str,
        cause: str = "cancel",
        order: str | None = None,
        now_ns: int | None = None,
        attempt: bytes | None = None,
    ) -> HoldChange:
        """End a hold without a receipt; what was dispatched needs the `attempt` that started it."""
        if cause == "governance":
            answer = await self._call(
                lambda: self._kernel.release(intent_hash, cause, order, now_ns), is_kept=True
            )
        else:
            request = Release(require_hash(intent_hash), cause, order, attempt)
            answer = await self._request(At(now_ns, request))
        assert isinstance(answer, HoldChange)
        return answer

    async def dispatch(
        self, intent_hash: bytes | str, attempt: bytes, now_ns: int | None = None
    ) -> HoldChange:
        """Start the effect of an open hold; the first attempt wins. Given up, it is called off again."""
        answer = await self._request(At(now_ns, Dispatch(require_hash(intent_hash), attempt)))
        assert isinstance(answer, HoldChange)
        return answer

    async def extend(
        self, intent_hash: bytes | str, expires_ns: int, now_ns: int | None = None
    ) -> HoldChange:
        """Move a hold's expiry."""
        answer = await self._request(At(now_ns, Extend(require_hash(intent_hash), expires_ns)))
        assert isinstance(answer, HoldChange)
        return answer

    async def health(self) -> Row:
        """How the clock and the files of this world are."""
        return await self._call(self._kernel.health)

    async def decide(self, intent: Intent, now_ns: int | None = None) -> Decision:
        """What `submit` would answer now, with nothing written."""
        return await self._call(lambda: self._kernel.decide(intent, now_ns))

    async def tick(self, now_ns: int | None = None) -> int:
        """Work through what is due by now."""
        return await self._call(lambda: self._kernel.tick(now_ns))

    async def outcome(self, intent_hash: bytes | str) -> Row | None:
        """What happened to an intent."""
        return await self._call(lambda: self._kernel.outcome(intent_hash))

    async def trace(
        self,
        target: bytes | str | int,
        resource: str | None = None,
        depth: int | None = None,
        limit: int | None = None,
    ) -> list[Level]:
        """Where value came from, level by level; see `Kernel.trace`."""
        return await self._call(lambda: self._kernel.trace(target, resource, depth, limit))

    async def at(self, moment: When) -> Queries:
        """Queries on the state at a past moment; see `Kernel.at`."""
        return await self._call(lambda: self._kernel.at(moment))

    async def upgrade(self) -> int | None:
        """Record the caps, kinds and modules of this release; the frame, None where they stand already."""
        return await self._call(self._kernel.upgrade, is_kept=True)

    async def fork(self) -> "AsyncKernel":
        """A what-if over a copy of this world, with a thread of its own; close it as any other."""
        copied = await self._call(self._kernel.fork)
        return AsyncKernel(copied, Writer(QUEUE_MAX))

    @overload
    async def run(self, requests: Several[Intent | At[Intent]]) -> list[Decision]: ...
    @overload
    async def run(self, requests: Several[Receipt | At[Receipt]]) -> list[Settlement | SplittallyError]: ...
    @overload
    async def run(self, requests: Several[Change | At[Change]]) -> list[HoldChange | SplittallyError]: ...
    @overload
    async def run(self, requests: Several[Request | At[Request]]) -> list[Answered]: ...
    async def run(self, requests: Several[Any]) -> list[Any]:
        """Answers to requests of any kind, in order."""
        return await self._together(require_several(requests, REQUESTS))

    @overload
    def stream(self, requests: Several[Intent | At[Intent]]) -> AsyncIterator[list[Decision]]: ...
    @overload
    def stream(self, requests: Several[Request | At[Request]]) -> AsyncIterator[list[Answered]]: ...
    def stream(self, requests: Several[Any]) -> AsyncIterator[list[Any]]:
        """`run` group by group: the next group is asked when the one before was taken."""
        return self._groups(iter(require_several(requests, REQUESTS)))

    async def _groups(self, requests: Iterator[Any]) -> AsyncIterator[list[Any]]:
        while group := list(islice(requests, GROUP_MAX)):
            yield await self.run(group)


class Opening:
    """What `open` gives: await it, or use it as an asynchronous context."""

    def __init__(self, make: Callable[[], Kernel], queue_max: int) -> None:
        self._make = make
        self._queue_max = queue_max
        self._kernel: AsyncKernel | None = None

    def __await__(self) -> Generator[Any, None, AsyncKernel]:
        return self._open().__await__()

    async def __aenter__(self) -> AsyncKernel:
        self._kernel = await self._open()
        return self._kernel

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trail: TracebackType | None
    ) -> None:
        if self._kernel is not None:
            await self._kernel.close()

    async def _open(self) -> AsyncKernel:
        kernel = await asyncio.to_thread(self._make)
        return AsyncKernel(kernel, Writer(self._queue_max))


def open(
    path: str | Path | None = None,
    clock: Clock | None = None,
    queue_max: int = QUEUE_MAX,
    *,
    create: bool = True,
    open_max: int = OPEN_HOLDS_MAX,
    lock_seconds: float | None = None,
    entropy: Callable[[int], bytes] | None = None,
) -> Opening:
    """The world at `path` for asyncio: `await aio.open(...)` or `async with aio.open(...)`.

    `queue_max` bounds the intents that wait; the other arguments are those of `splittally.open`.
    """
    require_natural(queue_max, "queue_max")

    def make() -> Kernel:
        return open_world(
            path, clock, create=create, open_max=open_max, lock_seconds=lock_seconds, entropy=entropy
        )

    return Opening(make, queue_max)
