"""The seam between a client and a kernel: what is asked over it, in two colours, and who drives a course.

Rule 1. A `Link` is one way to one kernel for one principal; its two connections ask the same writer.
Rule 2. What a request is answered stands in its place in the list; a request that fails has its error
        there. A connection that fails itself raises, and then nothing is known of any of them.
Rule 3. Who gives up, cancelled or interrupted, has what was asked called off: an intent is not decided, or
        what it holds is released; a dispatch is taken back. Receipts, releases and extensions always go on.
Rule 4. A course is a generator that yields questions and is sent their answers. All logic is in courses, so
        the two drivers below are the only lines that exist in two colours.
"""

import asyncio
import time
from collections.abc import Generator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar, assert_never, runtime_checkable

from splittally.edge.records import At, Decision

T = TypeVar("T")
Recorded = Mapping[str, Any]  # a row of `outcome`


class Run(NamedTuple):
    """Answer these requests, in order."""

    requests: Sequence[At]


class Look(NamedTuple):
    """What is recorded of this intent?"""

    intent_hash: bytes


class Wait(NamedTuple):
    """The same, once it no longer waits for an approval or the time is over; None waits for ever."""

    intent_hash: bytes
    timeout_s: float | None


class Sleep(NamedTuple):
    """Go on after this time."""

    seconds: float


Question = Run | Look | Wait | Sleep
Course = Generator[Question, Any, T]


class Connection(Protocol):
    """A way to a kernel for threads."""

    def run(self, requests: Sequence[At]) -> list[Any]: ...
    def outcome(self, intent_hash: bytes) -> Recorded | None: ...
    def wait(self, intent_hash: bytes, timeout_s: float | None) -> Recorded | None: ...
    def approve(self, intent_hash: bytes, reasons: Sequence[str] | None) -> Decision: ...
    def reject(self, intent_hash: bytes) -> Decision: ...


class AsyncConnection(Protocol):
    """A way to a kernel for tasks of asyncio."""

    async def run(self, requests: Sequence[At]) -> list[Any]: ...
    async def outcome(self, intent_hash: bytes) -> Recorded | None: ...
    async def wait(self, intent_hash: bytes, timeout_s: float | None) -> Recorded | None: ...
    async def approve(self, intent_hash: bytes, reasons: Sequence[str] | None) -> Decision: ...
    async def reject(self, intent_hash: bytes) -> Decision: ...


@runtime_checkable
class Link(Protocol):
    """Both ways to one kernel, for one principal."""

    @property
    def principal(self) -> str: ...
    @property
    def threads(self) -> Connection: ...
    @property
    def tasks(self) -> AsyncConnection: ...
    def close(self) -> None:
        """Answer what was asked, then let go of what this link opened itself."""

    async def close_async(self) -> None:
        """The same for a task."""


def drive(course: Course[T], connection: Connection) -> T:
    """What a course comes to, in this thread."""
    step = partial(next, course)
    while True:
        try:
            question = step()
        except StopIteration as done:
            ended: T = done.value
            return ended
        try:
            step = partial(course.send, _answer(connection, question))
        except BaseException as error:
            step = partial(course.throw, error)


async def drive_async(course: Course[T], connection: AsyncConnection) -> T:
    """What a course comes to, in this task."""
    step = partial(next, course)
    while True:
        try:
            question = step()
        except StopIteration as done:
            ended: T = done.value
            return ended
        try:
            step = partial(course.send, await _answer_async(connection, question))
        except BaseException as error:
            step = partial(course.throw, error)


def _answer(connection: Connection, question: Question) -> Any:
    match question:
        case Run(requests):
            return connection.run(requests)
        case Look(intent_hash):
            return connection.outcome(intent_hash)
        case Wait(intent_hash, timeout_s):
            return connection.wait(intent_hash, timeout_s)
        case Sleep(seconds):
            return time.sleep(seconds)
    assert_never(question)


async def _answer_async(connection: AsyncConnection, question: Question) -> Any:
    match question:
        case Run(requests):
            return await connection.run(requests)
        case Look(intent_hash):
            return await connection.outcome(intent_hash)
        case Wait(intent_hash, timeout_s):
            return await connection.wait(intent_hash, timeout_s)
        case Sleep(seconds):
            return await asyncio.sleep(seconds)
    assert_never(question)
