"""Native effects on what is held or was settled: release, attest, refund. Approvals are in `approvals.py`.

Rule 1. What runs is released by nobody but the attempt that started it.
Rule 2. What nobody knows is attested by somebody who answers for it.
Rule 3. A refund gives back at most what was charged, in the counters that were charged. Of a resource that
        was drawn the money comes back from whoever was paid to the account that paid (of several, to the
        last first), or it is refused.
"""

from typing import Any

from msgspec import Struct

from splittally.core.abi import SettleVerdict
from splittally.core.amounts import fits
from splittally.core.commands import Known, KnownLeg
from splittally.core.events import Event, Refunded, RefundLeg, Settled
from splittally.core.findings import Finding, find
from splittally.core.ledger.moves import Move, refused_moves
from splittally.core.ledger.settle import Answer, Ending, charge_leg, crossings, pay_draws
from splittally.core.ledger.state import UNUSED, Hold
from splittally.core.ledger.tick import release_hold
from splittally.core.limits import NATURAL_MAX, TEXT_BYTES_MAX
from splittally.core.native.row import Native, NativeCall, Touches, require_hash, touches_hold
from splittally.core.state import State
from splittally.core.types import LIFE, RUNNING, SETTLED, UNKNOWN


class ReleaseReservation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The end of a hold by governance, under the order that is named."""

    intent_hash: bytes
    order: str

    def __post_init__(self) -> None:
        require_hash(self.intent_hash)
        if not 0 < len(self.order.encode()) <= TEXT_BYTES_MAX:
            raise ValueError("`order` names the order that ends the hold")


class AttestOutcome(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What became of an effect whose host did not know; `usage` is the whole reserve where absent."""

    intent_hash: bytes
    happened: bool
    usage: dict[str, int] | None = None

    def __post_init__(self) -> None:
        require_hash(self.intent_hash)
        _require_amounts(self.usage or {})


class RefundSettlement(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Amounts by dimension that a settled intent gets back."""

    intent_hash: bytes
    amounts: dict[str, int]

    def __post_init__(self) -> None:
        require_hash(self.intent_hash)
        _require_amounts(self.amounts)
        if not any(self.amounts.values()):
            raise ValueError("a refund has an amount")


def _require_amounts(amounts: dict[str, int]) -> None:
    if not all(map(fits, amounts.values())):
        raise ValueError("amounts are naturals below 2^64")


def _check_release(state: State, call: NativeCall, params: ReleaseReservation) -> list[Finding]:
    hold = state.ledger.holds.get(params.intent_hash)
    if hold is None:
        return [find("not_reserved", intent_hash=params.intent_hash)]
    return [find("already_dispatched", intent_hash=params.intent_hash)] if hold.phase == RUNNING else []


def _make_release(state: State, call: NativeCall, params: ReleaseReservation) -> list[Event]:
    hold = state.ledger.holds[params.intent_hash]
    return release_hold(hold, params.intent_hash, "governance", params.order)


def _check_attest(state: State, call: NativeCall, params: AttestOutcome) -> list[Finding]:
    hold = state.ledger.holds.get(params.intent_hash)
    if hold is None or hold.phase != UNKNOWN:
        return [find("not_reserved", intent_hash=params.intent_hash, needed=UNKNOWN)]
    return []


def _make_attest(state: State, call: NativeCall, params: AttestOutcome) -> list[Event]:
    hold = state.ledger.holds[params.intent_hash]
    if not params.happened:
        return release_hold(hold, params.intent_hash, "not_dispatched", call.principal)
    return attested(state, params.intent_hash, hold, params.usage)


def attested(state: State, intent_hash: bytes, hold: Hold, usage: dict[str, int] | None) -> list[Event]:
    """The events that settle a hold with a usage that somebody answers for: all it reserved where None.

    Whoever attests that it happened leaves no doubt, so the payee is paid, whatever the grant's `doubt` says.
    """
    answers: list[Answer] = [SettleVerdict(leg.reserve if usage is None else usage) for leg in hold.legs]
    ending = Ending(
        intent_hash=intent_hash,
        legs=hold.legs,
        draws=hold.draws,
        answers=answers,
        pays_to="",
        is_late=False,
    )
    pairs = zip(hold.legs, answers, strict=True)
    charges = [charge_leg(state.ledger, leg, answer, False) for leg, answer in pairs]
    postings, violations = pay_draws(state.ledger, ending)
    crossed = crossings(state.ledger, hold.legs, charges, False, state.soft_limits_of)
    return [
        Settled(intent_hash=intent_hash, how="attested", status="ok", legs=charges, violations=violations),
        *postings,
        *crossed,
    ]


def _check_refund(state: State, call: NativeCall, params: RefundSettlement) -> list[Finding]:
    known = call.known
    if known is None or not (known.status == SETTLED or known.late):
        return [find("not_found", intent_hash=params.intent_hash, needed=SETTLED)]
    findings = []
    leaf = known.legs[0]
    for dim, amount in sorted(params.amounts.items()):
        available = leaf.charged.get(dim, 0) - leaf.refunded.get(dim, 0)
        if _is_money(known, dim):
            available = min(available, sum(move.amount for move in _repaid(known, {dim: NATURAL_MAX})))
        if amount > available:
            findings.append(find("refund_too_large", dim=dim, needed=amount, available=available))
    return findings + refused_moves(state.ledger, _repaid(known, params.amounts))


def _make_refund(state: State, call: NativeCall, params: RefundSettlement) -> list[Event]:
    known = call.known
    assert known is not None
    legs = []
    for ended in known.legs:
        left = {dim: ended.charged.get(dim, 0) - ended.refunded.get(dim, 0) for dim in params.amounts}
        amounts = {dim: min(amount, left[dim]) for dim, amount in params.amounts.items() if left[dim]}
        legs.append(
            RefundLeg(
                grant=ended.leg.grant,
                amounts=amounts,
                windows=ended.leg.windows,
                uncounted=_uncounted(state, ended, amounts),
            )
        )
    grants = {draw.resource: known.legs[draw.leg].leg.grant for draw in known.draws}
    repaid = _repaid(known, params.amounts)
    return [
        Refunded(params.intent_hash, legs),
        *(move.posted(grants[move.resource], params.intent_hash) for move in repaid),
    ]


def _is_money(known: Known, dim: str) -> bool:
    """Whether a dimension is a resource that this intent moved, or drew to move it."""
    return dim in {draw.resource for draw in known.draws} | {paid.resource for paid in known.paid}


def _repaid(known: Known, amounts: dict[str, int]) -> list[Move]:
    """Who gives back what to whom: each payee what is left of its payment, until the amount is reached.

    What a native effect moved by itself was drawn from nobody, and is not repaid.
    """
    payers: dict[str, list[list[Any]]] = {}
    for draw in known.draws:
        payers.setdefault(draw.resource, []).append([draw.account, draw.amount])
    left = dict(amounts)
    moves = []
    for paid in known.paid:
        amount = min(left.get(paid.resource, 0), paid.amount)
        if paid.resource in payers and amount > 0:
            left[paid.resource] -= amount
            moves += _given_back(paid.payee, paid.resource, amount, payers[paid.resource])
    return moves


# Example. `promo` paid 3, then `paid` 2, and 4 come back: `paid` gets 2 and `promo` 2.
def _given_back(payee: str, resource: str, amount: int, payers: list[list[Any]]) -> list[Move]:
    """What comes back from a payee, to who paid last first; `payers` have what they paid, less what they got.

    One that paid alone gets all of it, whatever it had reserved.
    """
    moves = []
    for at in range(len(payers) - 1, -1, -1):
        account, paid = payers[at]
        got = min(amount, paid) if len(payers) > 1 else amount
        if got:
            payers[at][1] -= got
            amount -= got
            moves.append(Move(payee, account, resource, got))
    return moves


# Example. 90 tokens were charged under a grant without limits, which then got one of 10. The refund of the 90
# is in the record, and the counter, which never counted them, still lets 10 be spent and not 100.
def _uncounted(state: State, ended: KnownLeg, amounts: dict[str, int]) -> list[str]:
    """The dimensions whose counter for life gets nothing back, because it did not count what was charged.

    An older record does not say whether it did; a counter that has too little to give back did not.
    """
    counters = state.ledger.counters
    found = []
    for dim, amount in sorted(amounts.items()):
        counter = counters.get((ended.leg.grant, dim, LIFE, 0), UNUSED)
        if dim in ended.uncounted or amount > counter.spent - counter.refunded:
            found.append(dim)
    return found


def _touches_refund(state: State, call: NativeCall, params: RefundSettlement) -> Touches:
    """The intent, whom it paid, and the accounts that paid."""
    known = call.known
    draws, paid = (known.draws, known.paid) if known is not None else ([], [])
    return Touches(
        accounts=[*(draw.account for draw in draws), *(x.payee for x in paid)],
        resources=[draw.resource for draw in draws],
        intents=[params.intent_hash],
    )


ROWS = {
    "reservation.release": Native(
        ReleaseReservation, touches_hold, _check_release, _make_release, "end a hold by governance"
    ),
    "outcome.attest": Native(
        AttestOutcome, touches_hold, _check_attest, _make_attest, "say what became of an unknown"
    ),
    "settlement.refund": Native(
        RefundSettlement,
        _touches_refund,
        _check_refund,
        _make_refund,
        "give back part of what was charged",
        target=lambda params: bytes(params.intent_hash),
    ),
}
