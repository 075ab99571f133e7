"""What falls due: expiries, approvals and unknowns that time out, windows that close, top-ups that end.

Rule 1. Items are worked through in the agenda's order, one event list for each.
Rule 2. A window hands on `share x max(0, limit - spent - reserved)`, rounded down; what the division
        leaves is nobody's. It does so once for each period that has passed, and that is one event.
"""

from collections.abc import Callable

from splittally.core.events import Authority, Defined, Event, Released, Settled, WindowRolled
from splittally.core.findings import find
from splittally.core.ledger.rollover import amount_after
from splittally.core.ledger.settle import (
    Doubt,
    Ending,
    SoftLimitsOf,
    charge_leg,
    crossings,
    pay_draws,
    return_draws,
)
from splittally.core.ledger.state import TOPUPS, Due, Hold, Ledger
from splittally.core.ledger.windows import periods_until
from splittally.core.types import APPROVAL, UNKNOWN, Leg, Limit

LimitOf = Callable[[str, str, str], Limit | None]


def fall_due(
    ledger: Ledger, item: Due, limit_of: LimitOf, soft_limits_of: SoftLimitsOf, now_ns: int, offset_ns: int
) -> list[Event]:
    """The events of one item that is due at `now_ns`."""
    if not item.hold:
        scope, key, _ = item.window
        if not scope:
            return [Defined(TOPUPS, key, b"")]
        return [_roll(ledger, item, limit_of, now_ns, offset_ns)]
    hold = ledger.holds[item.hold]
    if hold.phase == UNKNOWN:
        return resolve_doubt(ledger, item.hold, hold, soft_limits_of)
    cause = "approval_timeout" if hold.phase == APPROVAL else "expiry"
    return release_hold(hold, item.hold, cause, "")


def release_hold(hold: Hold, intent_hash: bytes, cause: str, order: str) -> list[Event]:
    """The events that end a hold without usage."""
    released = Released(
        intent_hash=intent_hash, cause=cause, order=order, authority=authority_of(hold.legs), findings=[]
    )
    return [released, *return_draws(hold, intent_hash)]


def resolve_doubt(
    ledger: Ledger, intent_hash: bytes, hold: Hold, soft_limits_of: SoftLimitsOf
) -> list[Event]:
    """The events that end an unknown hold: counters in full, accounts by their grants' `doubt`."""
    answers = [Doubt() for _ in hold.legs]
    ending = Ending(
        intent_hash=intent_hash,
        legs=hold.legs,
        draws=hold.draws,
        answers=list(answers),
        pays_to="",
        is_late=False,
    )
    charges = [charge_leg(ledger, leg, Doubt(), False) for leg in hold.legs]
    postings, violations = pay_draws(ledger, ending)
    bearer = {draw.resource: draw.doubt for draw in hold.draws}
    violations.insert(0, find("unknown_timed_out", bearer=bearer or {"": "payer"}))
    crossed = crossings(ledger, hold.legs, charges, False, soft_limits_of)
    return [
        Settled(intent_hash=intent_hash, how="unknown", status=UNKNOWN, legs=charges, violations=violations),
        *postings,
        *crossed,
    ]


def authority_of(legs: tuple[Leg, ...]) -> list[Authority]:
    """The grants of a hold by name and hash."""
    return [Authority(leg.grant, leg.grant_hash, leg.terms_hash) for leg in legs]


# Example. 100 tokens a day, half of what is left rolls over. Spent 30 and 20 are still reserved when the
# day ends: carried = (100 - 30 - 20) * 1 // 2 = 25, and the next day opens with 125. What is reserved is
# charged to the day in which it was reserved. A day that slept for a week is closed once: the day that holds
# now opens, with what was carried through those between (`rollover.py`).
def _roll(ledger: Ledger, item: Due, limit_of: LimitOf, now_ns: int, offset_ns: int) -> WindowRolled:
    scope, dim, per = item.window
    start_ns, *_ = ledger.windows[item.window]
    limit = limit_of(scope, dim, per)
    if limit is None or not limit.rollover:
        return WindowRolled(scope=scope, dim=dim, per=per, start_ns=start_ns, next_ns=0, amount=-1)
    counter = ledger.counters[scope, dim, per, start_ns]
    left = max(0, counter.limit - counter.spent - counter.reserved)
    periods, next_ns = periods_until(per, start_ns, now_ns, offset_ns, ledger.zones)
    assert periods > 0
    return WindowRolled(
        scope=scope,
        dim=dim,
        per=per,
        start_ns=start_ns,
        next_ns=next_ns,
        amount=amount_after(limit, left, periods),
    )
