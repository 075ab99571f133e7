"""What both faces of a client share: the link, the notes, and what holds for every call where it says
nothing.

Rule 1. A cancelled task still tells how its effect ended, before the cancel goes on: the ending is driven
        in a task of its own.
Rule 2. A client that is closed begins nothing; what runs can still be told where the kernel is open.
Rule 3. Closing tells once more what could not be told. What is left then is `SettleFailed`: it is never
        lost in silence.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple

from splittally.client.call import Asked, Call
from splittally.client.connection import Link, drive, drive_async
from splittally.client.course import begin, end, tell_again
from splittally.client.endings import Pauses
from splittally.client.errors import SettleFailed
from splittally.client.notes import Notes
from splittally.core.errors import KernelStopped


class Terms(NamedTuple):
    """What holds for every call of a client that does not say otherwise."""

    adapter_id: str
    labels: Mapping[str, str]
    approval_timeout_s: float | None
    dispatch: bool
    pauses: Pauses


class Session:
    """A link, its notes and its terms."""

    def __init__(self, link: Link, terms: Terms) -> None:
        self.link = link
        self.terms = terms
        self.notes = Notes()
        self.is_closed = False

    def begin(self, asked: Asked) -> Call:
        """A call that may act now."""
        self._require_open()
        return drive(begin(asked, self.notes), self.link.threads)

    def end(self, call: Call, happened: BaseException | None, is_abandoned: bool = False) -> None:
        """Tell how it ended. What the body raised goes on in any case; then a failure to tell is its note."""
        try:
            drive(end(call, happened, self.notes, is_abandoned), self.link.threads)
        except SettleFailed as failed:
            _noted(failed, happened)

    async def begin_async(self, asked: Asked) -> Call:
        """A call that may act now."""
        self._require_open()
        return await drive_async(begin(asked, self.notes), self.link.tasks)

    async def end_async(self, call: Call, happened: BaseException | None, is_abandoned: bool = False) -> None:
        """The same for a task, which is cancelled only afterwards."""
        telling = drive_async(end(call, happened, self.notes, is_abandoned), self.link.tasks)
        try:
            await _whole(asyncio.ensure_future(telling))
        except SettleFailed as failed:
            _noted(failed, happened)

    def close(self) -> None:
        """Tell what is left to tell, then let go of the kernel."""
        self.is_closed = True
        try:
            drive(tell_again(self.notes), self.link.threads)
        finally:
            self.link.close()

    async def close_async(self) -> None:
        """The same for a task."""
        self.is_closed = True
        try:
            await _whole(asyncio.ensure_future(drive_async(tell_again(self.notes), self.link.tasks)))
        finally:
            await self.link.close_async()

    def _require_open(self) -> None:
        if self.is_closed:
            raise KernelStopped("this client is closed; connect again")


def _noted(failed: SettleFailed, happened: BaseException | None) -> None:
    if happened is None:
        raise failed
    happened.add_note(str(failed))


async def _whole(task: "asyncio.Task[Any]") -> None:
    """Wait for a task to its end; a cancel meanwhile is raised then."""
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            if task.cancelled():
                raise
            cancelled = error
        except BaseException:
            if not task.done():
                raise
    if cancelled is not None:
        if (failure := task.exception()) is not None:
            cancelled.add_note(str(failure))
        raise cancelled
    task.result()
