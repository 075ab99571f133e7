"""What a plan makes of its budget beside the account: what the charter counts and limits, what is reserved.

Rule 1. A spending target is a limit of the charter for life; another plan's target is another limit.
Rule 2. What the plan's expressions read of spend is counted, also where nothing limits it.
"""

from msgspec.structs import replace

from splittally.core.budget.charter import charter_limits
from splittally.core.budget.plan import Plan
from splittally.core.caps.grants import build_grant, terms_of
from splittally.core.events import Defined, Event, LimitSet
from splittally.core.native.grants import change_events
from splittally.core.native.money import account_value
from splittally.core.native.plans import RESERVED_ACCOUNT, plan_of
from splittally.core.state import State
from splittally.core.types import LIFE, BudgetDef


def counting_events(state: State, budget: BudgetDef, plan: Plan) -> list[Event]:
    """Counters of the charter that limit nothing, where the plan reads what was spent."""
    limited = charter_limits(plan)
    counted = [name for name in sorted(plan.resources) if plan.counts_spend and name not in limited]
    return [
        LimitSet(budget.grant, name, LIFE, 0, -1)
        for name in counted
        if (budget.grant, name, LIFE, 0) not in state.ledger.counters
    ]


def limiting_events(state: State, budget: BudgetDef, plan: Plan, now_ns: int) -> list[Event]:
    """The charter with the limits that the new plan gives it, where they are others than the old plan's."""
    was, limits = charter_limits(plan_of(state, budget)), charter_limits(plan)
    if was == limits or state.caps.is_revoked(budget.grant):
        return []
    old = state.caps.grants[budget.grant]
    kept = {name: amount for name, amount in (old.budget or {}).items() if name not in was}
    terms = replace(terms_of(state.caps, old), budget={**kept, **limits} or None)
    return change_events(state, old, build_grant(old.name, terms, old.made_by), terms.params, now_ns)


def reserved_events(state: State, budget: BudgetDef, plan: Plan) -> list[Event]:
    """The account of what conversions keep, where the plan has one that does."""
    name = budget.name + RESERVED_ACCOUNT
    is_needed = any(conversion.keeps for conversion in plan.conversions.values())
    if not is_needed or name in state.ledger.accounts:
        return []
    return [Defined("accounts", name, account_value(name, 0))]
