"""An effect as a host writes it: a context around the act, or a decorator of the function that acts.

    with client.effect("mail.send", {"to": "ann"}, grant="mail") as call:
        mail("ann")

    @client.effect("mail.send", grant="mail", key="welcome:{to}")
    def mail(to: str) -> None: ...

Rule 1. As a context it is entered once, with `with` or `async with`, whichever face made it. `params` go
        out as they are, and a key is no template.
Rule 2. As a decorator it may be called as often as one likes: params and key come from each call's
        arguments.
Rule 3. What is said here counts before what the client says; labels are merged, those nearest to the call
        first.
"""

import os
from collections.abc import Callable, Mapping
from types import EllipsisType, TracebackType
from typing import Any, NamedTuple, ParamSpec, TypedDict, TypeVar, Unpack

from splittally.client.arguments import LONG_VALUE_BYTES, Parameters, with_digests
from splittally.client.call import Asked, Call
from splittally.client.context import current_labels, current_session
from splittally.client.decorated import Calls, decorated
from splittally.client.endings import Pauses
from splittally.client.keys import attempt_of, filled, key_bytes, read_template
from splittally.client.session import Session
from splittally.core.errors import InvalidInput
from splittally.core.limits import KEY_BYTES
from splittally.edge.records import Origin
from splittally.runtime import new_attempt

P = ParamSpec("P")
R = TypeVar("R")
Params = Mapping[str, Any] | Callable[[dict[str, Any]], Mapping[str, Any]]


class Options(TypedDict, total=False):
    """What may be said of an effect beside kind, params and grant.

    `key` says which calls are one: 32 bytes or a text, of a decorator a template such as
    `refund:{payment_id}`; without one every call is its own. `used` reads the payload out of what comes back.
    `approval_timeout_s` is how long to wait for an approval: 0 not at all, None for ever. `dispatch` False
    saves the record of the start. `pauses` are exceptions after which the effect goes on later. `leave_out`
    names parameters that are no params, `long_bytes` bounds texts before they become digests. `resumes` is
    the attempt that a pause left (`call.attempt`), where another process goes on.
    """

    key: str | bytes | None
    labels: Mapping[str, str] | None
    used: Callable[[Any], Any] | None
    approval_timeout_s: float | EllipsisType | None
    dispatch: bool | None
    pauses: Pauses
    leave_out: tuple[str, ...]
    long_bytes: int | None
    origin: Origin | None
    expires_ns: int | None
    resumes: bytes | None


class Wish(NamedTuple):
    """All that is said of an effect where it is written, with what stands where nothing is said."""

    kind: str
    params: Params | None
    grant: str
    key: str | bytes | None = None
    labels: Mapping[str, str] | None = None
    used: Callable[[Any], Any] | None = None
    approval_timeout_s: float | EllipsisType | None = ...
    dispatch: bool | None = None
    pauses: Pauses = ()
    leave_out: tuple[str, ...] = ()
    long_bytes: int | None = LONG_VALUE_BYTES
    origin: Origin | None = None
    expires_ns: int | None = None
    resumes: bytes | None = None

    def asked(self, session: Session, params: Any, key: str | bytes | None) -> Asked:
        """All that one call asks for."""
        terms, timeout_s = session.terms, self.approval_timeout_s
        dispatch = terms.dispatch if self.dispatch is None else self.dispatch
        sealed = os.urandom(KEY_BYTES) if key is None else key_bytes(key)
        return Asked(
            kind=self.kind,
            params=params,
            grant=self.grant,
            key=sealed,
            attempt=attempt_of(sealed) if dispatch else new_attempt(),
            labels={**terms.labels, **current_labels(), **(self.labels or {})},
            adapter_id=terms.adapter_id,
            approval_timeout_s=terms.approval_timeout_s if isinstance(timeout_s, EllipsisType) else timeout_s,
            dispatch=dispatch,
            pauses=(*self.pauses, *terms.pauses),
            origin=self.origin,
            expires_ns=self.expires_ns,
            resumes=self.resumes,
        )


class Effect:
    """One effect of a client; without one, of the client that is current when it begins."""

    def __init__(self, wish: Wish, session: Session | None) -> None:
        self._wish = wish
        self._session = session
        self._begun: tuple[Session, Call | None] | None = None

    def __enter__(self) -> Call:
        session, asked = self._once()
        call = session.begin(asked)
        self._begun = session, call
        return call

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trail: TracebackType | None
    ) -> None:
        session, call = self._now()
        session.end(call, error)

    async def __aenter__(self) -> Call:
        session, asked = self._once()
        call = await session.begin_async(asked)
        self._begun = session, call
        return call

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trail: TracebackType | None
    ) -> None:
        session, call = self._now()
        await session.end_async(call, error)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """The function, asked for and told of at each call; its signature stays."""
        if self._begun is not None or not callable(function):
            raise InvalidInput("an effect decorates a function, before it is entered", field="function")
        return decorated(function, _calls_of(self._wish, self._session, function))

    def _once(self) -> tuple[Session, Asked]:
        if self._begun is not None:
            raise InvalidInput(
                "an effect is entered once: write `client.effect(...)` at each act", field="effect"
            )
        wish, session = self._wish, self._session or current_session()
        if callable(wish.params) or wish.used is not None or wish.leave_out:
            raise InvalidInput(
                "`params` that are made, `used` and `leave_out` are a decorator's", field="effect"
            )
        asked = wish.asked(session, {} if wish.params is None else wish.params, wish.key)
        self._begun = session, None
        return session, asked

    def _now(self) -> tuple[Session, Call]:
        assert self._begun is not None
        session, call = self._begun
        assert call is not None
        return session, call


def effect(kind: str, params: Params | None = None, *, grant: str, **options: Unpack[Options]) -> Effect:
    """An effect of whichever client is current when it begins; see `Client.effect`."""
    return Effect(Wish(kind, params, grant, **options), None)


def _calls_of(wish: Wish, session: Session | None, function: Callable[..., Any]) -> Calls:
    """How the calls of a function become what is asked for."""
    parameters = Parameters(function, wish.leave_out)
    holes = read_template(wish.key, parameters.names) if isinstance(wish.key, str) else None

    def asked(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Session, Asked]:
        arguments = parameters.of(args, kwargs)
        key = wish.key if holes is None else filled(holes, arguments)
        shown: Any = with_digests(arguments, wish.long_bytes)
        if callable(wish.params):
            shown = wish.params(shown)
        elif wish.params is not None:
            shown = wish.params
        current = session or current_session()
        return current, wish.asked(current, shown, key)

    return Calls(asked, wish.used)
