"""How a kernel is asked, typed by what is asked: one request, a list of them, a stream.

Rule 1. An answer is given only after the commit of its group.
Rule 2. A list is cut into groups of at most `GROUP_MAX` frames, each durable before it is answered.
Rule 3. What is of the wrong type is `InvalidInput` before anything is decided.
Rule 4. A world is kept to itself only while a batch is decided or committed, never while the caller has
        control: a stream may be read in parts, in several threads, or not to its end.
Rule 5. Whoever uses a world first makes durable what an interrupted or abandoned call left decided; so
        nobody sees what is not in the journal.
"""

import os
import threading
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any, Literal, overload

from splittally.core.errors import KernelStopped, SplittallyError
from splittally.core.limits import GROUP_MAX
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
from splittally.runtime.pipeline import answer_batch, commit, commit_if_running
from splittally.runtime.prefetch import batch_size
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
        (group,) = stream(self._world, self._principal, [request])
        return or_raise(group[0])


def require_usable(world: World) -> None:
    """Raises `KernelStopped` where a world cannot be used here, or no more."""
    if os.getpid() != world.pid:
        raise KernelStopped("this kernel was opened in another process; open the world again here")
    if world.is_closed:
        raise KernelStopped("this kernel is closed; open the world again")
    if world.stopped:  # its state is ahead of its journal
        world.refuse_stopped()


def use(world: World) -> None:
    """Raises where a world cannot be used; else what somebody left decided is durable afterwards."""
    require_usable(world)
    if world.group:
        commit(world)


def stream(world: World, principal: str, requests: Iterable[Request | At]) -> Iterator[list[Any]]:
    """The answers to requests in order, a list for each commit."""
    waiting: list[tuple[int, Any]] = []  # how long the journal is once an answer is durable
    for batch in batches(world, requests):
        while batch:
            with world.lock:
                done, size = _answer(world, principal, batch, waiting)
            batch = batch[done:]
            given = [answer for needed, answer in waiting if needed <= size]
            if given:
                waiting = waiting[len(given) :]
                yield given
    with world.lock:
        use(world)
    if waiting:
        yield [answer for _, answer in waiting]


def _answer(
    world: World, principal: str, batch: list[Request | At], waiting: list[tuple[int, Any]]
) -> tuple[int, int]:
    """Answer a batch up to a commit; how many were answered, and the frames that it made durable or 0."""
    require_usable(world)
    done, committed = 0, world.commits
    try:
        for answer in answer_batch(world, principal, batch):
            done += 1
            waiting.append((world.state.size, answer))
            if world.commits != committed and not world.group:
                return done, world.state.size
    except BaseException:
        commit_if_running(world)
        raise
    return done, world.store.head.size if world.commits != committed else 0


def batches(world: World, requests: Iterable[Request | At]) -> Iterator[list[Request | At]]:
    """A list in batches that are prefetched together and fit into the group; else each request alone."""
    if type(requests) is not list:
        for request in requests:
            yield [request]
        return
    if len(requests) == 1:
        yield requests
        return
    at = 0
    while at < len(requests):
        size = max(1, min(batch_size(requests, at), GROUP_MAX - len(world.group)))
        yield requests[at : at + size]
        at += size


def answers_for(world: World, requests: Iterable[tuple[str, At]]) -> list[Any]:
    """The answers to requests of several principals, in as few commits as they fit in.

    What fails has its error as its answer.
    """
    given: list[Any] = []
    with world.lock:  # until the commit, so that no query sees what is not durable
        require_usable(world)
        try:
            for principal, run in groupby(requests, itemgetter(0)):
                given += answers_or_errors(world, principal, [item for _, item in run])
        except BaseException:
            commit_if_running(world)
            raise
        commit(world)
    return given


def answers_or_errors(world: World, principal: str, requests: list[Request | At]) -> list[Any]:
    """The answers in order; what fails has its error as its answer, and the others have theirs.

    Only a world that stopped answers none of them: its state is ahead of its journal.
    """
    given: list[Any] = []
    while len(given) < len(requests):
        try:
            for batch in batches(world, requests[len(given) :]):
                for answer in answer_batch(world, principal, batch):
                    given.append(answer)
        except Exception as error:
            if world.stopped:
                raise
            given.append(error)
    return given
