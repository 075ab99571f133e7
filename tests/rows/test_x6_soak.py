"""`make soak`: worlds of random principals by the ten thousand, interrupted, and judged again at their end.

`SOAK_WORLDS` says how many worlds, `SOAK_SEED` where their seeds begin. A test is `WORLDS_EACH` worlds of one
seed, which stands in its name: the same two numbers find the same world again.
"""

import math
import os
import sys

import hypothesis
import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from splittally import Intent, KernelStopped
from splittally.core.snapshot import state_root
from splittally.runtime import open_store
from splittally.runtime.reader import read_store
from splittally.runtime.recover import fold
from splittally_tools.testing.journal_walk import Walk

from tests.interrupted import SLOTS, Interrupt, slots_left
from tests.rows.test_x6_worlds import play, some, trees

WORLDS = int(os.environ.get("SOAK_WORLDS", "10000"))
SEED = int(os.environ.get("SOAK_SEED", "1"))
WORLDS_EACH = 100
LINES = range(1, 3_000)  # of the product's code that a native effect runs, and some more


def parts(worlds, seed):
    """The seed and the number of worlds of each test."""
    count = math.ceil(worlds / WORLDS_EACH)
    return [(seed + part, min(WORLDS_EACH, worlds - part * WORLDS_EACH)) for part in range(count)]


@pytest.mark.parametrize("worlds", [1, WORLDS_EACH, 10_000, 10_001])
def test_as_many_worlds_are_played_as_were_asked_for_each_part_of_a_seed_of_its_own(worlds):
    made = parts(worlds, 7)
    assert sum(count for _, count in made) == worlds
    assert [seed for seed, _ in made] == list(range(7, 7 + len(made)))


def interrupting(data):
    """Asks as `plain` does, but interrupts every fourth effect at some line and asks for it again."""

    def ask(kernel, who, used, kind, params):
        key = data.draw(st.binary(min_size=32, max_size=32))
        wanted = Intent(kind, params, used, idempotency_key=key, attempt=key[:16])
        if data.draw(some([True, False, False, False])):
            kernel = interrupted(kernel, who, wanted, data.draw(some(LINES)))
        return kernel, kernel.as_principal(who).submit(wanted)

    return ask


def interrupted(kernel, who, wanted, line):
    """The kernel that goes on after an interrupt before that line of a submit."""
    by = kernel.as_principal(who)
    sys.settrace(Interrupt(line))
    try:
        by.submit(wanted)
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(None)
    try:
        kernel.tick()
    except KernelStopped:
        return open_store(kernel._world.store)
    return kernel


def live(tree, data):
    """One world to its end; what it recorded folds to what it is, and is decided so again."""
    kernel = play(tree, data, interrupting(data))
    assert state_root(fold(kernel._world.store)) == kernel.state.root
    walk = Walk(read_store(kernel), is_rejudging=True)
    walk.finish()
    assert walk.other_engines == {}


@pytest.mark.soak
@pytest.mark.req("X6-01", "X6-16", "X6-22")
@pytest.mark.parametrize(("seed", "worlds"), parts(WORLDS, SEED))
def test_in_any_world_of_random_principals_only_what_is_theirs_changes(seed, worlds):
    bounds = settings(
        max_examples=worlds,
        deadline=None,
        database=None,
        derandomize=False,
        phases=[Phase.generate],  # a seed finds its world again; the smallest is looked for by whoever mends
        suppress_health_check=list(HealthCheck),
    )
    hypothesis.seed(seed)(bounds(given(trees(), st.data())(live)))()
    assert slots_left() == SLOTS
