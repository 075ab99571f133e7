"""Where budgets meet the rest of a world: the plan in force, and which of its rules fall due.

Rule 1. A rule never runs inside the record that triggers it: here it is put on the agenda, and a Tick
        works it through (`firing.py`).
Rule 2. A deposit is value that comes to a budget's account, whichever way: issued, transferred, converted,
        paid by a receipt, an attestation or a time-out, moved by a rule, refunded, or back from a hold that
        was released. None is what moves between a budget's own accounts, what a settled hold left over, or
        what an overdraft gives: it is spent already.
Rule 3. A rule falls due once for each (rule, version, resource, cause at one time) (`cascade.py`). The same
        holds for a value that a rule records, and in a plan whose rules record values for every value.
Rule 4. A rule that fires once and did does not fall due any more.
"""

from typing import Any

from splittally.core.amounts import shown
from splittally.core.budget.evolve import DONE, DUE
from splittally.core.budget.plan import Plan, read_plan
from splittally.core.budget.rules import (
    ALLOCATIONS,
    ON_DEPOSIT,
    ON_METRIC,
    Convert,
    PlanRule,
    RecordValue,
    Transfer,
    issued_by,
)
from splittally.core.budget.state import FiringKey, of_budget
from splittally.core.events import Decided, Defined, Event, Measured, Noted, Posted, RuleFired, Settled
from splittally.core.evolve import evolve
from splittally.core.ledger.windows import window_end, window_start
from splittally.core.native.cascade import within_cascade
from splittally.core.native.row import NativeCall, Touches
from splittally.core.state import State
from splittally.core.types import BUDGETS, CALENDAR_WINDOWS, ISSUER, OVERDRAFT, BudgetDef

RESERVED_ACCOUNT = "/reserved"  # behind a budget's name: the account of what its conversions keep


def plan_of(state: State, budget: BudgetDef) -> Plan:
    """The plan that is in force."""
    return read_plan(state.caps.blobs[budget.schema])


def touches_budget(state: State, call: NativeCall, params: Any) -> Touches:
    """What an effect touches whose params name a `budget` and no account beside it."""
    return Touches(accounts=[params.budget], budgets=[params.budget])


def touches_plan(plan: Plan) -> Touches:
    """What adopting a plan touches: its resources and counter-accounts, whom its rules pay, the issuer."""
    paid = [action.to for rule in plan.rules for action in rule.do if isinstance(action, Transfer)]
    counters = [conversion.counter for conversion in plan.conversions.values()]
    counters += [ISSUER] if issued_by(plan.rules) else []
    return Touches(accounts=counters, payees=paid, resources=[*plan.resources])


# Example. An attestation ends a hold of 100 USD that budget `b` drew for: 60 go to budget `v`, and 40 were
# not used.
#
#     Settled, Posted(in flight -> v, 60), Posted(in flight -> b, 40)
#       ->  RuleFired(due) for each deposit rule of `v`; none for `b`, whose 40 were never paid
#
# A release of the same hold gives `b` its 100 back, and a refund of the 60 gives it those: both are deposits.
def credit_events(state: State, events: list[Event], now_ns: int) -> list[Event]:
    """The rules that fall due because of what these events of one record credit to budgets.

    `state` is that before the events. A budget that they create has shared out its funding already. So do
    those of the values that rules recorded.
    """
    for event in events:
        if (type(event) is Posted and event.credit.startswith(BUDGETS)) or type(event) is Measured:
            break
    else:
        return []
    after = _defined_by(state, events)
    deposits, created = _deposits(state, after, events)
    due: list[RuleFired] = []
    for (name, resource, cause, depth), amount in sorted(deposits.items()):
        budget = after.plans.budgets[name]
        plan = plan_of(after, budget)
        rules = [ALLOCATIONS] if resource in plan.allocations and (name, cause) not in created else []
        rules += [
            x.name for x in _standing(state, budget, plan) if x.on == ON_DEPOSIT and x.of in ("", resource)
        ]
        due += [_due(budget, rule, cause, now_ns, resource, shown(amount), depth) for rule in rules]
    return within_cascade(state, due, _recorded_by_rules(after, events, now_ns), _worked(after, events))


def _worked(after: State, events: list[Event]) -> set[FiringKey]:
    """The firings that these events end, of rules that do more than transfer and convert.

    What the others convert for their own trigger is added to them though they are done, and stays so: worlds
    have recorded it.
    """
    done = [x for x in events if type(x) is RuleFired and x.status == DONE]
    return {
        (event.item[0], event.item[1])
        for event in done
        for rule in plan_of(after, after.plans.budgets[event.budget]).rules
        if rule.name == event.rule and not all(isinstance(x, Transfer | Convert) for x in rule.do)
    }


def _recorded_by_rules(after: State, events: list[Event], now_ns: int) -> list[RuleFired]:
    """The rules that fall due by values which a rule recorded, in the order of the events."""
    due: list[RuleFired] = []
    by: RuleFired | None = None
    for event in events:
        match event:
            case Decided():
                by = None
            case RuleFired() if event.status == DONE:
                by = event
            case Measured() if by is not None:
                due += _due_by_value(after, event, by.cause, now_ns, by.depth + 1)
    return due


def _deposits(
    state: State, after: State, events: list[Event]
) -> tuple[dict[tuple[str, str, bytes, int], int], set[tuple[str, bytes]]]:
    """Amounts by budget, resource, cause and depth of the rule that moved them; budgets made, by cause."""
    rests = _unused_rests(state, events) | _overdrawn(events)
    deposits: dict[tuple[str, str, bytes, int], int] = {}
    created: set[tuple[str, bytes]] = set()
    asked, depth = b"", 0
    for event in events:
        match event:
            case Decided():
                asked, depth = event.intent_hash, 0
            case RuleFired() if event.status == DONE:
                depth = event.depth + 1
            case Defined(table="budgets") if event.key not in state.plans.budgets:
                created.add((event.key, asked))
            case Posted() if event.credit in after.plans.budgets and _is_deposit(event, rests):
                key = (event.credit, event.resource, event.intent_hash, depth)
                deposits[key] = deposits.get(key, 0) + event.amount
    return deposits, created


def _is_deposit(posted: Posted, rests: set[tuple[bytes, str, str, str]]) -> bool:
    """Whether a credit comes from elsewhere: not from the budget's own accounts, nor as one of `rests`."""
    is_own = posted.debit in (posted.credit, posted.credit + RESERVED_ACCOUNT)
    is_rest = (posted.intent_hash, posted.debit, posted.credit, posted.resource) in rests
    return not is_own and not is_rest


def _overdrawn(events: list[Event]) -> set[tuple[bytes, str, str, str]]:
    """Intent, parent, budget and resource of what overdrafts give in these events."""
    given = [(x.intent_hash, x.facts) for x in events if type(x) is Noted and x.subject == OVERDRAFT]
    return {(digest, facts["parent"], facts["budget"], facts["resource"]) for digest, facts in given}


def _unused_rests(state: State, events: list[Event]) -> set[tuple[bytes, str, str, str]]:
    """Intent, no payer, account and resource of what these events settle: what goes back was not used."""
    settled = [event.intent_hash for event in events if type(event) is Settled]
    holds = [(digest, state.ledger.holds[digest]) for digest in settled if digest in state.ledger.holds]
    return {(digest, "", draw.account, draw.resource) for digest, hold in holds for draw in hold.draws}


def _defined_by(state: State, events: list[Event]) -> State:
    """The state with the budgets and plans that these events define."""
    defined = [x for x in events if type(x) is Defined and x.table in ("budgets", "blobs")]
    if not any(event.table == "budgets" for event in defined):
        return state
    fork = state.fork()
    for event in defined:
        evolve(fork, event, "", 0)
    return fork


def _due(
    budget: BudgetDef, rule: str, cause: bytes, due_ns: int, dim: str = "", amount: int = 0, depth: int = 0
) -> RuleFired:
    """A rule of the plan in force falls due; `dim` and `amount` are what came in or was measured."""
    return RuleFired(
        budget=budget.name,
        rule=rule,
        version=budget.version,
        status=DUE,
        item=[],
        cause=cause,
        dim=dim,
        amount=amount,
        depth=depth,
        due_ns=due_ns,
        findings=[],
    )


def metric_events(state: State, measured: Measured, cause: bytes, now_ns: int) -> list[Event]:
    """A rule falls due for the value of a metric that somebody recorded."""
    due = _due_by_value(state, measured, cause, now_ns, 0)
    plan = plan_of(state, state.plans.budgets[measured.budget])
    may_return = any(type(action) is RecordValue for rule in plan.rules for action in rule.do)
    return within_cascade(state, [], due) if may_return else [*due]


def _due_by_value(state: State, measured: Measured, cause: bytes, now_ns: int, depth: int) -> list[RuleFired]:
    budget = state.plans.budgets[measured.budget]
    return [
        _due(budget, rule.name, cause, now_ns, measured.metric, measured.value, depth)
        for rule in _standing(state, budget, plan_of(state, budget))
        if rule.on == ON_METRIC and rule.of == measured.metric
    ]


def _standing(state: State, budget: BudgetDef, plan: Plan) -> list[PlanRule]:
    """The rules of a plan that are not used up."""
    return [rule for rule in plan.rules if not rule.once or not is_used_up(state, budget.name, rule.name)]


def is_used_up(state: State, budget: str, rule: str) -> bool:
    """Whether a rule that fires once did, under any version of the budget's plan."""
    return once_key(budget, rule) in state.plans.consumed


def once_key(budget: str, rule: str) -> str:
    """Under which name it is remembered that a rule which fires once did.

    No name that people choose ends in a space, so nothing else that counts once can use a rule up.
    """
    return of_budget(budget, f"rule:{rule} ")


def calendar_events(
    state: State, budget: BudgetDef, plan: Plan, cause: bytes, now_ns: int
) -> list[RuleFired]:
    """The rules of the calendar fall due at the end of the period that holds `now_ns`.

    Their cause is the intent under which the plan was adopted.
    """
    return [
        _due(budget, rule.name, cause, next_period_ns(state, rule.on, now_ns))
        for rule in _standing(state, budget, plan)
        if rule.on in CALENDAR_WINDOWS
    ]


def next_period_ns(state: State, per: str, now_ns: int) -> int:
    """When the period that holds `now_ns` ends and the next begins."""
    offset_ns, zones = state.offset_ns, state.ledger.zones
    return window_end(per, window_start(per, now_ns, offset_ns, zones), offset_ns, zones)
