"""Logical time: who reads the clock, and that it never goes back.

Rule 1. Frame 0 fixes the world's clock. `host`: only the runtime reads it and a `now_ns` in input is
        refused. `given`: the caller says `now_ns`, absent means unchanged, and nothing reads a clock.
Rule 2. Logical time is the larger of what it was and what the clock says.
"""

import time
from collections.abc import Callable

from splittally.core.errors import InvalidInput
from splittally.core.limits import TIME_NS_MAX

HOST, GIVEN = "host", "given"
Clock = str | Callable[[], int]


class WorldClock:
    """Reads logical time for one world; `kind` is host or given."""

    def __init__(self, kind: str, source: Callable[[], int] = time.time_ns) -> None:
        assert kind in (HOST, GIVEN)
        self.kind = kind
        self._source = source

    def read(self, previous_ns: int, given_ns: int | None) -> int:
        """The logical time of a command; `InvalidInput` when the caller may not say it."""
        if self.kind == HOST:
            if given_ns is not None:
                raise InvalidInput(
                    "the clock of this world is the host's; leave `now_ns` out",
                    field="now_ns",
                    code="time.not_yours",
                )
            return max(previous_ns, min(self._source(), TIME_NS_MAX))
        if given_ns is None:
            return previous_ns
        if type(given_ns) is not int or not 0 <= given_ns <= TIME_NS_MAX:
            raise InvalidInput("`now_ns` is a natural below 2^63", field="now_ns")
        return max(previous_ns, given_ns)
