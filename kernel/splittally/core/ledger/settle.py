"""What an ending costs: charges to counters and postings of accounts.

Rule 1. Settling is total: whatever the answer, the hold ends and every number that follows is defined.
Rule 2. Each leg is charged its own usage by its own verdict; a fault concerns its own leg and charges
        what it reserved.
Rule 3. An account never pays more than was committed, but for a leg whose grant says `debt`.
Rule 4. Of several accounts that pay one resource the first pays first, and the last gets its rest back first,
        owes what `debt` lets be owed, and pays late what those before it cannot any more.
"""

from collections.abc import Callable

from msgspec import Struct

from splittally.core.abi import Fault, SettleVerdict
from splittally.core.amounts import room, shown
from splittally.core.events import Charge, Event, LimitCrossed, Posted
from splittally.core.findings import Finding, find
from splittally.core.ledger.keyed import counter_under_limit, keyed_counter
from splittally.core.ledger.moves import spendable
from splittally.core.ledger.state import Counter, CounterKey, Hold, Ledger
from splittally.core.types import LIFE, Draw, Leg, Limit, Window, covers_account, is_plain

SoftLimitsOf = Callable[[str], list[Limit]]  # of the grant of this name, those that only tell


class Doubt(Struct, frozen=True, gc=False):
    """No answer, because nobody learned whether the effect happened."""


Answer = SettleVerdict | Fault | Doubt
NO_USAGE = SettleVerdict({})


class Ending(Struct, frozen=True, gc=False):
    """A hold, or a hold that was, with what each leg's enforcer answered.

    `is_late` is a receipt for a released intent: nothing is in flight and nothing is reserved.
    """

    intent_hash: bytes
    legs: tuple[Leg, ...]
    draws: tuple[Draw, ...]
    answers: list[Answer]
    pays_to: str
    is_late: bool


def charge_leg(ledger: Ledger, leg: Leg, answer: Answer, is_late: bool) -> Charge:
    """What one leg used and is charged, with every violation."""
    violations: list[Finding] = []
    match answer:
        case SettleVerdict():
            usage = answer.usage
            if answer.violation_code:
                facts = {"grant": leg.grant, "message": answer.violation_message}
                violations.append(Finding("enforcer", answer.violation_code, facts))
        case Fault():
            usage = leg.reserve
            violations.append(find("enforcer_fault", grant=leg.grant, fault=answer.cls))
        case Doubt():
            usage = leg.reserve
    charged = {}
    for dim, used in usage.items():
        reserve = leg.reserve.get(dim, 0)
        if used > reserve > 0:
            violations.append(
                find("usage_exceeds_reserve", grant=leg.grant, dim=dim, reserve=reserve, usage=used)
            )
        amount = reserve if leg.above == "cap" and used > reserve > 0 else used
        charged[dim] = _saturate(ledger, leg, dim, amount, violations)
    windows = leg.windows if is_late else []
    uncounted = uncounted_dims(ledger, leg.grant, charged) if charged else []
    return Charge(
        grant=leg.grant,
        grant_hash=leg.grant_hash,
        terms_hash=leg.terms_hash,
        enforcer_ref=leg.enforcer_ref,
        usage=usage,
        charged=charged,
        violations=violations,
        windows=windows,
        uncounted=uncounted,
    )


def uncounted_dims(ledger: Ledger, grant: str, charged: dict[str, int]) -> list[str]:
    """The dimensions that are charged while no limit for life has ever counted them under this grant."""
    return [dim for dim in sorted(charged) if charged[dim] and (grant, dim, LIFE, 0) not in ledger.counters]


def _saturate(ledger: Ledger, leg: Leg, dim: str, amount: int, violations: list[Finding]) -> int:
    counter = ledger.counters.get((leg.grant, dim, LIFE, 0))
    spent = counter.spent if counter else 0
    for window in leg.windows:
        if window.key:
            counter = keyed_counter(ledger, leg.grant, window)
        else:
            counter = ledger.counters.get(ledger.counter_key(leg.grant, window))
        if window.dim == dim and counter is not None:
            spent = max(spent, counter.spent)
    left = room(spent)
    if amount > left:
        violations.append(find("counter_saturated", grant=leg.grant, dim=dim, usage=amount, charged=left))
        return left
    return amount


# Example. Limit 100, told of from 80 on, spent 70, this hold reserved 20: available 10. It used 45:
#
#     told       70 + 20 - 20 (freed) + 45 = 115 >= 80   ->  LimitCrossed(tell, amount 80, balance -35)
#     exhausted  10 + 20 (freed) - 45 = -15              ->  LimitCrossed(exhausted, amount 100, balance -15)
#
# A late receipt frees nothing, because its reserve was released already. A counter that was below zero before
# is not told again, nor what was told before: a window tells once, and a refund takes nothing back.
def crossings(
    ledger: Ledger, legs: tuple[Leg, ...], charges: list[Charge], is_late: bool, soft_limits_of: SoftLimitsOf
) -> list[LimitCrossed]:
    """An event for every limit that these charges reach (`tell`) and every counter that they exhaust."""
    events: list[LimitCrossed] = []
    for leg, charge in zip(legs, charges, strict=True):
        charged = charge.charged
        if not charged:
            continue
        keys = [(leg.grant, dim, LIFE, 0) for dim in sorted(charged)]
        counted = [(key, ledger.counters.get(key), b"") for key in keys]
        if leg.windows:
            counted += [_counted(ledger, leg.grant, window) for window in leg.windows]
        soft = soft_limits_of(leg.grant)
        for key, counter, value in counted:
            if counter is None:
                continue
            amount = charged.get(key[1], 0)
            freed = 0 if is_late else leg.reserve.get(key[1], 0)
            if soft and amount:
                events += _told(key, counter, amount - freed, soft, value)
            if counter.limit < 0:
                continue
            available = counter.available
            if ledger.raised:
                available += ledger.raised.get(key[:3], 0)
            if available + freed < amount and available >= 0:
                events.append(_crossed(key, "exhausted", counter.limit, available + freed - amount, value))
    return events


def _counted(ledger: Ledger, grant: str, window: Window) -> tuple[CounterKey, Counter | None, bytes]:
    """The counter of a window, or of its key under the window's limit."""
    key = ledger.counter_key(grant, window)
    counter = counter_under_limit(ledger, grant, window) if window.key else ledger.counted(key)
    return key, counter, window.key


def _told(
    key: CounterKey, counter: Counter, change: int, soft: list[Limit], value: bytes
) -> list[LimitCrossed]:
    """Every soft limit on this counter that its change reaches and that was not told of yet."""
    _, dim, per, _ = key
    return [
        _crossed(key, limit.over, limit.amount, limit.amount - counter.used - change, value)
        for limit in soft
        if (limit.dim, limit.per) == (dim, per) and counter.told < limit.amount <= counter.used + change
    ]


def _crossed(key: CounterKey, over: str, amount: int, balance: int, value: bytes) -> LimitCrossed:
    scope, dim, per, start_ns = key
    return LimitCrossed(
        scope=scope,
        dim=dim,
        per=per,
        start_ns=start_ns,
        over=over,
        amount=amount,
        balance=shown(balance),
        key=value,
    )


# Example. 12 USD were drawn from `accounts/team` for leg 1, so they are in flight. What the postings are
# depends on what the leg used, and on what its grant says happens above the reserve:
#
#     used  9                    in flight -> vendor 9, in flight -> accounts/team 3
#     used 15, above = charge    in flight -> vendor 12, and `unfunded` 15 against 12
#     used 15, above = cap       in flight -> vendor 12, nothing more is owed
#     used 15, above = debt      in flight -> vendor 12, accounts/team -> vendor 3 within its debt limit
#     no answer, doubt = payee   in flight -> accounts/team 12
#     late, used 9               accounts/team -> vendor, as much of 9 as the account still has
#
# Of 3 drawn from `accounts/promo` and then 2 from `accounts/paid`, where 4 were used:
#
#     in flight -> vendor 3      in flight -> vendor 1, in flight -> accounts/paid 1
#
# An ending draws a resource from an account once, so no draw finds an account that another has taken from.
def pay_draws(ledger: Ledger, ending: Ending) -> tuple[list[Event], list[Finding]]:
    """The postings that end what was drawn, and what is wrong with them."""
    postings: list[Event] = []
    violations: list[Finding] = []
    for draws in _by_resource(ending.draws):
        *others, last = draws
        leg, used = ending.legs[last.leg], _used(ending, draws)
        payee = payee_of(draws[0], ending.pays_to, ledger, violations)
        paid, reserve = 0, 0
        for draw in others:
            reserve += draw.amount
            committed = _committed(ledger, ending, draw, min(used, reserve) - paid)
            paid += committed
            postings += _posted(ending, draw, payee, committed, 0, leg.grant)
        reserve += last.amount
        committed = _committed(ledger, ending, last, min(used, reserve) - paid)
        extra = 0
        if used > reserve and leg.above == "debt" and not ending.is_late:
            extra = max(0, min(used - reserve, spendable(ledger, last.account, last.resource)))
        paid += committed + extra
        if paid < used and leg.above != "cap":
            facts = {"account": last.account, "resource": last.resource, "needed": used, "paid": paid}
            violations.append(find("unfunded", **facts))
        postings += _posted(ending, last, payee, committed, extra, leg.grant)
    return postings, violations


def _by_resource(draws: tuple[Draw, ...]) -> list[list[Draw]]:
    """The draws of each resource, in their order."""
    found: dict[str, list[Draw]] = {}
    for draw in draws:
        found.setdefault(draw.resource, []).append(draw)
    return list(found.values())


def _used(ending: Ending, draws: list[Draw]) -> int:
    """What was used of a resource that these draws pay; without an answer, what `doubt` says."""
    answer = ending.answers[draws[0].leg]
    if isinstance(answer, SettleVerdict):
        return answer.usage.get(draws[0].resource, 0)
    return 0 if draws[0].doubt == "payee" else sum(draw.amount for draw in draws)


def _committed(ledger: Ledger, ending: Ending, draw: Draw, owed: int) -> int:
    """What an account pays of what is owed: it is in flight, or what the account still has of it."""
    return max(0, min(owed, spendable(ledger, draw.account, draw.resource))) if ending.is_late else owed


def _posted(ending: Ending, draw: Draw, payee: str, committed: int, extra: int, grant: str) -> list[Event]:
    source = draw.account if ending.is_late else ""
    moves = [(source, payee, committed), (draw.account, payee, extra)]
    if not ending.is_late:
        moves.append(("", draw.account, draw.amount - committed))
    return [
        Posted(
            debit=debit,
            credit=credit,
            resource=draw.resource,
            amount=amount,
            grant=grant,
            intent_hash=ending.intent_hash,
        )
        for debit, credit, amount in moves
        if amount
    ]


def first_payee(ledger: Ledger, pays_to: list[str]) -> str:
    """Whom a list of payees pays where nobody is named: its first, if that is an account; else empty."""
    first = pays_to[0] if pays_to else ""
    return first if first in ledger.accounts and is_plain(first) else ""


def payee_of(draw: Draw, named: str, ledger: Ledger, violations: list[Finding]) -> str:
    """Who is credited: the payee the receipt names where it is listed, else the first.

    Where the first is no account, as older records have it, the payer keeps its money.
    """
    first = first_payee(ledger, draw.pays_to) or draw.account
    if not named:
        return first
    if named in ledger.accounts and any(covers_account(entry, named) for entry in draw.pays_to):
        return named
    violations.append(find("payee_not_permitted", account=named, credited=first))
    return first


def return_draws(hold: Hold, intent_hash: bytes) -> list[Event]:
    """The postings that give everything drawn for a hold back to where it came from."""
    return [
        Posted(
            debit="",
            credit=draw.account,
            resource=draw.resource,
            amount=draw.amount,
            grant=hold.legs[draw.leg].grant,
            intent_hash=intent_hash,
        )
        for draw in hold.draws
        if draw.amount
    ]
