"""What is current where a call is made: the client, the call, the labels.

Rule 1. Each is of a context, as `contextvars` has them: a task sees what was current where it was made, and
        a new thread starts with none.
Rule 2. Where no client is current the only one that is open in the process is meant; of several, none.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token

from splittally.client.call import Call
from splittally.client.errors import NoClient
from splittally.client.session import Session

_NO_LABELS: Mapping[str, str] = {}
_session: ContextVar[Session | None] = ContextVar("splittally_client", default=None)
_call: ContextVar[Call | None] = ContextVar("splittally_call", default=None)
_labels: ContextVar[Mapping[str, str]] = ContextVar("splittally_labels", default=_NO_LABELS)
_open: list[Session] = []
_lock = threading.Lock()


@contextmanager
def labels(**named: str) -> Iterator[None]:
    """While this lasts, every effect that is asked for here has these labels, beside those around it."""
    token = _labels.set({**_labels.get(), **named})
    try:
        yield
    finally:
        _labels.reset(token)


def current_labels() -> Mapping[str, str]:
    """The labels that are in force here."""
    return _labels.get()


@contextmanager
def acting(call: Call) -> Iterator[None]:
    """While this lasts, `call` is the current call."""
    token = _call.set(call)
    try:
        yield
    finally:
        _call.reset(token)


def current_call() -> Call:
    """The call whose decorated body runs here, to say what was used; `NoClient` outside of one."""
    call = _call.get()
    if call is None:
        raise NoClient("no decorated effect runs here: `current_call` is for bodies of decorated functions")
    return call


def enter(session: Session, is_current: bool) -> Token[Session | None] | None:
    """Count a client as open, and make it current here where that is wanted."""
    with _lock:
        _open.append(session)
    return _session.set(session) if is_current else None


def leave(session: Session, token: Token[Session | None] | None) -> None:
    """It is open no more, and what was current before is again."""
    with _lock:
        _open[:] = [each for each in _open if each is not session]
    if token is not None:
        try:
            _session.reset(token)
        except ValueError:  # it is left in another context than it was entered in
            _session.set(None)


def current_session() -> Session:
    """The client that is current here; `NoClient` where none is, or several are open."""
    found = _session.get()
    if found is not None and any(each is found for each in _open):
        return found
    with _lock:
        if len(_open) == 1:
            return _open[0]
        count = len(_open)
    why = f"{count} are open: say `client.effect`" if count else "open one with `with connect(...)`"
    raise NoClient(f"no client is current here; {why}")
