"""One thread that owns a world, and the queue in front of it: what the asyncio twin asks.

Rule 1. Everything that waits when a commit ends shares the next one; receipts go before intents.
Rule 2. What a caller gave up while it waited is not decided. Where it was decided meanwhile, what it holds
        is released as `not_dispatched` before anything that came later is decided: nobody knows of it.
Rule 3. Where the last commit had company, the next one lingers for it, at most `linger_s`.
Rule 4. Receipts, releases and extensions always go on: what they say is true whoever waits.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from splittally.core.errors import KernelStopped, SplittallyError
from splittally.core.limits import GROUP_MAX
from splittally.core.types import ADMITTED
from splittally.edge.records import At, Decision, Dispatch, HoldChange, Release
from splittally.runtime.kernel import Kernel

LINGER_BELOW = 32  # so many that wait make a group that is worth a commit


class Waiting:
    """Some work, who waits for it, and whether it is done even if nobody does any more."""

    __slots__ = ("answer", "future", "is_answered", "is_given_up", "is_kept", "kernel", "loop", "work")

    def __init__(
        self,
        kernel: Kernel,
        work: At | Callable[[], Any],
        future: "asyncio.Future[Any]",
        loop: asyncio.AbstractEventLoop,
        is_kept: bool,
    ) -> None:
        self.kernel = kernel
        self.work = work
        self.future = future
        self.loop = loop
        self.is_kept = is_kept
        self.is_given_up = False
        self.is_answered = False
        self.answer: Any = None

    @property
    def is_wanted(self) -> bool:
        """Whether it is to be done: somebody waits, or it is done in any case."""
        return self.is_kept or not (self.is_given_up or self.future.cancelled() or self.loop.is_closed())


class Writer:
    """The thread that owns the world, and the queue in front of it."""

    def __init__(self, queue_max: int, linger_s: float = 0.0) -> None:
        self._queue_max = queue_max
        self._linger_s = linger_s
        self._had_company = False
        self._first: deque[Waiting] = deque()  # receipts, releases: they free what others wait for
        self._then: deque[Waiting] = deque()
        self._unknown: list[tuple[Kernel, At]] = []  # releases of what nobody knows of
        self._wake = threading.Condition(threading.RLock())
        self._is_closing = False
        self._thread = threading.Thread(target=self._serve, name="splittally-writer", daemon=True)
        self._thread.start()

    def put(self, waiting: Waiting, is_first: bool) -> bool:
        """Queue some work; False when the queue is full."""
        with self._wake:
            if self._is_closing:
                raise KernelStopped("this kernel is closed; open the world again")
            if not is_first and len(self._then) >= self._queue_max:
                return False
            (self._first if is_first else self._then).append(waiting)
            self._wake.notify()
        return True

    def give_up(self, waiting: Waiting) -> None:
        """Nobody waits for this any more."""
        with self._wake:
            waiting.is_given_up = True
            if waiting.is_answered:
                self.give_back(waiting.kernel, waiting.work, waiting.answer)

    def give_back(self, kernel: Kernel, work: object, answer: Any) -> None:
        """Release what an answer holds or started that nobody learns of."""
        with self._wake:
            for each in answer if isinstance(answer, list) else [answer]:
                release = _undone(work, each)
                if release is not None:
                    self._unknown.append((kernel, At(None, release)))
            self._wake.notify()
            is_alone = not self._thread.is_alive()
        if is_alone:
            self._release_unknown()

    def close(self) -> None:
        """Answer what is queued and end the thread."""
        with self._wake:
            self._is_closing = True
            self._wake.notify()
        self._thread.join()
        self._release_unknown()

    def _serve(self) -> None:
        while True:
            with self._wake:
                while not (self._first or self._then or self._unknown or self._is_closing):
                    self._wake.wait()
                if self._is_closing and not (self._first or self._then or self._unknown):
                    return
                is_early = self._had_company and len(self._first) + len(self._then) < LINGER_BELOW
            if is_early and self._linger_s:
                time.sleep(self._linger_s)
            group = self._take()
            self._release_unknown()
            self._answer([waiting for waiting in group if waiting.is_wanted])
            self._release_unknown()

    def _take(self) -> list[Waiting]:
        """What the next commit answers: receipts first."""
        group: list[Waiting] = []
        with self._wake:
            for queue in (self._first, self._then):
                while queue and len(group) < GROUP_MAX:
                    group.append(queue.popleft())
        self._had_company = len(group) > 1
        return group

    def _answer(self, group: list[Waiting]) -> None:
        requests = [waiting for waiting in group if isinstance(waiting.work, At)]
        try:
            answers = Kernel.run_for([(x.kernel, x.work) for x in requests if isinstance(x.work, At)])
        except BaseException as error:
            answers = [error] * len(requests)
        for waiting, answer in zip(requests, answers, strict=True):
            self._resolve(waiting, answer)
        for waiting in group:
            if not isinstance(waiting.work, At) and waiting.is_wanted:
                try:
                    self._resolve(waiting, waiting.work())
                except BaseException as error:
                    self._resolve(waiting, error)

    def _resolve(self, waiting: Waiting, answer: Any) -> None:
        with self._wake:
            waiting.is_answered, waiting.answer = True, answer
            if waiting.is_given_up:
                self.give_back(waiting.kernel, waiting.work, answer)
                return
        try:
            waiting.loop.call_soon_threadsafe(_set_answer, waiting)
        except RuntimeError:  # the caller's loop is gone
            self.give_back(waiting.kernel, waiting.work, answer)

    def _release_unknown(self) -> None:
        """Where a release cannot be made the kernel has stopped, and its journal says what is open."""
        with self._wake:
            releases, self._unknown = self._unknown, []
        if releases:
            with suppress(SplittallyError):
                Kernel.run_for(releases)


def _undone(work: object, answer: object) -> Release | None:
    """The release of what this answer holds or started; None where it did neither."""
    request = work.request if isinstance(work, At) else None
    match answer:
        case Decision(seq=int(), intent_hash=bytes(digest), duplicate=False) if answer.outcome in ADMITTED:
            return Release(digest, "not_dispatched")
        case HoldChange(status="dispatched") if isinstance(request, Dispatch):
            return Release(answer.intent_hash, "not_dispatched", attempt=request.attempt)
    return None


def _set_answer(waiting: Waiting) -> None:
    future, answer = waiting.future, waiting.answer
    if future.done():  # cancelled: its task gives the answer up
        return
    if isinstance(answer, BaseException):
        future.set_exception(answer)
    else:
        future.set_result(answer)
