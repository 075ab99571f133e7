"""Counters of a window for each value of a param or label: five a day for every user.

Rule 1. All keys of a limit share its window, which is on the agenda once, whoever uses it. The window has one
        counter more, without a key, which says what the limit is in it and counts nothing.
Rule 2. A key has a counter from its first use on. It goes when the window has ended and nothing of it is
        held: with the window, or with the last hold. What comes later for it is counted nowhere.
Rule 3. Where an edit ends a window and another goes on with it, so do the counters of its keys.

Example. 5 a day by params.user. ada used 5 and bob holds 2 when the day ends: ada's counter goes with the
day, bob's when his receipt comes. On the next day both begin at 0.
"""

from collections.abc import Iterator

from msgspec.structs import replace

from splittally.core.amounts import added, saturated
from splittally.core.ledger.state import UNUSED, Counter, CounterKey, Ledger
from splittally.core.types import Window


def keyed_counter(ledger: Ledger, scope: str, window: Window) -> Counter | None:
    """The counter of a window's key; None where it has none, or no more."""
    return ledger.keyed.get((*ledger.counter_key(scope, window), window.key))


def counter_under_limit(ledger: Ledger, scope: str, window: Window) -> Counter | None:
    """The counter of a window's key as its limit sees it; None where it is counted no more."""
    of = ledger.counter_key(scope, window)
    counter = ledger.keyed.get((*of, window.key))
    if counter is None and not is_open_window(ledger, of):
        return None
    return replace(counter or UNUSED, limit=ledger.counters.get(of, UNUSED).limit)


def count_key(
    ledger: Ledger, scope: str, window: Window, reserved: int = 0, spent: int = 0, refunded: int = 0
) -> None:
    """Count in a window's key, where it is still counted."""
    of = ledger.counter_key(scope, window)
    old = ledger.keyed.get((*of, window.key))
    is_open = is_open_window(ledger, of)
    if old is None and not is_open:
        return
    old = old or UNUSED
    new = replace(
        old,
        reserved=added(old.reserved, reserved),
        spent=added(old.spent, spent),
        refunded=added(old.refunded, refunded),
    )
    _keep(ledger, of, window.key, new, is_open)


def count_use(ledger: Ledger, of: CounterKey, key: bytes, amount: int) -> None:
    """Count a use in a window's key, also in a window that this very record opens."""
    old = ledger.keyed.get((*of, key), UNUSED)
    _keep(ledger, of, key, replace(old, spent=added(old.spent, amount)), True)


def tell_key(ledger: Ledger, of: CounterKey, key: bytes, amount: int) -> None:
    """Remember the highest soft limit that was reported for a key of an open window."""
    old = ledger.keyed.get((*of, key), UNUSED)
    _keep(ledger, of, key, replace(old, told=max(old.told, amount)), True)


def is_open_window(ledger: Ledger, of: CounterKey) -> bool:
    """Whether this is the window of its limit that is open."""
    standing = ledger.windows.get(of[:3])
    return standing is not None and standing[0] == of[3]


def close_keys(ledger: Ledger, of: CounterKey) -> None:
    """Forget the keys of a window that ended, but for those of which something is held."""
    for key in ledger.keys.of(of):
        counter = ledger.keyed.get((*of, key))
        if counter is not None and not counter.reserved:
            del ledger.keyed[*of, key]
    ledger.keys.drop(of)


def move_keys(ledger: Ledger, of: CounterKey, into: CounterKey) -> None:
    """Make the counters of a window's keys those of another, with what was counted there already."""
    if of == into:
        return
    for key in ledger.keys.of(of):
        counter = ledger.keyed.pop((*of, key), None)
        if counter is None:
            continue
        there = ledger.keyed.get((*into, key), UNUSED)
        joined = replace(
            counter,
            reserved=added(counter.reserved, there.reserved),
            spent=added(0, saturated(counter.spent + there.spent)),
            refunded=added(0, saturated(counter.refunded + there.refunded)),
        )
        _keep(ledger, into, key, joined, True)
    ledger.keys.drop(of)


def rebuild_keys(ledger: Ledger) -> None:
    """Derive which keys the open windows have."""
    ledger.keys.clear()
    for scope, dim, per, start_ns, key in ledger.keyed:
        window = (scope, dim, per, start_ns)
        if is_open_window(ledger, window):
            ledger.keys.add(window, key)


def keyed_rows(ledger: Ledger) -> Iterator[tuple[CounterKey, bytes, Counter]]:
    """Every counter of a key: the key of its window, its own, and the counter under the window's limit."""
    for (scope, dim, per, start_ns, key), counter in ledger.keyed.items():
        of = (scope, dim, per, start_ns)
        whole = ledger.counters.get(of, UNUSED)
        yield of, key, replace(counter, limit=whole.limit)


def _keep(ledger: Ledger, of: CounterKey, key: bytes, counter: Counter, is_open: bool) -> None:
    if is_open or counter.reserved:
        ledger.keyed[*of, key] = counter
    else:
        del ledger.keyed[*of, key]
    if is_open:
        ledger.keys.add(of, key)
