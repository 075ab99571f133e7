"""What the rules of a budget did, with the formulas and the numbers behind every entry.

Rule 1. Everything is derived from the journal: the state before a firing is folded from the frames, and its
        actions are taken again there. Nothing of it is recorded beside the events, so a firing of any age and
        of any plan is explained alike.
Rule 2. What is told of an expression is its text, what it read, by name, and what it gave. Who has these can
        compute every amount by hand.
Rule 3. A condition that held stands beside the actions; a firing that was skipped has its finding in the
        record.

Example. `do = [{transfer, amount = "cause.amount * 70 / 100"}]` and a profit of 1,000 is told as

    {seq: 9, rule: split, version: 1, dim: NetProfit, amount: 1000, actions: [{kind: transfer, formula:
     "cause.amount * 70 / 100", read: {cause.amount: 1000}, gave: 700, ...}]}
"""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from splittally.core.budget.evolve import DONE
from splittally.core.budget.parts import Conversion
from splittally.core.budget.plan import Plan
from splittally.core.budget.rules import ALLOCATIONS, AnyAction, Convert, PlanRule
from splittally.core.budget.state import Firing
from splittally.core.events import Posted, RuleFired
from splittally.core.evolve import evolve
from splittally.core.frames import Body
from splittally.core.native.actions import Acted, acts, values_read
from splittally.core.native.plans import plan_of
from splittally.core.native.reading import Reading, reading_of
from splittally.core.state import State
from splittally.runtime.record import Record
from splittally.runtime.recover import apply_events

MOVED = ("debit", "credit", "resource", "amount")


def entries_of(records: Iterable[Record], budget: str) -> Iterator[dict[str, Any]]:
    """Every firing of the budget's rules that was carried out, in order; `records` begin with the first."""
    state = State()
    for record in records:
        body = record.body
        if any(_is_done(event, budget) for event in body.out):
            yield from _entries(state, record.seq, body, budget)
        apply_events(state, body.at_ns, body.by, body.out, record.seq)


def _is_done(event: object, budget: str) -> bool:
    return type(event) is RuleFired and event.status == DONE and event.budget == budget


def _entries(state: State, seq: int, body: Body, budget: str) -> Iterator[dict[str, Any]]:
    """The entries of one frame: each firing is seen in the state that the events before it left."""
    fork = state.fork()
    fork.now_ns = body.at_ns
    for position, event in enumerate(body.out):
        if isinstance(event, RuleFired) and _is_done(event, budget):
            yield {"seq": seq, "position": position, "at_ns": body.at_ns} | _entry(fork, event, body.at_ns)
        evolve(fork, event, body.by, position)


def _entry(state: State, event: RuleFired, now_ns: int) -> dict[str, Any]:
    budget = state.plans.budgets[event.budget]
    plan = plan_of(state, budget)
    rule = next((rule for rule in plan.rules if rule.name == event.rule), None)
    row: dict[str, Any] = {
        "budget": event.budget,
        "rule": event.rule,
        "version": event.version,
        "schema_hash": budget.schema,
        "cause": event.cause,
        "dim": event.dim,
        "amount": event.amount,
    }
    if event.rule == ALLOCATIONS or rule is None:
        return row | {"shares": plan.allocations.get(event.dim, {}), "actions": []}
    firing = state.plans.firings[event.item[0], event.item[1]]
    fork = state.fork()
    fork.now_ns = now_ns
    if rule.when:
        reading = reading_of(fork, budget, firing, now_ns)
        row |= {"when": rule.when, "read": values_read(rule.when, reading)}
    return row | {"actions": list(_actions(fork, plan, rule, firing, now_ns))}


def _actions(
    fork: State, plan: Plan, rule: PlanRule, firing: Firing, now_ns: int
) -> Iterator[dict[str, Any]]:
    budget = fork.plans.budgets[firing.budget]
    for acted in acts(fork, budget, plan, rule, firing):
        yield _action(plan, acted)


def _action(plan: Plan, acted: Acted) -> dict[str, Any]:
    row: dict[str, Any] = msgspec.to_builtins(acted.action)
    formula = _formula(acted.action)
    if formula:
        row.pop("amount", row.pop("value", None))
        row |= {"formula": formula, "read": values_read(formula, acted.reading), "gave": acted.value}
    if isinstance(acted.action, Convert):
        row |= _rate(plan.conversions[acted.action.conversion], acted)
    posted = [event for event in acted.events if isinstance(event, Posted)]
    return row | {"postings": [{name: getattr(x, name) for name in MOVED} for x in posted]}


def _formula(action: AnyAction) -> str:
    return getattr(action, "amount", "") or getattr(action, "value", "")


def _rate(conversion: Conversion, acted: Acted) -> dict[str, Any]:
    """The rate that was used; where it floats, with what it read."""
    if not conversion.floats:
        return {"rate": conversion.rate}
    used = acted.findings[0].facts if acted.findings else {"rate": conversion.rate}
    reading: Reading = acted.reading
    return {**used, "floats": conversion.floats, "floats_read": values_read(conversion.floats, reading)}
