"""What an edit of limits means for the windows that are open, of a grant and of a policy rule alike.

Rule 1. What was used in an open window counts on; what it got by rolling over is kept.
Rule 2. A limit that is gone leaves a window that only counts. Set again, it counts from what was used.
"""

from collections.abc import Sequence

from splittally.core.amounts import saturated
from splittally.core.events import LimitSet
from splittally.core.ledger.check import hard_amount
from splittally.core.ledger.state import Ledger
from splittally.core.types import Limit


# Example. A day's limit of 100 opened with 125, because 25 were carried. Amended to 80, the open day gets
# 80 + (125 - 100) = 105: what was carried is kept, and what was used counts on. A rate of 5 a day becomes 0:
# the open day gets 0, and the next attempt is refused today.
def open_window_events(
    ledger: Ledger, scope: str, old: Sequence[Limit], new: Sequence[Limit]
) -> list[LimitSet]:
    """The events that give the open windows of a scope the hard amounts of its new limits."""
    events: list[LimitSet] = []
    for (owner, dim, per), (start_ns, *_) in sorted(ledger.windows.items()):
        if owner != scope:
            continue
        counter = ledger.counters[scope, dim, per, start_ns]
        was, amount = _hard(old, dim, per), _hard(new, dim, per)
        if was != amount:
            if was >= 0 and amount >= 0:
                amount = saturated(amount + max(0, counter.limit - was))
            events.append(LimitSet(scope=scope, dim=dim, per=per, start_ns=start_ns, amount=amount))
    return events


def _hard(limits: Sequence[Limit], dim: str, per: str) -> int:
    """The amount above which these limits deny; -1 where they only count or there are none."""
    return next((hard_amount(tuple(limits), x) for x in limits if (x.dim, x.per) == (dim, per)), -1)
