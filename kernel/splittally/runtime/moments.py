"""From a past moment to frames: the one place where a time becomes a sequence (spec/08, "A past moment").

Rule 1. The time of the frames never falls, so the frame is found by halving; each that is looked at is
        checked.
Rule 2. At a time stands what the last frame not after it left. Before the first frame stands nothing, which
        is an error; after the last one, what the last left.
Rule 3. A day is one of the calendar that the world has now.
Rule 4. A range that ends before it begins is a mistake; one in which nothing happened is none.
"""

from bisect import bisect_left
from collections.abc import Callable
from typing import NamedTuple

from splittally.core.calendars import Calendar
from splittally.core.errors import InvalidInput
from splittally.core.frames import read_events
from splittally.edge.arguments import require_frame
from splittally.edge.moments import Moment
from splittally.journal.store import Store

Calendars = Callable[[], Calendar]  # the world's, asked for only where a moment needs it


class Frames(NamedTuple):
    """The frames from `start` to before `stop`; None is the end of the journal."""

    start: int
    stop: int | None


def frame_at(store: Store, moment: Moment, calendar: Calendars) -> int:
    """The last frame of a moment; `InvalidInput` where there is none."""
    if moment.seq is not None:
        return require_frame(moment.seq, store.head.size)
    size = _frames_before(store, last_ns(moment, calendar) + 1)
    if not size:
        first = f"the first frame is of {time_of(store, 0)} ns" if store.head.size else "the journal is empty"
        raise InvalidInput(f"nothing was recorded at that time; {first}", field="at")
    return size - 1


def frames_between(store: Store, since: Moment | None, until: Moment | None, calendar: Calendars) -> Frames:
    """The frames from one moment to the other, both included; `InvalidInput` for a range that is backward."""
    start, stop = 0, None
    refuse_backward(since, until, calendar)
    if since is not None:
        start = since.seq if since.seq is not None else _frames_before(store, first_ns(since, calendar))
    if until is not None:
        stop = until.seq + 1 if until.seq is not None else _frames_before(store, last_ns(until, calendar) + 1)
        if start > stop:
            raise _backward()
    return Frames(start, stop)


def refuse_backward(since: Moment | None, until: Moment | None, calendar: Calendars) -> None:
    """Refuses two moments of one kind, frames or times, of which the second is before the first."""
    if since is None or until is None or (since.seq is None) != (until.seq is None):
        return
    if since.seq is None or until.seq is None:
        is_backward = first_ns(since, calendar) > last_ns(until, calendar)
    else:
        is_backward = since.seq > until.seq
    if is_backward:
        raise _backward()


def _backward() -> InvalidInput:
    return InvalidInput("the range ends before it begins: `until` is before `since`", field="until")


def first_ns(moment: Moment, calendar: Calendars) -> int:
    """The first nanosecond of a moment that is no sequence."""
    return calendar().instant(moment.first_ns) if moment.is_local else moment.first_ns


def last_ns(moment: Moment, calendar: Calendars) -> int:
    """The last nanosecond of a moment that is no sequence."""
    if not moment.is_local:
        return moment.last_ns
    local = calendar()
    return max(local.instant(moment.first_ns), local.instant(moment.last_ns + 1) - 1)


def time_of(store: Store, seq: int) -> int:
    """The logical time of a frame, in nanoseconds."""
    return read_events(store.verified(seq)[1], seq)[0]


def _frames_before(store: Store, at_ns: int) -> int:
    """How many frames are of a time before `at_ns`."""
    return bisect_left(range(store.head.size), at_ns, key=lambda seq: time_of(store, seq))
