"""Budgets that a manifest states: made where they are not there, amended where their plan is another.

Rule 1. A new one is what `budget.create` makes, its funding with it. One that is there is not funded again.
Rule 2. Another plan is a new version, at most as wide as the one in force (D-16); each widening is refused.
        How deposits are shared is a split's: a plan that states no allocations keeps those in force, and one
        that is taken over from a template stays what it became.
Rule 3. Holder, payees and delegations of the charter, and the debt limit, are the manifest's, as those of its
        grants are. The parent cannot change.
Rule 4. What is no longer stated is left alone: history and money rest on it.
"""

from msgspec.structs import replace

from splittally.core.budget.plan import Plan
from splittally.core.caps.grants import GrantTerms, build_grant, terms_of
from splittally.core.events import Defined, Event, GrantSet
from splittally.core.evolve import evolve
from splittally.core.findings import Finding, find
from splittally.core.native.adoption import check_plan
from splittally.core.native.budgets import CreateBudget, adopt_events, check_create, create_events
from splittally.core.native.failing import check_amended, told_failing
from splittally.core.native.grants import change_events, check_change
from splittally.core.native.manifest_terms import Manifest
from splittally.core.native.money import account_value, check_debts
from splittally.core.native.plans import plan_of
from splittally.core.native.row import NativeCall
from splittally.core.state import State
from splittally.core.types import ROOT, BudgetDef, Grant


def check_budgets(defined: State, call: NativeCall, manifest: Manifest) -> list[Finding]:
    """Everything that keeps the stated budgets from being there; `defined` is left with those that can be."""
    findings: list[Finding] = []
    for stated in _in_order(manifest, findings):
        found = _check_budget(defined, call, stated)
        findings += found
        for event in [] if found else stated_budget_events(defined, call, stated):
            evolve(defined, event, "", 0)
    return findings


def stated_budgets(manifest: Manifest) -> list[CreateBudget]:
    """The budgets of a checked manifest, parents and templates first."""
    return _in_order(manifest, [])


def told_budgets(state: State, call: NativeCall, manifest: Manifest) -> list[Finding]:
    """What is told beside the plans that a checked manifest amends: the permissions that they make fail."""
    findings: list[Finding] = []
    for stated in stated_budgets(manifest):
        budget = state.plans.budgets.get(stated.budget)
        plan = _stated_plan(state, budget, stated) if budget is not None else None
        if budget is not None and plan is not None and plan != plan_of(state, budget):
            findings += told_failing(state, budget, plan, call.now_ns)
    return findings


def stated_budget_events(state: State, call: NativeCall, stated: CreateBudget) -> list[Event]:
    """What makes one budget as it is stated; empty where it is."""
    budget = state.plans.budgets.get(stated.budget)
    if budget is None:
        return create_events(state, call, stated)
    events: list[Event] = []
    plan = _stated_plan(state, budget, stated)
    if plan is not None:
        events += adopt_events(state, call, budget, plan, call.grant)
    account = state.ledger.accounts[budget.name]
    if account.debt_limit != stated.debt_limit:
        events.append(Defined("accounts", budget.name, account_value(budget.name, stated.debt_limit)))
    if any(type(event) is GrantSet for event in events):  # the new plan gives its charter other limits
        state = state.fork()
        for event in events:
            evolve(state, event, "", 0)
    old = state.caps.grants[budget.grant]
    terms = _charter_terms(state, old, stated)
    new = build_grant(old.name, terms, old.made_by)
    return events + change_events(state, old, new, terms.params, call.now_ns)


def _check_budget(state: State, call: NativeCall, stated: CreateBudget) -> list[Finding]:
    budget = state.plans.budgets.get(stated.budget)
    if budget is None:
        return check_create(state, call, stated)
    if stated.parent != budget.parent:
        return [find("cannot_change", budget=budget.name, field="parent", needed=budget.parent)]
    findings = check_debts(state, {budget.name: stated.debt_limit})
    plan = _stated_plan(state, budget, stated)
    if plan is not None and plan != plan_of(state, budget):
        findings += check_plan(state, call, plan, budget.parent, call.grant)
        findings += check_amended(state, budget, plan, call.now_ns)
    old = state.caps.grants[budget.grant]
    new = build_grant(old.name, _charter_terms(state, old, stated), old.made_by)
    if new == old:
        return findings
    if state.caps.is_revoked(old.name):
        return [*findings, find("revoked", grant=old.name, order="")]
    return findings + check_change(state, old, new)


def _stated_plan(state: State, budget: BudgetDef, stated: CreateBudget) -> Plan | None:
    """The plan that a budget is to have; None where it is a template's, which counts when it is made."""
    plan = stated.schema
    if plan is None or plan.allocations:
        return plan
    return replace(plan, allocations=plan_of(state, budget).allocations)


def _charter_terms(state: State, charter: Grant, stated: CreateBudget) -> GrantTerms:
    """The charter with what a manifest states of it; nobody hands on more than the grant above may."""
    above = state.caps.grants[charter.parent]
    most = stated.delegations if above.name == ROOT else min(stated.delegations, above.delegations)
    terms = terms_of(state.caps, charter)
    return replace(terms, holder=stated.holder, pays_to=stated.pays_to, delegations=most)


def _in_order(manifest: Manifest, findings: list[Finding]) -> list[CreateBudget]:
    """By name, each after the parent and the template that are stated with it; a circle is a finding."""
    stated = {budget.budget: budget for budget in manifest.budgets or ()}
    order: dict[str, CreateBudget] = {}

    def add(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            findings.append(find("not_found", budget=name, field="parent", cycle=list(path)))
        elif name in stated and name not in order:
            for above in (stated[name].parent, stated[name].template):
                add(above, (*path, name))
            order[name] = stated[name]

    for name in sorted(stated):
        add(name, ())
    return list(order.values())
