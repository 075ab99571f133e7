"""State plus command plus evidence gives events: the pure step of the kernel.

Rule 1. Nothing is due when a command other than Tick is decided; the runtime ticks first.
Rule 2. No events means no record: the answer is given without one and can be asked for again.
Rule 3. What a step credits to a budget makes its rules due, whichever way it came (`credit_events`).
Rule 4. An anchor says the size and the root of the state itself, so audit derives both again.
Rule 5. Time, principal, command and evidence stand in the frame, so a step can be taken again from it.
Rule 6. An intent is admitted once: who holds its grant is not decided again while it is held.
"""

from typing import assert_never

from splittally.core.agenda import due_events
from splittally.core.canonical import encode
from splittally.core.caps.grants import GrantTerms, build_grant
from splittally.core.commands import (
    Anchor,
    Command,
    Dispatch,
    Evidence,
    Extend,
    Member,
    Open,
    Release,
    Settle,
    Submit,
    Tick,
)
from splittally.core.errors import InvalidInput
from splittally.core.events import Anchored, Defined, Event, GrantSet, Opened
from splittally.core.groups import step_all, step_first
from splittally.core.limits import REVOKED_KEPT_MAX
from splittally.core.native.manifest import read_manifest, release_events
from splittally.core.native.plans import credit_events
from splittally.core.outcome import MemberReply, Step
from splittally.core.pipeline import decide_intent
from splittally.core.receipts import step_dispatch, step_extend, step_release, step_settle
from splittally.core.snapshot import state_root
from splittally.core.state import State
from splittally.core.types import ALLOW, CAP_ALL, ROOT

RULES_VERSION = 5  # part of the engine id: raised by each change that may decide a recorded command otherwise


def step(state: State, now_ns: int, principal: str, command: Command, seen: list[Evidence]) -> Step:
    """Decide a well-formed `command` for a principal at logical time `now_ns` on the evidence `seen`.

    `InvalidInput` where an intent of it is held already.
    """
    if type(command) is Submit:
        _refuse_held(state, principal, command)
    decided = _decide(state, now_ns, principal, command, seen)
    has_budgets = state.plans.budgets or Defined in map(type, decided.events)
    if type(command) is Tick or not has_budgets:
        return decided  # a Tick looks at each of its items by itself
    credited = credit_events(state, decided.events, now_ns)
    return Step(decided.events + credited, decided.replies) if credited else decided


def _refuse_held(state: State, principal: str, command: Submit) -> None:
    for member in command.members:
        if member.intent_hash in state.ledger.holds and state.caps.grants[member.grant].holder == principal:
            raise InvalidInput("this intent is held already", field="command")


def _decide(state: State, now_ns: int, principal: str, command: Command, seen: list[Evidence]) -> Step:
    agenda = state.ledger.agenda
    if agenda and agenda[0].due_ns <= now_ns:  # the first is the earliest, whether it still stands or not
        due = state.ledger.next_due()
        assert due is None or due.due_ns > now_ns or type(command) in (Tick, Anchor)
    match command:
        case Submit(mode="each"):
            return _step_each(state, now_ns, principal, command.members[0], seen)
        case Settle():
            return step_settle(state, now_ns, principal, command, seen)
        case Submit(mode="all"):
            return step_all(state, now_ns, principal, command.members, seen)
        case Submit():
            return step_first(state, now_ns, principal, command.members, seen)
        case Release():
            return step_release(state, principal, command)
        case Dispatch():
            return step_dispatch(state, principal, command)
        case Extend():
            return step_extend(state, now_ns, principal, command)
        case Open():
            return _step_open(state, command)
        case Tick():
            return Step(due_events(state, now_ns, command.items), [])
        case Anchor():  # whatever is due: it says what stands
            return Step([_anchored(state, command)], [])
        case _:
            assert_never(command)


def _step_each(state: State, now_ns: int, principal: str, member: Member, seen: list[Evidence]) -> Step:
    decision = decide_intent(state, now_ns, principal, member, 0, seen)
    reply = MemberReply(
        intent_hash=member.intent_hash,
        outcome=decision.outcome,
        findings=decision.findings,
        reserve=decision.reserve,
    )
    if decision.outcome == ALLOW and member.kind == "manifest.apply" and len(decision.events) == 1:
        return Step([], [reply])  # an unchanged manifest writes nothing
    return Step(decision.events, [reply])


def opened_by(command: Open) -> Opened:
    """What opening a world records of it first."""
    return Opened(world=command.world, clock=command.clock, format=command.format, engine=command.engine)


def _step_open(state: State, command: Open) -> Step:
    events: list[Event] = [opened_by(command)]
    if command.release:
        events += release_events(state, read_manifest(command.release))
    if ROOT not in state.caps.grants:
        events.append(GrantSet(build_grant(ROOT, GrantTerms(cap=CAP_ALL, parent=""), "release")))
    if state.revoked_kept != REVOKED_KEPT_MAX:  # from here on, so that what came before folds to what it was
        events.append(Defined("world", "revoked_kept", encode(REVOKED_KEPT_MAX)))
    return Step(events, [])


def _anchored(state: State, command: Anchor) -> Anchored:
    """What an anchor may say of the state: its own size and root, whatever was asked."""
    root = state_root(state) if command.root else b""
    return Anchored(size=state.size, root=root, runs=command.runs)
