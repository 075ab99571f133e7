"""What a world takes from outside itself: time, and random bytes for keys and ids.

Rule 1. Frame 0 fixes the world's clock. `host`: only the runtime reads it and a `now_ns` in input is
        refused. `given`: the caller says `now_ns`, absent means unchanged, and nothing reads a clock.
Rule 2. Logical time is the larger of what it was and what the clock says: it never goes back.
Rule 3. What a source outside gives is judged where it comes in: a time is a natural below 2^63, random bytes
        are bytes of the length asked. Anything else fails the call, and nothing is recorded.
Rule 4. A random byte is given once. A process that was forked may not use its parent's world, nor so its
        random bytes.
"""

import os
import time
from collections.abc import Callable

from splittally.core.errors import InvalidInput
from splittally.core.limits import TIME_NS_MAX

HOST, GIVEN = "host", "given"
POOL_BYTES = 4_096
Clock = str | Callable[[], int]


class SourceFault(InvalidInput):
    """A clock or a source of random bytes gave what it may not; the call fails, whatever it asked for."""


class WorldClock:
    """Reads logical time for one world; `kind` is host or given."""

    def __init__(self, kind: str, source: Callable[[], int] = time.time_ns) -> None:
        assert kind in (HOST, GIVEN)
        self.kind = kind
        self._source = source

    def read(self, previous_ns: int, given_ns: int | None) -> int:
        """The logical time of a command; `InvalidInput` when the caller may not say it."""
        return max(previous_ns, self.said(given_ns))

    def said(self, given_ns: int | None) -> int:
        """What the clock or the caller says, 0 for nothing; `InvalidInput` when the caller may not say it."""
        if self.kind == HOST:
            if given_ns is not None:
                raise InvalidInput(
                    "the clock of this world is the host's; leave `now_ns` out",
                    field="now_ns",
                    code="time.not_yours",
                )
            try:
                now_ns = self._source()
            except Exception as error:
                raise SourceFault(f"the clock failed: {error!r}", field="clock") from error
            if type(now_ns) is not int or not 0 <= now_ns <= TIME_NS_MAX:
                text = "a clock gives whole nanoseconds since 1970 below 2^63, as `time.time_ns` does"
                raise SourceFault(text, field="clock")
            return now_ns
        if given_ns is None:
            return 0
        if type(given_ns) is not int or not 0 <= given_ns <= TIME_NS_MAX:
            raise InvalidInput("`now_ns` is a natural below 2^63", field="now_ns")
        return given_ns


class CheckedEntropy:
    """Random bytes of a caller's source; `SourceFault` where they are not bytes of the length asked."""

    __slots__ = ("_source",)

    def __init__(self, source: Callable[[int], bytes]) -> None:
        self._source = source

    def __call__(self, size: int) -> bytes:
        try:
            drawn = self._source(size)
        except Exception as error:
            raise SourceFault(f"the source of random bytes failed: {error!r}", field="entropy") from error
        if type(drawn) is not bytes or len(drawn) != size:
            raise SourceFault(f"`entropy` gives exactly {size} bytes when asked for {size}", field="entropy")
        return drawn


class RandomPool:
    """Random bytes of the operating system, drawn in larger pieces: one call for sixty-four intents."""

    __slots__ = ("_at", "_bytes")

    def __init__(self) -> None:
        self._bytes = b""
        self._at = 0

    def __call__(self, size: int) -> bytes:
        start = self._at
        end = start + size
        if end > len(self._bytes):
            self._bytes = os.urandom(max(POOL_BYTES, size))
            start, end = 0, size
        self._at = end
        return self._bytes[start:end]
