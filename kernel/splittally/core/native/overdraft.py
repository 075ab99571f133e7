"""Overdrafts: what a parent gives its child beyond the child's funds, while a condition of the plan holds.

Rule 1. Who adopts the plan must be able to take from the parent's account, and there must be a parent.
Rule 2. Whatever debits the budget's account is asked here first, through whichever door it comes: what is
        missing, and no more, moves from the parent in the same record, before it is taken.
Rule 3. The condition holds now, what was given so far stays within the allowance, the parent has it without
        making a debt, and the parent's own plan holds afterwards; or each of these is a finding.
Rule 4. What was given is counted for life. What a release brings back is the child's.
Rule 5. Where the plan also limits its charter by a target, the allowance lifts that limit by what it unlocks.

Example. Funds 10,000, allowance 2,500, condition true. A task of 10,001 moves 1 from the parent and is held;
one of 12,501 finds `overdraft_exceeded` (needed 2,501, available 2,500). While the condition is false the
first finds `overdraft_locked` (needed 1).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from msgspec import Struct

from splittally.core import expr
from splittally.core.amounts import fits
from splittally.core.budget.charter import charter_limits, spend_targets
from splittally.core.budget.expressions import condition_of, names_read
from splittally.core.budget.plan import Overdraft, Plan
from splittally.core.budget.state import of_budget
from splittally.core.events import Event, Noted
from splittally.core.evolve import evolve
from splittally.core.findings import Finding, find
from splittally.core.ledger.moves import Move, refused_moves, spendable
from splittally.core.limits import NATURAL_MAX
from splittally.core.native.authority import TAKE, may_ask
from splittally.core.native.plans import plan_of
from splittally.core.native.reading import reading_of
from splittally.core.native.standing import plan_findings
from splittally.core.state import State
from splittally.core.types import LIFE, OVERDRAFT, ROOT, BudgetDef, Leg

MEASURED = ("metric", "digest")


class Given(Struct, frozen=True, gc=False):
    """What overdrafts give for an intent: the state with it, the events that give it, or why they do not."""

    state: State | None = None
    events: list[Event] = []
    findings: list[Finding] = []


class _Want(NamedTuple):
    """What an intent lacks: `lifted` is what counts of the allowance, `moved` what the parent pays."""

    budget: BudgetDef
    overdraft: Overdraft
    lifted: int
    moved: int


NOTHING_GIVEN = Given()


# --- adopting a plan --------------------------------------------------------------------------------


def check_overdraft(state: State, plan: Plan, parent: str, adopter: str, now_ns: int) -> list[Finding]:
    """Whether a plan may promise its overdraft: somebody gives it, and the adopter may take from them."""
    if plan.overdraft is None:
        return []
    resource = plan.overdraft.resource
    if not parent:
        return [find("overdraft_unbacked", resource=resource)]
    most = charter_limits(plan).get(resource, 0)
    findings = []
    if not fits(most):
        findings.append(find("amount_overflow", resource=resource, needed=most, available=NATURAL_MAX))
    if adopter != ROOT and not may_ask(state, adopter, TAKE, resource, parent, now_ns):
        findings.append(find("account_not_yours", account=parent, resource=resource))
    return findings


# --- drawing on it ----------------------------------------------------------------------------------


def give(state: State, now_ns: int, intent_hash: bytes, debits: Sequence[Move], legs: Sequence[Leg]) -> Given:
    """What the overdrafts of the budgets that are debited give; `NOTHING_GIVEN` where nothing is missing."""
    asked: dict[tuple[str, str], int] = {}
    for debit in debits:
        budget = state.plans.budgets.get(debit.debit)
        if budget is None:
            continue
        overdraft = plan_of(state, budget).overdraft
        if overdraft is not None and budget.parent and overdraft.resource == debit.resource:
            key = (debit.debit, debit.resource)
            asked[key] = asked.get(key, 0) + debit.amount
    return _given(state, now_ns, intent_hash, asked, legs) if asked else NOTHING_GIVEN


def _given(
    state: State, now_ns: int, intent_hash: bytes, asked: dict[tuple[str, str], int], legs: Sequence[Leg]
) -> Given:
    """The same for these amounts by budget and resource; each looks at what those before it left."""
    after, events, findings = state, list[Event](), list[Finding]()
    for (name, _), amount in sorted(asked.items()):
        want = _wanted(after, state.plans.budgets[name], amount, legs)
        if not want.lifted:
            continue
        found, read = _refused(after, now_ns, want)
        findings += found
        if found:
            continue
        if after is state:
            after = state.fork()
            after.now_ns = now_ns
        for event in _events(after, want, read, intent_hash):
            evolve(after, event, "", 0)
            events.append(event)
    if findings:
        return Given(findings=findings)
    return Given(state=after, events=events) if events else NOTHING_GIVEN


def _wanted(state: State, budget: BudgetDef, amount: int, legs: Sequence[Leg]) -> _Want:
    plan = plan_of(state, budget)
    overdraft = plan.overdraft
    assert overdraft is not None
    resource = overdraft.resource
    moved = max(0, amount - spendable(state.ledger, budget.name, resource))
    lifted = moved
    used = sum(leg.reserve.get(resource, 0) for leg in legs if leg.grant == budget.grant)
    counter = state.ledger.counters.get((budget.grant, resource, LIFE, 0))
    if used and counter is not None and resource in spend_targets(plan):
        left = counter.available - overdraft.amount + given_so_far(state, budget.name, resource)
        lifted = max(moved, used - left)
    return _Want(budget, overdraft, lifted, moved)


def given_so_far(state: State, budget: str, resource: str) -> int:
    """What an overdraft has given for life."""
    return state.plans.overdrawn.get(of_budget(budget, resource), 0)


def _refused(state: State, now_ns: int, want: _Want) -> tuple[list[Finding], dict[str, int]]:
    """Everything that keeps an overdraft from giving, and the metrics that its condition names."""
    budget, overdraft = want.budget, want.overdraft
    about = {"budget": budget.name, "resource": overdraft.resource, "needed": want.lifted}
    reading = reading_of(state, budget, None, now_ns)
    held = condition_of(overdraft.when).evaluate(reading)
    named = {path[1] for path in names_read(overdraft.when) if path[0] in MEASURED and len(path) > 1}
    read = {name: value for name, value in sorted(reading["metric"].items()) if name in named}
    findings = []
    if isinstance(held, expr.ExprFault) or not held:
        why: dict[str, Any] = {"when": overdraft.when} | ({"metric": read} if read else {})
        why |= {"fault": held.code} if isinstance(held, expr.ExprFault) else {}
        findings.append(find("overdraft_locked", **about, **why))
    left = max(0, overdraft.amount - given_so_far(state, budget.name, overdraft.resource))
    if want.lifted > left:
        findings.append(find("overdraft_exceeded", **about, available=left, shortage=want.lifted - left))
    return findings + (_check_parent(state, now_ns, want) if want.moved else []), read


def _check_parent(state: State, now_ns: int, want: _Want) -> list[Finding]:
    """Whether the parent has it without making a debt, and its own plan lets it go."""
    parent, resource = want.budget.parent, want.overdraft.resource
    debt = state.ledger.accounts[parent].debt_limit
    left = max(0, spendable(state.ledger, parent, resource) - debt)
    if want.moved > left:
        facts: dict[str, Any] = {"needed": want.moved, "available": left, "shortage": want.moved - left}
        return [find("overdraft_uncovered", account=parent, resource=resource, **facts)]
    move = Move(parent, want.budget.name, resource, want.moved)
    return refused_moves(state.ledger, [move]) + plan_findings(state, [move], now_ns)


def _events(state: State, want: _Want, read: dict[str, int], intent_hash: bytes) -> list[Event]:
    """That it was given, by what, and the value itself; nothing moves where only the limit was lifted."""
    budget, resource = want.budget, want.overdraft.resource
    facts = {
        "budget": budget.name,
        "parent": budget.parent,
        "resource": resource,
        "amount": want.moved,
        "lifted": want.lifted,
        "drawn": given_so_far(state, budget.name, resource) + want.lifted,
        "version": budget.version,
        "metric": read,
    }
    events: list[Event] = [Noted(intent_hash, OVERDRAFT, facts)]
    if want.moved:
        move = Move(budget.parent, budget.name, resource, want.moved)
        events.append(move.posted(budget.grant, intent_hash))
    return events
