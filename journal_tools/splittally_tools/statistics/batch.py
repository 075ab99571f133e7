"""What a run of frames adds to the statistics. Pure: it reads no file.

Rule 1. A posting counts once in each kind of window, for the account that gave (`out`) and for the one
        that got (`in`). What is in flight is no account and has no windows of its own.
        A value of a budget's metric counts as `measured`, under the budget and the metric, in minutes, too;
        one that carries segments counts also under them. One that came late counts as `late`, in the windows
        of the time that it is of.
Rule 2. In flight is what the open holds of an account drew; its balance has already paid it.
Rule 3. Windows stand in the world's zone, or at its offset, as it was at the frame.
"""

from functools import lru_cache
from typing import NamedTuple

from msgspec import Struct
from splittally.core.canonical import decode
from splittally.core.events import Decided, Defined, Held, Measured, Noted, Posted, Released, Settled
from splittally.core.types import CALENDAR_WINDOWS, LATE, Draw
from splittally.runtime.metric_history import recorded_params
from splittally.runtime.record import Record

from splittally_tools.statistics.calendar import WINDOWS, Kept
from splittally_tools.statistics.digests import Digest, Digests, Place, add_digest, key_of_segments

UTC = Kept()
FRAME_EVENTS = 1 << 20  # more than a frame can hold: where a value stands in a journal is one number
IN, OUT, MEASURED = "in", "out", "measured"


class Key(NamedTuple):
    """One row: a window of an account (or budget), a resource (or metric) and a direction."""

    account: str
    resource: str
    direction: str
    per: str
    start_ns: int


class Total(Struct, frozen=True, array_like=True, gc=False):
    """What was posted in a window; `last` is the amount of the newest posting."""

    count: int
    sum: int
    min: int
    max: int
    last: int

    def then(self, later: "Total") -> "Total":
        """Both together, `later` being the newer."""
        least, most = min(self.min, later.min), max(self.max, later.max)
        return Total(
            count=self.count + later.count, sum=self.sum + later.sum, min=least, max=most, last=later.last
        )


class Account(Struct, frozen=True, array_like=True, gc=False):
    """An account as it is defined."""

    kind: str
    debt_limit: int


class Batch:
    """The sum of the frames that were added; whoever stores it merges it with what is there."""

    def __init__(self, size: int, kept: Kept = UTC) -> None:
        self.size = size
        self.hash = b""
        self.now_ns = 0
        self.kept = kept
        self.postings = 0
        self.totals: dict[Key, Total] = {}
        self.digests: Digests = {}
        self.moved: dict[tuple[str, str], int] = {}
        self.accounts: dict[str, Account | None] = {}
        self.drawn: dict[bytes, list[Draw]] = {}
        self.ended: list[bytes] = []

    def add(self, record: Record) -> None:
        """Take the next frame; a frame that was taken before changes nothing."""
        if record.seq < self.size:
            return
        assert record.seq == self.size
        self.size, self.hash, self.now_ns = record.seq + 1, record.hash, record.body.at_ns
        asked = b""
        for position, event in enumerate(record.body.out):
            match event:
                case Decided():
                    asked = event.intent_hash
                case Posted():
                    self._post(event)
                case Measured():
                    self._measure(record, event, asked, position)
                case Noted(subject=subject, facts=facts) if subject == LATE:
                    value = Measured(facts["budget"], facts["metric"], facts["value"])
                    self._measure(record, value, asked, position, facts["at_ns"])
                case Held() if event.draws:
                    self.drawn[event.intent_hash] = event.draws
                case Settled() | Released():
                    if self.drawn.pop(event.intent_hash, None) is None:
                        self.ended.append(event.intent_hash)
                case Defined(table="accounts"):
                    self.accounts[event.key] = _account(event.value)
                case Defined(table="world", key="offset_ns"):
                    self.kept = self.kept._replace(offset_ns=decode(event.value))
                case Defined(table="zones", key=""):
                    self.kept = self.kept._replace(zone=event.value)
                case _:
                    pass

    def _post(self, event: Posted) -> None:
        self.postings += 1
        for account, direction, sign in ((event.debit, OUT, -1), (event.credit, IN, 1)):
            if not account:
                continue
            place = (account, event.resource)
            self.moved[place] = self.moved.get(place, 0) + sign * event.amount
            self._count(account, event.resource, direction, event.amount)

    def _measure(
        self, record: Record, event: Measured, asked: bytes, position: int, late_ns: int | None = None
    ) -> None:
        """A value of a metric, also under the segments of its record; `late_ns` is the time of a late one."""
        value, is_late = event.value, late_ns is not None
        at_ns = self.now_ns if late_ns is None else late_ns
        self._count(event.budget, event.metric, LATE if is_late else MEASURED, value, WINDOWS, at_ns)
        segments = recorded_params(record.body, asked).get("segments")
        if not segments:
            return
        once = Digest(1, value, value, value, value, record.seq * FRAME_EVENTS + position)
        said = key_of_segments(segments)
        for per, start_ns in _starts(at_ns, self.kept, WINDOWS):
            add_digest(self.digests, Place(event.budget, event.metric, said, per, start_ns, is_late), once)

    def _count(
        self,
        account: str,
        resource: str,
        direction: str,
        amount: int,
        windows: tuple[str, ...] = CALENDAR_WINDOWS,
        at_ns: int | None = None,
    ) -> None:
        """One more amount in each kind of window that holds `at_ns`, or the time of the frame."""
        once = Total(count=1, sum=amount, min=amount, max=amount, last=amount)
        for per, start_ns in _starts(self.now_ns if at_ns is None else at_ns, self.kept, windows):
            key = Key(account=account, resource=resource, direction=direction, per=per, start_ns=start_ns)
            before = self.totals.get(key)
            self.totals[key] = once if before is None else before.then(once)


@lru_cache(maxsize=16)  # a frame asks for the same ones twice a posting
def _starts(now_ns: int, kept: Kept, windows: tuple[str, ...]) -> list[tuple[str, int]]:
    """Each of these kinds of window and the start of the one that holds `now_ns`."""
    return [(per, kept.start(per, now_ns)) for per in windows]


def _account(value: bytes) -> Account | None:
    if not value:
        return None
    _, kind, debt_limit = decode(value)
    return Account(kind, debt_limit)
