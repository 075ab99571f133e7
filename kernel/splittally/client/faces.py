"""The two faces of a client, for threads and for tasks of asyncio: one session, one writer, the same names.

Rule 1. `effect` is all that most hosts need. The rest hands through what an adapter of a framework asks
        for: answers as the kernel gives them, errors raised.
Rule 2. Either face gives the other (`client.aio`, `client.sync`), and closing one closes both.
"""

from collections.abc import Sequence
from typing import Any, Unpack

from splittally.client.connection import Recorded, drive, drive_async
from splittally.client.context import leave
from splittally.client.course import tell_again
from splittally.client.effect import Effect, Options, Params, Wish
from splittally.client.session import Session
from splittally.edge.hashes import require_hash
from splittally.edge.records import (
    At,
    Decision,
    Dispatch,
    HoldChange,
    Intent,
    Receipt,
    Release,
    Settlement,
)
from splittally.runtime.answers import or_raise


class Face:
    """What both faces have: no I/O."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def principal(self) -> str:
        """For whom this client asks."""
        return self._session.link.principal

    @property
    def unsettled(self) -> tuple[Receipt | Release, ...]:
        """What the kernel could not be told yet, oldest first; it is told with the next effect."""
        return self._session.notes.unsettled

    def effect(
        self, kind: str, params: Params | None = None, *, grant: str, **options: Unpack[Options]
    ) -> Effect:
        """An effect, to be entered with `with` or `async with`, or to decorate what acts.

        `params` of a decorator are the arguments of the call, or what this function makes of them. What else
        may be said, such as a `key`, is in `Options`.
        """
        return Effect(Wish(kind, params, grant, **options), self._session)


class Client(Face):
    """A client for threads."""

    @property
    def aio(self) -> "AsyncClient":
        """The same client for tasks of asyncio."""
        return AsyncClient(self._session)

    def close(self) -> None:
        """Tell what is left to tell and let go of the kernel; `SettleFailed` where something cannot be
        told.
        """
        leave(self._session, None)
        self._session.close()

    def settle_again(self) -> None:
        """Tell what could not be told now; `SettleFailed` where something still cannot."""
        drive(tell_again(self._session.notes), self._session.link.threads)

    def wait(self, intent_hash: bytes | str, timeout_s: float | None = None) -> Recorded | None:
        """What is recorded of an intent, once it no longer waits for approval or the time is over."""
        return self._session.link.threads.wait(require_hash(intent_hash), timeout_s)

    def outcome(self, intent_hash: bytes | str) -> Recorded | None:
        """What is recorded of an intent."""
        return self._session.link.threads.outcome(require_hash(intent_hash))

    def submit(self, intent: Intent) -> Decision:
        """The kernel's answer to an intent."""
        answer: Decision = self._one(intent)
        return answer

    def dispatch(self, intent_hash: bytes | str, attempt: bytes) -> HoldChange:
        """Start an effect; one attempt wins."""
        answer: HoldChange = self._one(Dispatch(require_hash(intent_hash), attempt))
        return answer

    def settle(self, receipt: Receipt) -> Settlement:
        """Tell what became of an effect."""
        answer: Settlement = self._one(receipt)
        return answer

    def release(
        self, intent_hash: bytes | str, cause: str = "cancel", attempt: bytes | None = None
    ) -> HoldChange:
        """End a hold without a receipt."""
        answer: HoldChange = self._one(Release(require_hash(intent_hash), cause, attempt=attempt))
        return answer

    def approve(self, intent_hash: bytes | str, reasons: Sequence[str] | None = None) -> Decision:
        """Approve an intent that waits."""
        return self._session.link.threads.approve(require_hash(intent_hash), reasons)

    def reject(self, intent_hash: bytes | str) -> Decision:
        """Reject an intent that waits."""
        return self._session.link.threads.reject(require_hash(intent_hash))

    def _one(self, request: Any) -> Any:
        (answer,) = self._session.link.threads.run([At(None, request)])
        return or_raise(answer)


class AsyncClient(Face):
    """A client for tasks of asyncio."""

    @property
    def sync(self) -> Client:
        """The same client for threads."""
        return Client(self._session)

    async def close(self) -> None:
        """Tell what is left to tell and let go of the kernel; `SettleFailed` where something cannot be
        told.
        """
        leave(self._session, None)
        await self._session.close_async()

    async def settle_again(self) -> None:
        """Tell what could not be told now; `SettleFailed` where something still cannot."""
        await drive_async(tell_again(self._session.notes), self._session.link.tasks)

    async def wait(self, intent_hash: bytes | str, timeout_s: float | None = None) -> Recorded | None:
        """What is recorded of an intent, once it no longer waits for approval or the time is over."""
        return await self._session.link.tasks.wait(require_hash(intent_hash), timeout_s)

    async def outcome(self, intent_hash: bytes | str) -> Recorded | None:
        """What is recorded of an intent."""
        return await self._session.link.tasks.outcome(require_hash(intent_hash))

    async def submit(self, intent: Intent) -> Decision:
        """The kernel's answer to an intent."""
        answer: Decision = await self._one(intent)
        return answer

    async def dispatch(self, intent_hash: bytes | str, attempt: bytes) -> HoldChange:
        """Start an effect; one attempt wins."""
        answer: HoldChange = await self._one(Dispatch(require_hash(intent_hash), attempt))
        return answer

    async def settle(self, receipt: Receipt) -> Settlement:
        """Tell what became of an effect."""
        answer: Settlement = await self._one(receipt)
        return answer

    async def release(
        self, intent_hash: bytes | str, cause: str = "cancel", attempt: bytes | None = None
    ) -> HoldChange:
        """End a hold without a receipt."""
        answer: HoldChange = await self._one(Release(require_hash(intent_hash), cause, attempt=attempt))
        return answer

    async def approve(self, intent_hash: bytes | str, reasons: Sequence[str] | None = None) -> Decision:
        """Approve an intent that waits."""
        return await self._session.link.tasks.approve(require_hash(intent_hash), reasons)

    async def reject(self, intent_hash: bytes | str) -> Decision:
        """Reject an intent that waits."""
        return await self._session.link.tasks.reject(require_hash(intent_hash))

    async def _one(self, request: Any) -> Any:
        (answer,) = await self._session.link.tasks.run([At(None, request)])
        return or_raise(answer)
