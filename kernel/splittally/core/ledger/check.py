"""Stage 5: does every limit of every leg, and every account drawn on, leave room?

Rule 1. Each limit of each leg is checked, also for a dimension that the estimate does not name (0).
Rule 2. All that is found is reported; nothing is changed here.
Rule 3. The amounts of a grant that the principal does not hold are not shown (`limited_above`).
Rule 4. No counter counts beyond 2^64-1, whether a limit compares it or not (`amount_overflow`).
Rule 5. What can never fit is denied, not deferred; what fits later says when (`core/waiting.py`).
"""

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from splittally.core.amounts import fits, shown
from splittally.core.events import LimitCrossed, LimitSet
from splittally.core.findings import Finding, advising, find
from splittally.core.ledger.moves import Move, refused_moves
from splittally.core.ledger.resets import end_of_window, frees_at_ns
from splittally.core.ledger.state import UNUSED, Counter, Ledger, WindowKey
from splittally.core.ledger.windows import is_rolling, slice_of, window_end, window_start
from splittally.core.reasons import RETRY_AFTER
from splittally.core.types import ALLOW, DEFER, DENY, LIFE, PER_INTENT, REQUIRE_APPROVAL, Draw, Limit, Window
from splittally.core.value_keys import NO_KEYS, Keys
from splittally.core.waiting import NEVER, Wait, wait_for

_OUTCOME = {"deny": DENY, "defer": DEFER, "ask": REQUIRE_APPROVAL, "tell": ALLOW, "shadow": ALLOW}
_CODE = {  # of those that neither deny nor defer (`_code_of`)
    "ask": "approval_threshold",
    "tell": "limit_approaching",
    "shadow": "shadow_exceeded",
}


class LimitCheck(Struct, frozen=True, gc=False):
    """What checking one leg found: the outcomes of its limits and what committing it would record.

    `asks` are the limits above which somebody must approve, each by scope, dimension and period.
    """

    outcomes: list[str]
    findings: list[Finding]
    windows: list[Window]
    events: list[LimitSet | LimitCrossed]
    asks: list[str] = []


NOTHING = LimitCheck(outcomes=[], findings=[], windows=[], events=[])


class Scope(Struct, frozen=True, gc=False):
    """Whose counters: the grant's name, and whether the principal may see its amounts."""

    name: str
    is_visible: bool


# Example. Limits of one leg: 100 tokens for life, 40 a day that defer, 30 an intent that asks. Spent 55,
# reserved 20, spent today 35. An intent of 32 tokens finds, in the order in which the limits are stated:
#
#     life    55 + 20 + 32 = 107 > 100    deny              budget_exceeded    needed 32, available 25
#     day     35 + 32 = 67 > 40           defer             budget_deferred    needed 32, available 5
#     intent  32 > 30                     require_approval  approval_threshold needed 32, available 30
#
# The strictest outcome stands, here deny, and all three findings are told. A limit that tells or is a
# shadow never changes the outcome. Several limits of one dimension and period share one counter.
def check_limits(
    ledger: Ledger,
    scope: Scope,
    limits: tuple[Limit, ...],
    estimate: dict[str, int],
    now_ns: int,
    offset_ns: int,
    keys: Keys = NO_KEYS,
) -> LimitCheck:
    """What the limits of one leg say of its estimate; `keys` are of those that count by a value."""
    if not limits:
        return NOTHING
    found = LimitCheck(outcomes=[], findings=[], windows=[], events=[])
    for limit in limits:
        asked = estimate.get(limit.dim, 0)
        if limit.per == PER_INTENT:
            _check_intent(found, scope, limit, asked)
            continue
        start_ns, key = 0, b""
        if keys and limit.per in keys:
            key = keys[limit.per]
            start_ns, counter = _keyed_window(
                ledger, scope.name, limit, limits, now_ns, offset_ns, found, key
            )
        elif limit.per == LIFE:
            counter = ledger.counters[scope.name, limit.dim, LIFE, 0]
        else:
            start_ns, counter = _window(ledger, scope.name, limit, limits, now_ns, offset_ns, found)
        bound = limit.amount
        if limit.over == "deny":
            bound = counter.limit
            if ledger.raised:
                bound += ledger.raised.get((scope.name, limit.dim, limit.per), 0)
        if _is_passed(found, scope, limit, counter, asked, bound, start_ns, key):
            left, resets_ns = counter.left_of(bound), 0
            most = left + counter.reserved
            if limit.per != LIFE:
                most, of = limit.amount, (scope.name, limit.dim, limit.per)
                if is_rolling(limit.per):
                    resets_ns = frees_at_ns(ledger, of, asked, bound, now_ns)
                else:
                    resets_ns = end_of_window(ledger, of, start_ns, offset_ns)
            wait = wait_for(_OUTCOME[limit.over], asked, most, resets_ns)
            _refuse(found, scope, limit, asked, left, wait)
    return found


def _check_intent(found: LimitCheck, scope: Scope, limit: Limit, asked: int) -> None:
    """What the limit of a single intent says: one that is too large is so whenever it is asked."""
    if asked > limit.amount or (limit.over == "tell" and 0 < asked == limit.amount):
        wait = NEVER if limit.over == "defer" else Wait(_OUTCOME[limit.over], {})
        _refuse(found, scope, limit, asked, limit.amount, wait)


def _is_passed(
    found: LimitCheck,
    scope: Scope,
    limit: Limit,
    counter: Counter,
    asked: int,
    bound: int,
    start_ns: int,
    key: bytes,
) -> bool:
    """Whether more would be used than the bound; what a limit only tells of is told here."""
    total = counter.reserved + counter.spent + asked
    left = counter.left_of(bound) - asked
    if not fits(total):
        found.outcomes.append(DENY)
        found.findings.append(find("amount_overflow", dim=limit.dim, grant=scope.name))
    elif limit.over == "tell":
        if left <= 0 and counter.told < limit.amount:
            crossed = _crossed(scope, limit, start_ns, left, key)
            found.events.append(crossed)
            found.findings.append(told(crossed))
    elif left < 0:
        if limit.over == "shadow":
            found.events.append(_crossed(scope, limit, start_ns, left, key))
        return True
    return False


def told(crossed: LimitCrossed) -> Finding:
    """That a soft limit was reached, at whichever moment: when it was reserved for, or charged."""
    return find(
        "limit_approaching",
        dim=crossed.dim,
        grant=crossed.scope,
        per=crossed.per,
        limit=crossed.amount,
    )


def _crossed(scope: Scope, limit: Limit, start_ns: int, left: int, key: bytes) -> LimitCrossed:
    return LimitCrossed(
        scope=scope.name,
        dim=limit.dim,
        per=limit.per,
        start_ns=start_ns,
        over=limit.over,
        amount=limit.amount,
        balance=shown(left),
        key=key,
    )


def _refuse(found: LimitCheck, scope: Scope, limit: Limit, asked: int, available: int, wait: Wait) -> None:
    found.outcomes.append(wait.outcome)
    if wait.outcome == REQUIRE_APPROVAL:
        found.asks.append(f"{scope.name} {limit.dim} {limit.per}")
    if scope.is_visible or limit.over == "shadow":
        code = _code_of(limit, wait)
        facts = {"needed": asked, "available": available, **wait.facts}
        finding = find(code, dim=limit.dim, grant=scope.name, per=limit.per, **facts)
    else:
        finding = find("limited_above", dim=limit.dim, grant=scope.name, per=limit.per, **wait.facts)
        if wait.outcome == DEFER:
            finding = advising(finding, RETRY_AFTER)
    found.findings.append(finding)


def _code_of(limit: Limit, wait: Wait) -> str:
    if limit.over not in ("deny", "defer"):
        return _CODE[limit.over]
    if limit.per == PER_INTENT:
        return "intent_limit_exceeded"
    return "budget_deferred" if wait.outcome == DEFER else "budget_exceeded"


# A calendar window that nobody used since it began has no counter: `LimitSet` opens one with the amount
# above which it denies, which is that of the hard limit if there is one beside softer ones, and -1 (it
# only counts) if not.
def _window(
    ledger: Ledger,
    scope: str,
    limit: Limit,
    limits: tuple[Limit, ...],
    now_ns: int,
    offset_ns: int,
    found: LimitCheck,
    key: bytes = b"",
) -> tuple[int, Counter]:
    """The open window of a limit and its counter; where none is open, the event that opens one."""
    of = (scope, limit.dim, limit.per)
    standing = ledger.windows.get(of)
    if is_rolling(limit.per):
        return _rolling_window(ledger, of, limit, limits, now_ns, found)
    if standing is None:
        start_ns = window_start(limit.per, now_ns, offset_ns, ledger.zones)
        end_ns = window_end(limit.per, start_ns, offset_ns, ledger.zones)
        counter = replace(UNUSED, limit=hard_amount(limits, limit))
    else:
        start_ns, end_ns, *_ = standing
        counter = ledger.counters.get((*of, start_ns), UNUSED)
    window = Window(limit.dim, limit.per, start_ns, end_ns, key)
    _touch(found, scope, window, None if standing else counter.limit)
    return start_ns, counter


# The keys of a limit share its window, whose own counter says what the limit is in it; what a key used stands
# in the key's.
def _keyed_window(
    ledger: Ledger,
    scope: str,
    limit: Limit,
    limits: tuple[Limit, ...],
    now_ns: int,
    offset_ns: int,
    found: LimitCheck,
    key: bytes,
) -> tuple[int, Counter]:
    start_ns, whole = _window(ledger, scope, limit, limits, now_ns, offset_ns, found, key)
    counter = ledger.keyed.get((scope, limit.dim, limit.per, start_ns, key), UNUSED)
    return start_ns, replace(counter, limit=whole.limit)


# A rolling window is compared with all of its slices together, and what passes is counted in the slice of
# now. Of the slice that stands the amount is the one that an edit may have set, of a new one that of the
# limits.
def _rolling_window(
    ledger: Ledger,
    key: WindowKey,
    limit: Limit,
    limits: tuple[Limit, ...],
    now_ns: int,
    found: LimitCheck,
) -> tuple[int, Counter]:
    slices = ledger.slices.get(key, ())
    at = slice_of(limit.per, slices, now_ns)
    counter, is_new = ledger.rolled(key, now_ns), at not in slices
    if is_new:
        counter = replace(counter, limit=hard_amount(limits, limit))
    window = Window(limit.dim, limit.per, at, window_end(limit.per, at, 0))
    _touch(found, key[0], window, counter.limit if is_new else None)
    return at, counter


def _touch(found: LimitCheck, scope: str, window: Window, opens_with: int | None) -> None:
    """Note a window that the leg touches, and the event that opens it where it does not stand."""
    if window in found.windows:
        return
    found.windows.append(window)
    if opens_with is not None:
        found.events.append(
            LimitSet(scope=scope, dim=window.dim, per=window.per, start_ns=window.start_ns, amount=opens_with)
        )


def check_counted(
    ledger: Ledger, scope: Scope, limits: tuple[Limit, ...], estimate: dict[str, int]
) -> list[Finding]:
    """What the counters of limits that are gone cannot count: they go on counting, and stop at 2^64-1."""
    findings = []
    for dim, asked in estimate.items():
        counter = ledger.counters.get((scope.name, dim, LIFE, 0))
        if counter is None or fits(counter.reserved + counter.spent + asked):
            continue
        if not any((limit.dim, limit.per) == (dim, LIFE) for limit in limits):  # `_is_passed` finds those
            findings.append(find("amount_overflow", dim=dim, grant=scope.name))
    return findings


def check_open_reserve(ledger: Ledger, scope: str, dims: Iterable[str]) -> list[Finding]:
    """Whether limits of these dimensions, new ones too, can count what open intents hold under them."""
    findings = []
    for dim in sorted(dims):
        if (scope, dim, LIFE, 0) not in ledger.counters:
            reserved = open_reserve(ledger, scope, dim)
            if not fits(reserved):
                findings.append(find("amount_overflow", dim=dim, grant=scope, needed=reserved))
    return findings


def open_reserve(ledger: Ledger, scope: str, dim: str) -> int:
    """What open holds have reserved of a dimension under a grant."""
    return sum(
        leg.reserve.get(dim, 0) for held in ledger.holds.values() for leg in held.legs if leg.grant == scope
    )


def hard_amount(limits: tuple[Limit, ...], like: Limit) -> int:
    """The amount that a counter of this dimension and period denies above; -1 where none does."""
    amounts = [x.amount for x in limits if (x.dim, x.per, x.over) == (like.dim, like.per, "deny")]
    return min(amounts, default=-1)


def draw_moves(draws: list[Draw]) -> list[Move]:
    """The moves that take what is drawn into flight."""
    return [Move(draw.account, "", draw.resource, draw.amount) for draw in draws if draw.amount]


def check_accounts(ledger: Ledger, draws: list[Draw]) -> list[Finding]:
    """What the accounts drawn on say: one finding for each that holds too little."""
    moves = draw_moves(draws)
    findings = refused_moves(ledger, sorted(moves) if len(moves) > 1 else moves)
    unpaid = dict.fromkeys(draw.resource for draw in draws if not draw.pays_to)
    return findings + [find("payee_missing", resource=resource) for resource in unpaid]
