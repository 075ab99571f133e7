"""How a kernel is asked, typed by what is asked: one request, a list of them, a stream.

Rule 1. What is of the wrong type is `InvalidInput` before anything is decided.
Rule 2. How requests become groups and commits is in `streams.py`, how threads share them in `company.py`.
"""

import threading
from collections.abc import Iterator
from typing import Any, Literal, overload

from splittally.core.errors import SplittallyError
from splittally.core.types import OPERATOR
from splittally.edge.arguments import Mode, Several, listed, require_mode, require_several
from splittally.edge.records import (
    Answer,
    At,
    Decision,
    Dispatch,
    Extend,
    Group,
    HoldChange,
    Intent,
    Receipt,
    Release,
    Request,
    Settlement,
)
from splittally.runtime.answers import or_raise
from splittally.runtime.company import ask_one
from splittally.runtime.streams import stream
from splittally.runtime.world import World

Change = Release | Extend | Dispatch
Answered = Answer | list[Decision] | SplittallyError  # a group of mode `all` has a list as its answer
INTENTS = "an Intent, or a list of them,"
RECEIPTS = "a Receipt, or a list of them,"
REQUESTS = "a list of requests"


def asked_of(
    intent: Intent | Several[Intent], mode: Mode, now_ns: int | None
) -> At[Intent | Group] | list[Intent] | list[At[Intent]]:
    """What `submit` asks for: one request, or a list of them; both faces of a kernel ask the same."""
    require_mode(mode)
    if isinstance(intent, Intent):
        return At(now_ns, intent)
    if mode == "each":
        intents = listed(intent, Intent, INTENTS)
        return intents if now_ns is None else [At(now_ns, each) for each in intents]
    return At(now_ns, Group(mode, tuple(require_several(intent, INTENTS))))


class Requests:
    """What a kernel asks its world, for one principal."""

    def __init__(self, world: World, principal: str = OPERATOR) -> None:
        self._world = world
        self._principal = principal
        self._lock: threading.RLock = world.lock

    @overload
    def submit(self, intent: Intent, mode: Mode = "each", now_ns: int | None = None) -> Decision: ...
    @overload
    def submit(
        self, intent: Several[Intent], mode: Literal["first"], now_ns: int | None = None
    ) -> Decision: ...
    @overload
    def submit(
        self, intent: Several[Intent], mode: Literal["each", "all"] = "each", now_ns: int | None = None
    ) -> list[Decision]: ...
    def submit(
        self, intent: Intent | Several[Intent], mode: Mode = "each", now_ns: int | None = None
    ) -> Decision | list[Decision]:
        """A `Decision` for an intent, or a list of them for a list.

        `mode` is `each` (one frame each), `all` (one frame, all or nothing) or `first` (several offers, each
        with a grant and params of its own, the first allow wins: one Decision).
        """
        asked = asked_of(intent, mode, now_ns)
        answer: Decision | list[Decision] = self._one(asked) if isinstance(asked, At) else self.run(asked)
        return answer

    @overload
    def settle(self, receipt: Receipt, now_ns: int | None = None) -> Settlement: ...
    @overload
    def settle(self, receipt: Several[Receipt], now_ns: int | None = None) -> list[Settlement]: ...
    def settle(
        self, receipt: Receipt | Several[Receipt], now_ns: int | None = None
    ) -> Settlement | list[Settlement]:
        """A `Settlement` for a receipt, or a list of them; `InvalidInput` when one cannot be read."""
        if isinstance(receipt, Receipt):
            settlement: Settlement = self._one(At(now_ns, receipt))
            return settlement
        receipts = listed(receipt, Receipt, RECEIPTS)
        said = receipts if now_ns is None else [At(now_ns, each) for each in receipts]
        return [or_raise(answer) for answer in self.run(said)]

    @overload
    def run(self, requests: Several[Intent | At[Intent]]) -> list[Decision]: ...
    @overload
    def run(self, requests: Several[Receipt | At[Receipt]]) -> list[Settlement | SplittallyError]: ...
    @overload
    def run(self, requests: Several[Change | At[Change]]) -> list[HoldChange | SplittallyError]: ...
    @overload
    def run(self, requests: Several[Request | At[Request]]) -> list[Answered]: ...
    def run(self, requests: Several[Any]) -> list[Any]:
        """Answers to requests of any kind, in order. A `Group` in mode `all` has a list as its answer;
        a receipt, release or extension that cannot be read has the error as its answer."""
        return [answer for group in self.stream(requests) for answer in group]

    @overload
    def stream(self, requests: Several[Intent | At[Intent]]) -> Iterator[list[Decision]]: ...
    @overload
    def stream(self, requests: Several[Request | At[Request]]) -> Iterator[list[Answered]]: ...
    def stream(self, requests: Several[Any]) -> Iterator[list[Any]]:
        """`run` group by group: each list is durable when it is given, whatever becomes of the stream."""
        return stream(self._world, self._principal, require_several(requests, REQUESTS))

    def _one(self, request: At[Any]) -> Any:
        return or_raise(ask_one(self._world, self._principal, request))
