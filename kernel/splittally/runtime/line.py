"""The line of threads that wait for one world, first come first; `company.py` answers them.

Rule 1. While somebody stands in it, exactly one leads. Who leaves while leading makes the next one lead and
        wakes it.
Rule 2. A thread sleeps once and is woken once: with its answer, to lead, or with neither where its leader was
        interrupted over it.
"""

import threading
from collections import deque
from typing import Any

from splittally.core.limits import GROUP_MAX
from splittally.edge.records import At


class Asked:
    """A request that stands in line, and the thread that sleeps until it is told."""

    __slots__ = ("_sleep", "answer", "is_answered", "is_leader", "item", "principal")

    def __init__(self, principal: str, item: At) -> None:
        self.principal = principal
        self.item = item
        self.answer: Any = None
        self.is_answered = False
        self.is_leader = False
        self._sleep = threading.Lock()
        self._sleep.acquire()

    def sleep(self) -> None:
        """Until it is woken, once."""
        self._sleep.acquire()

    def wake(self) -> None:
        """Once."""
        self._sleep.release()


class Line:
    """Who waits for one world, first come first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[Asked] = deque()
        self._is_led = False

    def join(self, own: Asked) -> None:
        """Stand in line, as its leader where nobody leads."""
        with self._lock:
            self._waiting.append(own)
            own.is_leader, self._is_led = not self._is_led, True

    def take(self) -> list[Asked]:
        """The first of the line, as many as a commit takes."""
        with self._lock:
            return [self._waiting.popleft() for _ in range(min(GROUP_MAX, len(self._waiting)))]

    def put_back(self, asked: list[Asked]) -> None:
        """These stand first again."""
        with self._lock:
            self._waiting.extendleft(reversed(asked))

    def leave(self, own: Asked) -> None:
        """This one waits no more; where it leads, the next one does."""
        with self._lock:
            if own in self._waiting:
                self._waiting.remove(own)
            if not own.is_leader:
                return
            own.is_leader, self._is_led = False, bool(self._waiting)
            if self._is_led:
                self._waiting[0].is_leader = True
                self._waiting[0].wake()
