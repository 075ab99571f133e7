"""The arithmetic of amounts: the one door to what a state holds, and the only place that knows its bounds.

Rule 1. A `Natural` is below 2^64, a `Balance` an integer of the data model. What stands in a root is one of
        them, and of a sum only this module makes one: the types say so wherever one is stored.
Rule 2. Who may still refuse asks first whether a sum `fits`. So what is recorded can be `added` and `moved`;
        where it cannot, that is a bug, which is met before its frame is kept.
Rule 3. Where nothing may be refused any more, a sum is `saturated`, and who cuts it off says so.
Rule 4. What is only told is `shown`: the nearest integer of the data model.

Example. A counter has spent 2^64 - 10. An intent that reserves 20 is refused (`amount_overflow`), because the
sum does not fit. A receipt of 20 must settle: 9, the `room` that is left, are charged (`counter_saturated`).
"""

from typing import NewType

from splittally.core.limits import INT_MAX, INT_MIN, NATURAL_MAX

Natural = NewType("Natural", int)
Balance = NewType("Balance", int)

NONE = Natural(0)


def is_natural(value: object) -> bool:
    """Whether a value is a natural below 2^64."""
    return type(value) is int and 0 <= value <= NATURAL_MAX


def fits(amount: int) -> bool:
    """Whether this amount, or sum of amounts, is a natural below 2^64."""
    return 0 <= amount <= NATURAL_MAX


def in_model(value: int) -> bool:
    """Whether the data model holds this integer."""
    return INT_MIN <= value <= INT_MAX


def added(amount: int, change: int) -> Natural:
    """An amount and a change of it, either way, that were looked at before: the sum is a natural."""
    total = amount + change
    assert 0 <= total <= NATURAL_MAX
    return total  # type: ignore[return-value]


def moved(balance: int, change: int) -> Balance:
    """A balance after a change that was looked at before: it stays in the data model."""
    after = balance + change
    assert INT_MIN <= after <= INT_MAX
    return after  # type: ignore[return-value]


def saturated(amount: int) -> Natural:
    """The natural below 2^64 that is nearest to an amount."""
    return max(0, min(amount, NATURAL_MAX))  # type: ignore[return-value]


def room(amount: int) -> int:
    """How much more fits beside an amount."""
    return NATURAL_MAX - amount


def shown(value: int) -> int:
    """The integer of the data model that is nearest to `value`."""
    return max(INT_MIN, min(value, INT_MAX))
