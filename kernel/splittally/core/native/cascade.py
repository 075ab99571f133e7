"""What one cause may set off: each rule of a budget fires for it once, and so many firings at most.

Rule 1. A cascade is what one cause sets off at one logical time. It ends with the frame after which nothing
        of that time is due, and its row is forgotten then.
Rule 2. A rule that is due and not worked through yet takes what comes in with what it has. One that was
        worked through does not fire again for the same cause, version and resource; what came in stays
        where it is.
Rule 3. What does not fire is recorded once for each rule, and the first of these records names all of them
        (`cascade_bounded`).
"""

from collections.abc import Collection, Sequence
from typing import Any

from msgspec.structs import replace

from splittally.core.amounts import fits, shown
from splittally.core.budget.evolve import DUE, NAMED_ONLY, SKIPPED, rule_of
from splittally.core.budget.state import Fired, FiringKey
from splittally.core.events import Event, RuleFired
from splittally.core.findings import find
from splittally.core.limits import CASCADE_FIRINGS_MAX, CASCADE_NAMED_MAX
from splittally.core.state import State

RESOURCE, METRIC = "resource", "metric"  # what a rule falls due by


# Example. Budgets a and b have two rules each that pay the other 1. 10 come to a: a1 and a2 fall due. a1 pays
# b: b1 and b2 fall due with 1. a2 pays b: they are due still, now with 2. b1 pays a: a1 and a2 were worked
# through, so both are recorded as skipped, the first with the finding that names the two. b2 pays a: they are
# named already, and nothing is recorded.
def within_cascade(
    state: State,
    due: list[RuleFired],
    values: Sequence[RuleFired] = (),
    worked: Collection[FiringKey] = (),
) -> list[Event]:
    """The events of rules that fall due by deposits and by values of metrics, kept within their cascades.

    `worked` are firings that the same record ends: what it brings comes too late for them.
    """
    events: list[Event] = []
    bounded: list[tuple[RuleFired, str]] = []
    cascades: dict[bytes, _Cascade] = {}
    asked = [(event, RESOURCE) for event in _summed(due)] + [(event, METRIC) for event in _last(values)]
    for event, what in asked:
        cascade = cascades.get(event.cause)
        if cascade is None:
            cascade = _Cascade(state.plans.fired.get((event.cause, event.due_ns), []))
            cascades[event.cause] = cascade
        known = cascade.fired.get(rule_of(event))
        if known is None and cascade.firings < CASCADE_FIRINGS_MAX:
            cascade.firings += 1
            events.append(replace(event, item=[cascade.firings]))
            continue
        is_late = known is None or (known.seq, known.position) in worked
        grown = None if known is None or is_late else _grown(state, known, event, what)
        if grown is not None:
            events.append(grown)
        elif (known is None or not known.is_named) and cascade.named < CASCADE_NAMED_MAX:
            cascade.named += 1
            bounded.append((event, what))
    return events + _told(bounded)


def _summed(due: list[RuleFired]) -> list[RuleFired]:
    """One event for each rule, resource and cause, with all that came in, as early as it first falls due."""
    summed: dict[tuple[Any, ...], RuleFired] = {}
    for event in due:
        key = (event.cause, *rule_of(event))
        known = summed.get(key)
        amount = event.amount if known is None else shown(known.amount + event.amount)
        summed[key] = replace(known or event, amount=amount)
    return list(summed.values())


def _last(values: Sequence[RuleFired]) -> list[RuleFired]:
    """One event for each rule, metric and cause, with the last value, as early as it first falls due."""
    last: dict[tuple[Any, ...], RuleFired] = {}
    for event in values:
        key = (event.cause, *rule_of(event))
        last[key] = replace(last.get(key, event), amount=event.amount)
    return list(last.values())


class _Cascade:
    """What fired for one cause, by `rule_of`, how many firings that are, and how many rules were named."""

    def __init__(self, rows: list[Fired]) -> None:
        self.fired = {rule_of(row): row for row in rows}
        self.firings = sum(row.seq != NAMED_ONLY for row in rows)
        self.named = sum(row.is_named for row in rows)


def _grown(state: State, fired: Fired, event: RuleFired, what: str) -> RuleFired | None:
    """The firing that is due still, with what came in or was measured last; None where it was worked through,
    or is full."""
    standing = state.plans.firings.get((fired.seq, fired.position))
    if standing is None or standing.status != DUE:
        return None
    item = [fired.seq, fired.position]
    if what == METRIC:
        return replace(event, item=item, depth=standing.depth)
    amount = standing.amount + event.amount
    if not fits(amount):
        return None
    return replace(event, item=item, amount=amount, depth=standing.depth)


def _told(bounded: list[tuple[RuleFired, str]]) -> list[Event]:
    """Each rule that does not fire as skipped, the first with the finding that names all of them."""
    if not bounded:
        return []
    rules: list[dict[str, Any]] = [
        {"budget": event.budget, "rule": event.rule, what: event.dim, "amount": event.amount}
        for event, what in bounded
    ]
    finding = find("cascade_bounded", rules=rules, count=len(bounded), most=CASCADE_FIRINGS_MAX)
    return [
        replace(event, status=SKIPPED, findings=[finding] if at == 0 else [])
        for at, (event, _) in enumerate(bounded)
    ]
