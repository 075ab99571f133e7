"""How the ledger remembers: each function applies one fact and decides nothing.

Rule 1. Total on recorded events: a fact that the journal holds can always be applied.
Rule 2. Entries are replaced, so that a fork can read through to its base.
"""

from splittally.core.events import (
    Count,
    Held,
    HoldChanged,
    LimitCrossed,
    LimitSet,
    Posted,
    Refunded,
    Released,
    Settled,
    WindowRolled,
)
from splittally.core.ledger.state import NO_WINDOW, UNUSED, Counter, CounterKey, Due, Hold, Ledger
from splittally.core.ledger.windows import window_end
from splittally.core.types import EXTERNAL, LIFE, Leg, Window


def hold(ledger: Ledger, event: Held, seq: int, now_ns: int, by: str) -> None:
    """Reserve for an intent and put its due time on the agenda."""
    legs = tuple(event.legs)
    for leg in legs:
        _reserve(ledger, leg, 1)
    ledger.holds[event.intent_hash] = Hold(
        seq, event.member, by, event.kind, event.phase, now_ns, event.due_ns, event.expires_ns,
        legs, tuple(event.draws),
    )  # fmt: skip
    if event.due_ns:
        ledger.schedule(Due(event.due_ns, seq, event.member, event.intent_hash, NO_WINDOW))


def change_hold(ledger: Ledger, event: HoldChanged) -> None:
    """Move a hold to another phase or due time."""
    old = ledger.holds[event.intent_hash]
    ledger.holds[event.intent_hash] = Hold(
        old.seq, old.member, old.by, old.kind, event.phase, old.at_ns, event.due_ns, old.expires_ns,
        old.legs, old.draws, old.frame_hash,
    )  # fmt: skip
    if event.due_ns:
        ledger.schedule(Due(event.due_ns, old.seq, old.member, event.intent_hash, NO_WINDOW))


def settle(ledger: Ledger, event: Settled) -> None:
    """End the hold, where there is one, and charge each leg."""
    ended = ledger.holds.pop(event.intent_hash, None)
    for at, charge in enumerate(event.legs):
        reserve: dict[str, int] = {}
        windows = charge.windows
        if ended is not None:
            reserve, windows = ended.legs[at].reserve, ended.legs[at].windows
        for dim in {**reserve, **charge.charged}:
            _charge(ledger, (charge.grant, dim, LIFE, 0), reserve.get(dim, 0), charge.charged.get(dim, 0))
        for window in windows:
            key = (charge.grant, window.dim, window.per, window.start_ns)
            _charge(ledger, key, reserve.get(window.dim, 0), charge.charged.get(window.dim, 0))


def release(ledger: Ledger, event: Released) -> None:
    """End a hold and free what it reserved."""
    for leg in ledger.holds.pop(event.intent_hash).legs:
        _reserve(ledger, leg, -1)


def refund(ledger: Ledger, event: Refunded) -> None:
    """Give back part of what was charged, in the counters that were charged."""
    for leg in event.legs:
        for dim, amount in leg.amounts.items():
            for window in (Window(dim, LIFE, 0), *leg.windows):
                key = (leg.grant, dim, window.per, window.start_ns)
                counter = ledger.counters.get(key)
                if window.dim == dim and counter is not None:
                    ledger.counters[key] = Counter(
                        counter.limit,
                        counter.reserved,
                        counter.spent,
                        counter.refunded + amount,
                        counter.told,
                    )


def post(ledger: Ledger, event: Posted) -> None:
    """Move value; an empty account is what is in flight."""
    resource, amount = event.resource, event.amount
    if event.debit:
        key = (event.debit, resource)
        ledger.balances[key] = ledger.balances.get(key, 0) - amount
        if event.debit.startswith(EXTERNAL):
            ledger.issued[resource] = ledger.issued.get(resource, 0) + amount
    else:
        ledger.inflight[resource] = ledger.inflight.get(resource, 0) - amount
    if event.credit:
        key = (event.credit, resource)
        ledger.balances[key] = ledger.balances.get(key, 0) + amount
        if event.credit.startswith(EXTERNAL):
            ledger.issued[resource] = ledger.issued.get(resource, 0) - amount
    else:
        ledger.inflight[resource] = ledger.inflight.get(resource, 0) + amount


def count(ledger: Ledger, counted: Count) -> None:
    """Count one more in a window of a rule, also in one that this very record opens."""
    key = (counted.scope, counted.dim, counted.per, counted.start_ns)
    counter = ledger.counters.get(key, UNUSED)
    ledger.counters[key] = Counter(
        counter.limit, counter.reserved, counter.spent + counted.amount, counter.refunded, counter.told
    )


def set_limit(ledger: Ledger, event: LimitSet, seq: int, position: int, offset_ns: int) -> None:
    """Give a counter its limit; a window's first limit opens it and schedules its end."""
    key = (event.scope, event.dim, event.per, event.start_ns)
    counter = ledger.counters.get(key)
    if counter is None:
        reserved = _open_reserve(ledger, event.scope, event.dim) if event.per == LIFE else 0
        counter = Counter(-1, reserved, 0, 0, 0)
    ledger.counters[key] = Counter(
        event.amount, counter.reserved, counter.spent, counter.refunded, counter.told
    )
    window = (event.scope, event.dim, event.per)
    if event.per != LIFE and window not in ledger.windows:
        _open_window(ledger, window, event.start_ns, seq, position, offset_ns)


def roll_window(ledger: Ledger, event: WindowRolled, seq: int, position: int, offset_ns: int) -> None:
    """Close a window, and open the next where there is one."""
    window = (event.scope, event.dim, event.per)
    del ledger.windows[window]
    if event.next_ns:
        ledger.counters[(*window, event.next_ns)] = Counter(event.amount, 0, 0, 0, 0)
        _open_window(ledger, window, event.next_ns, seq, position, offset_ns)


def appoint(ledger: Ledger, seq: int, position: int, due_ns: int) -> None:
    """Put something of another domain on the agenda."""
    ledger.appointments[seq, position] = due_ns
    ledger.schedule(Due(due_ns, seq, position, b"", NO_WINDOW))


def keep_appointment(ledger: Ledger, seq: int, position: int) -> None:
    """Take it off the agenda again."""
    ledger.appointments.pop((seq, position), None)


def cross_limit(ledger: Ledger, event: LimitCrossed) -> None:
    """Remember the highest soft limit that was reported."""
    if event.over != "tell":
        return
    key = (event.scope, event.dim, event.per, event.start_ns)
    old = ledger.counters[key]
    told = max(old.told, event.amount)
    ledger.counters[key] = Counter(old.limit, old.reserved, old.spent, old.refunded, told)


def _open_window(
    ledger: Ledger, window: tuple[str, str, str], start_ns: int, seq: int, position: int, offset_ns: int
) -> None:
    end_ns = window_end(window[2], start_ns, offset_ns)
    ledger.windows[window] = (start_ns, end_ns, seq, position)
    ledger.schedule(Due(end_ns, seq, position, b"", window))


def _open_reserve(ledger: Ledger, scope: str, dim: str) -> int:
    """What open holds have reserved of a dimension that is limited only now."""
    return sum(
        leg.reserve.get(dim, 0) for held in ledger.holds.values() for leg in held.legs if leg.grant == scope
    )


def _reserve(ledger: Ledger, leg: Leg, sign: int) -> None:
    counters = ledger.counters
    for dim, amount in leg.reserve.items():
        key = (leg.grant, dim, LIFE, 0)
        counter = counters.get(key)
        if counter is not None:
            counters[key] = Counter(
                counter.limit, counter.reserved + sign * amount, counter.spent, counter.refunded, counter.told
            )
    for window in leg.windows:
        key = (leg.grant, window.dim, window.per, window.start_ns)
        counter = counters.get(key, UNUSED)
        amount = leg.reserve.get(window.dim, 0)
        counters[key] = Counter(
            counter.limit, counter.reserved + sign * amount, counter.spent, counter.refunded, counter.told
        )


def _charge(ledger: Ledger, key: CounterKey, reserve: int, amount: int) -> None:
    counter = ledger.counters.get(key)
    if counter is not None:
        ledger.counters[key] = Counter(
            counter.limit, counter.reserved - reserve, counter.spent + amount, counter.refunded, counter.told
        )
