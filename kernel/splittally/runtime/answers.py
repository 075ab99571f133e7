"""The answers that a host gets: replies of the core, what is known already, what cannot be decided.

Rule 1. What could not be decided is still an answer: a denial without a record, or an error to raise.
Rule 2. Who does not hold a grant is told nothing of the intents that were asked under it.
Rule 3. An answer is the caller's: no map or list in it is one that the world remembers.
Rule 4. A full kernel answers `over_capacity`, without a record. Native effects hold nothing, so there is
        always room for them.
"""

from typing import Any

from msgspec.structs import replace

from splittally.core.commands import Command, Dispatch, Extend, Member, Release, Submit
from splittally.core.errors import InvalidInput, SplittallyError
from splittally.core.findings import Finding, advising, find
from splittally.core.intent_history import Trace
from splittally.core.native import NATIVE
from splittally.core.outcome import HoldReply, MemberReply, Reply, SettleReply
from splittally.core.reasons import NEW_KEY
from splittally.core.types import ADMITTED, APPROVAL, DENY, OPEN, RELEASED, RUNNING, SETTLED, UNKNOWN
from splittally.core.visibility import seen_by
from splittally.edge.records import Decision, Group, HoldChange, Intent, Settlement
from splittally.edge.seal import Refused
from splittally.runtime.clock import RandomPool
from splittally.runtime.world import World

FIRST = "first"
NO_FINDINGS: list[Finding] = []
_FACTS = ("field", "needed", "available", "part", "part_bytes", "pointers", "reasons")  # of what was not read
_ENDED: dict[type, dict[str, str]] = {  # how a request for one's own intent is answered once that has ended
    Dispatch: {},
    Extend: {RELEASED: "refused", SETTLED: "refused"},
    Release: {RELEASED: "duplicate"},
}


# --- known already ----------------------------------------------------------------------------------


def answer_known(world: World, principal: str, command: Submit) -> tuple[Any, Submit]:
    """The answer that needs no decision, or None; and the command that is left to be decided."""
    if command.mode != "each":
        return _group_known(world, principal, command)
    member = command.members[0]
    known = _known(world, principal, member)
    if known is None and member.grant not in world.state.caps.grants:
        known = _under_forgotten(member)
    if known is None and len(world.state.ledger.holds) >= world.open_max and _is_full(world, [member]):
        known = unrecorded(find("over_capacity", available=world.open_max), member.intent_hash)
    return known, command


def _group_known(world: World, principal: str, command: Submit) -> tuple[Any, Submit]:
    members, is_first = command.members, command.mode == FIRST
    known = [_known(world, principal, member) for member in members]
    if is_first:
        twin = _first_known(known)
        if twin is not None:
            return twin, command
        members = [member for member, twin in zip(members, known, strict=True) if twin is None]
        command = replace(command, members=members)
    elif any(known):
        return [twin or _conflicting(known) for twin in known], command
    under_forgotten = [x for x in members if x.grant not in world.state.caps.grants]
    if under_forgotten:
        refusal = _under_forgotten(under_forgotten[0])
        return refusal if is_first else [refusal for _ in members], command
    if is_first:  # one of them is held, and it may be any
        members = [member for member in members if member.kind not in NATIVE][:1]
    if _is_full(world, members):
        refusal = unrecorded(find("over_capacity", available=world.open_max))
        return refusal if is_first else [refusal for _ in members], command
    return None, command


def _first_known(known: list[Decision | None]) -> Decision | None:
    """The answer to offers that are known already; None where one is left to be decided.

    The one that was admitted; else a key that stands for another payload; else what all were refused for.
    """
    twins = [twin for twin in known if twin is not None]
    admitted = [twin for twin in twins if twin.outcome in ADMITTED]
    conflicts = [twin for twin in twins if twin.seq is None]
    if admitted or conflicts:
        return (admitted or conflicts)[0]
    if len(twins) < len(known):
        return None
    return replace(twins[0], findings=tuple(finding for twin in twins for finding in twin.findings))


def _known(world: World, principal: str, member: Member) -> Decision | None:
    """The first answer to an intent that is known already, or the conflict of its key.

    The kernel's own random keys never come again, so an intent with one is not looked for. Under a grant that
    is forgotten, whose holder nobody knows, it is told to who asked first.
    """
    is_drawn = not member.keyed
    if is_drawn and type(world.entropy) is RandomPool:
        return None
    grant = world.state.caps.grants.get(member.grant)
    if grant is not None and grant.holder != principal:
        return None
    found = world.history.trace(member.intent_hash, world.state.ledger.holds.get(member.intent_hash))
    if grant is None and (found is None or found.by != principal):
        return None
    if found is not None and found.is_final:
        if is_drawn:  # the host's source of keys repeats itself, which does not say that two calls are one
            return _conflict(member, member.intent_hash)
        return _duplicate_of(world, principal, found, member.attempt)
    twin = world.history.twin(member)
    if twin is not None and twin.intent_hash != member.intent_hash:
        return _conflict(member, twin.intent_hash)
    return None


def _under_forgotten(member: Member) -> Decision:
    """An intent under a grant that was revoked and is forgotten, which is asked of nobody any more."""
    return unrecorded(find("unknown_grant", grant=member.grant, revoked=True), member.intent_hash)


def _conflict(member: Member, other: bytes) -> Decision:
    """The key of this intent stands for another one."""
    conflict = find("idempotency.conflict", grant=member.grant, intent_hash=other)
    return unrecorded(conflict, member.intent_hash)


def _conflicting(known: list[Decision | None]) -> Decision:
    first = next(twin for twin in known if twin is not None)
    facts = {"intent_hash": first.intent_hash, "message": "a member of this group is known already"}
    return unrecorded(find("idempotency.conflict", **facts))


def _is_full(world: World, members: list[Member]) -> bool:
    added = sum(member.kind not in NATIVE for member in members)
    return added > 0 and len(world.state.ledger.holds) + added > world.open_max


def _duplicate_of(world: World, principal: str, found: Trace, attempt: bytes) -> Decision:
    """The first answer to an intent, once more, and whether this attempt may act on it now.

    It is recorded as who asked first was told it; who holds the grant by now may see less. A denial says
    that its key is used up.
    """
    decided, findings, state = found.decided, found.decided.findings, world.state
    if principal != found.by:
        chain = state.caps.chain(found.member.grant, found.member.kind)
        findings = [seen_by(state, principal, chain, state.now_ns, finding) for finding in findings]
    may_act, reasons = False, NO_FINDINGS
    if decided.outcome == DENY:
        findings = list(map(_of_its_key, findings))
    if decided.outcome in ADMITTED:
        hold = world.state.ledger.holds.get(decided.intent_hash)
        phase = hold.phase if hold is not None else ""
        reasons = _why_not(found, phase, attempt)
        may_act = phase != APPROVAL and not reasons
    return Decision(
        seq=found.seq,
        intent_hash=decided.intent_hash,
        outcome=decided.outcome,
        findings=(*findings, *reasons),
        reserve=found.reserve,
        duplicate=True,
        attempt=found.member.attempt,
        may_act=may_act,
    )


def _of_its_key(finding: Finding) -> Finding:
    """A reason of a denial that is told again: whatever may have changed, its key keeps this answer (D-07).

    What the first answer advised is in `then`: what to do before asking under a new key.
    """
    advice = finding.facts.get("next")
    return advising(finding, NEW_KEY, **({"then": advice} if advice else {}))


def _why_not(found: Trace, phase: str, attempt: bytes) -> list[Finding]:
    """Why this attempt may not act on an intent that was admitted, whose hold is in this phase.

    Empty where it may, and where the intent waits for approval: its outcome says so. An effect of the
    kernel's own is done, so its own attempt hears the allow again.
    """
    is_own = attempt == found.member.attempt
    if not phase and not (is_own and found.held is None):
        ended = found.endings[-1][0] if found.endings else found.seq
        return [find("already_ended", status=found.status or SETTLED, ended_seq=ended)]
    if phase == UNKNOWN:
        return [find("outcome_unknown")]
    if phase == RUNNING:
        return [find("already_dispatched")]
    if phase == OPEN and not is_own:
        return [find("not_your_attempt")]
    return NO_FINDINGS


# --- what cannot be decided -------------------------------------------------------------------------


def answer_refused(request: object, error: Refused | InvalidInput) -> Any:
    """The answer to a request that cannot be decided: a denial without a record, else the error itself."""
    if not isinstance(request, Intent | Group):
        return error
    refusal = unrecorded(error.finding if isinstance(error, Refused) else _finding_of(error))
    if isinstance(request, Intent) or request.mode == FIRST:
        return refusal
    size = len(request.intents) if isinstance(request.intents, tuple | list) else 1
    return [refusal] * max(1, size)


def unrecorded(finding: Finding, intent_hash: bytes | None = None) -> Decision:
    """A refusal without a record; the same key may be tried again."""
    return Decision(seq=None, intent_hash=intent_hash, outcome=DENY, findings=(finding,))


def _finding_of(error: InvalidInput) -> Finding:
    facts = {name: error.facts[name] for name in _FACTS if name in error.facts}
    return find(str(error.facts.get("code", "input.invalid")), **facts, message=str(error))


def or_raise(answer: Any) -> Any:
    """The answer, unless it is an error."""
    if isinstance(answer, SplittallyError):
        raise answer
    return answer


# --- replies ----------------------------------------------------------------------------------------


def answer_reply(
    world: World, principal: str, command: Command, seq: int | None, replies: list[Reply]
) -> Any:
    """The answer to a command that was decided, in frame `seq` where it was recorded."""
    reply = replies[0]
    match reply:
        case MemberReply():
            assert type(command) is Submit
            if command.mode == "each":
                return _decision_of(seq, reply, command.members[0].attempt)
            attempts = {member.intent_hash: member.attempt for member in command.members}
            every = [_decision_of(seq, x, attempts[x.intent_hash]) for x in replies]
            return every[0] if command.mode == FIRST else every
        case SettleReply():
            return _settlement_of(world, seq, reply)
        case HoldReply():
            return _hold_change_of(world, principal, command, seq, reply)


def _decision_of(seq: int | None, reply: Reply, attempt: bytes) -> Decision:
    assert type(reply) is MemberReply
    return Decision(
        seq=seq,
        intent_hash=reply.intent_hash,
        outcome=reply.outcome,
        findings=tuple(reply.findings),
        reserve={**reply.reserve},
        duplicate=False,
        attempt=attempt,
    )


def _settlement_of(world: World, seq: int | None, reply: SettleReply) -> Settlement:
    if seq is None and reply.status == "duplicate":
        known = world.history.known(reply.intent_hash)
        seq = known.ended_seq if known is not None else None
    return Settlement(
        seq=seq,
        intent_hash=reply.intent_hash,
        status=reply.status,
        usage={**reply.usage},
        violation=reply.violations[0] if reply.violations else None,
        violations=tuple(reply.violations),
        findings=tuple(reply.findings),
    )


def _hold_change_of(
    world: World, principal: str, command: Command, seq: int | None, reply: HoldReply
) -> HoldChange:
    status = reply.status
    if status == "not_reserved" and reply.intent_hash not in world.state.ledger.holds:
        known = world.history.known(reply.intent_hash)
        if known is not None and known.by == principal:
            status = _ENDED[type(command)].get(known.status, status)
    return HoldChange(seq=seq, intent_hash=reply.intent_hash, status=status, due_ns=reply.due_ns or None)
