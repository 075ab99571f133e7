"""How a kernel is asked, typed by what is asked: one request, a list of them, a stream.

Rule 1. An answer is given only after the commit of its group.
Rule 2. A list is cut into groups of at most `GROUP_MAX` frames, each durable before it is answered.
Rule 3. What is of the wrong type is `InvalidInput` before anything is decided.
"""

from collections.abc import Iterator
from typing import Any, Literal, overload

from splittally.core.errors import SplittallyError
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
from splittally.runtime.stream import stream
from splittally.runtime.world import World

Change = Release | Extend | Dispatch
Answered = Answer | list[Decision] | SplittallyError  # a group of mode `all` has a list as its answer
INTENTS = "an Intent, or a list of them,"
RECEIPTS = "a Receipt, or a list of them,"
REQUESTS = "a list of requests"


def asked_of(
    intent: Intent | Several[Intent], mode: Mode, now_ns: int | None
) -> At[Intent | Group] | list[At[Intent]]:
    """What `submit` asks for: one request, or a list of them; both faces of a kernel ask the same."""
    require_mode(mode)
    if isinstance(intent, Intent):
        return At(now_ns, intent)
    if mode == "each":
        return [At(now_ns, each) for each in listed(intent, Intent, INTENTS)]
    return At(now_ns, Group(mode, tuple(require_several(intent, INTENTS))))


class Requests:
    """What a kernel asks its world, for one principal."""

    _world: World
    _principal: str

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

        `mode` is `each` (one frame each), `all` (one frame, all or nothing) or `first` (same key and
        params, one intent per grant, the first allow wins: one Decision).
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
        return [or_raise(answer) for answer in self.run([At(now_ns, each) for each in receipts])]

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
        (group,) = stream(self._world, self._principal, [request])
        return or_raise(group[0])
