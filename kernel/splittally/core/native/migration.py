"""A breaking change of a plan: a budget of a new identity, and what goes over to it (X0-09).

Rule 1. The old budget stays as it is and readable; its definition names the one that replaces it. Once.
Rule 2. The new one stands below the same parent, with the holder and the payees of the old charter.
Rule 3. A name that both plans have goes over as it is. Each other metric, line and cell of the old plan is
        mapped to one of the new plan, or to nothing and stays behind: nothing is lost unsaid.
Rule 4. Values of metrics and cells go over and make no rule due. What was used of a limit by a target, and
        what an overdraft gave, counts in the new budget, too: a new name gives no new allowance.
Rule 5. Funds move where it is asked for, all that may be taken; the old plan's minima end with them. What is
        in flight settles in the old budget.

Example. `budgets/press` measures `articles`, 6 so far, and holds 400 USD. Its new plan calls them `stories`:
`mapping = {metrics = {articles = "stories"}}`, `move_funds`. `budgets/press2` has 6 stories and 400 USD.
"""

from collections.abc import Iterable, Mapping

from msgspec import UNSET, Struct
from msgspec.structs import replace

from splittally.core.budget.charter import charter_limits
from splittally.core.budget.plan import Plan
from splittally.core.budget.state import of_budget
from splittally.core.canonical import encode
from splittally.core.events import Defined, Event, LimitSet, Measured, Noted, Solved
from splittally.core.findings import Finding, find
from splittally.core.ledger.moves import Move, spendable
from splittally.core.native.budgets import CreateBudget, budget_value, check_create, create_events
from splittally.core.native.overdraft import given_so_far
from splittally.core.native.plans import plan_of, touches_plan
from splittally.core.native.proposals import check_covered
from splittally.core.native.reading import spent_of
from splittally.core.native.row import Native, NativeCall, Touches
from splittally.core.state import State
from splittally.core.types import LIFE, OVERDRAFT, BudgetDef, is_id

FIELDS = ("metrics", "lines", "cells")
MIGRATE = "budget.migrate"


class Mapped(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where each name of the old plan goes: a name of the new one, or nothing."""

    metrics: dict[str, str] = {}
    lines: dict[str, str] = {}
    cells: dict[str, str] = {}


class MigrateBudget(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new budget by another plan in the place of `source`; `move_funds` takes its funds along."""

    budget: str
    source: str
    schema: Plan
    mapping: Mapped = Mapped()
    move_funds: bool = False

    def __post_init__(self) -> None:
        CreateBudget(budget=self.budget, schema=self.schema)
        for field in FIELDS:
            targets = [name for name in getattr(self.mapping, field).values() if name]
            if not all(map(is_id, targets)) or len(targets) != len(set(targets)):
                raise ValueError(f"`mapping` maps each of its `{field}` to a name of its own, or to nothing")


def _created(state: State, params: MigrateBudget) -> CreateBudget:
    """The new budget as its creation states it; the source exists."""
    source = state.plans.budgets[params.source]
    charter = state.caps.grants[source.grant]
    return CreateBudget(
        budget=params.budget,
        schema=params.schema,
        parent=source.parent,
        holder=charter.holder,
        delegations=charter.delegations,
        pays_to=charter.pays_to,
    )


def _check(state: State, call: NativeCall, params: MigrateBudget) -> list[Finding]:
    source = state.plans.budgets.get(params.source)
    if source is None:
        return [find("not_found", budget=params.source)]
    if source.replaced_by:
        facts = {"needed": source.replaced_by, "value": params.budget}
        return [find("cannot_change", budget=source.name, field="replaced_by", **facts)]
    if state.caps.is_revoked(source.grant):
        return [find("revoked", grant=source.grant, order="")]
    old = plan_of(state, source)
    findings = check_covered(state, call.grant, MIGRATE, "", source.name, call.now_ns)
    for field in FIELDS:
        findings += _unmapped(
            field, _names(state, source, old, field), _names(state, source, params.schema, field), params
        )
    findings += [
        find("migration_unmapped", budget=source.name, field="resources", name=move.resource)
        for move in _moves(state, source, params)
        if move.resource not in params.schema.resources
    ]
    return findings or check_create(state, call, _created(state, params))


def _names(state: State, source: BudgetDef, plan: Plan, field: str) -> list[str]:
    """What a plan has of a field, sorted; cells are those of its formulas and those that a solver brought."""
    if field != "cells":
        return sorted(getattr(plan, field))
    solution = state.plans.solutions.get(source.name)
    formulas = plan_of(state, source).formulas
    brought = [cell.name for cell in solution.cells if cell.name not in formulas] if solution else []
    return sorted({*plan.formulas, *brought})


def _unmapped(field: str, old: list[str], new: list[str], params: MigrateBudget) -> list[Finding]:
    """Each name that goes nowhere, is not there, or goes where another goes."""
    mapping: Mapping[str, str] = getattr(params.mapping, field)
    about = {"budget": params.source, "field": field}
    findings = [find("not_found", **about, name=name) for name in sorted(set(mapping) - set(old))]
    targets = _targets(mapping, old)
    for name in old:
        target = targets[name]
        if target and target not in new:
            code, facts = ("not_found", {"target": target}) if name in mapping else ("migration_unmapped", {})
            findings.append(find(code, **about, name=name, **facts))
        elif target and sum(x == target for x in targets.values()) > 1:
            findings.append(find("migration_unmapped", **about, name=name, reason="two go to one name"))
    return findings


def _targets(mapping: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """Where each of these names goes; empty for one that stays behind."""
    return {name: mapping.get(name, name) for name in names}


def _moves(state: State, source: BudgetDef, params: MigrateBudget) -> list[Move]:
    """The funds that move: what may be taken without making a debt."""
    if not params.move_funds:
        return []
    debt = state.ledger.accounts[source.name].debt_limit
    funds = {x: spendable(state.ledger, source.name, x) - debt for x in plan_of(state, source).resources}
    return [Move(source.name, params.budget, x, funds[x]) for x in sorted(funds) if funds[x] > 0]


def _make(state: State, call: NativeCall, params: MigrateBudget) -> list[Event]:
    source = state.plans.budgets[params.source]
    moves = _moves(state, source, params)
    events = create_events(
        state, call, _created(state, params), {move.resource: move.amount for move in moves}
    )
    events += _counted(state, call, source, params)
    events += _measured(state, source, params) + _solved(state, source, params)
    events.append(Defined("budgets", source.name, budget_value(replace(source, replaced_by=params.budget))))
    return events + [move.posted(call.grant, call.intent_hash) for move in moves]


def _counted(state: State, call: NativeCall, source: BudgetDef, params: MigrateBudget) -> list[Event]:
    """What counts in the new budget because the old one used it: limits by targets, and the overdraft."""
    events: list[Event] = []
    for resource, amount in charter_limits(params.schema).items():
        used = spent_of(state, source.grant, resource)
        if used > 0:
            events.append(LimitSet(params.budget, resource, LIFE, 0, max(0, amount - used)))
    overdraft = params.schema.overdraft
    drawn = given_so_far(state, source.name, overdraft.resource) if overdraft is not None else 0
    if overdraft is not None and drawn:
        facts = {
            "budget": params.budget, "parent": source.parent, "resource": overdraft.resource, "amount": 0,
            "lifted": 0, "drawn": drawn, "version": 1, "metric": {},
        }  # fmt: skip
        events.append(Noted(call.intent_hash, OVERDRAFT, facts))
    return events


def _measured(state: State, source: BudgetDef, params: MigrateBudget) -> list[Event]:
    """The last value of each metric that goes over, and its period's values where the period is the same."""
    events: list[Event] = []
    old = plan_of(state, source).metrics
    for name, target in sorted(_targets(params.mapping.metrics, old).items()):
        now = params.schema.metrics.get(target)
        if now is None or now.weights is not UNSET:
            continue
        measure = state.plans.metrics.get((source.name, name))
        if measure is not None:
            events.append(Measured(params.budget, target, measure.value))
        digest = state.plans.digests.get(of_budget(source.name, name))
        if digest is not None and now.per == old[name].per:
            row = replace(digest, version=1)
            value = [getattr(row, field) for field in row.__struct_fields__]
            events.append(Defined("digests", of_budget(params.budget, target), encode(value)))
    return events


def _solved(state: State, source: BudgetDef, params: MigrateBudget) -> list[Event]:
    """The solution in force with the new names of its cells; those that stay behind are left out."""
    solution = state.plans.solutions.get(source.name)
    if solution is None:
        return []
    targets = _targets(params.mapping.cells, (cell.name for cell in solution.cells))
    cells = [replace(cell, name=targets[cell.name]) for cell in solution.cells if targets[cell.name]]
    said = Solved(budget=params.budget, version=1, solver=solution.solver, cells=cells, input=solution.input)
    return [said] if cells else []


def _touches(state: State, call: NativeCall, params: MigrateBudget) -> Touches:
    """Both budgets, their parent, what the new plan touches, and whom the old charter pays."""
    source = state.plans.budgets.get(params.source)
    above = [source.parent] if source is not None and source.parent else []
    payees = state.caps.grants[source.grant].pays_to if source is not None else []
    plan = touches_plan(params.schema)
    return Touches(
        accounts=[params.budget, params.source, *above, *plan.accounts],
        payees=[*payees, *plan.payees],
        resources=plan.resources,
        budgets=[params.source, *above],
    )


ROWS = {
    MIGRATE: Native(MigrateBudget, _touches, _check, _make, "replace a budget by one with another plan"),
}
