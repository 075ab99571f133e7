"""`budget.request`: a budget asks for more funds, and says what for and what that rests on.

Rule 1. What is asked is stated, or follows from a gap: a constraint that is not met, or a formula that
        projects more than there is. Where there is no gap, nothing is asked.
Rule 2. A request moves nothing. Its basis is what was recorded when it was made, with its numbers.
"""

from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from splittally.core.amounts import fits, in_model
from splittally.core.budget.proposals import FUND
from splittally.core.budget.rows import Proposal
from splittally.core.events import Event
from splittally.core.findings import Finding, find
from splittally.core.limits import PLAN_ITEMS_MAX
from splittally.core.native.plans import plan_of, touches_budget
from splittally.core.native.projecting import projected, read_by, recorded_metric
from splittally.core.native.proposals import (
    check_opening,
    proposed,
    recorded,
    require_new_name,
    require_text,
)
from splittally.core.native.row import Native, NativeCall
from splittally.core.native.standing import standings_now
from splittally.core.state import State
from splittally.core.types import BudgetDef, is_id


class RequestFunds(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """More funds for a budget: an `amount` of a `resource`, or what a `constraint` or a `formula` lacks.

    `metrics` are values that the request rests on beside those that the formula reads; `input` is what the
    formula is given.
    """

    budget: str
    name: str
    title: str = ""
    description: str = ""
    resource: str = ""
    amount: int = 0
    constraint: str = ""
    formula: str = ""
    metrics: list[str] = []
    input: dict[str, int] = {}

    def __post_init__(self) -> None:
        require_new_name(self.name)
        require_text(title=self.title, description=self.description)
        if not fits(self.amount) or (self.amount and not self.resource):
            raise ValueError("an `amount` is a natural below 2^64 of a `resource`")
        if not (self.amount or self.constraint or self.formula) or (self.constraint and self.formula):
            raise ValueError(
                "a request has an `amount`, or names the `constraint` or `formula` that lacks it"
            )
        if max(len(self.metrics), len(self.input)) > PLAN_ITEMS_MAX:
            raise ValueError(f"at most {PLAN_ITEMS_MAX} `metrics` and `input`")
        if not all(map(is_id, self.input)) or not all(map(in_model, self.input.values())):
            raise ValueError("`input` is integers of the data model by name")


def _check_request(state: State, call: NativeCall, params: RequestFunds) -> list[Finding]:
    budget = state.plans.budgets.get(params.budget)
    if budget is None:
        return [find("not_found", budget=params.budget)]
    plan = plan_of(state, budget)
    findings = check_opening(state, params.budget, params.name)
    if params.resource and params.resource not in plan.resources:
        findings.append(find("not_found", resource=params.resource, budget=params.budget))
    findings += [
        find("not_found", metric=name, budget=params.budget)
        for name in dict.fromkeys(params.metrics)
        if not recorded_metric(state, budget, name, call.now_ns)
    ]
    asked = _asked(state, call, budget, params)
    return [*findings, asked] if isinstance(asked, Finding) else findings


def _asked(
    state: State, call: NativeCall, budget: BudgetDef, params: RequestFunds
) -> tuple[str, int, dict[str, Any]] | Finding:
    """The resource, the amount and the basis of a request, or why there is none."""
    basis: dict[str, Any] = {"version": budget.version}
    resource, missing = params.resource, 0
    if params.constraint:
        gaps = standings_now(state, budget.name, call.now_ns).gaps
        gap = next((x for x in gaps if x["constraint"] == params.constraint), None)
        if gap is None:
            return find("nothing_missing", budget=budget.name, constraint=params.constraint)
        basis |= gap
        resource, missing = str(gap.get("resource") or resource), int(gap.get("missing") or 0)
    elif params.formula:
        found = projected(state, budget, params.formula, call.now_ns, params.input)
        if isinstance(found, Finding):
            return found
        resource, missing = found.resource, found.missing
        reads = read_by(state, budget, params.formula, call.now_ns, params.input)
        basis |= {**found._asdict(), "missing": missing, "input": params.input, "reads": reads}
    amount = params.amount or missing
    if not amount or not resource or params.resource not in ("", resource):
        name = {"constraint": params.constraint} if params.constraint else {"formula": params.formula}
        return find("nothing_missing", budget=budget.name, resource=params.resource, **name)
    for metric in params.metrics:
        basis["reads"] = basis.get("reads", {}) | recorded_metric(state, budget, metric, call.now_ns)
    return resource, amount, basis


def _make_request(state: State, call: NativeCall, params: RequestFunds) -> list[Event]:
    budget = state.plans.budgets[params.budget]
    asked = _asked(state, call, budget, params)
    assert not isinstance(asked, Finding)
    resource, amount, basis = asked
    row: Proposal = proposed(call, budget, params.name, FUND, params.description, amount)
    return recorded(state, replace(row, title=params.title, resource=resource, basis=basis))


ROWS = {
    "budget.request": Native(
        RequestFunds, touches_budget, _check_request, _make_request, "ask for more funds for a budget"
    ),
}
