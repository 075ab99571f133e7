"""The ledger as people and programs read it: counters, open holds, accounts, resources.

Rule 1. Everything is derived from one state; nothing here is recorded or decides.
"""

import msgspec

from splittally.core.ledger.moves import spendable
from splittally.core.ledger.state import Counter, CounterKey
from splittally.core.state import State
from splittally.core.types import LIFE, RESERVED, AccountDef
from splittally.runtime.rows import Row

UNDEFINED = "undefined"  # of an account that is only named


def counter_row(counter: Counter | None, raised: int = 0) -> Row | None:
    """A counter; `limit` is None where nothing limits it, `raised` is by top-ups that end by themselves."""
    if counter is None:
        return None
    row = Row(
        limit=counter.limit if counter.limit >= 0 else None, reserved=counter.reserved, spent=counter.spent
    )
    if counter.refunded:
        row["refunded"] = counter.refunded
    if raised and counter.limit >= 0:
        row["raised"] = raised
    return row


def raised_by(state: State, key: CounterKey) -> int:
    """What top-ups raise the limit of a counter by; 0 for that of a window that is not open."""
    books, per = state.ledger, key[2]
    is_open = per == LIFE or (books.windows.get(key[:3]) or (None,))[0] == key[3]
    return books.raised.get(key[:3], 0) if is_open else 0


def hold_row(state: State, digest: bytes) -> Row | None:
    """The open hold of an intent; None where it has none."""
    hold = state.ledger.holds.get(digest)
    if hold is None:
        return None
    attempt, started_ns = state.ledger.started.get(digest, (None, None))
    return Row(
        intent_hash=digest,
        seq=hold.seq,
        principal=hold.by,
        kind=hold.kind,
        status=RESERVED,
        phase=hold.phase,
        at_ns=hold.at_ns,
        age_ns=state.now_ns - hold.at_ns,
        due_ns=hold.due_ns or None,
        attempt=attempt,
        started_ns=started_ns,
        running_ns=None if started_ns is None else state.now_ns - started_ns,
        is_orphan=started_ns is not None,
        labels=state.ledger.labels.get(digest, {}),
        grant=hold.legs[0].grant,
        reserve=hold.legs[0].reserve,
        dim=sorted(hold.legs[0].reserve),
        legs=[Row(msgspec.structs.asdict(leg)) for leg in hold.legs],
        draws=[Row(msgspec.structs.asdict(draw)) for draw in hold.draws],
    )


def account_names(state: State) -> set[str]:
    """Every account that is defined, or only named by a balance."""
    ledger = state.ledger
    return {*ledger.accounts, *(name for name, _ in ledger.balances)}


def account_row(state: State, name: str) -> Row | None:
    """An account by its name; None where nothing is known of it."""
    ledger = state.ledger
    resources = sorted(ledger.resources)
    held = {x: ledger.balances[name, x] for x in resources if (name, x) in ledger.balances}
    account = ledger.accounts.get(name)
    if account is None and not held:
        return None
    account = account or AccountDef(name=name, kind=UNDEFINED, debt_limit=0)
    return Row(
        kind=account.kind,
        debt_limit=account.debt_limit,
        balances=held,
        in_flight={x: ledger.drawn[name, x] for x in resources if ledger.drawn.get((name, x))},
        spendable={x: spendable(ledger, name, x) for x in held},
    )


def resource_row(state: State, name: str) -> Row | None:
    """A resource by its name; None where it is not defined."""
    ledger = state.ledger
    resource = ledger.resources.get(name)
    if resource is None:
        return None
    balances = sum(amount for (_, held), amount in ledger.balances.items() if held == name)
    flying = ledger.inflight.get(name, 0)
    return Row(scale=resource.scale, in_flight=flying, imbalance=balances + flying)
