"""How budgets stand in a state: stage 6 for what a commitment debits, and the stage and gaps that views show.

Rule 1. The part for which a task is posted is that of its chain: the grant `BUDGET/PART` directly below the
        budget's charter. Native effects and rules act for no part.
Rule 2. Of value that was taken already, as where a hold waits for an approval, only what holds as things
        stand is asked again.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from splittally.core.budget.check import Debit, Standings, check_part, check_plans, standings_of
from splittally.core.budget.constraints import Sight
from splittally.core.caps.active import active_below
from splittally.core.findings import Finding
from splittally.core.ledger.moves import Move
from splittally.core.native.plans import plan_of
from splittally.core.native.reading import reading_of
from splittally.core.state import State
from splittally.core.types import LIFE, Grant

NO_CHAIN: Sequence[Grant] = ()


def plan_findings(
    state: State, moves: list[Move], now_ns: int, chain: Sequence[Grant] = NO_CHAIN
) -> list[Finding]:
    """Stage 6 for these moves: what the plans of the budgets that they debit say.

    `chain` are the grants under which a task is posted, leaf first.
    """
    budgets = state.plans.budgets
    debits = [
        Debit(move.debit, move.resource, move.amount, *_part_of(state, move.debit, chain))
        for move in moves
        if move.debit in budgets
    ]
    return check_plans(state.plans, debits, sight_of(state, now_ns), state.caps.blobs.__getitem__)


def standing_findings(
    state: State, accounts: list[str], now_ns: int, chain: Sequence[Grant]
) -> list[Finding]:
    """Stage 6 for value that was taken from these accounts already: whether it may still be used."""
    return [
        finding
        for name in sorted(set(accounts) & set(state.plans.budgets))
        for finding in check_part(standings_now(state, name, now_ns), _part_of(state, name, chain)[0])
    ]


def standings_now(state: State, name: str, now_ns: int) -> Standings:
    """The stage of a budget and how its constraints stand."""
    return standings_of(name, plan_of(state, state.plans.budgets[name]), sight_of(state, now_ns))


def _part_of(state: State, account: str, chain: Sequence[Grant]) -> tuple[str, bool]:
    """The part of the budget of this account for which a chain spends, and whether it passes the charter."""
    budget = state.plans.budgets[account]
    below = next((grant.name for grant in chain if grant.parent == budget.grant), "")
    part = below.removeprefix(f"{budget.grant}/") if below.startswith(f"{budget.grant}/") else ""
    return part, bool(below) or any(grant.name == budget.grant for grant in chain)


def sight_of(state: State, now_ns: int) -> Sight:
    """What a check of plans reads of this state at `now_ns`."""
    balances, counters, budgets = state.ledger.balances, state.ledger.counters, state.plans.budgets

    def balance_of(account: str, resource: str) -> int | None:
        return balances.get((account, resource))

    def used_by(grant: str, resource: str) -> int | None:
        counter = counters.get((grant, resource, LIFE, 0))
        return None if counter is None else counter.reserved + counter.spent - counter.refunded

    def active_in(budget: str, parts: tuple[str, ...]) -> int:
        return active_below(state.caps, budgets[budget].grant, parts, now_ns)

    def reading(budget: str, taken: Mapping[str, int], is_spent: bool) -> Mapping[str, Any]:
        read = reading_of(state, budgets[budget], None, now_ns)
        return read.after(taken, is_spent) if taken else read

    return Sight(balance_of, used_by, active_in, reading)
