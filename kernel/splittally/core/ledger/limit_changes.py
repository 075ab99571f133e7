"""What an edit of limits or zones means for the windows that are open, of a grant and of a policy rule alike.

Rule 1. What was used in an open window counts on; what it got by rolling over is kept, up to the most that
        the limit carries now.
Rule 2. A limit that is gone leaves a window that only counts. Set again, it counts from what was used.
Rule 3. Where only the zone or the anchor of a limit is edited, its open window ends at the edit, and what was
        used in it counts in the window of the new limit that holds the edit. Another period begins empty.
Rule 4. Where a zone itself is another, or the world's offset is, the same happens to each open window that
        stands in it and no longer begins or ends where it did.

Example. 100 a day in UTC, 60 used by 10:00 on 1 March; then the limit's zone becomes America/New_York, where
it is 05:00. The window of 00:00 to 24:00 UTC ends; that of 05:00 UTC to 05:00 UTC the next day has the 60. A
receipt for what is still reserved is charged there.
"""

from collections.abc import Sequence
from typing import NamedTuple

from splittally.core.amounts import saturated
from splittally.core.events import LimitSet, WindowRolled
from splittally.core.ledger.state import Ledger, WindowKey
from splittally.core.ledger.windows import stands_in, window_end, window_start
from splittally.core.periods import read_period
from splittally.core.types import Limit


class Moment(NamedTuple):
    """When an edit happens, and at which offset from UTC the world then stands where it has no zone."""

    now_ns: int
    offset_ns: int


# Example. A day's limit of 100 opened with 125, because 25 were carried. Amended to 80, the open day gets
# 80 + (125 - 100) = 105: what was carried is kept, and what was used counts on. A rate of 5 a day becomes 0:
# the open day gets 0, and the next attempt is refused today.
def open_window_events(
    ledger: Ledger, scope: str, old: Sequence[Limit], new: Sequence[Limit], at: Moment
) -> list[LimitSet | WindowRolled]:
    """The events by which the open windows of a scope follow its new limits: amounts, zones, anchors."""
    events: list[LimitSet | WindowRolled] = []
    taken = {(x.dim, x.per) for x in old} | {key[1:] for key in ledger.windows if key[0] == scope}
    for key in sorted(ledger.windows):
        if key[0] != scope:
            continue
        start_ns = ledger.windows[key][0]
        limit = ledger.counters[*key, start_ns].limit
        into = _into(key, old, new, taken)
        amount = _amount(_hard(old, key[1], key[2]), _hard(new, key[1], into), limit)
        if into != key[2]:
            begins_ns = window_start(into, at.now_ns, at.offset_ns, ledger.zones)
            events.append(_rolled(key, start_ns, begins_ns, amount, into))
        elif amount != limit:
            events.append(LimitSet(scope=scope, dim=key[1], per=key[2], start_ns=start_ns, amount=amount))
    return events


def moved_window_events(ledger: Ledger, changed: set[str], at: Moment) -> list[WindowRolled]:
    """The events that end the open windows of the zones that changed, and carry what was used.

    `ledger` has the new zones. They are named in `changed`, the world's by no name.
    """
    events = []
    for key in sorted(ledger.windows):
        per, (start_ns, end_ns, *_) = key[2], ledger.windows[key]
        if stands_in(per) not in changed:
            continue
        begins_ns = window_start(per, at.now_ns, at.offset_ns, ledger.zones)
        if (start_ns, end_ns) != (begins_ns, window_end(per, begins_ns, at.offset_ns, ledger.zones)):
            amount = ledger.counters[*key, start_ns].limit
            events.append(_rolled(key, start_ns, begins_ns, amount, per))
    return events


def _rolled(key: WindowKey, start_ns: int, next_ns: int, amount: int, into: str) -> WindowRolled:
    scope, dim, per = key
    return WindowRolled(
        scope=scope, dim=dim, per=per, start_ns=start_ns, next_ns=next_ns, amount=amount, into=into
    )


def _into(key: WindowKey, old: Sequence[Limit], new: Sequence[Limit], taken: set[tuple[str, str]]) -> str:
    """The period in which an open window goes on: its own, or that of the limit that took the place of its
    own.

    What was limited before or has a window takes nobody's place; what is found is `taken`.
    """
    _, dim, per = key
    if any((x.dim, x.per) == (dim, per) for x in new) or not any((x.dim, x.per) == (dim, per) for x in old):
        return per
    base = _base(per)
    for limit in new:
        if base and limit.dim == dim and (dim, limit.per) not in taken and _base(limit.per) == base:
            taken.add((dim, limit.per))
            return limit.per
    return per


def _base(per: str) -> str:
    period = read_period(per)
    return period.base if period is not None else ""


def _amount(was: Limit | None, now: Limit | None, stands: int) -> int:
    """What an open window gets, by the hard limits before and now."""
    if now is None:
        return stands if was is None else -1
    if was is None:
        return now.amount
    carried = max(0, stands - was.amount)
    return saturated(now.amount + (carried if now.carried_max < 0 else min(carried, now.carried_max)))


def _hard(limits: Sequence[Limit], dim: str, per: str) -> Limit | None:
    """The lowest limit that denies for a dimension and period; None where none does."""
    found = [x for x in limits if (x.dim, x.per, x.over) == (dim, per, "deny")]
    return min(found, key=lambda x: x.amount, default=None)
