"""How the ledger remembers: each function applies one fact and decides nothing.

Rule 1. Total on recorded events: a fact that the journal holds can always be applied.
Rule 2. Entries are replaced, so that a fork can read through to its base.
Rule 3. A hold moves only as its table says (`lifecycle.py`).
"""

from collections.abc import Iterable

from msgspec.structs import replace

from splittally.core.amounts import added, moved
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
from splittally.core.ledger.check import open_reserve
from splittally.core.ledger.keyed import close_keys, count_key, count_use, move_keys, tell_key
from splittally.core.ledger.lifecycle import CHANGED, HELD, HOLD, NOTHING, RELEASE, SETTLE, UNHELD
from splittally.core.ledger.state import (
    NO_WINDOW,
    UNUSED,
    CounterKey,
    Due,
    Hold,
    Ledger,
    WindowKey,
    end_of_topup,
    issued_by,
)
from splittally.core.ledger.windows import is_rolling, window_end
from splittally.core.periods import period_of
from splittally.core.topups import TopUp
from splittally.core.types import APPROVAL, EXTERNAL, LIFE, OPEN, RUNNING, Draw, Leg, Window


def hold(ledger: Ledger, event: Held, seq: int, now_ns: int, principal: str) -> None:
    """Reserve for an intent and put its due time on the agenda."""
    assert event.intent_hash not in ledger.holds
    assert (NOTHING, HELD, event.phase) in HOLD
    legs = tuple(event.legs)
    for leg in legs:
        _reserve(ledger, leg, 1)
    ledger.holds[event.intent_hash] = Hold(
        seq=seq,
        member=event.member,
        by=principal,
        kind=event.kind,
        phase=event.phase,
        at_ns=now_ns,
        due_ns=event.due_ns,
        expires_ns=event.expires_ns,
        legs=legs,
        draws=tuple(event.draws),
    )
    if event.draws:
        _draw(ledger, event.draws, 1)
    if event.due_ns:
        ledger.schedule(
            Due(due_ns=event.due_ns, seq=seq, position=event.member, hold=event.intent_hash, window=NO_WINDOW)
        )


def label(ledger: Ledger, intent_hash: bytes, labels: dict[str, str]) -> None:
    """Remember what a hold's intent belongs to, as long as the hold is open."""
    ledger.labels[intent_hash] = labels


def refuse_receipt(ledger: Ledger, intent_hash: bytes, code: str) -> None:
    """Remember why a receipt of an intent was refused, as long as it is held."""
    if intent_hash in ledger.holds:
        ledger.refused[intent_hash] = [*ledger.refused.get(intent_hash, ()), code]


def change_hold(ledger: Ledger, event: HoldChanged, now_ns: int, principal: str) -> None:
    """Move a hold to another phase or due time; remember who started its effect, and who answered what."""
    old = ledger.holds[event.intent_hash]
    phase = HOLD[old.phase, CHANGED, event.phase]
    assert not event.attempt or (old.phase, phase) == (OPEN, RUNNING)  # one attempt starts an effect
    ledger.holds[event.intent_hash] = replace(old, phase=phase, due_ns=event.due_ns)
    if event.attempt:
        ledger.started[event.intent_hash] = (event.attempt, now_ns)
    if old.phase == APPROVAL:
        _answer(ledger, event, principal)
    if event.due_ns and event.due_ns != old.due_ns:
        ledger.schedule(
            Due(
                due_ns=event.due_ns,
                seq=old.seq,
                position=old.member,
                hold=event.intent_hash,
                window=NO_WINDOW,
            )
        )


def _answer(ledger: Ledger, event: HoldChanged, principal: str) -> None:
    """Remember why a hold waits and who approves; nothing of it once it is open."""
    if event.phase != APPROVAL:
        ledger.asked.pop(event.intent_hash, None)
    elif event.asks:
        ledger.asked[event.intent_hash] = event.asks
    elif event.answers:
        ledger.asked[event.intent_hash] = [
            replace(ask, by=[*ask.by, principal]) if ask.reason in event.answers else ask
            for ask in ledger.asks_of(event.intent_hash)
        ]


def settle(ledger: Ledger, event: Settled) -> None:
    """End the hold, where there is one, and charge each leg."""
    if ledger.refused:
        ledger.refused.pop(event.intent_hash, None)
    ended = ledger.holds.pop(event.intent_hash, None)
    ledger.started.pop(event.intent_hash, None)
    ledger.asked.pop(event.intent_hash, None)
    ledger.labels.pop(event.intent_hash, None)
    assert (UNHELD[event.how] if ended is None else ended.phase, SETTLE, event.how) in HOLD
    if ended is not None and ended.draws:
        _draw(ledger, ended.draws, -1)
    for at, charge in enumerate(event.legs):
        reserve: dict[str, int] = {}
        windows = charge.windows
        if ended is not None:
            reserve, windows = ended.legs[at].reserve, ended.legs[at].windows
        for dim in {**reserve, **charge.charged}:
            _charge(ledger, (charge.grant, dim, LIFE, 0), reserve.get(dim, 0), charge.charged.get(dim, 0))
        for window in windows:
            held, used = reserve.get(window.dim, 0), charge.charged.get(window.dim, 0)
            if window.key:
                count_key(ledger, charge.grant, window, reserved=-held, spent=used)
            else:
                _charge(ledger, ledger.counter_key(charge.grant, window), held, used)


def release(ledger: Ledger, event: Released) -> None:
    """End a hold and free what it reserved."""
    if ledger.refused:
        ledger.refused.pop(event.intent_hash, None)
    ended = ledger.holds.pop(event.intent_hash)
    ledger.started.pop(event.intent_hash, None)
    ledger.asked.pop(event.intent_hash, None)
    ledger.labels.pop(event.intent_hash, None)
    assert (ended.phase, RELEASE, event.cause) in HOLD
    for leg in ended.legs:
        _reserve(ledger, leg, -1)
    _draw(ledger, ended.draws, -1)


def refund(ledger: Ledger, event: Refunded) -> None:
    """Give back part of what was charged, in the counters that were charged."""
    for leg in event.legs:
        for dim, amount in leg.amounts.items():
            life = [] if dim in leg.uncounted else [Window(dim, LIFE, 0)]
            for window in (*life, *leg.windows):
                if window.key:
                    if window.dim == dim:
                        count_key(ledger, leg.grant, window, refunded=amount)
                    continue
                key = ledger.counter_key(leg.grant, window)
                counter = ledger.counters.get(key)
                if window.dim == dim and counter is not None:
                    ledger.counters[key] = replace(counter, refunded=added(counter.refunded, amount))


def post(ledger: Ledger, event: Posted) -> None:
    """Move value; an empty account is what is in flight."""
    resource, amount = event.resource, event.amount
    if event.debit:
        _credit(ledger, event.debit, resource, -amount)
    else:
        ledger.inflight[resource] = moved(ledger.inflight.get(resource, 0), -amount)
    if event.credit:
        _credit(ledger, event.credit, resource, amount)
    else:
        ledger.inflight[resource] = moved(ledger.inflight.get(resource, 0), amount)


def _credit(ledger: Ledger, account: str, resource: str, change: int) -> None:
    key = (account, resource)
    before = ledger.balances.get(key, 0)
    ledger.balances[key] = after = moved(before, change)
    if account.startswith(EXTERNAL):
        issued = issued_by(after) - issued_by(before)
        ledger.issued[resource] = added(ledger.issued.get(resource, 0), issued)


def count(ledger: Ledger, counted: Count) -> None:
    """Count one more in a window of a rule, also in one that this very record opens."""
    key = (counted.scope, counted.dim, counted.per, counted.start_ns)
    if counted.key:
        count_use(ledger, key, counted.key, counted.amount)
        return
    counter = ledger.counters.get(key, UNUSED)
    ledger.counters[key] = replace(counter, spent=added(counter.spent, counted.amount))


def set_limit(ledger: Ledger, event: LimitSet, seq: int, position: int, offset_ns: int) -> None:
    """Give a counter its limit; a window's first limit opens it and schedules its end."""
    key = (event.scope, event.dim, event.per, event.start_ns)
    counter = ledger.counters.get(key)
    if counter is None:
        reserved = open_reserve(ledger, event.scope, event.dim) if event.per == LIFE else 0
        counter = replace(UNUSED, reserved=added(0, reserved))
    ledger.counters[key] = replace(counter, limit=event.amount)
    window = (event.scope, event.dim, event.per)
    if event.per == LIFE:
        return
    standing, is_sliced = ledger.windows.get(window), is_rolling(event.per)
    if standing is None or (is_sliced and standing[0] < event.start_ns):
        _open_window(ledger, window, event.start_ns, seq, position, offset_ns)
        if is_sliced:
            _open_slice(ledger, window, event.start_ns)


def roll_window(ledger: Ledger, event: WindowRolled, seq: int, position: int, offset_ns: int) -> None:
    """Close a window, and open the next where there is one."""
    window = (event.scope, event.dim, event.per)
    del ledger.windows[window]
    following = (event.scope, event.dim, event.into or event.per)
    if event.into:
        move_keys(ledger, (*window, event.start_ns), (*following, event.next_ns))
    else:
        close_keys(ledger, (*window, event.start_ns))
    if event.into:
        ledger.move_counter((*window, event.start_ns), (*following, event.next_ns))
        opened = replace(ledger.counters[*following, event.next_ns], limit=event.amount)
    else:
        opened = replace(UNUSED, limit=event.amount)
    if event.next_ns or event.into:
        ledger.counters[*following, event.next_ns] = opened
        _open_window(ledger, following, event.next_ns, seq, position, offset_ns)
    elif is_rolling(event.per):
        ledger.keep_slices(window, ())


def _open_slice(ledger: Ledger, window: WindowKey, at: int) -> None:
    """Add a slice to a rolling window, and forget those that count no more at any instant in it."""
    period = period_of(window[2])
    gone = at - period.length_ns - period.slice_ns
    ledger.keep_slices(window, (*(x for x in ledger.slices.get(window, ()) if x > gone), at))


def set_topup(ledger: Ledger, key: str, topup: TopUp | None) -> None:
    """Raise a limit until a time, which goes on the agenda; None ends what stands by this key."""
    old = ledger.topups.pop(key, None)
    if old is not None:
        ledger.raise_limit(old, -1)
    if topup is not None:
        ledger.topups[key] = topup
        ledger.raise_limit(topup, 1)
        ledger.schedule(end_of_topup(key, topup))


def appoint(ledger: Ledger, seq: int, position: int, due_ns: int) -> None:
    """Put something of another domain on the agenda."""
    ledger.appointments[seq, position] = due_ns
    ledger.schedule(Due(due_ns=due_ns, seq=seq, position=position, hold=b"", window=NO_WINDOW))


def keep_appointment(ledger: Ledger, seq: int, position: int) -> None:
    """Take it off the agenda again."""
    ledger.appointments.pop((seq, position), None)


def cross_limit(ledger: Ledger, event: LimitCrossed) -> None:
    """Remember the highest soft limit that was reported."""
    if event.over != "tell":
        return
    key = (event.scope, event.dim, event.per, event.start_ns)
    if event.key:
        tell_key(ledger, key, event.key, event.amount)
        return
    old = ledger.counters[key]
    told = max(old.told, event.amount)
    ledger.counters[key] = replace(old, told=told)


def _open_window(
    ledger: Ledger, window: WindowKey, start_ns: int, seq: int, position: int, offset_ns: int
) -> None:
    end_ns = window_end(window[2], start_ns, offset_ns, ledger.zones)
    ledger.windows[window] = (start_ns, end_ns, seq, position)
    ledger.schedule(Due(due_ns=end_ns, seq=seq, position=position, hold=b"", window=window))


def _reserve(ledger: Ledger, leg: Leg, sign: int) -> None:
    counters = ledger.counters
    for dim, amount in leg.reserve.items():
        key = (leg.grant, dim, LIFE, 0)
        counter = counters.get(key)
        if counter is not None:
            counters[key] = replace(counter, reserved=added(counter.reserved, sign * amount))
    for window in leg.windows:
        if window.key:
            count_key(ledger, leg.grant, window, reserved=sign * leg.reserve.get(window.dim, 0))
            continue
        key = ledger.counter_key(leg.grant, window)
        counter = counters.get(key)
        if counter is None:
            if sign < 0:
                continue  # a slice of a rolling window that counts no more
            counter = UNUSED
        amount = leg.reserve.get(window.dim, 0)
        counters[key] = replace(counter, reserved=added(counter.reserved, sign * amount))


def _draw(ledger: Ledger, draws: Iterable[Draw], sign: int) -> None:
    for draw in draws:
        key = (draw.account, draw.resource)
        ledger.drawn[key] = added(ledger.drawn.get(key, 0), sign * draw.amount)


def _charge(ledger: Ledger, key: CounterKey, reserve: int, amount: int) -> None:
    counter = ledger.counters.get(key)
    if counter is not None:
        ledger.counters[key] = replace(
            counter, reserved=added(counter.reserved, -reserve), spent=added(counter.spent, amount)
        )
