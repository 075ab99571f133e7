"""The table of endings: whatever becomes of an effect, what the kernel is told and what the host gets.

Rule 1. Each way to end has one row, and the rows are all there are: what fits no other row of its part is
        `unknown`. Spec/16-client.md shows this table, and every row of it has a test of both colours.
Rule 2. Before the act nothing is told, but where a hold of ours would be left that nobody knows of.
Rule 3. After it began, only who knows that nothing happened releases: `NotDone` alone. Whoever cannot know
        says `unknown`, whose reserve stays held until somebody who knows tells.
Rule 4. A pause is no ending: the hold stays as it is.
Rule 5. An exception counts with what it was explicitly raised from, and a group with all that is in it:
        where these differ the group is `unknown`.

    with client.effect("mail.send", {"to": "ann"}, grant="mail") as call:
        raise smtp.Refused()     raised        the receipt says `error`, and smtp.Refused goes on
        raise NotDone()          not_done      released, and NotDone goes on
        raise TimeoutError()     timed_out     the receipt says `unknown`, and TimeoutError goes on
"""

import asyncio
from collections.abc import Iterator
from typing import NamedTuple

from splittally.client.errors import NotDone

NOTHING, OK, ERROR, NOT_DISPATCHED = "", "ok", "error", "not_dispatched"
UNKNOWN = "unknown"

ASKED, ACTED, TOLD = "before the act", "the act", "telling it"


Pauses = tuple[type[BaseException] | str, ...]  # by class, or by the full name of one


class Ending(NamedTuple):
    """A row: when it is met, what happened, what the kernel is told, and what the host gets."""

    name: str
    when: str
    happened: str
    told: str
    host: str


ENDINGS = (
    Ending("refused", ASKED, "the answer is deny, defer or escalate", NOTHING, "`Refused`"),
    Ending("waits", ASKED, "an approval is wanted, and none came in time", NOTHING, "`Waiting`"),
    Ending("not_approved", ASKED, "it was rejected or released while it waited", NOTHING, "`NotApproved`"),
    Ending("ended_before", ASKED, "the intent of this key has ended, perhaps done", NOTHING, "`AlreadyDone`"),
    Ending("started_before", ASKED, "another attempt started it, or won the dispatch", NOTHING, "`NotYours`"),
    Ending("not_asked", ASKED, "the kernel is down or cannot be reached", NOTHING, "the error"),
    Ending("given_up", ASKED, "cancelled or interrupted while asking", NOT_DISPATCHED, "the exception"),
    Ending("returned", ACTED, "the body ended", OK, "the value"),
    Ending("raised", ACTED, "an exception", ERROR, "the exception"),
    Ending("not_done", ACTED, "`NotDone`: nothing happened", NOT_DISPATCHED, "the exception"),
    Ending("timed_out", ACTED, "a time-out or a lost connection", UNKNOWN, "the exception"),
    Ending("cancelled", ACTED, "cancelled, interrupted, exiting, or any other end", UNKNOWN, "the exception"),
    Ending("paused", ACTED, "an exception that is registered as a pause", NOTHING, "the exception"),
    Ending("mixed", ACTED, "a group of exceptions of several rows", UNKNOWN, "the exception"),
    Ending("said_unknown", ACTED, "`call.unknown()`, however the body ends", UNKNOWN, "what it is without"),
    Ending("misreported", ACTED, "what `call` was told cannot be read", UNKNOWN, "`InvalidInput`"),
    Ending("abandoned", ACTED, "a decorated stream was closed before its end", OK, "nothing: it is closed"),
    Ending("late", TOLD, "the hold had ended: charged once, as `late`", NOTHING, "the value"),
    Ending("told_before", TOLD, "somebody told it before: `duplicate`", NOTHING, "the value"),
    Ending("not_told", TOLD, "the kernel could not be told", NOTHING, "`SettleFailed`, or the exception"),
)  # fmt: skip
ROWS = {ending.name: ending for ending in ENDINGS}

# Classes of clients whose errors say that the connection, or the time, was lost. They are known by name, so
# that none of these packages is needed: httpx, requests, urllib3, aiohttp, botocore, websockets, providers.
LOST = frozenset(
    {
        "APIConnectionError", "ClientConnectionError", "ClientPayloadError", "ConnectTimeoutError",
        "ConnectionClosed", "ConnectionClosedError", "ConnectionError", "DeadlineExceeded", "IncompleteRead",
        "MaxRetryError", "ProtocolError", "ReadTimeoutError", "ServerTimeoutError", "Timeout", "TimeoutError",
        "TimeoutException", "TransportError",
    }
)  # fmt: skip
# Exceptions with which frameworks stop a run that goes on later, by the full name of their class.
PAUSES: Pauses = (
    "langgraph.errors.GraphBubbleUp",
    "pydantic_ai.exceptions.ApprovalRequired",
    "pydantic_ai.exceptions.CallDeferred",
)


def ending_of(happened: BaseException | None, pauses: Pauses) -> Ending:
    """The row of how a body ended: with this exception, or with none."""
    if happened is None:
        return ROWS["returned"]
    found = {name for error in _leaves(happened) for name in [_row_of(error, pauses)]}
    return ROWS[found.pop() if len(found) == 1 else "mixed"]


def tell_once(happened: BaseException) -> None:
    """Mark every `NotDone` in this as told: around the call that it left, things may have happened."""
    for error in _leaves(happened):
        if isinstance(error, NotDone):
            error.is_told = True


def _row_of(error: BaseException, pauses: Pauses) -> str:
    if _is_one_of(error, pauses):
        return "paused"
    if isinstance(error, NotDone) and not error.is_told:
        return "not_done"
    if any(_is_lost(each) for each in _raised_from(error)):
        return "timed_out"
    is_plain = isinstance(error, Exception) and not isinstance(error, asyncio.CancelledError)
    return "raised" if is_plain else "cancelled"


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """The exceptions of a group, at any depth; else the one."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error


def _raised_from(error: BaseException) -> Iterator[BaseException]:
    """It and what it was explicitly raised from, each once. What was merely being handled does not count:
    the body may stand in an `except` of its own."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield from _leaves(cause)
        cause = cause.__cause__


def _is_lost(error: BaseException) -> bool:
    is_own = isinstance(error, TimeoutError | ConnectionError)
    return is_own or any(kind.__name__ in LOST for kind in type(error).__mro__)


def _is_one_of(error: BaseException, pauses: Pauses) -> bool:
    named = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}
    return any(pause in named if isinstance(pause, str) else isinstance(error, pause) for pause in pauses)
