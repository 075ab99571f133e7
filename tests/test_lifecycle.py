"""A hold moves as its table says and in no other way: every row is taken, and every other step is refused."""

from itertools import product

import pytest
from splittally.core.events import Held, HoldChanged, Released, Settled
from splittally.core.evolve import evolve
from splittally.core.ledger.lifecycle import CHANGED, HELD, HOLD, NOTHING, RELEASE, SETTLE
from splittally.core.state import State
from splittally.core.types import APPROVAL, OPEN, RELEASE_CAUSES, RELEASED, RUNNING, SETTLED, UNKNOWN, Leg

INTENT = b"\x01" * 32
PHASES = (OPEN, APPROVAL, RUNNING, UNKNOWN)
DETAILS = {
    HELD: PHASES,
    CHANGED: PHASES,
    SETTLE: ("receipt", "late", "unknown", "attested", "native", "recorded"),
    RELEASE: RELEASE_CAUSES,
}
LEG = Leg(
    grant="g",
    grant_hash=b"",
    terms_hash=b"",
    enforcer_ref=b"",
    cap="sys/cost@1",
    params=b"",
    reserve={"tokens": 5},
    windows=[],
    above="charge",
)


def event_of(name, detail):
    match name:
        case "Held":
            return Held(
                intent_hash=INTENT,
                member=0,
                kind="llm.generate",
                phase=detail,
                due_ns=0,
                expires_ns=0,
                legs=[LEG],
                draws=[],
            )
        case "HoldChanged":
            return HoldChanged(INTENT, detail, 0)
        case "Settled":
            return Settled(intent_hash=INTENT, how=detail, status="ok", legs=[], violations=[])
        case "Released":
            return Released(intent_hash=INTENT, cause=detail, order="", authority=[], findings=[])


def state_in(phase):
    """A world in which the hold is in this phase, by the shortest way; ended and absent look the same."""
    ways = {
        OPEN: [(HELD, OPEN)],
        APPROVAL: [(HELD, APPROVAL)],
        RUNNING: [(HELD, OPEN), (CHANGED, RUNNING)],
        UNKNOWN: [(HELD, OPEN), (CHANGED, UNKNOWN)],
        RELEASED: [(HELD, OPEN), (RELEASE, "cancel")],
        SETTLED: [(HELD, OPEN), (SETTLE, "receipt")],
        NOTHING: [],
    }
    state = State()
    for name, detail in ways[phase]:
        evolve(state, event_of(name, detail), "operator", 0)
    return state


STEPS = [(phase, name, detail) for phase in PHASES for name in DETAILS for detail in DETAILS[name]]


@pytest.mark.parametrize(("phase", "name", "detail"), STEPS)
def test_a_reserved_hold_takes_a_step_exactly_where_the_table_has_it(phase, name, detail):
    state = state_in(phase)
    after = HOLD.get((phase, name, detail))
    if after is None:
        with pytest.raises((AssertionError, KeyError)):
            evolve(state, event_of(name, detail), "operator", 0)
        return
    evolve(state, event_of(name, detail), "operator", 0)
    hold = state.ledger.holds.get(INTENT)
    assert (hold.phase if hold is not None else after) == after
    assert (hold is None) == (after in (SETTLED, RELEASED))


@pytest.mark.parametrize(("name", "detail"), [(HELD, phase) for phase in PHASES])
def test_a_hold_begins_open_or_waiting_and_only_once(name, detail):
    state = State()
    if (NOTHING, name, detail) in HOLD:
        evolve(state, event_of(name, detail), "operator", 0)
        assert state.ledger.holds[INTENT].phase == detail
    else:
        with pytest.raises(AssertionError):
            evolve(state, event_of(name, detail), "operator", 0)


@pytest.mark.parametrize(
    ("name", "detail"), [*product([CHANGED], PHASES), *product([RELEASE], RELEASE_CAUSES)]
)
def test_what_is_not_held_is_neither_changed_nor_released(name, detail):
    with pytest.raises(KeyError):
        evolve(state_in(RELEASED), event_of(name, detail), "operator", 0)


def test_every_row_of_the_table_is_taken_by_one_of_these_tests():
    taken = {step for step in STEPS if step in HOLD} | {(NOTHING, HELD, phase) for phase in PHASES}
    unheld = {(RELEASED, SETTLE, "late"), (NOTHING, SETTLE, "native"), (NOTHING, SETTLE, "recorded")}
    assert set(HOLD) <= taken | unheld
    for _, name, detail in unheld:
        evolve(state_in(RELEASED), event_of(name, detail), "operator", 0)
