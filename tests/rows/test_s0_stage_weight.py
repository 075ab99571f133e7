"""What constraints cost where a task is posted: counted in instructions of the interpreter, never timed."""

import sys

import pytest
from splittally import Intent
from splittally.runtime.kernel import Kernel

from tests.rows.test_s0_stages import B, create, fund, issue, record, world

TEN = [
    *({"name": f"least{at}", "resource": "USD", "minimum": at} for at in range(4)),
    *({"name": f"needs{at}", "resource": "USD", "needs": f"{at} * metric.m"} for at in range(2)),
    *({"name": f"holds{at}", "holds": f"metric.m < {at + 9}"} for at in range(2)),
    {"name": "gate", "holds": "balance.USD > 9", "blocks": ["x"]},
    {"name": "people", "participants": 1},
]
POSTS = 20


def instructions(run) -> int:
    """How many instructions of the interpreter `run` takes in this thread."""
    counted = 0

    def trace(frame, event, arg):
        nonlocal counted
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        counted += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(before)
    return counted


def posting(constraints) -> int:
    """What it takes to post tasks under a plan with these constraints, after some that filled the caches."""
    with world() as kernel:
        create(kernel, constraints, ["x"], metrics={"m": {"description": "m", "nature": "output"}})
        for at in range(50):
            issue(kernel, f"cards/{at}", holder=f"p{at}")
        fund(kernel, 10_000)
        record(kernel, "m", 2)
        post_tasks(kernel)
        return instructions(lambda: post_tasks(kernel))


def post_tasks(kernel: Kernel) -> None:
    for _ in range(POSTS):
        assert kernel.submit(Intent("task.post", {"result": "w", "amounts": {"USD": 1}}, f"{B}/x")).allowed


@pytest.mark.req("S0-39")
def test_a_task_under_ten_constraints_costs_at_most_half_as_much_again_as_under_none():
    assert posting(TEN) <= 1.5 * posting([])
