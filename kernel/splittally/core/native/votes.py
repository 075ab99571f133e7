"""`budget.vote`: agree, object or abstain; on a part, on a draft, or on the version of the plan in force.

Rule 1. The quorum is that of the plan in force. The vote that reaches it carries out what was proposed, in
        the same record; the vote after which it cannot be reached ends the proposal.
Rule 2. Votes on a version of the plan only tell: another version begins without any.
"""

from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from splittally.core.budget.proposals import (
    AGREE,
    DONE,
    VOTED_ON,
    VOTES,
    after_vote,
    has_ended,
    tally,
    with_step,
)
from splittally.core.budget.rows import Proposal
from splittally.core.events import Event
from splittally.core.findings import Finding, find
from splittally.core.limits import PROPOSAL_VOTES_MAX
from splittally.core.native.adopting import adopting_events, check_adopting, told_adopting
from splittally.core.native.plans import plan_of, touches_budget
from splittally.core.native.proposals import check_known, known, recorded, require_text, step_of
from splittally.core.native.row import Native, NativeCall
from splittally.core.state import State


class Vote(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A vote on a proposal; without a `name` on the version of the plan that is in force."""

    budget: str
    vote: str
    name: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        require_text(note=self.note)
        if self.vote not in VOTES:
            raise ValueError(f"`vote` is {', '.join(VOTES[:-1])} or {VOTES[-1]}")


def _check_vote(state: State, call: NativeCall, params: Vote) -> list[Finding]:
    missing = check_known(state, call, params.budget, params.name)
    if missing:
        return missing
    budget, row = known(state, call, params.budget, params.name)
    facts = {"budget": params.budget, "proposal": row.name}
    if row.kind not in VOTED_ON or (not params.name and row.kind != AGREE):
        return [find("act_unfit", **facts, act="vote", kind=row.kind)]
    if has_ended(row, budget.version):
        return [find("proposal_ended", **facts, status=row.status)]
    if call.principal in row.votes:
        return [find("already_voted", **facts, principal=call.principal, vote=row.votes[call.principal])]
    quorum = plan_of(state, budget).quorum
    if quorum is not None and quorum.of and call.principal not in quorum.of:
        return [find("not_in_quorum", **facts, principal=call.principal, available=sorted(quorum.of))]
    if len(row.votes) >= PROPOSAL_VOTES_MAX:
        return [find("proposals_full", **facts, field="votes", most=PROPOSAL_VOTES_MAX)]
    voted = _voted(state, call, params)
    if voted.status != DONE:
        return []
    return check_adopting(state, call, voted, budget.adopted_by)


def _voted(state: State, call: NativeCall, params: Vote) -> Proposal:
    """The proposal with this vote."""
    budget, row = known(state, call, params.budget, params.name)
    counted = replace(row, votes=row.votes | {call.principal: params.vote})
    status = after_vote(counted, plan_of(state, budget).quorum)
    return with_step(counted, step_of(call, params.vote, 0, params.note), status)


def _make_vote(state: State, call: NativeCall, params: Vote) -> list[Event]:
    voted = _voted(state, call, params)
    events = recorded(state, voted)
    if voted.status == DONE:
        events += adopting_events(state, call, voted, state.plans.budgets[params.budget].adopted_by)
    return events


def _tell_vote(state: State, call: NativeCall, params: Vote) -> list[Finding]:
    """How the votes stand with this one."""
    voted = _voted(state, call, params)
    stands = tally(voted.votes, plan_of(state, state.plans.budgets[params.budget]).quorum)
    facts: dict[str, Any] = {"budget": params.budget, "proposal": voted.name, "became": voted.status}
    facts |= {"agree": stands.agree, "object": stands.object}
    facts |= {"needed": stands.needed} if stands.needed else {}
    return [
        find("proposal_answered", **facts),
        *(told_adopting(state, call, voted) if voted.status == DONE else []),
    ]


ROWS = {
    "budget.vote": Native(
        Vote, touches_budget, _check_vote, _make_vote, "vote on a proposal or a plan", tell=_tell_vote
    ),
}
