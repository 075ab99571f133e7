"""How budgets remember: each function applies one fact and decides nothing."""

from splittally.core.budget.state import Firing, Measure, Plans, Solution
from splittally.core.events import Measured, RuleFired, Solved

DUE, DONE, SKIPPED, WAITING = "due", "done", "skipped", "waiting"


def measure(plans: Plans, event: Measured, seq: int) -> None:
    """Remember the last value of a metric."""
    key = (event.budget, event.metric)
    before = plans.metrics.get(key)
    plans.metrics[key] = Measure(event.value, before.count + 1 if before else 1, seq)


def solve(plans: Plans, event: Solved, seq: int, principal: str) -> None:
    """Remember the solution that is in force."""
    plans.solutions[event.budget] = Solution(
        version=event.version,
        solver=event.solver,
        cells=event.cells,
        input=event.input,
        seq=seq,
        by=principal,
    )


def fire(plans: Plans, event: RuleFired, seq: int, position: int) -> None:
    """A rule that is due or waits is remembered; one that is done or skipped is forgotten."""
    key = (seq, position) if event.status == DUE else (event.item[0], event.item[1])
    if event.status in (DUE, WAITING):
        plans.firings[key] = Firing(
            budget=event.budget,
            rule=event.rule,
            version=event.version,
            status=event.status,
            cause=event.cause,
            dim=event.dim,
            amount=event.amount,
            depth=event.depth,
            due_ns=event.due_ns,
        )
    else:
        plans.firings.pop(key, None)
