"""What a rule does when a Tick comes to it: all of its actions or none, and a record either way.

Rule 1. Its authority is the grant under which its version of the plan was adopted, with its chain as that
        stands now.
Rule 2. It posts only from its own budget's accounts, and from the counter-accounts of the plan's conversions.
Rule 3. A firing that cannot be carried out is recorded as skipped with its finding and not tried again.
Rule 4. Its deposits make other rules fall due, at most `CASCADE_DEPTH_MAX` deep.
"""

from msgspec.structs import replace

from splittally.core import expr
from splittally.core.amounts import fits
from splittally.core.budget.evolve import DONE, SKIPPED, WAITING
from splittally.core.budget.expressions import amount_of, condition_of
from splittally.core.budget.parts import worth
from splittally.core.budget.plan import Plan
from splittally.core.budget.rules import ALLOCATIONS, Convert, PlanRule, Transfer
from splittally.core.budget.shares import shared
from splittally.core.budget.state import Firing
from splittally.core.events import Event, RuleFired
from splittally.core.evolve import evolve
from splittally.core.findings import Finding, find
from splittally.core.ledger.moves import Move, refused_moves
from splittally.core.limits import CASCADE_DEPTH_MAX
from splittally.core.native.authority import check_adoption
from splittally.core.native.grants import raised_events
from splittally.core.native.plans import RESERVED_ACCOUNT, calendar_events, plan_of
from splittally.core.native.reading import reading_of
from splittally.core.native.standing import plan_findings
from splittally.core.state import State
from splittally.core.types import BudgetDef


class Skipped(Exception):
    """A firing that is not carried out, and why."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.code)
        self.finding = finding


def fire(state: State, key: tuple[int, int], now_ns: int) -> list[Event]:
    """The events of a rule that fell due; the state is not changed."""
    firing = state.plans.firings[key]
    budget = state.plans.budgets[firing.budget]
    plan = plan_of(state, budget)
    rule = next((rule for rule in plan.rules if rule.name == firing.rule), None)
    events: list[Event]
    try:
        require_live(state, budget, firing, now_ns)
        if rule is not None:
            _require_condition(state, budget, rule, firing, now_ns)
        if rule is not None and rule.approval:
            events = [told(firing, key, WAITING)]
        else:
            events = [told(firing, key, DONE), *carry_out(state, firing, now_ns)]
    except Skipped as skipped:
        events = [told(firing, key, SKIPPED, [skipped.finding])]
    return [*events, *_again(state, firing, now_ns)]


def give_up(state: State, key: tuple[int, int], now_ns: int) -> list[Event]:
    """The events of a rule whose own cannot be recorded: skipped, and one of the calendar comes again."""
    firing = state.plans.firings[key]
    fault = find("rule_skipped", rule=firing.rule, reason="fault", fault="overflow")
    return [told(firing, key, SKIPPED, [fault]), *_again(state, firing, now_ns)]


def _again(state: State, firing: Firing, now_ns: int) -> list[RuleFired]:
    """A rule of the calendar falls due once more, as long as its version is in force."""
    budget = state.plans.budgets[firing.budget]
    if firing.version != budget.version:
        return []
    again = calendar_events(state, budget, plan_of(state, budget), firing.cause, now_ns)
    return [event for event in again if event.rule == firing.rule]


def told(
    firing: Firing, key: tuple[int, int], status: str, findings: list[Finding] | None = None
) -> RuleFired:
    """What became of a firing."""
    return RuleFired(
        budget=firing.budget,
        rule=firing.rule,
        version=firing.version,
        status=status,
        item=list(key),
        cause=firing.cause,
        dim=firing.dim,
        amount=firing.amount,
        depth=firing.depth,
        due_ns=firing.due_ns,
        findings=findings or [],
    )


def carry_out(state: State, firing: Firing, now_ns: int) -> list[Event]:
    """The events of a rule's actions; `Skipped` if one fails."""
    budget = state.plans.budgets[firing.budget]
    plan = plan_of(state, budget)
    fork = state.fork()
    fork.now_ns = now_ns
    if firing.rule == ALLOCATIONS:
        return _raise_parts(fork, budget, plan, firing)
    rule = next(rule for rule in plan.rules if rule.name == firing.rule)
    postings: list[Event] = []
    for action in rule.do:
        assert isinstance(action, Transfer | Convert)
        for posted in _postings(fork, budget, plan, action, firing):
            evolve(fork, posted, "", 0)
            postings.append(posted)
    return postings


def require_live(state: State, budget: BudgetDef, firing: Firing, now_ns: int) -> None:
    """`Skipped` unless the rule's version is in force and its authority is live."""
    if firing.version != budget.version:
        raise Skipped(find("rule_skipped", rule=firing.rule, reason="replaced", version=budget.version))
    if firing.depth > CASCADE_DEPTH_MAX:
        raise Skipped(find("rule_skipped", rule=firing.rule, reason="cascade", most=CASCADE_DEPTH_MAX))
    for grant in state.caps.ancestors(budget.adopted_by):
        if grant.name in state.caps.revoked:
            raise Skipped(find("revoked", grant=grant.name, order=state.caps.revoked[grant.name]))
        if grant.expiry_ns and now_ns >= grant.expiry_ns:
            raise Skipped(find("expired", grant=grant.name, expiry_ns=grant.expiry_ns))
    for finding in check_adoption(state, budget.adopted_by, _part_of_rule(state, budget, firing), now_ns):
        raise Skipped(finding)


def _part_of_rule(state: State, budget: BudgetDef, firing: Firing) -> Plan:
    """The plan with no more than what this firing's rule does."""
    plan = plan_of(state, budget)
    rules = [rule for rule in plan.rules if rule.name == firing.rule]
    named = {action.conversion for rule in rules for action in rule.do if isinstance(action, Convert)}
    return replace(plan, rules=rules, conversions={name: plan.conversions[name] for name in sorted(named)})


def _require_condition(state: State, budget: BudgetDef, rule: PlanRule, firing: Firing, now_ns: int) -> None:
    if not rule.when:
        return
    held = condition_of(rule.when).evaluate(reading_of(state, budget, firing, now_ns))
    if isinstance(held, expr.ExprFault):
        raise Skipped(find("rule_skipped", rule=rule.name, reason="fault", fault=held.code))
    if not held:
        raise Skipped(find("rule_skipped", rule=rule.name, reason="condition"))


def _postings(
    fork: State, budget: BudgetDef, plan: Plan, action: Transfer | Convert, firing: Firing
) -> list[Event]:
    """What one action posts; nothing for an amount of 0."""
    amount = amount_of(action.amount).evaluate(reading_of(fork, budget, firing, fork.now_ns))
    if isinstance(amount, expr.ExprFault):
        raise Skipped(find("rule_skipped", rule=firing.rule, reason="fault", fault=amount.code))
    if not fits(amount):
        raise Skipped(find("rule_skipped", rule=firing.rule, reason="amount", amount=amount))
    if not amount:
        return []
    match action:
        case Transfer():
            moves = [Move(budget.name, action.to, action.resource or firing.dim, amount)]
        case Convert():
            moves = conversion_moves(budget, plan, action.conversion, amount)
    findings = refused_moves(fork.ledger, moves) or plan_findings(fork, moves, fork.now_ns)
    if findings:
        raise Skipped(findings[0])
    return [move.posted(budget.adopted_by, firing.cause) for move in moves]


def conversion_moves(budget: BudgetDef, plan: Plan, name: str, amount: int) -> list[Move]:
    """The two sides of a conversion of the plan: what the budget gives, and what it gets."""
    conversion = plan.conversions[name]
    kept = budget.name + RESERVED_ACCOUNT if conversion.keeps else conversion.counter
    return [
        Move(budget.name, kept, conversion.gives, amount),
        Move(conversion.counter, budget.name, conversion.gets, worth(amount, conversion.rate), is_got=True),
    ]


def _raise_parts(fork: State, budget: BudgetDef, plan: Plan, firing: Firing) -> list[Event]:
    """Every part of the split gets its share of the deposit as more limit; revoked parts' shares lapse."""
    events: list[Event] = []
    parts = shared(firing.amount, plan.allocations[firing.dim])
    for name, amount in parts.items():
        grant = f"{budget.name}/{name}"
        if not amount or grant not in fork.caps.grants or fork.caps.is_revoked(grant):
            continue
        raised = raised_events(fork, grant, firing.dim, amount, fork.now_ns)
        if raised is None:
            raise Skipped(find("amount_overflow", grant=grant, dim=firing.dim))
        events += raised
    return events
