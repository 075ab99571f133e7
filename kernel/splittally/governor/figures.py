"""Figures that people and stores give, as exact decimals; and decimals as figures to show.

Rule 1. A figure is read as it is written, `Decimal(str(x))`, so that 0.1 means a tenth.
Rule 2. NaN, infinite, negative, text and truth values are refused; nothing is clamped.
Rule 3. Within `EXACT` the sums of figures are exact, whatever decimal context the caller works in.
"""

from decimal import ROUND_HALF_EVEN, Context, Decimal, DivisionByZero, InvalidOperation, Overflow

from splittally.core.errors import BudgetError

FIGURE_MAX = 10**18
FIGURE_DECIMALS_MAX = 400  # the smallest float has 324

EXACT = Context(prec=450, rounding=ROUND_HALF_EVEN, traps=[DivisionByZero, InvalidOperation, Overflow])


def exact(value: object, field: str) -> Decimal:
    """The figure as an exact decimal of at least zero; raises `BudgetError` with the field's name."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise BudgetError(f"`{field}` must be a number", field=field)
    if isinstance(value, Decimal) and not value.is_finite():
        raise BudgetError(f"`{field}` must be finite", field=field)
    if not 0 <= value <= FIGURE_MAX:
        raise BudgetError(f"`{field}` must be at least 0 and at most {FIGURE_MAX}", field=field)
    figure = (value if isinstance(value, Decimal) else Decimal(str(value))).copy_abs()
    exponent = figure.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -FIGURE_DECIMALS_MAX:
        raise BudgetError(f"`{field}` has more than {FIGURE_DECIMALS_MAX} decimals", field=field)
    return figure


def exact_or_none(value: object, field: str) -> Decimal | None:
    """None for None, otherwise as `exact`."""
    return None if value is None else exact(value, field)
