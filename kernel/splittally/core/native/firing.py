"""What a rule does when a Tick comes to it: all of its actions or none, and a record either way.

Rule 1. Its authority is the grant under which its version of the plan was adopted, with its chain as that
        stands now.
Rule 2. What its actions come to stands in `actions.py`.
Rule 3. A firing that cannot be carried out is recorded as skipped with its finding and not tried again.
Rule 4. Its deposits and its values make other rules fall due, at most `CASCADE_DEPTH_MAX` deep.
Rule 5. A rule that fires once is used up by the first firing that is carried out, in every later version of
        the plan, too. One that was skipped used nothing: the next cause may bring what was not to be had.
"""

from msgspec.structs import replace

from splittally.core import expr
from splittally.core.budget.evolve import DONE, SKIPPED, WAITING
from splittally.core.budget.expressions import condition_of
from splittally.core.budget.plan import Plan
from splittally.core.budget.rules import ALLOCATIONS, Convert, PlanRule
from splittally.core.budget.shares import shared
from splittally.core.budget.state import Firing
from splittally.core.canonical import encode
from splittally.core.events import Defined, Event, RuleFired
from splittally.core.findings import Finding, find
from splittally.core.limits import CASCADE_DEPTH_MAX
from splittally.core.native.actions import Skipped, acts
from splittally.core.native.authority import check_adoption
from splittally.core.native.grants import raised_events
from splittally.core.native.plans import calendar_events, is_used_up, once_key, plan_of
from splittally.core.native.reading import reading_of
from splittally.core.state import State
from splittally.core.types import BudgetDef


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
            events = done_events(state, firing, key, now_ns)
    except Skipped as skipped:
        events = [told(firing, key, SKIPPED, [skipped.finding])]
    is_over = (
        rule is not None and rule.once and (is_used_up(state, budget.name, rule.name) or is_done(events))
    )
    return events if is_over else [*events, *_again(state, firing, now_ns)]


def is_done(events: list[Event]) -> bool:
    """Whether these events say that a firing was carried out."""
    return any(type(event) is RuleFired and event.status == DONE for event in events)


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


def done_events(state: State, firing: Firing, key: tuple[int, int], now_ns: int) -> list[Event]:
    """The events of a firing that is carried out, which says first that it is; `Skipped` if one action fails.

    With it stand the rates that float. A rule that fires once is used up from then on.
    """
    budget = state.plans.budgets[firing.budget]
    plan = plan_of(state, budget)
    fork = state.fork()
    fork.now_ns = now_ns
    if firing.rule == ALLOCATIONS:
        return [told(firing, key, DONE), *_raise_parts(fork, budget, plan, firing)]
    rule = next(rule for rule in plan.rules if rule.name == firing.rule)
    events: list[Event] = []
    findings: list[Finding] = []
    for acted in acts(fork, budget, plan, rule, firing):
        events += acted.events
        findings += acted.findings
    if rule.once:
        events.append(Defined("consumed", once_key(budget.name, rule.name), encode(firing.cause)))
    return [told(firing, key, DONE, findings), *events]


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
    if is_used_up(state, budget.name, firing.rule):
        raise Skipped(find("rule_skipped", rule=firing.rule, reason="once"))
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
