"""How requests are answered: one at a time, or in runs that are staged ahead.

Rule 1. One request at a time (`answer`) is the definition; staging changes no answer and no frame.
Rule 2. What a run staged is dropped when anything but the run itself has written a frame since.
Rule 3. Nothing here commits; an answer leaves the kernel only after the commit of its group.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from msgspec.structs import replace

from splittally.core import commands as core
from splittally.core.errors import InvalidInput
from splittally.core.findings import find
from splittally.core.limits import GROUP_MAX, KEY_BYTES, MEMBERS_MAX, TEXT_BYTES_MAX, TIME_NS_MAX
from splittally.core.native import NATIVE
from splittally.core.step import HoldReply, SettleReply
from splittally.core.types import ADMITTED, RELEASED, SETTLED
from splittally.edge.hashes import require_hash
from splittally.edge.records import Decision, Extend, Group, HoldChange, Intent, Receipt, Release, Settlement
from splittally.edge.seal import Refused
from splittally.runtime.answers import decision_of, duplicate_of, not_decided, unrecorded
from splittally.runtime.staging import Asked, StagedIntent, StagedReceipt, stage
from splittally.runtime.world import World

Request = Intent | Receipt | Release | Extend | Group


class At:
    """A request with the logical time at which it is made, for worlds whose clock is given."""

    __slots__ = ("now_ns", "request")

    def __init__(self, now_ns: int | None, request: Request) -> None:
        self.now_ns = now_ns
        self.request = request


class Answerer:
    """Answers the requests of one principal of a world."""

    def __init__(self, world: World, by: str) -> None:
        self._world = world
        self._by = by

    def answers(self, requests: Iterable[Request | At]) -> Iterator[Any]:
        """The answers in order, none of them durable by itself; what a list holds is staged in runs."""
        items = ((x.request, x.now_ns) if isinstance(x, At) else (x, None) for x in requests)
        if type(requests) is not list:
            for request, given_ns in items:
                yield self.answer(request, given_ns)
            return
        asked: list[Asked] = list(items)
        state, at = self._world.state, 0
        while at < len(asked):
            run = stage(self._world, self._by, asked[at : at + GROUP_MAX], self._is_known)
            if not run:
                yield self.answer(*asked[at])
                at += 1
            for staged in run:
                answer = self._answer_staged(staged)
                at += 1
                size = state.size
                yield answer
                if state.size != size:
                    break

    def answer(self, request: Any, given_ns: int | None) -> Any:
        """The answer to one request that nothing was staged for."""
        world = self._world
        try:
            now_ns = world.clock.read(world.state.now_ns, given_ns)
            match request:
                case Intent():
                    return self._submit(request, now_ns)
                case Receipt():
                    return self._settle(request, now_ns)
                case Group():
                    return self._submit_group(request, now_ns)
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

    def _answer_staged(self, staged: StagedIntent | StagedReceipt) -> Any:
        now_ns = max(staged.said_ns, self._world.state.now_ns)
        if type(staged) is StagedReceipt:
            try:
                return self._settle_staged(staged, now_ns)
            except InvalidInput as error:
                return error
        assert type(staged) is StagedIntent
        if staged.command is None:
            assert staged.refused is not None
            return unrecorded(staged.refused)
        try:
            return self._decide(staged.command, now_ns, staged)
        except InvalidInput as error:
            return not_decided(error)

    # --- intents -------------------------------------------------------------------------------

    def _submit(self, intent: Intent, now_ns: int) -> Decision:
        world = self._world
        try:
            member = world.sealer.seal_intent(world.state, self._by, intent)
        except Refused as refused:
            return unrecorded(refused.finding)
        return self._decide(core.Submit("each", [member]), now_ns, None)

    def _decide(self, command: core.Submit, now_ns: int, staged: StagedIntent | None) -> Decision:
        """The answer to one intent; judged again where the time or its chain of grants is another."""
        world, (member,) = self._world, command.members
        if member.keyed:
            known = self._known(member)
            if known is not None:
                return known
        if len(world.state.ledger.holds) >= world.open_max and self._is_full([member], now_ns):
            return unrecorded(find("over_capacity", available=world.open_max), member.intent_hash)
        seen = None
        if staged is not None and staged.now_ns == now_ns:
            world.writer.tick(now_ns)
            is_same = staged.chain is world.state.caps.chain(member.grant, member.kind)
            seen = staged.seen if is_same else None
        seq, decided = world.writer.run(self._by, command, now_ns, seen)
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

    def _is_known(self, member: core.Member) -> bool:
        return self._known(member) is not None

    # --- receipts and what becomes of holds ----------------------------------------------------

    def _settle(self, receipt: Receipt, now_ns: int) -> Settlement:
        world = self._world
        world.writer.tick(now_ns)
        command = world.sealer.seal_receipt(world.state, receipt, world.writer.kind_of)
        return self._settle_sealed(command, now_ns, None)

    def _settle_staged(self, staged: StagedReceipt, now_ns: int) -> Settlement | InvalidInput:
        """The answer to a receipt that was staged; judged again where the hold is not the same."""
        world, command = self._world, staged.command
        world.writer.tick(now_ns)
        if command is None:
            assert staged.error is not None
            return staged.error
        is_same = staged.hold is world.state.ledger.holds.get(command.intent_hash)
        return self._settle_sealed(command, now_ns, staged.seen if is_same else None)

    def _settle_sealed(
        self, command: core.Settle, now_ns: int, seen: list[core.Evidence] | None
    ) -> Settlement:
        writer = self._world.writer
        seq, decided = writer.run(self._by, command, now_ns, seen)
        reply = decided.replies[0]
        assert isinstance(reply, SettleReply)
        if seq is None and reply.status == "duplicate":
            known = writer.recaller.known(reply.intent_hash)
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


def _is_text(text: object, bytes_max: int) -> bool:
    try:
        return type(text) is str and len(text.encode()) <= bytes_max
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
