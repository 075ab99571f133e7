"""What a window that slept for several periods hands to the one that holds now; none between is opened.

Rule 1. The amount is the one that rolling once for each period gives, to the last unit.
Rule 2. The work is bounded by the steps until the amount stays what it is, and not by the periods. Windows
        of one limit that sleep alike are worked out once.
"""

from functools import lru_cache

from splittally.core.amounts import saturated
from splittally.core.limits import NATURAL_MAX
from splittally.core.types import Limit


def amount_after(limit: Limit, left: int, periods: int) -> int:
    """What the window opens with that follows after so many periods, of which the first left `left`."""
    share, whole = limit.rollover
    most = NATURAL_MAX if limit.carried_max < 0 else limit.carried_max
    return _amount_after(limit.amount, share, whole, most, left, periods)


# Example. 100 a day, half of what is left rolls over, 40 are left of the first day and nothing is used then:
#
#     day     1          2               3               4               5               6
#     opens             100 + 20 = 120  100 + 60 = 160  100 + 80 = 180  100 + 90 = 190  100 + 95 = 195
#
# Each opening is nearer to the amount at which it stays, here 199 = 100 + 199 // 2, and once one is like the
# one before it, all that follow are. With a share of 1 it never stays: then each period adds 100, up to the
# most that is carried. At most 50 carried, day 3 opens with 150 and so does every day after it.
@lru_cache(maxsize=1024)
def _amount_after(amount: int, share: int, whole: int, most: int, left: int, periods: int) -> int:
    if share == whole:
        return saturated(amount + min(most, left + amount * (periods - 1)))
    opened = saturated(amount + min(most, left * share // whole))
    for _ in range(periods - 1):
        before, opened = opened, saturated(amount + min(most, opened * share // whole))
        if opened == before:
            break
    return opened
