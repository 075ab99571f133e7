"""What every way to a service has in common: its bounds, what fits into a frame, how answers are read.

Rule 1. A request that has no bytes has its error as its answer; the others are asked.
Rule 2. A wait is asked in slices, each as long as a service waits.
"""

import select
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from splittally.core.errors import InvalidInput, SplittallyError
from splittally.core.limits import GROUP_MAX
from splittally.core.types import APPROVAL
from splittally.edge.records import At
from splittally.runtime.rows import Row
from splittally.wire.documents import Document
from splittally.wire.errors import AnswerLost, error_of
from splittally.wire.frames import FRAME_BYTES_MAX

ANSWER_SECONDS = 60.0  # the service itself gives up earlier, and says so
ANSWER_BYTES_MAX = 64 * 1024 * 1024  # a page of rows, each as large as they are
ARRAY_BYTES_MAX = FRAME_BYTES_MAX - 16  # the head of a frame, and that of an array
WAIT_SLICE_SECONDS = 30.0  # of a longer wait, asked again and again: a service waits for a minute at most
PIECE_BYTES = 1 << 18


def encoded(
    asked: Sequence[Any], encode: Callable[[Any], bytes], told: Callable[[SplittallyError, Any], Any]
) -> tuple[list[Any], list[tuple[int, bytes]]]:
    """Room for the answers, and what can be sent, each with its place; `told` answers what cannot."""
    answers: list[Any] = [None] * len(asked)
    sendable: list[tuple[int, bytes]] = []
    for place, each in enumerate(asked):
        try:
            sendable.append((place, encode(each)))
        except SplittallyError as error:
            answers[place] = told(error, each)
    return answers, sendable


def itself(error: SplittallyError, asked: At) -> SplittallyError:
    """An error as the answer to a request."""
    return error


def or_raise(document: Any) -> Any:
    """What was answered, unless it is a problem."""
    if type(document) is dict and "problem" in document:
        raise error_of(document["problem"])
    return document


@contextmanager
def nothing_where_missing() -> Iterator[None]:
    """What is looked at may be missing: then nothing comes of it."""
    try:
        yield
    except SplittallyError as error:
        if error.code != "not_found":
            raise


def slices(timeout_s: float | None) -> Iterator[float]:
    """How long each slice of a wait is, until time is up."""
    until = None if timeout_s is None else time.monotonic() + timeout_s
    while True:
        left_s = WAIT_SLICE_SECONDS if until is None else max(0.0, until - time.monotonic())
        yield min(left_s, WAIT_SLICE_SECONDS)
        if until is not None and left_s <= WAIT_SLICE_SECONDS:
            return


def is_gone(connection: socket.socket) -> bool:
    """Whether a connection on which nothing is on its way was ended from the other side."""
    looking = select.poll()
    looking.register(connection, select.POLLIN)
    return bool(looking.poll(0))


def is_awaited(row: Row, ended: bool) -> bool:
    """Whether what is waited for is still to come."""
    return bool(row["phase"]) if ended else row["phase"] == APPROVAL


def row_of(document: Document | None) -> Row | None:
    """An outcome as the kernel gives it, its hashes as bytes."""
    if document is None:
        return None
    named = {name: bytes.fromhex(document[name]) for name in ("intent_hash", "attempt") if document.get(name)}
    return Row({**document, **named})


def within_a_frame(data: bytes) -> bytes:
    """The bytes of a request, where a frame takes them."""
    if len(data) > ARRAY_BYTES_MAX:
        text = f"a request to a service has at most {ARRAY_BYTES_MAX} bytes"
        raise InvalidInput(text, bytes_max=ARRAY_BYTES_MAX)
    return data


def arrays(sendable: list[tuple[int, bytes]]) -> Iterator[list[tuple[int, bytes]]]:
    """What fits into one frame, and into one commit."""
    several: list[tuple[int, bytes]] = []
    size = 0
    for place, data in sendable:
        if several and (len(several) == GROUP_MAX or size + len(data) > ARRAY_BYTES_MAX):
            yield several
            several, size = [], 0
        several.append((place, data))
        size += len(data)
    if several:
        yield several


def lost(hung_up: bool) -> AnswerLost:
    """The answer did not come: the service was gone, or time was up."""
    how = "the service was gone" if hung_up else "time was up"
    text = (
        f"{how} before the answer came, so this was done or was not: look with `tally log` and `tally outcome"
    )
    return AnswerLost(f"{text} HASH`, or send it again where it has a key", hung_up=hung_up)
