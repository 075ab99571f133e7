"""What holds of every ledger after every record, as one list: for audit, and for the models of tests.

Rule 1. Whether values may move is asked of each move before it happens (`moves.py`). This is what then
        stands: it is asked of the tables alone, so it says nothing of how they came about.
Rule 2. What the tables cannot say, the events do (`Refunds`).
Rule 3. Each entry of `INVARIANTS` yields what is broken, with the number that should stand and the one that
        does.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

from splittally.core.amounts import fits, in_model, shown
from splittally.core.events import Event, Refunded, Settled
from splittally.core.ledger.state import CounterKey, Ledger
from splittally.core.limits import NATURAL_MAX
from splittally.core.types import LIFE


class Broken(NamedTuple):
    """A number of the ledger that is not what it must be."""

    what: str
    needed: int
    stands: int


def broken_invariants(ledger: Ledger) -> Iterator[Broken]:
    """Everything that is broken, in the order of `INVARIANTS`; nothing in a sound ledger."""
    for broken_in in INVARIANTS:
        yield from broken_in(ledger)


def _sums(ledger: Ledger) -> Iterator[Broken]:
    """Balances and what is in flight sum to zero, for each resource."""
    sums: Counter[str] = Counter(ledger.inflight)
    for (_, resource), balance in ledger.balances.items():
        sums[resource] += balance
    for resource in sorted(sums):
        if sums[resource]:
            yield Broken(f"the sum of all {resource}", 0, sums[resource])


def _flights(ledger: Ledger) -> Iterator[Broken]:
    """What is in flight of a resource is what open holds have drawn of it."""
    drawn: Counter[str] = Counter()
    for hold in ledger.holds.values():
        for draw in hold.draws:
            drawn[draw.resource] += draw.amount
    for resource in sorted({*drawn, *ledger.inflight}):
        if drawn[resource] != ledger.inflight.get(resource, 0):
            yield Broken(f"{resource} in flight", drawn[resource], ledger.inflight.get(resource, 0))


def _reserves(ledger: Ledger) -> Iterator[Broken]:
    """What a counter has reserved is what the legs of open holds reserve in it."""
    reserved: Counter[CounterKey] = Counter()
    for hold in ledger.holds.values():
        for leg in hold.legs:
            for dim, amount in leg.reserve.items():
                reserved[leg.grant, dim, LIFE, 0] += amount
            for window in leg.windows:
                key = ledger.counter_key(leg.grant, window)
                reserved[key] += leg.reserve.get(window.dim, 0)
    for key, counter in sorted(ledger.counters.items()):
        if counter.reserved != reserved[key]:
            yield Broken(f"the reserve of {key[0]} in {key[1]}", reserved[key], counter.reserved)


def _ranges(ledger: Ledger) -> Iterator[Broken]:
    """Every number that stands in the root is one of the data model."""
    for key, balance in sorted(ledger.balances.items()):
        if not in_model(balance):
            yield Broken(f"the balance of {key[0]} in {key[1]}", shown(balance), balance)
    for counter_key, counter in sorted(ledger.counters.items()):
        for number in (counter.reserved, counter.spent, counter.refunded):
            if not fits(number):
                yield Broken(f"the counter of {counter_key[0]} in {counter_key[1]}", NATURAL_MAX, number)


def _names(ledger: Ledger) -> Iterator[Broken]:
    """Whoever was paid, or is drawn on, exists, in a resource that exists."""
    moved = {*ledger.balances}
    moved |= {(draw.account, draw.resource) for hold in ledger.holds.values() for draw in hold.draws}
    for account, resource in sorted(moved):
        if account not in ledger.accounts or resource not in ledger.resources:
            balance = ledger.balances.get((account, resource), 0)
            yield Broken(f"{account} in {resource}, which does not exist,", 0, balance)


INVARIANTS: tuple[Callable[[Ledger], Iterator[Broken]], ...] = (
    _sums,
    _flights,
    _reserves,
    _ranges,
    _names,
)


class Refunds:
    """No grant is given back more of a dimension than it was charged, by the events in their order.

    The tables do not say it: what a grant was charged while nothing limited a dimension stands in no counter.
    """

    def __init__(self) -> None:
        self._left: Counter[tuple[str, str]] = Counter()  # grant, dimension -> charged and not refunded

    def see(self, event: Event) -> Iterator[Broken]:
        """What this event gives back too much of."""
        match event:
            case Settled():
                for charge in event.legs:
                    for dim, amount in charge.charged.items():
                        self._left[charge.grant, dim] += amount
            case Refunded():
                for leg in event.legs:
                    for dim, amount in leg.amounts.items():
                        left = self._left[leg.grant, dim] = self._left[leg.grant, dim] - amount
                        if left < 0:
                            yield Broken(f"what is left of {leg.grant} in {dim} to refund", 0, left)
