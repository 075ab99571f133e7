"""One thread that owns a world, and the queue in front of it: what the asyncio twin asks.

Rule 1. Everything that waits when a commit ends shares the next one; receipts go before intents.
Rule 2. What a caller gave up while it waited is not decided. Where it was decided meanwhile, what it holds
        is released as `not_dispatched` before anything that came later is decided: nobody knows of it.
Rule 3. Where the last commit had company, the next one lingers for it until it is full, `linger_s` at most.
Rule 4. Receipts, releases and extensions always go on: what they say is true whoever waits.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

from splittally.core.errors import KernelStopped, SplittallyError
from splittally.core.limits import GROUP_MAX
from splittally.edge.records import At, Extend, Receipt, Release
from splittally.runtime.kernel import Kernel
from splittally.runtime.undone import taken_back


class Waiting:
    """Some requests, or other work, and who waits for the answers."""

    __slots__ = ("answers", "future", "is_answered", "is_given_up", "is_kept", "kernel", "loop", "work")

    def __init__(
        self,
        kernel: Kernel,
        work: Sequence[At] | Callable[[], Any],
        future: "asyncio.Future[list[Any]]",
        loop: asyncio.AbstractEventLoop,
        is_kept: bool = False,
    ) -> None:
        self.kernel = kernel
        self.work = work
        self.future = future
        self.loop = loop
        self.is_kept = is_kept  # other work that is done whoever waits
        self.is_given_up = False
        self.is_answered = False
        self.answers: list[Any] | BaseException = []

    @property
    def is_wanted(self) -> bool:
        """Whether somebody waits."""
        return not (self.is_given_up or self.future.cancelled() or self.loop.is_closed())

    def requests(self) -> list[At]:
        """What is to be decided: all of it, or what is true whoever waits."""
        if callable(self.work):
            return []
        return list(self.work) if self.is_wanted else [item for item in self.work if is_kept(item)]


def _size(waiting: Waiting) -> int:
    return 1 if callable(waiting.work) else len(waiting.work)


def is_kept(item: At) -> bool:
    """Whether a request goes on although nobody waits for its answer."""
    return isinstance(item.request, Receipt | Release | Extend)


class Writer:
    """The thread that owns the world, and the queue in front of it."""

    def __init__(self, queue_max: int, linger_s: float = 0.0) -> None:
        self._queue_max = queue_max
        self._linger_s = linger_s
        self._had_company = False
        self._is_lingering = False  # so it need not be woken
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
            if not self._is_lingering or self.size >= GROUP_MAX:
                self._wake.notify()
        return True

    @property
    def size(self) -> int:
        """How many entries wait."""
        return len(self._first) + len(self._then)

    def give_up(self, waiting: Waiting) -> None:
        """Nobody waits for this any more."""
        with self._wake:
            waiting.is_given_up = True
            if waiting.is_answered:
                self._give_back(waiting)

    def _give_back(self, waiting: Waiting) -> None:
        if not callable(waiting.work) and not isinstance(waiting.answers, BaseException):
            self.give_back(waiting.kernel, waiting.work, waiting.answers)

    def give_back(self, kernel: Kernel, asked: Sequence[At], answers: list[Any]) -> None:
        """Release what answers hold or started that nobody learns of."""
        with self._wake:
            self._unknown += [(kernel, release) for release in taken_back(asked, answers)]
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
                self._linger()
            group = self._take()
            self._release_unknown()
            self._answer(group)
            self._release_unknown()

    def _linger(self) -> None:
        """Wait a little for what fills a commit."""
        is_full = sum(map(_size, self._first)) + sum(map(_size, self._then)) >= GROUP_MAX
        if self._linger_s and self._had_company and not self._is_closing and not is_full:
            self._is_lingering = True
            self._wake.wait(self._linger_s)
            self._is_lingering = False

    def _take(self) -> list[Waiting]:
        """What the next commit answers: receipts first."""
        group: list[Waiting] = []
        size = 0
        with self._wake:
            for queue in (self._first, self._then):
                while queue and size < GROUP_MAX:
                    group.append(queue.popleft())
                    size += _size(group[-1])
        self._had_company = len(group) > 1
        return group

    def _answer(self, group: list[Waiting]) -> None:
        asked = [(waiting, waiting.requests()) for waiting in group]
        try:
            answers = iter(Kernel.run_for([(x.kernel, item) for x, items in asked for item in items]))
        except BaseException as error:
            self._resolve([(waiting, error) for waiting, items in asked if items])
        else:
            self._resolve([(waiting, list(islice(answers, len(items)))) for waiting, items in asked if items])
        for waiting in group:
            if callable(waiting.work) and (waiting.is_kept or waiting.is_wanted):
                try:
                    self._resolve([(waiting, [waiting.work()])])
                except BaseException as error:
                    self._resolve([(waiting, error)])

    def _resolve(self, answered: list[tuple[Waiting, list[Any] | BaseException]]) -> None:
        """Hand answers out, each loop woken once."""
        told: dict[asyncio.AbstractEventLoop, list[Waiting]] = {}
        for waiting, answers in answered:
            with self._wake:
                waiting.is_answered, waiting.answers = True, answers
                if waiting.is_given_up:
                    self._give_back(waiting)
                    continue
            told.setdefault(waiting.loop, []).append(waiting)
        for loop, every in told.items():
            try:
                loop.call_soon_threadsafe(_set_answers, every)
            except RuntimeError:  # the callers' loop is gone
                for waiting in every:
                    self._give_back(waiting)

    def _release_unknown(self) -> None:
        """Where a release cannot be made the kernel has stopped, and its journal says what is open."""
        with self._wake:
            releases, self._unknown = self._unknown, []
        if releases:
            with suppress(SplittallyError):
                Kernel.run_for(releases)


def _set_answers(answered: list[Waiting]) -> None:
    for waiting in answered:
        if waiting.future.done():  # cancelled: its task gives the answers up
            continue
        if isinstance(waiting.answers, BaseException):
            waiting.future.set_exception(waiting.answers)
        else:
            waiting.future.set_result(waiting.answers)
