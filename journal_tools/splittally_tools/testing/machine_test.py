"""The test of a machine of Hypothesis: its settings, and whether it tested anything in all its examples.

Rule 1. It leaves out the phase in which Hypothesis traces every line of a failure: on Python 3.11 that takes
        minutes, because the lines of the kernel are among them.
Rule 2. A machine that had nothing admitted fails, once it has wanted to ask often enough for that to be no
        chance. A failure of its own comes first.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from hypothesis import Phase, settings
from splittally.core.types import ADMITTED

from splittally_tools.testing.effects_seen import EffectsSeen, count_of, text_of

DRAWN_MIN = 20  # intents: fewer may all be refused by chance


class Asked:
    """What a machine was answered, and how often it wanted to ask."""

    def __init__(self) -> None:
        self.seen = EffectsSeen()
        self.drawn = 0


_ASKED: dict[type, Asked] = {}


def asked_by(machine: type) -> Asked:
    """What all examples of a machine have asked for since its test began."""
    return _ASKED.setdefault(machine, Asked())


def make_ready(machine: type, test_case: Any, allowed_min: Callable[[], int]) -> None:
    """Sets a machine's `TestCase` up: without that phase, failing below `allowed_min` admitted intents."""
    inherited, run = test_case.settings, test_case.runTest
    phases = [phase for phase in inherited.phases if phase is not Phase.explain]
    test_case.settings = settings(inherited, phases=phases)

    @wraps(run)  # Hypothesis knows its tests by what it has written on them
    def run_test(test: Any) -> None:
        _ASKED[machine] = Asked()
        run(test)
        _require_admitted(machine.__name__, _ASKED[machine], allowed_min())

    test_case.runTest = run_test


def _require_admitted(name: str, asked: Asked, allowed_min: int) -> None:
    effects = asked.seen.effects()
    admitted = sum(count_of(effects, word) for word in ADMITTED)
    if asked.drawn < DRAWN_MIN or admitted >= allowed_min:
        return
    raise AssertionError(
        f"{name} had {admitted or 'nothing'} admitted, so nothing was tested: {text_of(effects)}\n"
        "give your kinds a `params_schema` or override `intents()`, and fund the world in `prepare()`;\n"
        f"where refusals are what you test, say `allowed_min = {admitted}`"
    )
