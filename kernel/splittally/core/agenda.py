"""What a Tick works through: holds that fall due, windows that close, rules of budgets.

Rule 1. Items are taken in the agenda's order; one that makes another due in time has it worked through too.
Rule 2. Items that only release need no fork; the others see what came before them.
Rule 3. A rule whose events no bytes are defined for is skipped: nothing due can stop what comes after.
Rule 4. What runs is not released when it falls due: nobody knows what became of it.
"""

from splittally.core.events import Event
from splittally.core.evolve import evolve
from splittally.core.frames import is_encodable
from splittally.core.ledger.state import NO_WINDOW, Due, Hold
from splittally.core.ledger.tick import fall_due
from splittally.core.native.firing import fire, give_up
from splittally.core.native.plans import credit_events
from splittally.core.receipts import unknown_event
from splittally.core.state import State
from splittally.core.types import APPROVAL, OPEN, RUNNING


def due_events(state: State, now_ns: int, most: int) -> list[Event]:
    """The events of at most `most` items that are due at `now_ns`; the state is not changed."""
    offset_ns = state.offset_ns
    items = state.ledger.due_items(now_ns, most)
    if all(item.hold and _is_mere_release(state, state.ledger.holds[item.hold]) for item in items):
        asked = state.limit_of, state.soft_limits_of, now_ns, offset_ns
        due = (fall_due(state.ledger, item, *asked) for item in items)
        return [event for events in due for event in events]
    fork = state.fork()
    fork.now_ns = now_ns
    events: list[Event] = []
    for _ in range(most):
        item = fork.ledger.next_due()
        if item is None or item.due_ns > now_ns:
            break
        for event in _fallen(fork, item, now_ns):
            evolve(fork, event, "", len(events))
            events.append(event)
    return events


def _is_mere_release(state: State, hold: Hold) -> bool:
    """Whether a hold that falls due is released, and no budget, whose rules would act, gets anything back."""
    return hold.phase in (OPEN, APPROVAL) and not any(
        draw.account in state.plans.budgets for draw in hold.draws
    )


def _fallen(fork: State, item: Due, now_ns: int) -> list[Event]:
    if item.hold and fork.ledger.holds[item.hold].phase == RUNNING:
        return [unknown_event(fork, now_ns, item.hold, fork.ledger.holds[item.hold])]
    if item.hold or item.window != NO_WINDOW:
        asked = fork.limit_of, fork.soft_limits_of, now_ns, fork.offset_ns
        events = fall_due(fork.ledger, item, *asked)
        return events + credit_events(fork, events, now_ns)
    key = (item.seq, item.position)
    events = fire(fork, key, now_ns)
    events += credit_events(fork, events, now_ns)
    return events if is_encodable(events) else give_up(fork, key, now_ns)
