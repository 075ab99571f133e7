"""What the actions of a rule come to, one after the other: the events of each, and the numbers it rests on.

Rule 1. Each action reads what those before it left. What one of them may not do is the end of all
        (`Skipped`): the firing is recorded with that finding, and nothing of it happens.
Rule 2. A rule posts from its own budget's account, through the plan's conversions, and, for what its adopter
        may issue, from the issuer. An amount of 0 posts nothing.
Rule 3. A value is recorded and a solution made through the doors of `metric.record` and `budget.solve`: what
        these refuse to people they refuse to a rule. The rules that a value makes due come with what the
        record credits (`credit_events`).
Rule 4. A review that is open stays as it is; one that was closed is opened anew.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, assert_never

from msgspec import Struct

from splittally.core import expr
from splittally.core.amounts import fits
from splittally.core.budget.expressions import amount_of, names_read
from splittally.core.budget.parts import worth
from splittally.core.budget.plan import Plan
from splittally.core.budget.proposals import OPEN, REVIEW
from splittally.core.budget.rows import Proposal
from splittally.core.budget.rules import (
    AnyAction,
    Convert,
    Issue,
    PlanRule,
    RecordValue,
    Review,
    Solve,
    Transfer,
)
from splittally.core.budget.state import Firing, of_budget
from splittally.core.budget.waterfall import own_solver
from splittally.core.events import Event, RuleFired
from splittally.core.evolve import evolve
from splittally.core.findings import Finding, find
from splittally.core.ledger.moves import Move, refused_moves
from splittally.core.native import measuring, solutions
from splittally.core.native.measuring import RecordMetric
from splittally.core.native.money import refused_issue
from splittally.core.native.plans import RESERVED_ACCOUNT
from splittally.core.native.proposals import proposal_event
from splittally.core.native.rates import Rate, rate_now
from splittally.core.native.reading import Reading, reading_of
from splittally.core.native.row import NativeCall
from splittally.core.native.solutions import SolveBudget
from splittally.core.native.standing import plan_findings
from splittally.core.state import State
from splittally.core.types import ISSUER, BudgetDef

_DOORS = {**measuring.ROWS, **solutions.ROWS}


class Skipped(Exception):
    """A firing that is not carried out, and why."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.code)
        self.finding = finding


class Acted(NamedTuple):
    """One action: what its expression gave, what it read, its events, and what is told of it."""

    action: AnyAction
    value: int
    reading: Reading
    events: list[Event]
    findings: list[Finding]


class _Act(NamedTuple):
    """The firing that acts, on a fork that it may change."""

    fork: State
    budget: BudgetDef
    plan: Plan
    rule: PlanRule
    firing: Firing

    @property
    def reading(self) -> Reading:
        """What an expression reads now."""
        return reading_of(self.fork, self.budget, self.firing, self.fork.now_ns)


def acts(fork: State, budget: BudgetDef, plan: Plan, rule: PlanRule, firing: Firing) -> Iterator[Acted]:
    """Each action of the rule in order; `Skipped` at the first that may not be. `fork` is left after them.

    An action is handed out before `fork` takes it, so its reading still says what it read.
    """
    act = _Act(fork, budget, plan, rule, firing)
    for action in rule.do:
        acted = _acted(act, action)
        yield acted
        for event in acted.events:
            evolve(fork, event, "", 0)


def conversion_moves(budget: BudgetDef, plan: Plan, name: str, amount: int, rate: list[int]) -> list[Move]:
    """The two sides of a conversion of the plan: what the budget gives, and what it gets."""
    conversion = plan.conversions[name]
    kept = budget.name + RESERVED_ACCOUNT if conversion.keeps else conversion.counter
    return [
        Move(budget.name, kept, conversion.gives, amount),
        Move(conversion.counter, budget.name, conversion.gets, worth(amount, rate), is_got=True),
    ]


def _acted(act: _Act, action: AnyAction) -> Acted:
    reading = act.reading
    match action:
        case Review():
            return Acted(action, 0, reading, _reviewed(act, action), [])
        case Solve():
            solve = SolveBudget(budget=act.budget.name, solver=own_solver(act.plan))
            return Acted(action, 0, reading, _by_door(act, "budget.solve", solve), [])
        case RecordValue():
            value = _evaluated(act, action.value, reading)
            params = RecordMetric(budget=act.budget.name, metric=action.metric, value=value)
            return Acted(action, value, reading, _by_door(act, "metric.record", params), [])
        case Transfer() | Convert() | Issue():
            amount = _evaluated(act, action.amount, reading)
            if not fits(amount):
                raise Skipped(find("rule_skipped", rule=act.rule.name, reason="amount", amount=amount))
            return _posted(act, action, amount, reading)
        case _:
            assert_never(action)


def _evaluated(act: _Act, text: str, reading: Reading) -> int:
    value = amount_of(text).evaluate(reading)
    if isinstance(value, expr.ExprFault):
        raise Skipped(find("rule_skipped", rule=act.rule.name, reason="fault", fault=value.code))
    assert type(value) is int
    return value


def _posted(act: _Act, action: Transfer | Convert | Issue, amount: int, reading: Reading) -> Acted:
    """An action that moves value; nothing for an amount of 0."""
    if not amount:
        return Acted(action, 0, reading, [], [])
    name, rate = act.budget.name, Rate([], [])
    match action:
        case Transfer():
            moves = [Move(name, action.to, action.resource or act.firing.dim, amount)]
        case Convert():
            rate = rate_now(act.plan, action.conversion, reading)
            moves = conversion_moves(act.budget, act.plan, action.conversion, amount, rate.pair)
        case Issue():
            moves = [Move(ISSUER, name, action.resource, amount)]
    refused = (
        refused_issue(act.fork, moves[0]) if type(action) is Issue else refused_moves(act.fork.ledger, moves)
    )
    refused = refused or plan_findings(act.fork, moves, act.fork.now_ns)
    if refused:
        raise Skipped(refused[0])
    posted: list[Event] = [move.posted(act.budget.adopted_by, act.firing.cause) for move in moves]
    return Acted(action, amount, reading, posted, rate.findings)


def _by_door(act: _Act, kind: str, params: Struct) -> list[Event]:
    """What a native effect on the budget makes, without the rules that it would make due by itself."""
    call = NativeCall(
        now_ns=act.fork.now_ns,
        principal="",
        grant=act.budget.adopted_by,
        intent_hash=act.firing.cause,
        known=None,
        admitted={},
        labels={},
    )
    refused = _DOORS[kind].check(act.fork, call, params)
    if refused:
        raise Skipped(refused[0])
    return [event for event in _DOORS[kind].make(act.fork, call, params) if type(event) is not RuleFired]


def _reviewed(act: _Act, action: Review) -> list[Event]:
    """A review is opened under the rule's name, for people to answer; `by` is empty, as no person asked."""
    key = of_budget(act.budget.name, act.rule.name)
    known = act.fork.plans.proposals.get(key)
    if known is not None and known.status == OPEN:
        if known.kind != REVIEW:
            raise Skipped(find("name_taken", name=act.rule.name, budget=act.budget.name))
        return []
    proposal = Proposal(
        budget=act.budget.name,
        name=act.rule.name,
        kind=REVIEW,
        status=OPEN,
        by="",
        at_ns=act.fork.now_ns,
        title=action.title,
        resource="",
        amount=0,
        part="",
        holder="",
        schema=b"",
        base=act.budget.version,
        basis=_basis(act),
        steps=[],
        votes={},
    )
    return [proposal_event(proposal)]


def _basis(act: _Act) -> dict[str, Any]:
    """What a review rests on: what came in or was measured, and what the rule's condition read."""
    read = values_read(act.rule.when, act.reading) if act.rule.when else {}
    return {"cause.dim": act.firing.dim, "cause.amount": act.firing.amount} | read


def values_read(text: str, reading: Reading) -> dict[str, Any]:
    """The numbers behind the names that an expression states, by name: `balance.USD`, `cause.amount`.

    A name that is not there is left out; of a map that is read by a computed key all is told.
    """
    read: dict[str, Any] = {}
    for path in names_read(text):
        value: Any = reading
        for part in path:
            value = value.get(part) if hasattr(value, "get") else None
        if value is not None:
            read[".".join(path)] = value
    return read
