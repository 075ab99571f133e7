"""State plus event gives state: the one place where a world changes.

Rule 1. Total on recorded events; deciding and remembering never mix.
Rule 2. No event contains its own frame's hash, and no root does.
Rule 3. What a world forgets it forgets between two frames (`forgetting.py`): within one every grant stands
        that stood before it.
"""

from typing import assert_never

import msgspec

from splittally.core.budget import evolve as plans
from splittally.core.callers import BEARERS, PRINCIPALS, Principal, Token
from splittally.core.canonical import decode
from splittally.core.caps.callers import set_principal, set_token
from splittally.core.events import (
    Anchored,
    Decided,
    Defined,
    Event,
    GrantRevoked,
    GrantSet,
    Held,
    HoldChanged,
    LimitCrossed,
    LimitSet,
    Measured,
    Noted,
    Opened,
    Posted,
    Refunded,
    Released,
    RuleFired,
    Settled,
    Solved,
    WindowRolled,
)
from splittally.core.forgetting import forget_revoked
from splittally.core.governor import evolve as governor
from splittally.core.governor.state import GOVERNOR, SPENT
from splittally.core.governor.terms import CAP_WINDOWS, GovernorTerms
from splittally.core.ledger import evolve as ledger
from splittally.core.ledger.state import TOPUPS
from splittally.core.ledger.windows import window_start
from splittally.core.state import DEFINITIONS, State
from splittally.core.topups import TopUp
from splittally.core.types import APPROVAL, LABELS, LATE, OVERDRAFT, REFUSED_RECEIPT


def remember(state: State, at_ns: int, principal: str, events: list[Event]) -> None:
    """Apply one frame's events, in order, as the frame with sequence `state.size`."""
    state.now_ns = at_ns
    for position, event in enumerate(events):
        evolve(state, event, principal, position)
    state.size += 1
    if len(state.caps.revoked_at) > 2 * state.revoked_kept:
        forget_revoked(state)
    if state.plans.fired:
        due = state.ledger.next_due()
        if due is None or due.due_ns > at_ns:
            state.plans.fired.clear()  # what was set off has come to its end


def evolve(state: State, event: Event, principal: str, position: int) -> None:
    """Apply one event. `position` is its place in the frame, which orders what falls due."""
    books = state.ledger
    if state.governed.governor or state.governed.spent:
        _evolve_governed(state, event)
    match event:  # what is recorded most comes first
        case Posted():
            ledger.post(books, event)
        case Decided():
            for counted in event.counted:
                ledger.count(books, counted)
        case Held():
            ledger.hold(books, event, state.size, state.now_ns, principal)
        case Settled():
            ledger.settle(books, event)
        case Released():
            ledger.release(books, event)
        case HoldChanged():
            ledger.change_hold(books, event, state.now_ns, principal)
        case LimitSet():
            ledger.set_limit(books, event, state.size, position, state.offset_ns)
        case LimitCrossed():
            ledger.cross_limit(books, event)
        case Refunded():
            ledger.refund(books, event)
        case WindowRolled():
            ledger.roll_window(books, event, state.size, position, state.offset_ns)
        case GrantSet():
            state.caps.grants[event.grant.name] = event.grant
            state.caps.renew()
        case GrantRevoked():
            _revoke(state, event)
        case Defined():
            _define(state, event)
        case Opened():
            state.world, state.clock = event.world, event.clock
            state.format, state.engine = event.format, event.engine
        case Measured():
            plans.measure(state.plans, event, state.size)
        case Solved():
            plans.solve(state.plans, event, state.size, principal)
        case RuleFired():
            _fire(state, event, position)
        case Noted():
            _note(state, event)
        case Anchored():
            pass  # it says what stands, and changes nothing
        case _:
            assert_never(event)


def _revoke(state: State, event: GrantRevoked) -> None:
    caps = state.caps
    caps.revoked[event.name] = event.order
    if state.revoked_kept:
        caps.revoked_at[event.name] = state.size
    caps.renew()


def _note(state: State, event: Noted) -> None:
    """What is remembered beside a decision, by whom it is for."""
    if event.subject == LABELS:
        ledger.label(state.ledger, event.intent_hash, event.facts)
        return
    if event.subject == REFUSED_RECEIPT:
        ledger.refuse_receipt(state.ledger, event.intent_hash, event.facts["code"])
        return
    if event.subject == OVERDRAFT:
        plans.overdraw(state.plans, event)
        return
    if event.subject == LATE:  # it stands in the journal, and nothing that decides reads it
        return
    hold = state.ledger.holds.get(event.intent_hash)
    waits = hold is not None and hold.phase == APPROVAL
    governor.note(state.governed, event, governed_windows(state, state.now_ns), hold is not None, waits)


def _evolve_governed(state: State, event: Event) -> None:
    """What an event means to a governor, before the ledger forgets the hold that it ends."""
    match event:
        case Held():
            governor.reserve(state.governed, event.legs[0].reserve, 1)
        case Settled():
            _end_governed(state, event.intent_hash, event.legs[0].charged)
        case Released():
            _end_governed(state, event.intent_hash, {})


def _end_governed(state: State, intent_hash: bytes, charged: dict[str, int]) -> None:
    """What an intent reserved is no longer, and what it was charged is spent, in the windows of now."""
    hold = state.ledger.holds.get(intent_hash)
    if hold is not None:
        governor.reserve(state.governed, hold.legs[0].reserve, -1)
    governor.end(state.governed, intent_hash)
    governor.spend(state.governed, charged, governed_windows(state, state.now_ns))


def governed_windows(state: State, now_ns: int) -> dict[str, int]:
    """The starts of the calendar windows that hold `now_ns`."""
    zones = state.ledger.zones
    return {per: window_start(per, now_ns, state.offset_ns, zones) for per in CAP_WINDOWS}


def _fire(state: State, event: RuleFired, position: int) -> None:
    """A rule that falls due is on the agenda of the ledger until it was worked through."""
    plans.fire(state.plans, event, state.size, position)
    if event.status == plans.DUE:
        if len(event.item) < 2:  # else it is due already, and takes more with it
            ledger.appoint(state.ledger, state.size, position, event.due_ns)
    elif event.item:
        ledger.keep_appointment(state.ledger, event.item[0], event.item[1])


def _define(state: State, event: Defined) -> None:
    caps = state.caps
    caps.renew()
    if event.table == "world":
        value = decode(event.value)
        assert event.key in ("accepted_ns", "clock_jump_ns", "offset_ns", "policy_hash", "revoked_kept")
        setattr(state, event.key, value)
        return
    if event.table == "blobs":
        caps.blobs[bytes.fromhex(event.key)] = event.value
        return
    if event.table == GOVERNOR:
        _govern(state, event)
        return
    if event.table == SPENT:
        governor.carry_spent(state.governed, decode(event.value))
        return
    if event.table == TOPUPS:
        topup = msgspec.convert(decode(event.value), TopUp) if event.value else None
        ledger.set_topup(state.ledger, event.key, topup)
        return
    if event.table == BEARERS:
        set_token(caps, event.key, msgspec.convert(decode(event.value), Token) if event.value else None)
        return
    if event.table == PRINCIPALS:
        row = msgspec.convert(decode(event.value), Principal) if event.value else None
        set_principal(caps, event.key, row)
        return
    definition = DEFINITIONS[event.table]
    table = state.table(definition)
    if not event.value:
        table.pop(event.key, None)
        return
    value = decode(event.value)
    table[event.key] = value if definition.row is bytes else msgspec.convert(value, definition.row)
    if event.table in ("accounts", "lenders") and event.key in state.ledger.lenders:
        state.ledger.rebuild_lent()


def _govern(state: State, event: Defined) -> None:
    """New terms of the governor, or none; what is open counts under them."""
    governed = state.governed
    if event.value:
        governed.governor[GOVERNOR] = msgspec.convert(decode(event.value), GovernorTerms)
    else:
        governed.governor.pop(GOVERNOR, None)
    governor.govern(governed, governed.terms, (x.legs[0].reserve for x in state.ledger.holds.values()))
