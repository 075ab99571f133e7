"""The kernel as a host sees it: submit, settle, release, extend, approve, decide, query.

Rule 1. An answer is given only after the commit of its group. Queries see committed state only.
Rule 2. A list is cut into groups of at most `GROUP_MAX` frames, each durable before it is answered.
Rule 3. Every method acts for one principal (`as_principal`), who may use only the grants it holds.
"""

import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Any

from msgspec.structs import replace

from splittally.core.errors import InvalidInput, KernelStopped
from splittally.core.findings import find
from splittally.core.limits import ATTEMPT_BYTES
from splittally.core.types import CAP_NATIVE_TYPE, OPERATOR, RELEASED, ROOT, is_id, is_name
from splittally.edge.hashes import require_hash
from splittally.edge.manifest import read_manifest_names
from splittally.edge.records import (
    Answer,
    At,
    Decision,
    Extend,
    Group,
    HoldChange,
    Intent,
    Receipt,
    Release,
    Request,
)
from splittally.journal.store import Store
from splittally.runtime.answers import or_raise
from splittally.runtime.lineage import Level, trace
from splittally.runtime.opening import open_or_create, open_over, upgrade
from splittally.runtime.pipeline import answers, commit, commit_if_running, tick
from splittally.runtime.queries import Queries
from splittally.runtime.rows import Row, outcome_row
from splittally.runtime.world import World


class Kernel:
    """One open world, for one principal."""

    def __init__(self, world: World, principal: str = OPERATOR) -> None:
        self._world = world
        self._principal = principal
        self._lock: threading.RLock = world.lock

    def __enter__(self) -> "Kernel":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trail: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the world; what was answered is durable already."""
        with self._lock:
            self._world.close()

    @property
    def principal(self) -> str:
        """For whom this kernel acts."""
        return self._principal

    @property
    def repairs(self) -> tuple[str, ...]:
        """What opening had to rebuild, and why: damaged snapshots and index runs."""
        return tuple(self._world.repairs)

    @property
    def state(self) -> Queries:
        """Read-only queries on the state: grants, counters, reservations, accounts."""
        return Queries(self._committed, self._lock)

    def as_principal(self, name: str) -> "Kernel":
        """A view of the same world that may use only the grants `name` holds."""
        if not is_id(name) or not is_name(f"host/{name}@1"):
            raise InvalidInput("a principal's name is letters, digits and `._:-`", field="principal")
        return Kernel(self._world, name)

    def fork(self) -> "Kernel":
        """A what-if: a kernel over a copy that reads through to this world and writes nothing to it."""
        with self._lock:
            self._usable()
            return Kernel(self._world.fork(), self._principal)

    # --- asking --------------------------------------------------------------------------------

    def submit(self, intent: Intent | Iterable[Intent], mode: str = "each", now_ns: int | None = None) -> Any:
        """A `Decision` for an intent, or a list of them for a list.

        `mode` is `each` (one frame each), `all` (one frame, all or nothing) or `first` (same key and
        params, one intent per grant, the first allow wins: one Decision).
        """
        if mode not in ("each", "all", "first"):
            raise InvalidInput("`mode` is each, all or first", field="mode")
        if isinstance(intent, Intent):
            return self.run([At(now_ns, intent)])[0]
        intents = list(intent)
        if mode == "each":
            return self.run([At(now_ns, each) for each in intents])
        answer = self.run([At(now_ns, Group(mode, tuple(intents)))])[0]
        return answer if mode == "first" else list(answer)

    def settle(self, receipt: Receipt | Iterable[Receipt], now_ns: int | None = None) -> Any:
        """A `Settlement` for a receipt, or a list of them; `InvalidInput` when one cannot be read."""
        if isinstance(receipt, Receipt):
            return or_raise(self.run([At(now_ns, receipt)])[0])
        return [or_raise(answer) for answer in self.run([At(now_ns, each) for each in receipt])]

    def release(
        self,
        intent_hash: bytes | str,
        cause: str = "cancel",
        order: str | None = None,
        now_ns: int | None = None,
    ) -> HoldChange:
        """End a hold without a receipt; `governance` needs `order` and a grant that covers it."""
        digest = require_hash(intent_hash)
        if cause == "governance":
            decision = self.native(
                "reservation.release", intent_hash=digest, order=order or "", now_ns=now_ns
            )
            is_gone = any(finding.code == "not_reserved" for finding in decision.findings)
            status = RELEASED if decision.allowed else "not_reserved" if is_gone else "refused"
            return HoldChange(decision.seq, digest, status)
        answer: HoldChange = or_raise(self.run([At(now_ns, Release(digest, cause, order))])[0])
        return answer

    def extend(self, intent_hash: bytes | str, expires_ns: int, now_ns: int | None = None) -> HoldChange:
        """Move a hold's expiry, at most to what its grants allow."""
        request = Extend(require_hash(intent_hash), expires_ns)
        answer: HoldChange = or_raise(self.run([At(now_ns, request)])[0])
        return answer

    def approve(self, intent_hash: bytes | str, now_ns: int | None = None) -> Decision:
        """Approve an intent that waits; approving again changes nothing."""
        return self.native(
            "approval.answer", intent_hash=require_hash(intent_hash), answer="approve", now_ns=now_ns
        )

    def reject(self, intent_hash: bytes | str, now_ns: int | None = None) -> Decision:
        """Reject an intent that waits, which releases its hold."""
        return self.native(
            "approval.answer", intent_hash=require_hash(intent_hash), answer="reject", now_ns=now_ns
        )

    def native(
        self, kind: str, grant: str | None = None, now_ns: int | None = None, **params: Any
    ) -> Decision:
        """Ask for a native effect, such as `native("ledger.issue", resource=..., amount=..., to=...)`.

        Without `grant` it is asked under the root grant by the operator, and under the principal's
        first native grant by anybody else.
        """
        decision: Decision = self.submit(Intent(kind, params, grant or self._native_grant()), now_ns=now_ns)
        return decision

    def apply(
        self,
        manifest: str | Path | Mapping[str, Any],
        now_ns: int | None = None,
        accept_modules: bool = False,
    ) -> Decision:
        """Make the world what a manifest says, all or nothing; an unchanged one writes nothing.

        `manifest` is a path to TOML or JSON, or a mapping of the same shape (spec/06-manifest.md). A name
        that means another module now is shown (`module_renamed`) and taken with `accept_modules`.
        """
        with self._lock:
            state = self._world.state
            schema_of = self._world.sealer.schema
            params, beside = read_manifest_names(manifest, state, schema_of, accept_modules)
            decision: Decision = self.submit(Intent("manifest.apply", params, ROOT), now_ns=now_ns)
            holds = self._world.state.ledger.holds
            if decision.allowed and holds:
                hashes = sorted(holds)[:16]
                beside.append(find("carried_over", count=len(holds), intent_hashes=hashes))
            return replace(decision, findings=(*decision.findings, *beside))

    def tick(self, now_ns: int | None = None) -> int:
        """Work through what is due by now; how many frames that took."""
        with self._lock:
            self._usable()
            world = self._world
            frames = tick(world, world.clock.read(world.state.now_ns, now_ns))
            commit(world)
            return frames

    def decide(self, intent: Intent, now_ns: int | None = None) -> Decision:
        """What `submit` would answer now, with nothing written."""
        with self._lock:
            self._usable()
            decision: Decision = Kernel(self._world.fork(), self._principal).submit(intent, now_ns=now_ns)
            return replace(decision, seq=None, attempt=None)

    def outcome(self, intent_hash: bytes | str) -> Row | None:
        """What happened to an intent: its decision, its status and what ended it; None if unknown."""
        with self._lock:
            self._usable()
            found = self._world.history.trace(require_hash(intent_hash))
            return outcome_row(found) if found is not None else None

    def trace(self, target: bytes | str | int, resource: str | None = None) -> list[Level]:
        """Where value came from, level by level: of an intent by its hash, of a frame, of an account.

        `Untraceable` where there is no such thing. It reads the journal from the first frame on.
        """
        with self._lock:
            self._usable()
            body = self._world.history.body
            frames = ((seq, body(seq)) for seq in range(self._world.state.size))
            return trace(frames, target, resource)

    def at(self, seq: int) -> Queries:
        """Queries on the state after frame `seq`: the same as a fold of the frames 0 ... `seq`."""
        with self._lock:
            self._usable()
            state = self._world.state_after(seq)
        return Queries(lambda: state)

    def upgrade(self) -> int | None:
        """Record the caps, kinds and modules of this release; the frame, None where they stand already."""
        with self._lock:
            self._usable()
            if self._principal != OPERATOR:
                raise InvalidInput(f"only `{OPERATOR}` upgrades a world", field="principal")
            return upgrade(self._world)

    def run(self, requests: Iterable[Request | At]) -> list[Any]:
        """Answers to requests of any kind, in order. A `Group` in mode `all` has a list as its answer;
        a receipt, release or extension that cannot be read has the error as its answer."""
        return [answer for group in self.stream(requests) for answer in group]

    def stream(self, requests: Iterable[Request | At]) -> Iterator[list[Any]]:
        """`run` group by group: each list is durable when it is given."""
        with self._lock:
            self._usable()
            waiting: list[Any] = []
            world = self._world
            committed = world.commits
            try:
                for answer in answers(world, self._principal, requests):
                    waiting.append(answer)
                    if world.commits != committed and not world.group:
                        yield waiting
                        waiting = []
                    committed = world.commits
            except BaseException:
                commit_if_running(world)
                raise
            commit(world)
            if waiting:
                yield waiting

    @staticmethod
    def run_for(requests: Iterable[tuple["Kernel", At]]) -> list[Any]:
        """Answers to requests of several principals of one world, in as few commits as they fit in."""
        given: list[Any] = []
        worlds: set[World] = set()
        with ExitStack() as held:  # until the commit, so that no query sees what is not durable
            try:
                for kernel, run in groupby(requests, itemgetter(0)):
                    if kernel._world not in worlds:
                        held.enter_context(kernel._lock)
                        worlds.add(kernel._world)
                    kernel._usable()
                    given += answers(kernel._world, kernel._principal, [item for _, item in run])
            except BaseException:
                for world in worlds:
                    commit_if_running(world)
                raise
            for world in worlds:
                commit(world)
        return given

    def _native_grant(self) -> str:
        if self._principal == OPERATOR:
            return ROOT
        caps = self._world.state.caps
        for name in sorted(caps.grants):
            grant = caps.grants[name]
            if grant.holder == self._principal and caps.caps[grant.cap].cap_type == CAP_NATIVE_TYPE:
                return name
        return ROOT

    def _committed(self) -> Any:
        with self._lock:
            self._usable()
            return self._world.state

    def _usable(self) -> None:
        if os.getpid() != self._world.pid:
            raise KernelStopped("this kernel was opened in another process; open the world again here")
        if self._world.is_closed:
            raise KernelStopped("this kernel is closed; open the world again")
        if self._world.stopped:  # its state is ahead of its journal
            self._world.refuse_stopped()


def open_world(path: str | Path | None, clock: Any = None, **options: Any) -> Kernel:
    """Open the world at `path`, or make one there; see `splittally.open`."""
    return Kernel(open_or_create(path, clock, **options))


def open_store(store: Store, clock: Any = None, **options: Any) -> Kernel:
    """The kernel of the world whose frames `store` holds; a new world where it holds none.

    For frames that are in no folder, and for stores that fail on purpose. `clock` is as in
    `splittally.open`; options are `open_max` and `entropy`.
    """
    return Kernel(open_over(store, clock, **options))


def new_attempt() -> bytes:
    """A fresh attempt id for a client that may have to send its intent again."""
    return os.urandom(ATTEMPT_BYTES)


__all__ = ["Answer", "At", "Kernel", "new_attempt", "open_store", "open_world"]
