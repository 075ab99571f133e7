"""Is a limit ever passed without a reason? (D-05)

Rule 1. What is admitted fits: after the record that holds an intent, no limit of any of its legs that
        denies or defers is passed, also in a dimension that the estimate does not name.
Rule 2. A settlement charges at most what its leg reserved. It may charge more where nothing was reserved
        (the dimension is unbounded), with a recorded violation, late, or as spend that was booked without a
        hold; then a limit may be passed.
Rule 3. Whoever says that a dimension is bounded takes the first of these excuses away for it: a limit
        passed by what was never reserved is then overspending.
Rule 4. A limit that was lowered below its use is no overspending.
"""

from collections.abc import Collection
from typing import NamedTuple

from splittally.core.caps.state import limits_of
from splittally.core.events import Charge, Held, Settled
from splittally.core.findings import has_code
from splittally.core.ledger.keyed import counter_under_limit
from splittally.core.ledger.state import Counter
from splittally.core.state import State
from splittally.core.types import LIFE, PER_INTENT, Leg, Limit, Window
from splittally.runtime.record import Record

EXCEEDED = "usage_exceeds_reserve"
REFUSES = ("deny", "defer")


class Use(NamedTuple):
    """What is used or held under one grant, and the windows in which that is counted."""

    grant: str
    amounts: dict[str, int]
    windows: list[Window]


class Overspend:
    """Frames in order; `AssertionError` names the first that passes a limit without a reason."""

    def __init__(self, bounded: Collection[str] = ()) -> None:
        self._bounded = frozenset(bounded)
        self._legs: dict[bytes, dict[str, Leg]] = {}

    def see(self, record: Record, state: State) -> None:
        """Compares what a record admits and charges with the limits in the `state` after it."""
        for event in record.body.out:
            if isinstance(event, Held):
                self._legs[event.intent_hash] = {leg.grant: leg for leg in event.legs}
                for leg in event.legs:
                    _refuse_passed(record.seq, Use(leg.grant, leg.reserve, leg.windows), state)
            if isinstance(event, Settled) and event.how == "native":  # admitted and charged in one record
                for charge in event.legs:
                    _refuse_passed(record.seq, Use(charge.grant, charge.charged, charge.windows), state)
            elif isinstance(event, Settled) and event.how not in ("late", "recorded"):
                legs = self._legs.get(event.intent_hash, {})
                for charge in event.legs:
                    self._refuse_unexcused(record.seq, charge, legs.get(charge.grant), state)

    def _refuse_unexcused(self, seq: int, charge: Charge, leg: Leg | None, state: State) -> None:
        if leg is None:
            raise AssertionError(f"frame {seq}: grant `{charge.grant}` is charged for what it never held")
        for dim, charged in sorted(charge.charged.items()):
            reserve = leg.reserve.get(dim, 0)
            if charged <= reserve:
                continue
            if reserve and not any(
                has_code(found, EXCEEDED) and found.facts.get("dim") == dim for found in charge.violations
            ):
                raise AssertionError(
                    f"frame {seq}: grant `{charge.grant}`, dimension `{dim}`: {charged} charged with "
                    f"{reserve} reserved, and no violation says so"
                )
            if not reserve and not charge.violations and dim in self._bounded:
                _refuse_unreserved(seq, leg, dim, charged, state)


def _refuse_unreserved(seq: int, leg: Leg, dim: str, charged: int, state: State) -> None:
    windows = [Window(dim, LIFE, 0), *(window for window in leg.windows if window.dim == dim)]
    for window in windows:
        counter = _counter(leg.grant, window, state)
        raised = state.ledger.raised.get((leg.grant, dim, window.per), 0)
        if counter is not None and counter.limit >= 0 and counter.available + raised < 0:
            raise AssertionError(
                f"frame {seq}: grant `{leg.grant}`, dimension `{dim}`: {charged} charged with nothing "
                f"reserved, though `{dim}` is bounded; {_told(counter, counter.limit, window.per)}"
            )


def _refuse_passed(seq: int, use: Use, state: State) -> None:
    """Refuses what was admitted although a limit of its grant is passed."""
    for limit in limits_of(state.caps.grants[use.grant]):
        if limit.over not in REFUSES:
            continue
        if limit.per == PER_INTENT:
            asked = use.amounts.get(limit.dim, 0)
            if asked > limit.amount:
                raise AssertionError(
                    f"frame {seq}: grant `{use.grant}`, dimension `{limit.dim}`: one intent holds {asked} of "
                    f"{limit.amount}"
                )
            continue
        counter = _counter_of(use, limit, state)
        if counter is None:
            raise AssertionError(
                f"frame {seq}: grant `{use.grant}`, dimension `{limit.dim}`: held in no window per "
                f"{limit.per}, which has a limit"
            )
        raised = state.ledger.raised.get((use.grant, limit.dim, limit.per), 0)
        amount = counter.limit + raised if limit.over == "deny" else limit.amount
        if counter.used > amount:
            raise AssertionError(
                f"frame {seq}: grant `{use.grant}`, dimension `{limit.dim}`: admitted above a limit; "
                f"{_told(counter, amount, limit.per)}"
            )


def _counter_of(use: Use, limit: Limit, state: State) -> Counter | None:
    windows = [x for x in use.windows if (x.dim, x.per) == (limit.dim, limit.per)]
    if limit.per == LIFE:
        windows = [Window(limit.dim, LIFE, 0)]
    return _counter(use.grant, windows[0], state) if windows else None


def _counter(grant: str, window: Window, state: State) -> Counter | None:
    """The counter of a window, or of its key under the window's limit."""
    if window.key:
        return counter_under_limit(state.ledger, grant, window)
    return state.ledger.counted(state.ledger.counter_key(grant, window))


def _told(counter: Counter, limit: int, per: str) -> str:
    given_back = f" less {counter.refunded} refunded" if counter.refunded else ""
    return f"spent {counter.spent} + reserved {counter.reserved}{given_back} of {limit} per {per}"
