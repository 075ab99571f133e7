"""How budgets remember: each function applies one fact and decides nothing."""

from msgspec.structs import replace

from splittally.core.budget.state import Fired, Firing, Measure, Plans, Solution, of_budget
from splittally.core.events import Measured, Noted, RuleFired, Solved

DUE, DONE, SKIPPED, WAITING = "due", "done", "skipped", "waiting"
NAMED_ONLY = -1  # the sequence of a rule that did not fire in its cascade


def measure(plans: Plans, event: Measured, seq: int) -> None:
    """Remember the last value of a metric."""
    key = (event.budget, event.metric)
    before = plans.metrics.get(key)
    plans.metrics[key] = Measure(event.value, before.count + 1 if before else 1, seq)


def overdraw(plans: Plans, event: Noted) -> None:
    """Remember what an overdraft gave so far."""
    facts = event.facts
    plans.overdrawn[of_budget(facts["budget"], facts["resource"])] = facts["drawn"]


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
    if not event.item and event.status == SKIPPED:
        _name(plans, event)
        return
    key = (event.item[0], event.item[1]) if len(event.item) == 2 else (seq, position)
    if len(event.item) == 1:
        cascade = (event.cause, event.due_ns)
        plans.fired[cascade] = [*plans.fired.get(cascade, []), _fired(event, seq, position)]
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


def rule_of(event: RuleFired | Fired) -> tuple[str, str, int, str]:
    """Which rule it is of which version, and for which resource: what fires once in a cascade."""
    return event.budget, event.rule, event.version, event.dim


def _fired(event: RuleFired, seq: int, position: int) -> Fired:
    """What a cascade remembers of a rule that fires as the item at `seq` and `position`."""
    return Fired(*rule_of(event), seq, position, is_named=False)


def _name(plans: Plans, event: RuleFired) -> None:
    """Remember that a rule was named because it does not fire, or not again."""
    cascade = (event.cause, event.due_ns)
    rows = plans.fired.get(cascade, [])
    known = next((row for row in rows if rule_of(row) == rule_of(event)), _fired(event, NAMED_ONLY, 0))
    others = [row for row in rows if rule_of(row) != rule_of(event)]
    plans.fired[cascade] = [*others, replace(known, is_named=True)]
