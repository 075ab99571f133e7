"""Native effects on budgets: create and amend.

Rule 1. A budget is an account of its own, a plan, and a charter: a grant that draws on the account. Creating
        one is one record, with its funding or without.
Rule 2. Planning, funding and authority stay apart: amending moves nothing and grants nothing.
Rule 3. A child holds at most what its parent may hold, and its charter stands below the parent's.
"""

from collections.abc import Mapping

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from splittally.core.amounts import fits, in_model
from splittally.core.budget.charter import charter_limits
from splittally.core.budget.plan import Plan
from splittally.core.budget.shares import shared
from splittally.core.canonical import encode
from splittally.core.caps.grants import (
    GrantTerms,
    build_grant,
    check_new_name,
    check_terms,
    grant_events,
)
from splittally.core.events import Defined, Event
from splittally.core.findings import Finding, find
from splittally.core.hashing import hash_schema
from splittally.core.ledger.moves import Move, refused_moves
from splittally.core.limits import BUDGET_NAME_BYTES_MAX, PLAN_ITEMS_MAX
from splittally.core.native.adoption import check_plan, plan_bytes
from splittally.core.native.authority import scope_of
from splittally.core.native.charters import counting_events, limiting_events, reserved_events
from splittally.core.native.credit import backs, check_credit
from splittally.core.native.failing import check_amended, told_failing
from splittally.core.native.measuring import check_values, measured_events
from splittally.core.native.money import account_events, check_debts, resource_value
from splittally.core.native.parts import part_events
from splittally.core.native.plans import calendar_events, plan_of, touches_plan
from splittally.core.native.row import NOTHING, Native, NativeCall, Touches
from splittally.core.rows import budget_row
from splittally.core.state import State
from splittally.core.types import BUDGETS, CAP_SPEND, OPERATOR, ROOT, BudgetDef, Grant, Lender, is_id


class CreateBudget(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"debit": "from"}):
    """A budget with this plan, or with that of a `template`; `amount` of `resource` comes `from` an account.

    `holder` gets the charter, a grant of the budget's name that draws on its account. `initial` values of its
    metrics are recorded with it, and fit its plan.
    """

    budget: str
    schema: Plan | None = None
    template: str = ""
    parent: str = ""
    holder: str = OPERATOR
    delegations: int = 8
    pays_to: list[str] = []
    debt_limit: int = 0
    resource: str = ""
    amount: int = 0
    debit: str = ""
    initial: dict[str, int] | UnsetType = UNSET

    def __post_init__(self) -> None:
        if not is_id(self.budget) or not self.budget.startswith(BUDGETS) or self.budget == BUDGETS:
            raise ValueError(f"`budget` is a name that begins with `{BUDGETS}`")
        if len(self.budget.encode()) > BUDGET_NAME_BYTES_MAX or self.budget.endswith("/"):
            raise ValueError(f"`budget` has at most {BUDGET_NAME_BYTES_MAX} bytes and no `/` at its end")
        if type(self.delegations) is not int or self.delegations < 0:
            raise ValueError("`delegations` is a natural")
        GrantTerms(cap=CAP_SPEND, holder=self.holder, pays_to=self.pays_to, delegations=self.delegations)
        if self.schema is not None:
            self.schema.require_valid()
        if (self.schema is None) == (not self.template):
            raise ValueError("a budget has a `schema`, or a `template` to take it from")
        if not fits(self.debt_limit) or not fits(self.amount):
            raise ValueError("`amount` and `debt_limit` are naturals below 2^64")
        if bool(self.amount) != bool(self.resource) or bool(self.amount) != bool(self.debit):
            raise ValueError("funding is an `amount` of a `resource` `from` an account, or none of them")
        initial = self.initial or {}
        if len(initial) > PLAN_ITEMS_MAX or not all(map(in_model, initial.values())):
            raise ValueError(f"`initial` is at most {PLAN_ITEMS_MAX} integers of the data model by metric")


class AmendBudget(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new version of a budget's plan, at most as wide as the one in force."""

    budget: str
    schema: Plan

    def __post_init__(self) -> None:
        self.schema.require_valid()


# --- create -----------------------------------------------------------------------------------------


def _plan(state: State, params: CreateBudget) -> Plan:
    """The plan that the new budget adopts; its template exists."""
    return params.schema or plan_of(state, state.plans.budgets[params.template])


def check_create(state: State, call: NativeCall, params: CreateBudget) -> list[Finding]:
    """Everything that keeps a budget from being created."""
    findings = [
        find("not_found", budget=name)
        for name in (params.template, params.parent)
        if name and name not in state.plans.budgets
    ]
    taken = params.budget in state.ledger.accounts
    findings += (
        [find("name_taken", name=params.budget)] if taken else check_new_name(state.caps, params.budget)
    )
    if findings:
        return findings
    plan = _plan(state, params)
    findings = check_plan(state, call, plan, params.parent, call.grant)
    findings += check_values(params.budget, plan, params.initial or {})
    findings += check_debts(state, {params.budget: params.debt_limit}) + _check_funding(state, params, plan)
    findings += check_credit(state, call, params.debt_limit, plan.resources, _above(state, call, params))
    findings = findings or _check_both(state, call, params, plan)
    if findings:
        return findings
    charter = _charter(state, call, params, plan)
    return check_terms(state.caps, charter) + _check_parts(state, charter.name, plan)


def _check_funding(state: State, params: CreateBudget, plan: Plan) -> list[Finding]:
    if not params.amount:
        return []
    if params.resource not in plan.resources:
        return [find("not_found", resource=params.resource, budget=params.budget)]
    return refused_moves(state.ledger, _funding(params), opened=(params.budget,))


def _check_both(state: State, call: NativeCall, params: CreateBudget, plan: Plan) -> list[Finding]:
    """Whether an account that funds a budget also covers the debt limit that comes out of it."""
    lender = _lender(state, call, params, plan)
    if not params.amount or lender.grant == ROOT or params.debit not in lender.backs.get(params.resource, ()):
        return []
    both = Move(params.debit, params.budget, params.resource, params.amount + params.debt_limit)
    return refused_moves(state.ledger, [both], opened=(params.budget,))


def _lender(state: State, call: NativeCall, params: CreateBudget, plan: Plan) -> Lender:
    return Lender(call.grant, backs(state, [call.grant, _above(state, call, params)], plan.resources))


def _above(state: State, call: NativeCall, params: CreateBudget) -> str:
    """The charter that a budget's own comes below, empty where it has no parent."""
    return _charter_parent(state, call, params) if params.parent else ""


def _funding(params: CreateBudget) -> list[Move]:
    """The move that funds it, where something does."""
    move = Move(params.debit, params.budget, params.resource, params.amount)
    return [move] if params.amount else []


def _charter(state: State, call: NativeCall, params: CreateBudget, plan: Plan) -> Grant:
    return build_grant(params.budget, _charter_terms(state, call, params, plan), call.principal)


def _charter_parent(state: State, call: NativeCall, params: CreateBudget) -> str:
    """The parent budget's charter, or what is administered under the grant: a team's budget dies with it."""
    return state.plans.budgets[params.parent].grant if params.parent else scope_of(state, call.grant)


def _charter_terms(state: State, call: NativeCall, params: CreateBudget, plan: Plan) -> GrantTerms:
    parent = _charter_parent(state, call, params)
    above = state.caps.grants[parent]
    doubts = [grant.doubt for grant in state.caps.ancestors(parent) if grant.paid_by]
    return GrantTerms(
        cap=CAP_SPEND,
        params=encode({"resources": sorted(plan.resources)}),
        budget=charter_limits(plan) or None,
        parent=parent,
        holder=params.holder,
        draws_on=dict.fromkeys(sorted(plan.resources), params.budget),
        pays_to=params.pays_to,
        delegations=min(params.delegations, above.delegations) if parent != ROOT else params.delegations,
        doubt=doubts[0] if doubts else "payee",
    )


def _check_parts(state: State, charter: str, plan: Plan) -> list[Finding]:
    """Whether every part of the plan's own allocations may be named so: a part is of one resource."""
    names = [f"{charter}/{part}" for weights in plan.allocations.values() for part in sorted(weights)]
    twice = sorted({name for name in names if names.count(name) > 1})
    findings = [finding for name in names for finding in check_new_name(state.caps, name)]
    return findings + [find("name_taken", name=name) for name in twice]


def create_events(
    state: State, call: NativeCall, params: CreateBudget, funds: Mapping[str, int] | None = None
) -> list[Event]:
    """Account, plan, charter and parts of a budget in which `check_create` found nothing, and its funding.

    `funds` are what it gets otherwise in the same record, by resource: its parts share that, too.
    """
    plan = _plan(state, params)
    digest = hash_schema(plan_bytes(plan))
    budget = BudgetDef(
        name=params.budget,
        parent=params.parent,
        grant=params.budget,
        schema=digest,
        version=1,
        template=params.template,
        adopted_by=call.grant,
    )
    events = definition_events(state, plan)
    events += account_events(budget.name, params.debt_limit, _lender(state, call, params, plan))
    events += reserved_events(state, budget, plan)
    events.append(Defined("budgets", budget.name, budget_value(budget)))
    terms = _charter_terms(state, call, params, plan)
    events += grant_events(state.caps, build_grant(budget.name, terms, call.principal), terms.params, None)
    events += counting_events(state, budget, plan)
    for resource, weights in sorted(plan.allocations.items()):
        whole = (params.amount if resource == params.resource else 0) + (funds or {}).get(resource, 0)
        parts = shared(whole, weights)
        events += part_events(state, call, terms, budget.name, resource, parts, {})
    fork = state.fork()
    fork.plans.budgets[budget.name] = budget
    fork.caps.blobs[digest] = plan_bytes(plan)
    events += calendar_events(fork, budget, plan, call.intent_hash, call.now_ns)
    events += measured_events(fork, budget, params.initial or {}, call.intent_hash, call.now_ns)
    return events + [move.posted(call.grant, call.intent_hash) for move in _funding(params)]


def definition_events(state: State, plan: Plan) -> list[Event]:
    """The plan's bytes and the resources that it is the first to name."""
    data = plan_bytes(plan)
    digest = hash_schema(data)
    events: list[Event] = []
    if digest not in state.caps.blobs:
        events.append(Defined("blobs", digest.hex(), data))
    events += [
        Defined("resources", name, resource_value(name, scale))
        for name, scale in sorted(plan.resources.items())
        if name not in state.ledger.resources
    ]
    return events


def budget_value(budget: BudgetDef) -> bytes:
    return encode(budget_row(budget))


# --- amend and split --------------------------------------------------------------------------------


def _check_amend(state: State, call: NativeCall, params: AmendBudget) -> list[Finding]:
    budget = state.plans.budgets.get(params.budget)
    if budget is None:
        return [find("not_found", budget=params.budget)]
    findings = check_plan(state, call, params.schema, budget.parent, call.grant)
    return findings + check_amended(state, budget, params.schema, call.now_ns)


def _tell_amend(state: State, call: NativeCall, params: AmendBudget) -> list[Finding]:
    """The permissions that the new plan makes fail."""
    budget = state.plans.budgets[params.budget]
    return told_failing(state, budget, params.schema, call.now_ns)


def _make_amend(state: State, call: NativeCall, params: AmendBudget) -> list[Event]:
    return adopt_events(state, call, state.plans.budgets[params.budget], params.schema, call.grant)


def adopt_events(state: State, call: NativeCall, old: BudgetDef, plan: Plan, adopter: str) -> list[Event]:
    """The events that put a new version of a plan in force; nothing where it is the one in force."""
    data = plan_bytes(plan)
    if hash_schema(data) == old.schema:
        return []
    budget = replace(old, schema=hash_schema(data), version=old.version + 1, adopted_by=adopter)
    events = definition_events(state, plan) + reserved_events(state, old, plan)
    events += counting_events(state, old, plan)
    events.append(Defined("budgets", budget.name, budget_value(budget)))
    events += limiting_events(state, old, plan, call.now_ns)
    return events + calendar_events(state, budget, plan, call.intent_hash, call.now_ns)


def _touches_create(state: State, call: NativeCall, params: CreateBudget) -> Touches:
    """The budget, its parent and what funds it, whom its charter may pay, and what its plan touches."""
    is_known = params.schema is not None or params.template in state.plans.budgets
    plan = touches_plan(_plan(state, params)) if is_known else NOTHING
    return Touches(
        accounts=[params.budget, params.parent, params.debit, *plan.accounts],
        payees=[*params.pays_to, *plan.payees],
        resources=[params.resource, *plan.resources],
        budgets=[name for name in (params.parent, params.template) if name],
    )


def _touches_amend(state: State, call: NativeCall, params: AmendBudget) -> Touches:
    plan = touches_plan(params.schema)
    return replace(plan, accounts=[params.budget, *plan.accounts], budgets=[params.budget])


ROWS = {
    "budget.create": Native(
        CreateBudget,
        _touches_create,
        check_create,
        create_events,
        "create a budget, funded or not",
        moves=_funding,
    ),
    "budget.amend": Native(
        AmendBudget,
        _touches_amend,
        _check_amend,
        _make_amend,
        "give a budget a narrower plan",
        tell=_tell_amend,
    ),
}
