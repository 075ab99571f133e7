"""Row X6-22: an exception at any point of a call leaves the kernel sound, or stopped with a typed error."""

import pytest

from tests.interrupted import OPERATIONS
from tests.rows.worlds import ROOT, run_python

IN_ONE_PROCESS = 200
STEP = 41  # a prime, so that it does not fall in with the length of a loop


def interrupted(name: str, first: int, step: int) -> int:
    """Interrupt an operation every `step` lines from line `first` on; how often that was."""
    told = run_python("-m", "tests.interrupted", name, str(first), str(IN_ONE_PROCESS), str(step), cwd=ROOT)
    *wrong, done = told.stdout.splitlines()
    assert told.returncode == 0 and not wrong, told.stdout[-4_000:] + told.stderr[-2_000:]
    return int(done)


@pytest.mark.req("X6-22")
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_interrupt_leaves_the_kernel_whole_or_stopped_and_what_is_asked_again_is_done_once(name):
    assert interrupted(name, 1, STEP) > 4


@pytest.mark.soak
@pytest.mark.req("X6-22")
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_interrupt_before_any_line_leaves_the_kernel_whole_or_stopped(name):
    first = 1
    while interrupted(name, first, 1) == IN_ONE_PROCESS:
        first += IN_ONE_PROCESS
    assert first > 1
