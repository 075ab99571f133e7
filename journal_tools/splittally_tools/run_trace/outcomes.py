"""What becomes of each call: drawn from the seed and the call's number, and from nothing else.

Rule 1. A draw is a hash, so a call's scenario depends neither on the calls before it nor on the process.
Rule 2. Shares are of ten thousand. What is not drawn is answered as the row says.
"""

from bisect import bisect_right
from enum import Enum, auto
from itertools import accumulate
from typing import NamedTuple

from blake3 import blake3
from splittally.core.limits import ATTEMPT_BYTES, KEY_BYTES

_CALL = "splittally run-trace call"
_CHANCE = "splittally run-trace chance"
_WHOLE = 10_000


class Scenario(Enum):
    """How a call goes on after it is asked for, or why it is refused."""

    ANSWERED = auto()
    FAILED = auto()
    TIMED_OUT = auto()
    CANCELLED = auto()
    LATE = auto()
    NEVER = auto()
    UNKNOWN = auto()
    ASKED_TWICE = auto()  # the reply was lost: the same key again
    KEY_REUSED = auto()  # a bug of the host: the same key for another payload
    APPROVED = auto()
    REJECTED = auto()
    UNAPPROVED = auto()  # nobody answers the approval
    LINKED = auto()  # all or nothing with the next call
    BROKEN_LINK = auto()  # the next call of the group asks for what it may not
    OTHER_MODEL = auto()
    TOO_LONG = auto()
    OTHER_GRANT = auto()
    OTHER_KIND = auto()
    REDUCER = auto()


SHARES: dict[Scenario, int] = {
    Scenario.FAILED: 200,
    Scenario.TIMED_OUT: 150,
    Scenario.CANCELLED: 150,
    Scenario.LATE: 100,
    Scenario.NEVER: 100,
    Scenario.UNKNOWN: 60,
    Scenario.ASKED_TWICE: 100,
    Scenario.KEY_REUSED: 60,
    Scenario.APPROVED: 100,
    Scenario.REJECTED: 60,
    Scenario.UNAPPROVED: 60,
    Scenario.LINKED: 150,
    Scenario.BROKEN_LINK: 60,
    Scenario.OTHER_MODEL: 100,
    Scenario.TOO_LONG: 60,
    Scenario.OTHER_GRANT: 60,
    Scenario.OTHER_KIND: 60,
    Scenario.REDUCER: 60,
}
NEEDS_APPROVAL = (Scenario.APPROVED, Scenario.REJECTED, Scenario.UNAPPROVED)
STARTS_GROUP = (Scenario.LINKED, Scenario.BROKEN_LINK)

_SCENARIOS = list(SHARES)
_BOUNDS = list(accumulate(SHARES.values()))
assert _BOUNDS[-1] < _WHOLE


class Draw(NamedTuple):
    """What the seed says of one call: who makes it, its scenario, its idempotency key and attempt."""

    agent: int
    scenario: Scenario
    key: bytes
    attempt: bytes


def draw(seed: int, number: int, agents: int) -> Draw:
    """The draw of call `number` for a fleet of `agents`."""
    hasher = blake3(f"{seed} {number}".encode(), derive_key_context=_CALL)
    data = hasher.digest(length=KEY_BYTES + ATTEMPT_BYTES + 16)
    at = bisect_right(_BOUNDS, int.from_bytes(data[:8]) % _WHOLE)
    return Draw(
        agent=int.from_bytes(data[8:16]) % agents,
        scenario=_SCENARIOS[at] if at < len(_SCENARIOS) else Scenario.ANSWERED,
        key=data[16 : 16 + KEY_BYTES],
        attempt=data[16 + KEY_BYTES :],
    )


class Chance:
    """The world's source of ids and keys, drawn from the seed so that the journal is the same again."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._drawn = 0

    def __call__(self, count: int) -> bytes:
        self._drawn += 1
        hasher = blake3(f"{self._seed} {self._drawn}".encode(), derive_key_context=_CHANCE)
        return hasher.digest(length=count)
