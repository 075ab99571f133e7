"""`budget.propose`: a part for somebody, a draft of the plan (a branch), or a review.

Rule 1. Proposing does nothing but to ask. A draft is kept whole, and says which version it was made from; a
        draft of another draft was made from what that was made from.
Rule 2. A part needs a quorum to be decided, so a plan without one takes no such proposal. A draft may also be
        merged by who may amend.
"""

from msgspec import Struct
from msgspec.structs import replace

from splittally.core.amounts import fits
from splittally.core.budget.parts import is_part
from splittally.core.budget.plan import Plan
from splittally.core.budget.proposals import AMEND, REVIEW, SPEND
from splittally.core.budget.rows import Proposal
from splittally.core.caps.grants import GrantTerms
from splittally.core.events import Defined, Event
from splittally.core.findings import Finding, find
from splittally.core.hashing import hash_schema
from splittally.core.names import is_blank
from splittally.core.native.adopting import BASE, check_part
from splittally.core.native.adoption import check_plan, plan_bytes
from splittally.core.native.failing import check_amended
from splittally.core.native.plans import plan_of, touches_budget
from splittally.core.native.proposals import (
    check_opening,
    proposal_of,
    proposed,
    recorded,
    require_new_name,
    require_text,
)
from splittally.core.native.row import Native, NativeCall
from splittally.core.state import State
from splittally.core.types import CAP_SPEND, ROOT, BudgetDef, is_id


class ProposeChange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What people are asked: `spend` (a `part` with an `amount` of a `resource` for a `holder`), `amend` (the
    plan `schema`, made from the plan in force or from the proposal `draft`), or `review` (a `title`).
    """

    budget: str
    name: str
    what: str
    title: str = ""
    description: str = ""
    part: str = ""
    holder: str = ""
    resource: str = ""
    amount: int = 0
    schema: Plan | None = None
    draft: str = ""

    def __post_init__(self) -> None:
        require_new_name(self.name)
        require_text(title=self.title, description=self.description)
        if self.what not in (SPEND, AMEND, REVIEW):
            raise ValueError(f"`what` is {SPEND}, {AMEND} or {REVIEW}")
        if (self.what == AMEND) != (self.schema is not None) or (self.draft and self.what != AMEND):
            raise ValueError("a `schema` is what `amend` proposes, of a `draft` or of the plan in force")
        if self.schema is not None:
            self.schema.require_valid()
        if self.what == REVIEW and is_blank(self.title):
            raise ValueError("a review has a `title`")
        stated = [self.part, self.holder, self.resource, self.amount]
        if self.what != SPEND and any(stated):
            raise ValueError(f"`part`, `holder`, `resource` and `amount` are of `{SPEND}`")
        if self.what == SPEND:
            self._require_part()

    def _require_part(self) -> None:
        if not is_part(self.part) or not is_id(self.resource) or not self.amount or not fits(self.amount):
            raise ValueError("a `part` without `/` has a positive `amount` of a `resource`, and a `holder`")
        GrantTerms(cap=CAP_SPEND, holder=self.holder)


def _check_propose(state: State, call: NativeCall, params: ProposeChange) -> list[Finding]:
    budget = state.plans.budgets.get(params.budget)
    if budget is None:
        return [find("not_found", budget=params.budget)]
    findings = check_opening(state, params.budget, params.name)
    if params.what == SPEND:
        if plan_of(state, budget).quorum is None:
            findings.append(find("quorum_missing", budget=params.budget))
        findings += check_part(state, call, budget, _row(state, call, budget, params))
    if params.schema is not None:
        findings += _check_draft(state, call, budget, params.schema, params.draft)
    return findings


def _check_draft(state: State, call: NativeCall, budget: BudgetDef, plan: Plan, draft: str) -> list[Finding]:
    """Whether a draft could be put in force at all; who does so is asked when it is."""
    findings = check_plan(state, call, plan, budget.parent, ROOT)
    if not draft:
        return findings + check_amended(state, budget, plan, call.now_ns)
    before = proposal_of(state, budget.name, draft)
    is_draft = before is not None and before.kind == AMEND
    return findings if is_draft else [*findings, find("not_found", proposal=draft, budget=budget.name)]


def _row(state: State, call: NativeCall, budget: BudgetDef, params: ProposeChange) -> Proposal:
    row = proposed(call, budget, params.name, params.what, params.description, params.amount)
    row = replace(row, title=params.title, part=params.part, holder=params.holder, resource=params.resource)
    if params.schema is None:
        return row
    before = proposal_of(state, budget.name, params.draft) if params.draft else None
    base, version = (before.basis[BASE], before.base) if before is not None else (budget.schema, row.base)
    basis = {BASE: base, **({"draft": params.draft} if params.draft else {})}
    return replace(row, schema=hash_schema(plan_bytes(params.schema)), base=version, basis=basis)


def _make_propose(state: State, call: NativeCall, params: ProposeChange) -> list[Event]:
    row = _row(state, call, state.plans.budgets[params.budget], params)
    events: list[Event] = []
    if params.schema is not None and row.schema not in state.caps.blobs:
        events.append(Defined("blobs", row.schema.hex(), plan_bytes(params.schema)))
    return events + recorded(state, row)


ROWS = {
    "budget.propose": Native(
        ProposeChange, touches_budget, _check_propose, _make_propose, "propose a part, a draft or a review"
    ),
}
