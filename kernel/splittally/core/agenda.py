"""What a Tick works through: holds that fall due, windows that close, rules of budgets.

Rule 1. Items are taken in the agenda's order; one that makes another due in time has it worked through too.
Rule 2. Items that only release need no fork; the others see what came before them.
Rule 3. What runs is not released when it falls due: nobody knows what became of it.
"""

from splittally.core.events import Event
from splittally.core.evolve import evolve
from splittally.core.ledger.state import NO_WINDOW, Due
from splittally.core.ledger.tick import fall_due
from splittally.core.native.firing import fire
from splittally.core.receipts import unknown_event
from splittally.core.state import State
from splittally.core.types import APPROVAL, OPEN, RUNNING


def due_events(state: State, now_ns: int, most: int) -> list[Event]:
    """The events of at most `most` items that are due at `now_ns`; the state is not changed."""
    offset_ns = state.offset_ns
    items = state.ledger.due_items(now_ns, most)
    if all(item.hold and state.ledger.holds[item.hold].phase in (OPEN, APPROVAL) for item in items):
        return [event for item in items for event in fall_due(state.ledger, item, state.limit_of, offset_ns)]
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


def _fallen(fork: State, item: Due, now_ns: int) -> list[Event]:
    if not item.hold and item.window == NO_WINDOW:
        return fire(fork, (item.seq, item.position), now_ns)
    if item.hold and fork.ledger.holds[item.hold].phase == RUNNING:
        return [unknown_event(fork, now_ns, item.hold, fork.ledger.holds[item.hold])]
    return fall_due(fork.ledger, item, fork.limit_of, fork.offset_ns)
