"""Whether a line will be there in time: what was done so far, carried on to the plan's end. Exact.

Rule 1. Only a plan with a start and an end, and only what is planned for the whole of it, has a pace.
Rule 2. Until something has passed since the start, and where nothing is planned, there is none. After the end
        it is what it came to.

Example. 300 hours in 20 days. After 10 days 100 are done: 10 a day, 200 at the end, insufficient by 100.
"""

from fractions import Fraction

from msgspec import Struct

from splittally.core.budget.horizon import DAY_NS


class Pace(Struct, frozen=True, kw_only=True, gc=False):
    """What was done of what is needed, how fast it goes per day, and what that comes to at the end."""

    done: int
    needed: int
    rate_per_day: Fraction
    days_left: Fraction
    projected: Fraction
    insufficient_by: Fraction


def pace(done: int, needed: int, starts_ns: int, ends_ns: int, now_ns: int) -> Pace | None:
    """The pace at `now_ns`; None where there is none."""
    passed_ns = min(now_ns, ends_ns) - starts_ns
    if ends_ns <= starts_ns or passed_ns <= 0 or needed <= 0:
        return None
    rate = Fraction(done * DAY_NS, passed_ns)
    projected = rate * Fraction(ends_ns - starts_ns, DAY_NS)
    return Pace(
        done=done,
        needed=needed,
        rate_per_day=rate,
        days_left=Fraction(ends_ns - starts_ns - passed_ns, DAY_NS),
        projected=projected,
        insufficient_by=max(Fraction(0), needed - projected),
    )
