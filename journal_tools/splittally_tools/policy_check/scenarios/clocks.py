"""Clocks that are set: back, or far ahead while the world is open."""

from splittally.core.errors import SplittallyError
from splittally.core.types import ADMITTED

from splittally_tools.policy_check.case import DAY_NS, HOUR_NS, Case
from splittally_tools.policy_check.results import HELD, OPEN, Change, NotPlayed, Result

AHEAD_NS = 30 * DAY_NS


def clock_back(case: Case) -> Result:
    """The clock is set back by an hour."""
    stage = case.ground.stage()
    case.opened(stage)
    before_ns = stage.kernel.state.now_ns
    stage.set_clock(-HOUR_NS)
    try:
        decision = stage.submit(case.intent("b", "b"), case.who)
    except SplittallyError as error:
        return Result(HELD, str(error))
    is_held = stage.kernel.state.now_ns >= before_ns
    return Result(HELD if is_held else OPEN, f"time stands, and asking gives `{decision.outcome}`")


def clock_ahead(case: Case) -> Result:
    """The clock is set ahead by a month."""
    if case.ground.is_given:
        raise NotPlayed("the clock of this world is given by who asks")
    stage = case.ground.stage()
    case.opened(stage)
    stage.set_clock(AHEAD_NS)
    decision = stage.submit(case.intent("b", "b"), case.who)
    if decision.outcome not in ADMITTED:
        return Result(HELD, decision.reason)
    told = "it is believed: windows begin anew, holds expire, and grants end before their time"
    return Result(OPEN, told, (Change(("world", "clock_jump"), "24h"),))
