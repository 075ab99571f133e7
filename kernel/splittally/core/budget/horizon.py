"""One plan at any horizon, from a year to an hour: exact rationals, nothing rounded.

Rule 1. A year has 365 days, four quarters and twelve months of equal length; a week has seven days.
Rule 2. What is planned once (`total`) is spread over the plan's own time where it states one, and is shown
        whole where it does not.
Rule 3. Days of the calendar pass whatever is spent.
"""

from fractions import Fraction

from splittally.core.budget.parts import TOTAL, Line
from splittally.core.budget.plan import Plan

DAY_NS = 86_400 * 10**9

DAYS = {
    "hour": Fraction(1, 24),
    "day": Fraction(1),
    "week": Fraction(7),
    "month": Fraction(365, 12),
    "quarter": Fraction(365, 4),
    "year": Fraction(365),
}


def at_horizon(plan: Plan, line: Line, per: str) -> Fraction:
    """The line's amount per hour, day, week, month, quarter or year; `total` gives it as it is stated."""
    if per == TOTAL or line.calendar:
        return Fraction(line.amount)
    if line.per != TOTAL:
        return Fraction(line.amount * DAYS[per], DAYS[line.per])
    days = Fraction(plan.ends_ns - plan.starts_ns, DAY_NS)
    return Fraction(line.amount) if days <= 0 else Fraction(line.amount * min(DAYS[per], days), days)


def days_left(plan: Plan, line: Line, now_ns: int) -> int:
    """Of a line of the calendar: the days that have not passed since the plan's start."""
    return line.amount - max(0, now_ns - plan.starts_ns) // DAY_NS
