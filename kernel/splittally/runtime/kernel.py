"""The kernel as a host sees it: submit, settle, release, extend, approve, decide, query.

Rule 1. An answer is given only after the commit of its group. Queries see committed state only.
Rule 2. A list is cut into groups of at most `GROUP_MAX` frames, each durable before it is answered.
Rule 3. Every method acts for one principal (`as_principal`), who may use only the grants it holds.
"""

import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from msgspec.structs import replace

from splittally.core import commands as core
from splittally.core.errors import InvalidInput, KernelStopped
from splittally.core.findings import find
from splittally.core.limits import (
    ATTEMPT_BYTES,
    GROUP_MAX,
    KEY_BYTES,
    MEMBERS_MAX,
    TEXT_BYTES_MAX,
    TIME_NS_MAX,
)
from splittally.core.native import NATIVE
from splittally.core.step import HoldReply, SettleReply
from splittally.core.types import (
    ADMITTED,
    CAP_NATIVE_TYPE,
    OPERATOR,
    RELEASED,
    ROOT,
    SETTLED,
    is_id,
    is_name,
)
from splittally.edge.manifest import read_manifest_document
from splittally.edge.records import (
    Answer,
    Decision,
    Extend,
    Group,
    HoldChange,
    Intent,
    Receipt,
    Release,
    Settlement,
)
from splittally.edge.seal import Refused, require_hash
from splittally.runtime.answers import (
    decision_of,
    duplicate_of,
    not_decided,
    or_raise,
    outcome_row,
    unrecorded,
)
from splittally.runtime.clock import HOST
from splittally.runtime.queries import Queries, Row
from splittally.runtime.staging import Staged, stage
from splittally.runtime.world import World, open_or_create

Request = Intent | Receipt | Release | Extend | Group


class At:
    """A request with the logical time at which it is made, for worlds whose clock is given."""

    __slots__ = ("now_ns", "request")

    def __init__(self, now_ns: int | None, request: Request) -> None:
        self.now_ns = now_ns
        self.request = request


class Kernel:
    """One open world, for one principal."""

    def __init__(self, world: World, by: str = OPERATOR) -> None:
        self._world = world
        self._by = by
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
        return self._by

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
            return Kernel(self._world.fork(), self._by)

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

    def apply(self, manifest: str | Path | Mapping[str, Any], now_ns: int | None = None) -> Decision:
        """Make the world what a manifest says, all or nothing; an unchanged one writes nothing.

        `manifest` is a path to TOML or JSON, or a mapping of the same shape (spec/06-manifest.md).
        """
        with self._lock:
            params = read_manifest_document(manifest, self._world.state, self._world.sealer.schema)
            decision: Decision = self.submit(Intent("manifest.apply", params, ROOT), now_ns=now_ns)
            holds = self._world.state.ledger.holds
            if decision.allowed and holds:
                hashes = sorted(holds)[:16]
                carried = find("carried_over", count=len(holds), intent_hashes=hashes)
                return Decision(
                    decision.seq, decision.intent_hash, decision.outcome, (*decision.findings, carried)
                )
            return decision

    def tick(self, now_ns: int | None = None) -> int:
        """Work through what is due by now; how many frames that took."""
        with self._lock:
            self._usable()
            world = self._world
            frames = world.writer.tick(world.clock.read(world.state.now_ns, now_ns))
            world.commit()
            return frames

    def decide(self, intent: Intent, now_ns: int | None = None) -> Decision:
        """What `submit` would answer now, with nothing written."""
        with self._lock:
            self._usable()
            decision: Decision = Kernel(self._world.fork(), self._by).submit(intent, now_ns=now_ns)
            return Decision(
                None,
                decision.intent_hash,
                decision.outcome,
                decision.findings,
                decision.reserve,
                decision.duplicate,
            )

    def outcome(self, intent_hash: bytes | str) -> Row | None:
        """What happened to an intent: its decision, its status and what ended it; None if unknown."""
        with self._lock:
            self._usable()
            found = self._world.writer.recaller.trace(require_hash(intent_hash))
            return outcome_row(found) if found is not None else None

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
            if self._by != OPERATOR:
                raise InvalidInput(f"only `{OPERATOR}` upgrades a world", field="principal")
            return self._world.upgrade()

    def run(self, requests: Iterable[Request | At]) -> list[Any]:
        """Answers to requests of any kind, in order. A `Group` in mode `all` has a list as its answer;
        a receipt, release or extension that cannot be read has the error as its answer."""
        answers: list[Any] = []
        for group in self.stream(requests):
            answers += group
        return answers

    def stream(self, requests: Iterable[Request | At]) -> Iterator[list[Any]]:
        """`run` group by group: each list is durable when it is given."""
        with self._lock:
            self._usable()
            waiting: list[Any] = []
            try:
                for request, now_ns, ahead in self._staged(requests):
                    committed = self._world.writer.commits
                    answer = self._answer(request, now_ns, ahead)
                    if self._world.writer.commits != committed and self._world.writer.group_size == 0:
                        yield [*waiting, answer]
                        waiting = []
                    else:
                        waiting.append(answer)
            except BaseException:
                self._world.commit_if_running()
                raise
            self._world.commit()
            if waiting:
                yield waiting

    def _staged(self, requests: Iterable[Any]) -> Iterator[tuple[Any, int | None, Staged | None]]:
        """Each request with its time; of a list, intents that follow each other are staged together."""
        items = ((x.request, x.now_ns) if isinstance(x, At) else (x, None) for x in requests)
        if type(requests) is not list:
            yield from ((request, now_ns, None) for request, now_ns in items)
            return
        world, at = self._world, 0
        asked: list[tuple[object, int | None]] = list(items)
        while at < len(asked):
            ahead: list[Staged | None] = [
                *stage(
                    world.state,
                    world.sealer,
                    world.writer.judge,
                    world.clock,
                    self._by,
                    asked[at : at + GROUP_MAX],
                    lambda member: self._known(member) is not None,
                )
            ]
            for each in ahead or [None]:
                yield (*asked[at], each)
                at += 1

    @staticmethod
    def run_for(requests: Iterable[tuple["Kernel", At]]) -> list[Any]:
        """Answers to requests of several principals of one world, in as few commits as they fit in."""
        answers: list[Any] = []
        worlds: set[World] = set()
        with ExitStack() as held:  # until the commit, so that no query sees what is not durable
            try:
                for kernel, item in requests:
                    if kernel._world not in worlds:
                        held.enter_context(kernel._lock)
                        worlds.add(kernel._world)
                    kernel._usable()
                    answers.append(kernel._answer(item.request, item.now_ns))
            except BaseException:
                for world in worlds:
                    world.commit_if_running()
                raise
            for world in worlds:
                world.commit()
        return answers

    # --- one request ---------------------------------------------------------------------------

    def _answer(self, request: Request, given_ns: int | None, ahead: Staged | None = None) -> Any:
        world = self._world
        try:
            if ahead is not None and world.clock.kind == HOST:
                return self._submit_staged(ahead, max(ahead.now_ns, world.state.now_ns))
            now_ns = world.clock.read(world.state.now_ns, given_ns)
            match request:
                case Intent() if ahead is not None:
                    return self._submit_staged(ahead, now_ns)
                case Intent():
                    return self._submit(request, now_ns)
                case Group():
                    return self._submit_group(request, now_ns)
                case Receipt():
                    return self._settle(request, now_ns)
                case Release():
                    return self._release(request, now_ns)
                case Extend():
                    return self._extend(request, now_ns)
            raise InvalidInput("an Intent, Receipt, Release, Extend or Group is expected", field="request")
        except InvalidInput as error:
            if not isinstance(request, Intent | Group):
                return error
            refusal = not_decided(error)
            if isinstance(request, Intent) or request.mode == "first":
                return refusal
            return [refusal] * max(1, len(request.intents))

    def _submit(self, intent: Intent, now_ns: int) -> Decision:
        world = self._world
        try:
            member = world.sealer.seal_intent(world.state, self._by, intent)
        except Refused as refused:
            return unrecorded(refused.finding)
        return self._decide(member, now_ns, None)

    def _submit_staged(self, staged: Staged, now_ns: int) -> Decision:
        """The answer to an intent that was staged; what was judged for another time is judged again."""
        if staged.member is None:
            assert staged.refused is not None
            return unrecorded(staged.refused.finding)
        return self._decide(staged.member, now_ns, staged.seen if now_ns == staged.now_ns else None)

    def _decide(self, member: core.Member, now_ns: int, seen: list[core.Evidence] | None) -> Decision:
        world = self._world
        known = self._known(member)
        if known is not None:
            return known
        if self._is_full([member], now_ns):
            return unrecorded(find("over_capacity", available=world.open_max), member.intent_hash)
        seq, decided = world.writer.run(self._by, core.Submit("each", [member]), now_ns, seen)
        return decision_of(seq, decided.replies[0], member.attempt)

    def _submit_group(self, group: Group, now_ns: int) -> Any:
        world = self._world
        if group.mode not in ("all", "first"):
            raise InvalidInput("the `mode` of a group is all or first", field="mode")
        if not 0 < len(group.intents) <= MEMBERS_MAX:
            raise InvalidInput(f"a group has 1 to {MEMBERS_MAX} intents", field="intents")
        try:
            members = self._seal_group(group)
        except Refused as refused:
            refusal = unrecorded(refused.finding)
            return refusal if group.mode == "first" else [refusal for _ in group.intents]
        known = [self._known(member) for member in members]
        if group.mode == "first":
            admitted = [x for x in known if x is not None and x.outcome in ADMITTED]
            if admitted or all(known):
                return admitted[0] if admitted else known[0]
            members = [member for member, twin in zip(members, known, strict=True) if twin is None]
        elif any(known):
            return [twin or self._conflicting(known) for twin in known]
        if self._is_full(members[:1] if group.mode == "first" else members, now_ns):
            refusal = unrecorded(find("over_capacity", available=world.open_max))
            return refusal if group.mode == "first" else [refusal for _ in members]
        seq, decided = world.writer.run(self._by, core.Submit(group.mode, members), now_ns)
        attempts = {member.intent_hash: member.attempt for member in members}
        decisions = [decision_of(seq, reply, attempts[reply.intent_hash]) for reply in decided.replies]
        return decisions[0] if group.mode == "first" else decisions

    def _is_full(self, members: list[core.Member], now_ns: int) -> bool:
        """Whether there is no room for so many holds; a native effect opens none, so it always has room."""
        world = self._world
        if len(world.state.ledger.holds) + len(members) <= world.open_max:
            return False
        added = sum(member.kind not in NATIVE for member in members)
        if not added or len(world.state.ledger.holds) + added <= world.open_max:
            return False
        world.writer.tick(now_ns)  # what has fallen due makes room
        return len(world.state.ledger.holds) + added > world.open_max

    def _seal_group(self, group: Group) -> list[core.Member]:
        world = self._world
        intents = list(group.intents)
        if any(type(intent) is not Intent for intent in intents):
            raise Refused(find("input.invalid", field="intents", message="every member is an Intent"))
        if group.mode == "first" and all(intent.idempotency_key is None for intent in intents):
            key = world.chance(KEY_BYTES)
            intents = [replace(intent, idempotency_key=key) for intent in intents]
        members = [world.sealer.seal_intent(world.state, self._by, intent) for intent in intents]
        if any(member.kind in NATIVE and NATIVE[member.kind].target for member in members):
            message = "an effect that rests on an ended intent stands alone"
            raise Refused(find("input.invalid", field="intents", message=message))
        hashes = {member.intent_hash for member in members}
        if len(hashes) != len(members):
            raise Refused(
                find("input.invalid", field="intents", message="one intent stands twice in the group")
            )
        if group.mode == "first" and len({(x.kind, x.params, x.key) for x in members}) != 1:
            raise Refused(
                find(
                    "input.invalid",
                    field="intents",
                    message="`first` offers one payload and key under several grants",
                )
            )
        return members

    def _known(self, member: core.Member) -> Decision | None:
        """The first answer to an intent that is known already, or the conflict of its key."""
        grant = self._world.state.caps.grants[member.grant]
        if not member.keyed or grant.holder != self._by:
            return None  # who does not hold the grant is refused, and told nothing of its intents
        recaller = self._world.writer.recaller
        twin = recaller.twin(member)
        if twin is not None and twin.intent_hash != member.intent_hash:
            finding = find("idempotency.conflict", grant=member.grant, intent_hash=twin.intent_hash)
            return unrecorded(finding, member.intent_hash)
        found = recaller.trace(member.intent_hash)
        if found is None or not found.is_final:
            return None
        return duplicate_of(found)

    def _conflicting(self, known: list[Decision | None]) -> Decision:
        first = next(twin for twin in known if twin is not None)
        facts = {"intent_hash": first.intent_hash, "message": "a member of this group is known already"}
        return unrecorded(find("idempotency.conflict", **facts))

    def _settle(self, receipt: Receipt, now_ns: int) -> Settlement:
        world = self._world
        world.writer.tick(now_ns)
        command = world.sealer.seal_receipt(world.state, receipt, world.writer.kind_of)
        seq, decided = world.writer.run(self._by, command, now_ns)
        reply = decided.replies[0]
        assert isinstance(reply, SettleReply)
        if seq is None and reply.status == "duplicate":
            known = world.writer.recaller.known(reply.intent_hash)
            seq = known.ended_seq if known is not None else None
        violation = reply.violations[0] if reply.violations else None
        return Settlement(
            seq, reply.intent_hash, reply.status, reply.usage, violation, tuple(reply.violations)
        )

    def _release(self, request: Release, now_ns: int) -> HoldChange:
        if type(request.cause) is not str or request.cause not in ("cancel", "not_dispatched"):
            raise InvalidInput(
                "`cause` is cancel or not_dispatched; governance needs an order", field="cause"
            )
        order = "" if request.order is None else request.order
        if not _is_text(order, TEXT_BYTES_MAX):
            raise InvalidInput(f"`order` is text of at most {TEXT_BYTES_MAX} bytes", field="order")
        digest = require_hash(request.intent_hash)
        seq, decided = self._world.writer.run(self._by, core.Release(digest, request.cause, order), now_ns)
        return self._hold_change(seq, decided.replies[0], {RELEASED: "duplicate"})

    def _extend(self, request: Extend, now_ns: int) -> HoldChange:
        expires_ns = request.expires_ns
        if type(expires_ns) is not int or not 0 < expires_ns <= TIME_NS_MAX:
            raise InvalidInput("`expires_ns` is a time below 2^63", field="expires_ns")
        digest = require_hash(request.intent_hash)
        seq, decided = self._world.writer.run(self._by, core.Extend(digest, expires_ns), now_ns)
        return self._hold_change(seq, decided.replies[0], {RELEASED: "refused", SETTLED: "refused"})

    def _hold_change(self, seq: int | None, reply: Any, ended: dict[str, str]) -> HoldChange:
        """`ended` says how a request for one's own intent is answered once that has ended."""
        assert isinstance(reply, HoldReply)
        status = reply.status
        if status == "not_reserved" and reply.intent_hash not in self._world.state.ledger.holds:
            known = self._world.writer.recaller.known(reply.intent_hash)
            if known is not None and known.by == self._by:
                status = ended.get(known.status, status)
        return HoldChange(seq, reply.intent_hash, status, reply.due_ns or None)

    def _native_grant(self) -> str:
        if self._by == OPERATOR:
            return ROOT
        caps = self._world.state.caps
        for name in sorted(caps.grants):
            grant = caps.grants[name]
            if grant.holder == self._by and caps.caps[grant.cap].cap_type == CAP_NATIVE_TYPE:
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
        self._world.writer.refuse_stopped()  # its state is ahead of its journal


def open_world(path: str | Path | None, clock: Any = None, **options: Any) -> Kernel:
    """Open the world at `path`, or make one there; see `splittally.open`."""
    return Kernel(open_or_create(path, clock, **options))


def new_attempt() -> bytes:
    """A fresh attempt id for a client that may have to send its intent again."""
    return os.urandom(ATTEMPT_BYTES)


def _is_text(text: object, bytes_max: int) -> bool:
    try:
        return type(text) is str and len(text.encode()) <= bytes_max
    except UnicodeEncodeError:  # half of a surrogate pair
        return False


__all__ = ["Answer", "At", "Kernel", "new_attempt", "open_world"]
