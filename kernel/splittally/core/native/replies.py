"""`budget.reply`: what is said of a proposal, and the answer that ends it.

Rule 1. Which act fits, who may do it and how it ends stands in one table (`core/budget/proposals.py`).
Rule 2. A grant of funds is a transaction in the record of the answer: from the parent's account, or the one
        that is stated, by who may transfer from there. It is at most what was asked, and at most the share
        that the plan's `funding_limits` leave of that.
Rule 3. An offer is the authority of who makes it: accepting it moves the amount under the grant of the offer,
        if that may still do it then. Its limits, its plan and the balance are asked when it is accepted.

Example. 1,000 are asked, and at five complaints the plan grants half. A grant of what was asked moves 500,
and tells so (`funding_limited`). An offer of 400 that is accepted moves 400.
"""

from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from splittally.core import expr
from splittally.core.amounts import fits
from splittally.core.budget.expressions import condition_of
from splittally.core.budget.plan import PERCENT
from splittally.core.budget.proposals import (
    ACCEPT,
    ACTS,
    AMEND,
    FUND,
    GRANT,
    KEEPER,
    LIFECYCLE,
    OFFER,
    PAYER,
    REFUSE,
    has_ended,
    offer_of,
    with_step,
)
from splittally.core.budget.rows import Proposal
from splittally.core.events import Event
from splittally.core.findings import Finding, find
from splittally.core.ledger.moves import Move, refused_moves
from splittally.core.limits import PROPOSAL_STEPS_MAX
from splittally.core.native.adopting import adopting_events, check_adopting, told_adopting
from splittally.core.native.plans import plan_of, touches_budget
from splittally.core.native.proposals import (
    check_covered,
    check_known,
    known,
    recorded,
    require_text,
    standing,
    step_of,
)
from splittally.core.native.reading import reading_of
from splittally.core.native.row import Native, NativeCall, Touches
from splittally.core.native.standing import plan_findings
from splittally.core.state import State
from splittally.core.types import ROOT, BudgetDef

WITH_AMOUNT = (OFFER, GRANT)
OFFERED = "offer"  # in the basis of a request: under which grant the last offer was made, and from where


class Reply(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"debit": "from"}):
    """What is said of a proposal; without a `name` of the version of the plan that is in force.

    A `grant` is of an `amount`, else of what was asked, and an `offer` of an `amount`; both are `from` an
    account, else from that of the parent budget.
    """

    budget: str
    act: str
    name: str = ""
    resource: str = ""
    amount: int = 0
    debit: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        require_text(note=self.note)
        if self.act not in ACTS:
            raise ValueError(f"`act` is {', '.join(ACTS[:-1])} or {ACTS[-1]}")
        if not fits(self.amount) or (self.act == OFFER and not self.amount):
            raise ValueError("an offer has a positive `amount` below 2^64")
        if self.act not in WITH_AMOUNT and (self.amount or self.debit or self.resource):
            raise ValueError("`amount`, `resource` and `from` are of an offer or a grant")
        if self.debit == self.budget:
            raise ValueError("funds come `from` another account than the budget's own")


class Funding(NamedTuple):
    """A move of funds to a budget, under whose grant, and the percentage that the plan lets be granted."""

    move: Move
    grant: str
    percent: int


# --- what may be said -------------------------------------------------------------------------------


def _check_reply(state: State, call: NativeCall, params: Reply) -> list[Finding]:
    missing = check_known(state, call, params.budget, params.name)
    if missing:
        return missing
    budget, row = known(state, call, params.budget, params.name)
    facts = {"budget": params.budget, "proposal": row.name}
    rule = LIFECYCLE.get((row.kind, params.act))
    is_offered = offer_of(row) is not None or (row.kind, params.act) != (FUND, ACCEPT)
    if rule is None or not is_offered:
        return [find("act_unfit", **facts, act=params.act, kind=row.kind)]
    if has_ended(row, budget.version):
        return [find("proposal_ended", **facts, status=row.status)]
    if not rule.ends and len(row.steps) - len(row.votes) >= PROPOSAL_STEPS_MAX:
        return [find("proposals_full", **facts, field="steps", most=PROPOSAL_STEPS_MAX)]
    if rule.who.is_author and call.principal != row.by:
        return [find("not_proposer", **facts, principal=call.principal, proposer=row.by)]
    if rule.who.operation:
        is_own = rule.who == KEEPER or (params.act == REFUSE and not budget.parent)
        account = params.budget if is_own else _payer(budget, params)
        if not account:
            return [find("not_found", field="from", budget=params.budget)]
        covered = (call.grant, rule.who.operation, row.resource, account, call.now_ns)
        findings = check_covered(state, *covered)
        if findings:
            return findings
    return _check_carried_out(state, call, budget, row, params)


def _check_carried_out(
    state: State, call: NativeCall, budget: BudgetDef, row: Proposal, params: Reply
) -> list[Finding]:
    """Whether what the act would do may be done."""
    if row.kind == AMEND and params.act == ACCEPT:
        return check_adopting(state, call, row, call.grant)
    if row.kind != FUND or params.act not in (*WITH_AMOUNT, ACCEPT):
        return []
    facts = {"budget": params.budget, "proposal": row.name, "resource": row.resource}
    if params.amount > row.amount or params.resource not in ("", row.resource):
        return [find("more_than_asked", **facts, needed=params.amount, available=row.amount)]
    if params.act == OFFER:
        return []
    funding = _funding(state, call, budget, row, params)
    move = funding.move
    if not move.amount:
        return [find("funding_limited", **facts, percent=funding.percent, needed=row.amount, available=0)]
    findings: list[Finding] = []
    if funding.grant != call.grant:
        for account in (move.debit, move.credit):
            covered = (funding.grant, PAYER.operation, row.resource, account, call.now_ns)
            findings += check_covered(state, *covered)
    findings += refused_moves(state.ledger, [move])
    is_asked = funding.grant != ROOT and not findings
    return findings + (plan_findings(state, [move], call.now_ns) if is_asked else [])


def _payer(budget: BudgetDef, params: Reply) -> str:
    """The account that would pay; empty where nobody says which."""
    return params.debit or budget.parent


def _funding(state: State, call: NativeCall, budget: BudgetDef, row: Proposal, params: Reply) -> Funding:
    """What a grant, or an offer that is accepted, moves."""
    grant, debit, amount = call.grant, _payer(budget, params), params.amount or row.amount
    if params.act == ACCEPT:
        offer = offer_of(row)
        assert offer is not None
        grant, debit, amount = row.basis[OFFERED]["grant"], row.basis[OFFERED]["from"], offer.amount
    percent = funding_percent(state, budget, call.now_ns)
    most = row.amount * percent // PERCENT
    return Funding(Move(debit, budget.name, row.resource, min(amount, most)), grant, percent)


def funding_percent(state: State, budget: BudgetDef, now_ns: int) -> int:
    """The least percentage whose condition holds; a condition that faults does not hold."""
    context = reading_of(state, budget, None, now_ns)
    limits = plan_of(state, budget).funding_limits
    held = [(x.percent, condition_of(x.when).evaluate(context)) for x in limits]
    return min(
        [percent for percent, holds in held if not isinstance(holds, expr.ExprFault) and holds] + [PERCENT]
    )


# --- what it makes ----------------------------------------------------------------------------------


def _make_reply(state: State, call: NativeCall, params: Reply) -> list[Event]:
    budget, row = known(state, call, params.budget, params.name)
    rule, amount = LIFECYCLE[row.kind, params.act], params.amount
    events: list[Event] = []
    if params.act == OFFER:
        offer = {"grant": call.grant, "from": _payer(budget, params)}
        row = replace(row, basis=row.basis | {OFFERED: offer})
    elif rule.ends and row.kind == FUND and params.act in (GRANT, ACCEPT):
        funding = _funding(state, call, budget, row, params)
        amount = funding.move.amount
        events.append(funding.move.posted(funding.grant, call.intent_hash))
    elif row.kind == AMEND and params.act == ACCEPT:
        events += adopting_events(state, call, row, call.grant)
    status = rule.ends or row.status
    return recorded(state, with_step(row, step_of(call, params.act, amount, params.note), status)) + events


def _tell_reply(state: State, call: NativeCall, params: Reply) -> list[Finding]:
    """What became of the proposal, and how much less than was meant was granted."""
    budget, row = known(state, call, params.budget, params.name)
    rule = LIFECYCLE[row.kind, params.act]
    facts = {"budget": params.budget, "proposal": row.name}
    became = rule.ends or row.status
    if row.kind != FUND or params.act not in (GRANT, ACCEPT):
        is_adopted = row.kind == AMEND and params.act == ACCEPT
        fails = told_adopting(state, call, row) if is_adopted else []
        return [find("proposal_answered", **facts, became=became), *fails]
    funding = _funding(state, call, budget, row, params)
    given = {"resource": row.resource, "amount": funding.move.amount}
    told = [find("proposal_answered", **facts, became=became, **given)]
    if funding.percent < PERCENT:
        limited = {"resource": row.resource, "needed": row.amount, "available": funding.move.amount}
        told.append(find("funding_limited", **facts, percent=funding.percent, **limited))
    return told


def _touches_reply(state: State, call: NativeCall, params: Reply) -> Touches:
    """The budget, and for an offer or a grant what pays and the resource."""
    budget, touched = state.plans.budgets.get(params.budget), touches_budget(state, call, params)
    row = standing(state, call, budget, params.name) if budget is not None else None
    if budget is None or row is None or params.act not in WITH_AMOUNT:
        return touched
    return replace(touched, accounts=[params.budget, _payer(budget, params)], resources=[row.resource])


ROWS = {
    "budget.reply": Native(
        Reply,
        _touches_reply,
        _check_reply,
        _make_reply,
        "answer a proposal, or comment on it",
        tell=_tell_reply,
    ),
}
