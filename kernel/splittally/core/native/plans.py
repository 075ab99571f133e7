"""Where budgets meet the rest of a world: whether plans hold, and which of their rules fall due.

Rule 1. A rule never runs inside the record that triggers it: here it is put on the agenda, and a Tick
        works it through (`firing.py`).
Rule 2. A deposit is value that comes to a budget's account from another account. What comes back from
        flight, and what is refunded, is none.
Rule 3. A rule falls due once for each (rule, version, resource, cause at one time) (`cascade.py`).
"""

from collections.abc import Iterable
from typing import Any

from splittally.core.budget.check import PLANNING, Debit, check_plans, gaps, stage_of
from splittally.core.budget.evolve import DUE
from splittally.core.budget.plan import ALLOCATIONS, ON_DEPOSIT, ON_METRIC, Plan, Transfer, read_plan
from splittally.core.events import Event, Measured, Posted, RuleFired
from splittally.core.findings import Finding, find
from splittally.core.ledger.windows import window_end, window_start
from splittally.core.native.cascade import within_cascade
from splittally.core.native.row import NativeCall, Touches
from splittally.core.state import State
from splittally.core.types import CALENDAR_WINDOWS, BudgetDef


def plan_of(state: State, budget: BudgetDef) -> Plan:
    """The plan that is in force."""
    return read_plan(state.caps.blobs[budget.schema])


def touches_budget(state: State, call: NativeCall, params: Any) -> Touches:
    """What an effect touches whose params name a `budget` and no account beside it."""
    return Touches(accounts=[params.budget])


def touches_plan(plan: Plan) -> Touches:
    """What adopting a plan touches: its resources, its counter-accounts, and whom its rules pay."""
    paid = [action.to for rule in plan.rules for action in rule.do if isinstance(action, Transfer)]
    counters = [conversion.counter for conversion in plan.conversions.values()]
    return Touches(accounts=counters, payees=paid, resources=[*plan.resources])


def plan_findings(state: State, debits: list[Debit]) -> list[Finding]:
    """Stage 6 for these debits: what the plans of the budgets that are debited say."""
    balances, blobs = state.ledger.balances, state.caps.blobs
    return check_plans(state.plans, debits, lambda *key: balances.get(key), blobs.__getitem__)


def standing_findings(state: State, accounts: list[str]) -> list[Finding]:
    """Stage 6 for value that was taken from these accounts already: whether their plans still hold."""
    balances = state.ledger.balances
    return [
        find(
            "planning_stage",
            budget=name,
            stage=PLANNING,
            missing=gaps(name, plan, lambda *key: balances.get(key)),
        )
        for name in sorted(set(accounts) & set(state.plans.budgets))
        for plan in [plan_of(state, state.plans.budgets[name])]
        if stage_of(name, plan, lambda *key: balances.get(key)) == PLANNING
    ]


def deposit_events(
    state: State, postings: Iterable[Event], now_ns: int, depth: int = 0, skip: tuple[str, ...] = ()
) -> list[Event]:
    """A rule falls due for each deposit that these postings make; rules named in `skip` do not."""
    if not state.plans.budgets:
        return []
    deposits: dict[tuple[str, str, bytes], int] = {}
    for posted in postings:
        if not isinstance(posted, Posted) or posted.credit not in state.plans.budgets:
            continue
        if posted.debit != posted.credit and not posted.debit.startswith(posted.credit + "/"):
            key = (posted.credit, posted.resource, posted.intent_hash)
            deposits[key] = deposits.get(key, 0) + posted.amount
    events: list[RuleFired] = []
    for (name, resource, cause), amount in sorted(deposits.items()):
        budget = state.plans.budgets[name]
        plan = plan_of(state, budget)
        rules = [ALLOCATIONS] if resource in plan.allocations else []
        rules += [x.name for x in plan.rules if x.on == ON_DEPOSIT and x.of in ("", resource)]
        events += [
            RuleFired(
                budget=name,
                rule=rule,
                version=budget.version,
                status=DUE,
                item=[],
                cause=cause,
                dim=resource,
                amount=amount,
                depth=depth,
                due_ns=now_ns,
                findings=[],
            )
            for rule in rules
            if rule not in skip
        ]
    return within_cascade(state, events)


def metric_events(state: State, measured: Measured, cause: bytes, now_ns: int) -> list[Event]:
    """A rule falls due for the value of a metric."""
    budget = state.plans.budgets[measured.budget]
    return [
        RuleFired(
            budget=budget.name,
            rule=rule.name,
            version=budget.version,
            status=DUE,
            item=[],
            cause=cause,
            dim=measured.metric,
            amount=measured.value,
            depth=0,
            due_ns=now_ns,
            findings=[],
        )
        for rule in plan_of(state, budget).rules
        if rule.on == ON_METRIC and rule.of == measured.metric
    ]


def calendar_events(state: State, budget: BudgetDef, plan: Plan, cause: bytes, now_ns: int) -> list[Event]:
    """The rules of the calendar fall due at the end of the period that holds `now_ns`.

    Their cause is the intent under which the plan was adopted.
    """
    return [
        RuleFired(
            budget=budget.name,
            rule=rule.name,
            version=budget.version,
            status=DUE,
            item=[],
            cause=cause,
            dim="",
            amount=0,
            depth=0,
            due_ns=next_period_ns(state, rule.on, now_ns),
            findings=[],
        )
        for rule in plan.rules
        if rule.on in CALENDAR_WINDOWS
    ]


def next_period_ns(state: State, per: str, now_ns: int) -> int:
    """When the period that holds `now_ns` ends and the next begins."""
    return window_end(per, window_start(per, now_ns, state.offset_ns), state.offset_ns)
