"""What a window that slept for several periods hands to the one that holds now; none between is opened.

Rule 1. The amount is the one that rolling once for each period gives, to the last unit.
Rule 2. The work is bounded by the steps until the amount stays what it is, and not by the periods. Windows
        of one limit that sleep alike are worked out once.
"""

from functools import lru_cache

from splittally.core.amounts import saturated
from splittally.core.ledger.windows import DAY_NS, HOUR_NS, window_end
from splittally.core.types import Limit

_LENGTHS_NS = {"hour": HOUR_NS, "day": DAY_NS, "week": 7 * DAY_NS}


def periods_until(per: str, start_ns: int, now_ns: int, offset_ns: int) -> tuple[int, int]:
    """How many windows end until `now_ns`, from the one at `start_ns` on, and when the next one starts."""
    length_ns = _LENGTHS_NS.get(per)
    if length_ns is not None:
        count = (now_ns - start_ns) // length_ns
        return count, start_ns + count * length_ns
    count, end_ns = 0, window_end(per, start_ns, offset_ns)
    while end_ns <= now_ns:  # at most twelve a year
        count, start_ns, end_ns = count + 1, end_ns, window_end(per, end_ns, offset_ns)
    return count, start_ns


def amount_after(limit: Limit, left: int, periods: int) -> int:
    """What the window opens with that follows after so many periods, of which the first left `left`."""
    share, whole = limit.rollover
    return _amount_after(limit.amount, share, whole, left, periods)


# Example. 100 a day, half of what is left rolls over, 40 are left of the first day and nothing is used then:
#
#     day     1          2               3               4               5               6
#     opens             100 + 20 = 120  100 + 60 = 160  100 + 80 = 180  100 + 90 = 190  100 + 95 = 195
#
# Each opening is nearer to the amount at which it stays, here 199 = 100 + 199 // 2, and once one is like the
# one before it, all that follow are. With a share of 1 it never stays: then each period adds 100.
@lru_cache(maxsize=1024)
def _amount_after(amount: int, share: int, whole: int, left: int, periods: int) -> int:
    opened = saturated(amount + left * share // whole)
    if share == whole:
        return saturated(opened + amount * (periods - 1))
    for _ in range(periods - 1):
        before, opened = opened, saturated(amount + opened * share // whole)
        if opened == before:
            break
    return opened
