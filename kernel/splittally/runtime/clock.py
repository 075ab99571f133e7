"""What a world takes from outside itself: time, and random bytes for keys and ids.

Rule 1. Frame 0 fixes the world's clock. `host`: only the runtime reads it and a `now_ns` in input is
        refused. `given`: the caller says `now_ns`, absent means unchanged, and nothing reads a clock.
Rule 2. Logical time is the larger of what it was and what the clock says: it never goes back. While a host's
        clock has jumped it stands: what the clock says counts as nothing.
Rule 3. What a source outside gives is judged where it comes in: a time is a natural below 2^63, random bytes
        are bytes of the length asked. Anything else fails the call, and nothing is recorded.
Rule 4. A clock jumps where it steps further than the boot-time clock does, which nobody sets, by more than
        the world allows: `clock_jump_ns` while it is open, 400 days from its last record to its opening. It
        has jumped until it reads again what it should, or until what it reads was accepted.
Rule 5. A random byte is given once. A process that was forked may not use its parent's world, nor so its
        random bytes.
"""

import os
import time
from collections.abc import Callable
from typing import NamedTuple

from splittally.core.errors import InvalidInput
from splittally.core.limits import TIME_NS_MAX

HOST, GIVEN = "host", "given"
NEW, USED = True, False  # a world when it is opened
POOL_BYTES = 4_096
OPEN_JUMP_NS = 400 * 86_400 * 10**9  # nobody knows how long a world was closed; a year and a bit is no fault
WATCH_NS = 10**9  # a step below it is no jump: no world may allow less, so the boot clock need not be read
Read = Callable[[], int]
Clock = str | Read | tuple[Read, Read]  # the second of a pair is the boot-time clock


def read_boot_ns() -> int:
    """Nanoseconds since the machine was started, while it slept included where the system counts them."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    return time.monotonic_ns()


class SourceFault(InvalidInput):
    """A clock or a source of random bytes gave what it may not; the call fails, whatever it asked for."""


class Source(NamedTuple):
    """Two clocks of a host: one that people set, and one that counts since the machine was started."""

    wall: Read = time.time_ns
    boot: Read = read_boot_ns


# Example. The world allows a day. It was last read at 12:00, when the boot clock stood at 5,000 s.
#
#     12:01             5,060 s    as it should be    12:01
#     12:02, in 2 days  5,120 s    2 days further     jumped: 12:01 stands
#     12:03             5,180 s    it was set right   12:03
#     11:00             5,240 s    it went back       12:03 stands until that is past
class WorldClock:
    """Reads logical time for one world; `kind` is host or given.

    `jumped_ns` is what a clock reads that has jumped, 0 where it has not. Nothing is compared before `begin`.
    """

    def __init__(self, kind: str, source: Source = Source()) -> None:  # noqa: B008 (a constant)
        assert kind in (HOST, GIVEN)
        self.kind = kind
        self.jumped_ns = 0
        self._source = source
        self._wall_ns = self._boot_ns = 0  # when it was last believed
        self._most_ns = 0  # of the next step; 0 for what the world allows
        self._is_watched = False

    def twin(self) -> "WorldClock":
        """The same clock for a fork, in which nothing is accepted for the world itself."""
        twin = WorldClock(self.kind, self._source)
        twin.__dict__.update(self.__dict__)
        return twin

    def begin(self, last_ns: int, is_new: bool, jump_ns: int) -> None:
        """Watch the clock from here on: of a world that is new at `last_ns`, or was last used then."""
        if self.kind == HOST:
            self._believe(last_ns)
            self._is_watched = True
            if not is_new:
                self._most_ns = OPEN_JUMP_NS
                self.said(None, jump_ns)
                self._most_ns = OPEN_JUMP_NS if self.jumped_ns else 0

    def read(self, previous_ns: int, given_ns: int | None, jump_ns: int) -> int:
        """The logical time of a command; `InvalidInput` when the caller may not say it."""
        return max(previous_ns, self.said(given_ns, jump_ns))

    def said(self, given_ns: int | None, jump_ns: int) -> int:
        """What the clock or the caller says, 0 for nothing; `InvalidInput` when the caller may not say it.

        `jump_ns` is how far the world lets its clock jump, 0 for any distance.
        """
        if self.kind == HOST:
            if given_ns is not None:
                raise InvalidInput(
                    "the clock of this world is the host's; leave `now_ns` out",
                    field="now_ns",
                    code="time.not_yours",
                )
            return self._believed(self.wall_ns(), jump_ns)
        if given_ns is None:
            return 0
        if type(given_ns) is not int or not 0 <= given_ns <= TIME_NS_MAX:
            raise InvalidInput("`now_ns` is a natural below 2^63", field="now_ns")
        return given_ns

    def wall_ns(self) -> int:
        """What the host's clock reads, believed or not."""
        return _read(self._source.wall)

    def accept(self, now_ns: int) -> None:
        """Believe a reading up to `now_ns`; one beyond it is compared with that one."""
        accepted_ns = min(now_ns, self.wall_ns())
        if accepted_ns > self._wall_ns:
            self._believe(accepted_ns)

    def _believed(self, wall_ns: int, jump_ns: int) -> int:
        step_ns = wall_ns - self._wall_ns
        if not self._is_watched or (0 <= step_ns < WATCH_NS and not self.jumped_ns):
            return wall_ns
        if step_ns < 0:  # it went back: time stands because it never does
            self.jumped_ns = 0
            return wall_ns
        most_ns = self._most_ns or jump_ns
        if jump_ns and step_ns - (_read(self._source.boot) - self._boot_ns) > most_ns:
            self.jumped_ns = wall_ns
            return 0
        self._believe(wall_ns)
        self.jumped_ns = 0
        return wall_ns

    def _believe(self, wall_ns: int) -> None:
        self._wall_ns, self._boot_ns, self._most_ns = wall_ns, _read(self._source.boot), 0


def _read(clock: Read) -> int:
    try:
        now_ns = clock()
    except Exception as error:
        raise SourceFault(f"the clock failed: {error!r}", field="clock") from error
    if type(now_ns) is not int or not 0 <= now_ns <= TIME_NS_MAX:
        text = "a clock gives whole nanoseconds since 1970 below 2^63, as `time.time_ns` does"
        raise SourceFault(text, field="clock")
    return now_ns


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
