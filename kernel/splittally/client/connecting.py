"""`connect`: from a target to a client, with `with` for threads and `async with` for tasks.

Rule 1. Nothing is opened before it is entered or awaited.
Rule 2. While it is entered its client is current, so that decorators of modules find it (`context.py`).
"""

import asyncio
from collections.abc import Callable, Generator, Mapping
from contextvars import Token
from types import TracebackType
from typing import Any

from splittally.client.connection import Link
from splittally.client.context import enter, leave
from splittally.client.endings import PAUSES, Pauses
from splittally.client.errors import SettleFailed
from splittally.client.faces import AsyncClient, Client
from splittally.client.session import Session, Terms
from splittally.client.ways import Target, link_to
from splittally.core.errors import InvalidInput
from splittally.edge.labels import sealed_labels
from splittally.edge.sizes import require_name


class Connecting:
    """What `connect` gives: enter it, `await` it, or `open` it."""

    def __init__(self, make: Callable[[], Link], terms: Terms) -> None:
        self._make = make
        self._terms = terms
        self._session: Session | None = None
        self._token: Token[Session | None] | None = None

    def open(self) -> Client:
        """The client, which its owner closes; it is current nowhere."""
        return Client(self._opened(Session(self._make(), self._terms)))

    def __await__(self) -> Generator[Any, None, AsyncClient]:
        return self._open_async().__await__()

    def __enter__(self) -> Client:
        return Client(self._current(Session(self._make(), self._terms)))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trail: TracebackType | None
    ) -> None:
        session = self._left()
        try:
            session.close()
        except SettleFailed as failed:
            if error is None:
                raise
            error.add_note(str(failed))

    async def __aenter__(self) -> AsyncClient:
        return AsyncClient(self._current(Session(await asyncio.to_thread(self._make), self._terms)))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trail: TracebackType | None
    ) -> None:
        session = self._left()
        try:
            await session.close_async()
        except SettleFailed as failed:
            if error is None:
                raise
            error.add_note(str(failed))

    async def _open_async(self) -> AsyncClient:
        return AsyncClient(self._opened(Session(await asyncio.to_thread(self._make), self._terms)))

    def _opened(self, session: Session) -> Session:
        enter(session, is_current=False)
        return session

    def _current(self, session: Session) -> Session:
        if self._session is not None:
            session.link.close()
            raise InvalidInput("a connection is entered once: write `connect(...)` again", field="connect")
        self._session, self._token = session, enter(session, is_current=True)
        return session

    def _left(self) -> Session:
        assert self._session is not None
        leave(self._session, self._token)
        return self._session


def connect(
    target: Target,
    *,
    principal: str | None = None,
    token: str | None = None,
    adapter_id: str = "client",
    labels: Mapping[str, str] | None = None,
    approval_timeout_s: float | None = 0.0,
    dispatch: bool = True,
    pauses: Pauses = (),
) -> Connecting:
    """A client of the kernel that `target` names: the folder of a world, an open `Kernel` or `AsyncKernel`,
    or the address of a service (`unix:...`, `http...`).

    It acts for `principal`, by default for whom the kernel acts; `token` says it to a service. Receipts name
    `adapter_id`. `labels`, `approval_timeout_s`, `dispatch` and `pauses` hold for every effect that does not
    say otherwise (`Client.effect`).
    """
    require_name("adapter_id", adapter_id)
    terms = Terms(adapter_id, sealed_labels(labels), approval_timeout_s, dispatch, (*pauses, *PAUSES))
    return Connecting(lambda: link_to(target, principal, token), terms)
