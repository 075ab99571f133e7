"""`approval.answer`: the answer to an intent that waits.

Rule 1. Except under root, nobody answers an approval of their own intent. Who may answer which of the reasons
        for which it waits, and how many must, is in `core/asks.py`.
Rule 2. The answer after which none is missing asks again whether the chain is live, the plans of the budgets
        drawn on hold and the governor would let it happen (stages 3, 6 and 8); if not, the hold is released
        with the findings. It reserves nothing: that was done when it was decided.
Rule 3. It tells what became of the intent: `open`, `approval` with what is missing, or `released`.
"""

from msgspec import Struct
from msgspec.structs import replace

from splittally.core.asks import Ask
from splittally.core.caps.check import check_chain
from splittally.core.events import Event, HoldChanged, Released
from splittally.core.findings import Finding, find
from splittally.core.governing import governed_again
from splittally.core.ledger.state import Hold
from splittally.core.ledger.tick import release_hold
from splittally.core.limits import LIMITS_PER_GRANT_MAX
from splittally.core.native.row import Native, NativeCall, require_hash, touches_hold
from splittally.core.native.standing import standing_findings
from splittally.core.state import State
from splittally.core.types import APPROVAL, OPEN, RELEASED, ROOT

APPROVE, REJECT = "approve", "reject"


class AnswerApproval(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The answer to an intent that waits, to every reason that the principal may answer or to these."""

    intent_hash: bytes
    answer: str
    reasons: list[str] | None = None

    def __post_init__(self) -> None:
        require_hash(self.intent_hash)
        if self.answer not in (APPROVE, REJECT):
            raise ValueError("`answer` is approve or reject")
        if self.reasons is not None and not 0 < len(self.reasons) <= LIMITS_PER_GRANT_MAX:
            raise ValueError("`reasons` names at least one reason, or is left out")


def _check_answer(state: State, call: NativeCall, params: AnswerApproval) -> list[Finding]:
    digest = params.intent_hash
    hold = state.ledger.holds.get(digest)
    if hold is None or (hold.phase != APPROVAL and params.answer == REJECT):
        return [find("not_reserved", intent_hash=digest)]
    if hold.by == call.principal and call.grant != ROOT:
        return [find("own_approval", principal=call.principal)]
    if hold.phase != APPROVAL:
        return []
    return _check_reasons(state.ledger.asks_of(digest), call.principal, params)


def _check_reasons(asks: list[Ask], principal: str, params: AnswerApproval) -> list[Finding]:
    """Why this principal may not answer these reasons, or has answered them all."""
    known, stated = {ask.reason for ask in asks}, params.reasons or []
    unknown = [reason for reason in dict.fromkeys(stated) if reason not in known]
    if unknown:
        names = sorted(known - {""})
        return [find("not_found", reason=reason, available=names) for reason in unknown]
    picked = [ask for ask in asks if ask.reason in stated] if stated else asks
    others = [ask for ask in picked if not ask.may_be_answered(principal)]
    has_approved = params.answer == APPROVE and not _answered(picked, principal)
    if has_approved and any(principal in ask.by for ask in picked):
        return [find("already_answered", principal=principal, **_missing(asks))]
    if others and (stated or len(others) == len(picked) or has_approved):
        return [find("not_approver", reason=ask.reason, principal=principal) for ask in others if ask.missing]
    return []


def _answered(asks: list[Ask], principal: str) -> list[str]:
    """The reasons that an answer of this principal brings nearer."""
    return [
        ask.reason
        for ask in asks
        if ask.missing and ask.may_be_answered(principal) and principal not in ask.by
    ]


def _missing(asks: list[Ask]) -> dict[str, object]:
    """How many answers are missing, and to which reasons."""
    waits = [ask for ask in asks if ask.missing]
    return {"missing": sum(ask.missing for ask in waits), "waits_for": [ask.row for ask in waits]}


def _approved(state: State, call: NativeCall, params: AnswerApproval) -> tuple[list[Ask], list[str]]:
    """The reasons as they are after this approval, and those that it answers."""
    asks = state.ledger.asks_of(params.intent_hash)
    picked = [ask for ask in asks if not params.reasons or ask.reason in params.reasons]
    answered = _answered(picked, call.principal)
    after = [replace(ask, by=[*ask.by, call.principal]) if ask.reason in answered else ask for ask in asks]
    return after, answered


def _stale(state: State, call: NativeCall, digest: bytes, hold: Hold) -> list[Finding]:
    """Why what was approved may no longer be done, all of it behind `approval_stale`; empty where it may."""
    chain = state.caps.chain(hold.legs[0].grant, hold.kind)
    findings = check_chain(state.caps, chain, hold.by, hold.kind, call.now_ns)
    drawn = [draw.account for draw in hold.draws if draw.amount]
    findings += standing_findings(state, drawn, call.now_ns, [link.grant for link in chain.links])
    findings += governed_again(state, call.now_ns, digest, hold)
    return [find("approval_stale", found=[x.code for x in findings]), *findings] if findings else []


def _make_answer(state: State, call: NativeCall, params: AnswerApproval) -> list[Event]:
    digest = params.intent_hash
    hold = state.ledger.holds[digest]
    if hold.phase != APPROVAL:
        return []
    if params.answer == REJECT:
        return release_hold(hold, digest, "rejected", call.principal)
    after, answered = _approved(state, call, params)
    named = [reason for reason in answered if reason]
    if any(ask.missing for ask in after):
        return [HoldChanged(digest, APPROVAL, hold.due_ns, answers=named)]
    stale = _stale(state, call, digest, hold)
    if not stale:
        return [HoldChanged(digest, OPEN, hold.expires_ns, answers=named)]
    released, *postings = release_hold(hold, digest, "rejected", call.principal)
    assert isinstance(released, Released)
    return [replace(released, findings=stale), *postings]


def _tell_answer(state: State, call: NativeCall, params: AnswerApproval) -> list[Finding]:
    """What becomes of the intent by this answer, and why where that is not what was asked for."""
    digest = params.intent_hash
    hold = state.ledger.holds[digest]
    if hold.phase != APPROVAL:  # approved before
        return [find("approval_answered", intent_hash=digest, became=hold.phase)]
    if params.answer == REJECT:
        return [find("approval_answered", intent_hash=digest, became=RELEASED)]
    after, _ = _approved(state, call, params)
    if any(ask.missing for ask in after):
        return [find("approval_answered", intent_hash=digest, became=APPROVAL, **_missing(after))]
    stale = _stale(state, call, digest, hold)
    return [find("approval_answered", intent_hash=digest, became=RELEASED if stale else OPEN), *stale]


ROWS = {
    "approval.answer": Native(
        AnswerApproval,
        touches_hold,
        _check_answer,
        _make_answer,
        "approve or reject what waits",
        tell=_tell_answer,
    ),
}
