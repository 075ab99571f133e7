"""Where scenarios are played: a copy of a world, or a world made of a manifest, with a clock of its own.

Rule 1. Nothing of the user's is written. A world is opened for reading, and every play has a fork in memory
        that is thrown away; what a crash leaves behind are the frames of the fork.
Rule 2. Time is ours: it begins at `start_ns` for every play and goes on when the play says so.
Rule 3. The accounts that grants draw on are filled first, on the copy: what they hold today is no matter of
        the manifest. `filled` names them.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from splittally.core.errors import SplittallyError
from splittally.core.state import State
from splittally.core.types import OPERATOR
from splittally.edge.records import Decision, Intent, Receipt, Refused
from splittally.edge.wording import Wording, wording_of
from splittally.journal.memory import MemoryStore
from splittally.journal.store import Store
from splittally.runtime import Kernel, open_store
from splittally.runtime.clock import GIVEN, OPEN_JUMP_NS
from splittally.runtime.fork import ForkStore
from splittally.runtime.reader import open_reader, read_store

from splittally_tools.testing.faults import Crash, FaultyStore

Manifest = Path | Mapping[str, Any]
FILLED = 10**15  # minor units of each resource on each account
BOOT_NS = 10**15


class Hands:
    """The clock of the machine that the plays pretend: one that people set, and one that only counts."""

    def __init__(self, start_ns: int) -> None:
        self.start_ns = start_ns
        self.reset()

    def reset(self) -> None:
        """It is the beginning again."""
        self.wall_ns, self.boot_ns = self.start_ns, BOOT_NS

    @property
    def pair(self) -> tuple[Callable[[], int], Callable[[], int]]:
        """Both, as a kernel reads them."""
        return (lambda: self.wall_ns), (lambda: self.boot_ns)


class Ground:
    """A world from which every play begins."""

    def __init__(self, kernel: Kernel, hands: Hands) -> None:
        self.kernel = kernel
        self.hands = hands
        self.is_given = kernel.state.clock == GIVEN
        self.filled = _fill(kernel, read_store(kernel).folded, self.at)
        self.store: Store = read_store(kernel).store
        self.state: State = read_store(kernel).folded
        self.wording: Wording = wording_of(self.state)

    @property
    def at(self) -> dict[str, Any]:
        """What is said of the time with every request: nothing where the world's clock is the host's."""
        return {"now_ns": self.hands.wall_ns} if self.is_given else {}

    def stage(self) -> "Stage":
        """A fork for one play, at the beginning of time."""
        self.hands.reset()
        return Stage(self, self.kernel.fork())

    def crashing(self) -> "CrashingStage":
        """A stage whose kernel can be made to crash."""
        self.hands.reset()
        return CrashingStage(self)


class Stage:
    """One play: what hosts ask, and the time."""

    def __init__(self, ground: Ground, kernel: Kernel) -> None:
        self._ground = ground
        self.kernel = kernel

    @property
    def now_ns(self) -> int:
        """The time of the world."""
        return max(self._ground.hands.wall_ns, self.kernel.state.now_ns)

    def later(self, nanoseconds: int) -> None:
        """Time passes, and what is due by then happens."""
        self._ground.hands.wall_ns += nanoseconds
        self._ground.hands.boot_ns += nanoseconds
        self.kernel.tick(**self._ground.at)

    def set_clock(self, nanoseconds: int) -> None:
        """Somebody sets the clock by so much; no time passes."""
        self._ground.hands.wall_ns += nanoseconds

    def submit(self, intent: Intent, who: str) -> Decision:
        return self.kernel.as_principal(who).submit(intent, **self._ground.at)

    def settle(self, receipt: Receipt, who: str) -> Any:
        return self.kernel.as_principal(who).settle(receipt, **self._ground.at)

    def dispatch(self, digest: bytes, attempt: bytes, who: str) -> str:
        return self.kernel.as_principal(who).dispatch(digest, attempt, **self._ground.at).status

    def approve(self, digest: bytes, who: str) -> Decision:
        return self.kernel.as_principal(who).approve(digest, **self._ground.at)

    def native(self, kind: str, **params: Any) -> Decision:
        """A native effect of the operator."""
        return self.kernel.native(kind, **self._ground.at, **params)

    def outcome(self, digest: bytes) -> Any:
        """What became of an intent, which is known."""
        row = self.kernel.outcome(digest)
        assert row is not None
        return row

    def due_ns(self, digest: bytes) -> int:
        """When a hold ends by itself; 0 for never."""
        return self.kernel.state.reservations[digest].due_ns or 0


class CrashingStage(Stage):
    """A stage over frames that outlive the kernel; whatever else it knew is gone with it."""

    def __init__(self, ground: Ground) -> None:
        self._frames = FaultyStore(ForkStore(ground.store, threading.RLock()))
        super().__init__(ground, self._open(ground))

    def crash(self, fate: str, act: Callable[[], object]) -> None:
        """The kernel dies at the commit of what `act` asks, and is started again."""
        self._frames.fail(fate)
        with suppress(Crash):
            act()
        self.kernel = self._open(self._ground)

    def _open(self, ground: Ground) -> Kernel:
        return open_store(self._frames, None if ground.is_given else ground.hands.pair)


@contextmanager
def ground_of_manifest(manifest: Manifest, now_ns: int | None = None) -> Iterator[Ground]:
    """A world in memory in which the manifest was applied; `Refused` or `InvalidManifest` where it is not."""
    hands = Hands(time.time_ns() if now_ns is None else now_ns)
    with open_store(MemoryStore(), hands.pair) as kernel:
        decision = kernel.apply(manifest)
        if not decision.allowed:
            raise Refused(decision)
        yield Ground(kernel, hands)


@contextmanager
def ground_of_world(folder: Path, now_ns: int | None = None) -> Iterator[Ground]:
    """A copy of a world as it stands, in memory over its frames; `NoWorld` where there is none."""
    with open_reader(folder) as reader:
        state = reader.folded
        is_given = state.clock == GIVEN
        said_ns = now_ns if now_ns is not None else 0 if is_given else time.time_ns()
        hands = Hands(max(state.now_ns, min(said_ns, state.now_ns + OPEN_JUMP_NS)))
        store = ForkStore(reader.store, threading.RLock())
        with open_store(store, None if is_given else hands.pair) as kernel:
            yield Ground(kernel, hands)


def _fill(kernel: Kernel, state: State, at: Mapping[str, Any]) -> tuple[str, ...]:
    """Fills every account that a grant draws on; those that were."""
    drawn = {
        (payer.account, resource)
        for grant in state.caps.grants.values()
        for resource, payers in grant.paid_by.items()
        for payer in payers
    }
    filled = set()
    for account, resource in sorted(drawn):
        with suppress(SplittallyError):
            given: dict[str, Any] = {"resource": resource, "amount": FILLED, "to": account}
            if kernel.as_principal(OPERATOR).native("ledger.issue", **at, **given).allowed:
                filled.add(account)
    return tuple(sorted(filled))
