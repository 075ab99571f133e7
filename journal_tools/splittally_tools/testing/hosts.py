"""What a host program is written against when the scheduler runs it: a port to the kernel and to the world.

A host is a generator or an `async` function that takes a `Port`. Every step is awaited (or yielded):

    async def host(port):
        key, attempt = port.key_of("invoice 7"), port.attempt()
        intent = Intent("pay.send", {...}, "till", idempotency_key=key, attempt=attempt)
        decision = await port.submit(intent)
        if decision.allowed:
            await port.act(decision, "invoice 7")
            await port.settle(Receipt(decision.intent_hash, "ok", port.name, {...}))

Rule 1. Whatever is asked of the kernel may end in `ReplyLost`: it was carried out, it was not, or it will be.
Rule 2. `memory` outlives a restart of the host, its variables do not. Nothing else is random or timed.
"""

from collections.abc import Awaitable, Callable, Generator
from typing import Any

from blake3 import blake3
from splittally.edge.records import Decision, Intent, Receipt
from splittally.runtime import Kernel

SUBMIT, SETTLE, RELEASE, EXTEND, OUTCOME, ACT, SLEEP = (
    "submit", "settle", "release", "extend", "outcome", "act", "sleep",
)  # fmt: skip
Chance = Callable[[int], bytes]
Program = Callable[["Port"], Generator[Any, Any, Any] | Awaitable[Any]]


class ReplyLost(Exception):
    """No answer came in time. Whether the kernel got the request, or will get it, is not known."""


class Step:
    """Something a host does, to be awaited or yielded; its answer is what that gives."""

    def __init__(self, verb: str, told: str, call: Callable[[Kernel, int], Any] | None, **facts: Any) -> None:
        self.verb = verb
        self.told = told
        self.call = call
        self.facts = facts

    def __await__(self) -> Generator["Step", Any, Any]:
        return (yield self)

    __iter__ = __await__


async def answered(step: Callable[[], Awaitable[Any]]) -> Any:
    """The answer to what `step()` asks, which is asked again until there is one."""
    while True:
        try:
            return await step()
        except ReplyLost:
            continue


class Port:
    """What a host sees: the kernel behind a network, the outside world, its memory, its clock."""

    def __init__(self, name: str, memory: dict[str, Any], chance: Chance, clock: Callable[[], int]) -> None:
        self.name = name
        self.memory = memory
        self._chance = chance
        self._clock = clock

    @property
    def now_ns(self) -> int:
        """The time of the simulation."""
        return self._clock()

    def key_of(self, job: str) -> bytes:
        """The idempotency key of a job: the same job has the same key, also after a restart."""
        return blake3(job.encode()).digest()

    def fresh_key(self) -> bytes:
        """A key that no other call gets."""
        return self._chance(32)

    def attempt(self) -> bytes:
        """A fresh attempt, to be kept while one submission is sent again."""
        return self._chance(16)

    def submit(self, intent: Intent) -> Step:
        """A `Decision`."""
        told = f"{intent.kind} under {intent.grant}"
        return Step(SUBMIT, told, lambda kernel, now: kernel.submit(intent, now_ns=now), intent=intent)

    def settle(self, receipt: Receipt) -> Step:
        """A `Settlement`."""
        told = f"{_short(receipt.intent_hash)} {receipt.status}"
        return Step(SETTLE, told, lambda kernel, now: kernel.settle(receipt, now_ns=now))

    def release(self, intent_hash: bytes, cause: str = "cancel") -> Step:
        """A `HoldChange`."""
        told = f"{_short(intent_hash)} {cause}"
        return Step(RELEASE, told, lambda kernel, now: kernel.release(intent_hash, cause, now_ns=now))

    def extend(self, intent_hash: bytes, expires_ns: int) -> Step:
        """A `HoldChange`."""
        told = f"{_short(intent_hash)} to {expires_ns}"
        return Step(EXTEND, told, lambda kernel, now: kernel.extend(intent_hash, expires_ns, now_ns=now))

    def outcome(self, intent_hash: bytes) -> Step:
        """What happened to an intent, None where it is not known."""
        return Step(OUTCOME, _short(intent_hash), lambda kernel, _: kernel.outcome(intent_hash))

    def act(self, decision: Decision | bytes, job: str) -> Step:
        """Carry the effect out in the outside world, where it cannot be taken back. No network, no answer."""
        intent_hash = decision.intent_hash if isinstance(decision, Decision) else decision
        return Step(ACT, f"{job} by {_short(intent_hash or b'')}", None, intent_hash=intent_hash, job=job)

    def sleep(self, nanoseconds: int) -> Step:
        """Wait; others go on."""
        return Step(SLEEP, f"{nanoseconds} ns", None, until_ns=self.now_ns + nanoseconds)


def _short(intent_hash: bytes | str) -> str:
    text = intent_hash if isinstance(intent_hash, str) else intent_hash.hex()
    return text[:8]
