"""The kernel as a host sees it: submit, settle, release, extend, approve, decide, query.

Rule 1. Queries see committed state only; how requests are answered is in `requests.py`.
Rule 2. Every method acts for one principal (`as_principal`), who may use only the grants it holds.
"""

import os
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any

from msgspec.structs import replace

from splittally.core.errors import InvalidInput
from splittally.core.findings import has_code
from splittally.core.types import OPERATOR, RELEASED, is_principal
from splittally.edge.arguments import require, require_natural
from splittally.edge.hashes import require_hash
from splittally.edge.moments import When
from splittally.edge.records import At, Decision, Dispatch, Extend, HoldChange, Intent, Release
from splittally.runtime.charges import Book
from splittally.runtime.health import health_row
from splittally.runtime.history import History
from splittally.runtime.lineage import Level, trace
from splittally.runtime.natives import Natives
from splittally.runtime.opening import upgrade
from splittally.runtime.pipeline import commit, commit_if_running, tick
from splittally.runtime.queries import Queries
from splittally.runtime.record import Record
from splittally.runtime.rows import Row, outcome_row
from splittally.runtime.streams import answers_for, use
from splittally.runtime.waits import Patience, records_after, wait, watch


class Kernel(Natives):
    """One open world, for one principal."""

    def __enter__(self) -> "Kernel":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trail: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the world; what was answered is durable already."""
        with self._lock:
            world = self._world
            try:
                if os.getpid() == world.pid and not world.is_closed:
                    commit_if_running(world)
            finally:
                world.close()

    @property
    def principal(self) -> str:
        """For whom this kernel acts."""
        return self._principal

    @property
    def repairs(self) -> tuple[str, ...]:
        """What opening had to rebuild, and why: damaged snapshots and index runs."""
        return tuple(self._world.repairs)

    def health(self) -> Row:
        """How the clock and the files of this world are: `state` is steady, behind or jumped."""
        with self._lock:
            self._usable()
            world = self._world
            return health_row(world.state, world.clock, world.repairs)

    @property
    def state(self) -> Queries:
        """Read-only queries on the state: grants, counters, reservations, accounts."""
        return Queries(self._committed, self._lock, self._past, self._book)

    def as_principal(self, name: str) -> "Kernel":
        """A view of the same world that may use only the grants `name` holds."""
        if not is_principal(name):
            raise InvalidInput("a principal's name is letters, digits and `._:-`", field="principal")
        return Kernel(self._world, name)

    def fork(self) -> "Kernel":
        """A what-if: a kernel over a copy of this world, asked like any other; nothing is written here.

        The two share nothing that changes, so each may be used in a thread of its own. Copying takes some
        60 ms a million rows of the state.
        """
        with self._lock:
            self._usable()
            return Kernel(self._world.copy(), self._principal)

    # --- asking --------------------------------------------------------------------------------

    def release(
        self,
        intent_hash: bytes | str,
        cause: str = "cancel",
        order: str | None = None,
        now_ns: int | None = None,
        attempt: bytes | None = None,
    ) -> HoldChange:
        """End a hold without a receipt; `governance` needs `order` and a grant that covers it.

        What was dispatched needs the `attempt` that started it, and is not ended by governance.
        """
        digest = require_hash(intent_hash)
        if cause == "governance":
            decision = self.native(
                "reservation.release", intent_hash=digest, order=order or "", now_ns=now_ns
            )
            is_gone = any(has_code(finding, "not_reserved") for finding in decision.findings)
            status = RELEASED if decision.allowed else "not_reserved" if is_gone else "refused"
            return HoldChange(decision.seq, digest, status)
        answer: HoldChange = self._one(At(now_ns, Release(digest, cause, order, attempt)))
        return answer

    def dispatch(self, intent_hash: bytes | str, attempt: bytes, now_ns: int | None = None) -> HoldChange:
        """Start the effect of an open hold: `dispatched` for the first attempt that asks, and for it alone.

        Others hear `already_dispatched`, also where the hold is unknown; `not_approved` where it waits.
        """
        request = Dispatch(require_hash(intent_hash), attempt)
        answer: HoldChange = self._one(At(now_ns, request))
        return answer

    def extend(self, intent_hash: bytes | str, expires_ns: int, now_ns: int | None = None) -> HoldChange:
        """Move a hold's expiry, at most to what its grants allow."""
        request = Extend(require_hash(intent_hash), expires_ns)
        answer: HoldChange = self._one(At(now_ns, request))
        return answer

    def tick(self, now_ns: int | None = None) -> int:
        """Work through what is due by now; how many frames that took."""
        with self._lock:
            self._usable()
            world = self._world
            try:
                frames = tick(world, world.clock.read(world.state.now_ns, now_ns, world.state.clock_jump_ns))
            except BaseException:
                commit_if_running(world)
                raise
            commit(world)
            return frames

    def decide(self, intent: Intent, now_ns: int | None = None) -> Decision:
        """What `submit` would answer now, with nothing written."""
        require(intent, Intent, "intent", "an Intent")
        with self._lock:
            self._usable()
            decision = Kernel(self._world.fork(), self._principal).submit(intent, now_ns=now_ns)
            return replace(decision, seq=None, attempt=None)

    def outcome(self, intent_hash: bytes | str) -> Row | None:
        """What happened to an intent: its decision, its status and what ended it; None if unknown."""
        with self._lock:
            self._usable()
            found = self._world.history.trace(require_hash(intent_hash))
            return outcome_row(found) if found is not None else None

    def wait(
        self, intent_hash: bytes | str, timeout_s: float | None = None, *, ended: bool = False
    ) -> Row | None:
        """The outcome of an intent once it no longer waits for approval, or with `ended` once it has ended.

        After `timeout_s` seconds the outcome as it is then; None at once where the intent is unknown.
        """
        digest = require_hash(intent_hash)
        wait(Patience(self._world, digest, timeout_s, ended), self._world, digest, self.tick)
        return self.outcome(digest)

    def watch(self, after_seq: int = -1) -> Iterator[Record]:
        """The durable frames after `after_seq`, verified, as they come; it waits for more, and ends when
        the world is closed."""
        require(after_seq, int, "after_seq", "the sequence of a frame")
        return watch(self._world, max(-1, after_seq), self._records_after)

    def _records_after(self, seq: int) -> list[Record]:
        with self._lock:
            if self._world.is_closed:
                return []
            self._usable()
            return records_after(self._world, seq)

    def trace(
        self,
        target: bytes | str | int,
        resource: str | None = None,
        depth: int | None = None,
        limit: int | None = None,
    ) -> list[Level]:
        """Where value came from, level by level: of an intent by its hash, of a frame, of an account.

        At most `depth` levels deep and `limit` levels in all; `origins_of` sums them. `Untraceable` where
        there is no such thing. It reads the journal from the first frame on.
        """
        require(target, (bytes, str, int), "target", "a hash, a sequence or an account")
        for name, bound in (("depth", depth), ("limit", limit)):
            if bound is not None:
                require_natural(bound, name)
        with self._lock:
            self._usable()
            body = self._world.history.body
            frames = ((seq, body(seq)) for seq in range(self._world.state.size))
            return trace(frames, target, resource, depth, limit)

    def at(self, moment: When) -> Queries:
        """Queries on the state at a past moment: the same as a fold of the frames up to it.

        A moment is a sequence, a date (the end of that day) or a time, also in ISO text; one without an
        offset is of the world's calendar. An integer from 10^12 on is nanoseconds since 1970.
        """
        with self._lock:
            self._usable()
            state = self._world.state_after(moment)
        return Queries(lambda: state, self._lock, self._past, self._book)

    def upgrade(self) -> int | None:
        """Record the caps, kinds and modules of this release; the frame, None where they stand already."""
        with self._lock:
            self._usable()
            if self._principal != OPERATOR:
                raise InvalidInput(f"only `{OPERATOR}` upgrades a world", field="principal")
            return upgrade(self._world)

    @staticmethod
    def run_for(requests: Iterable[tuple["Kernel", At[Any]]]) -> list[Any]:
        """Answers to requests of several principals of one world, in as few commits as they fit in; what
        fails has its error as its answer."""
        asked = list(requests)
        if not asked:
            return []
        world = asked[0][0]._world
        if any(kernel._world is not world for kernel, _ in asked):
            raise InvalidInput("requests of several worlds are answered world by world", field="kernel")
        return answers_for(world, [(kernel._principal, item) for kernel, item in asked])

    def _past(self) -> History:
        return self._world.history

    def _committed(self) -> Any:
        with self._lock:
            self._usable()
            return self._world.state

    def _book(self) -> Book:
        """The committed frames, each read while commands wait."""
        world = self._world
        return Book(world.store, world.history, self._lock, lambda: world.state.calendar)

    def _usable(self) -> None:
        use(self._world)
