"""What the ledger remembers: counters, windows, accounts, holds and when they fall due.

Rule 1. A counter is keyed by (scope, dim, per, start); entries are replaced, never mutated. A rolling window
        has one for each of its slices.
Rule 2. Per resource, after every record, balances and what is in flight sum to zero.
Rule 3. Where an edit ended a window, its counter became that of the window that followed. `moved` says which,
        so whatever comes later for the old one is counted there.
Rule 4. What is derived stands in no root and can be rebuilt: the agenda from holds, windows and appointments,
        `drawn` from holds, `issued` from balances, `raised` from top-ups,
        `slices` from counters, `keys` from keyed counters.
"""

from heapq import heapify, heappop, heappush

from msgspec import Struct

from splittally.core.amounts import NONE, Balance, Natural, added, saturated
from splittally.core.asks import ANYBODY, Ask
from splittally.core.ledger.key_index import KeyIndex
from splittally.core.ledger.windows import counting, is_rolling
from splittally.core.overlay import Overlay
from splittally.core.topups import TopUp
from splittally.core.types import EXTERNAL, AccountDef, Draw, Leg, Lender, ResourceDef, Window
from splittally.core.zones import Zone

CounterKey = tuple[str, str, str, int]
KeyedKey = tuple[str, str, str, int, bytes]
WindowKey = tuple[str, str, str]


class Counter(Struct, frozen=True, array_like=True, gc=False):
    """`limit` is -1 where the counter only counts; `told` is the highest soft limit reported."""

    limit: int
    reserved: Natural
    spent: Natural
    refunded: Natural
    told: int

    def left_of(self, amount: int) -> int:
        """What may still be reserved where at most `amount` may be used; negative where more was."""
        return amount + self.refunded - self.reserved - self.spent

    @property
    def available(self) -> int:
        """What its own limit leaves."""
        return self.left_of(self.limit)

    @property
    def used(self) -> int:
        return self.reserved + self.spent - self.refunded


UNUSED = Counter(limit=-1, reserved=NONE, spent=NONE, refunded=NONE, told=0)


class Hold(Struct, array_like=True, gc=False):
    """Amounts reserved for one intent, by the member of this place in the frame `seq`."""

    seq: int
    member: int
    by: str
    kind: str
    phase: str
    at_ns: int
    due_ns: int
    expires_ns: int
    legs: tuple[Leg, ...]
    draws: tuple[Draw, ...]


class Due(Struct, frozen=True, order=True, gc=False):
    """An item of the agenda, in the order in which items are worked through.

    It names a hold or a window; one with neither is an appointment that another domain made. A window of no
    scope is a top-up that ends, by its key.
    """

    due_ns: int
    seq: int
    position: int
    hold: bytes
    window: WindowKey


NO_WINDOW: WindowKey = ("", "", "")
TOPUPS = "topups"


def end_of_topup(key: str, topup: TopUp) -> Due:
    """The item of the agenda that ends a top-up."""
    return Due(due_ns=topup.until_ns, seq=0, position=0, hold=b"", window=("", key, ""))


def issued_by(balance: int) -> int:
    """What an external account of this balance has let into the world."""
    return max(0, -balance)


class Ledger:
    """The tables of the ledger."""

    __slots__ = ("accounts", "agenda", "agenda_is_shared", "appointments", "asked", "balances", "counters",
                 "drawn", "holds", "inflight", "issued", "keyed", "keys", "labels", "lenders", "lent",
                 "moved", "raised", "refused", "resources", "slices", "started", "topups", "windows",
                 "zones")  # fmt: skip

    def __init__(self) -> None:
        self.resources: dict[str, ResourceDef] = {}
        self.accounts: dict[str, AccountDef] = {}
        self.lenders: dict[str, Lender] = {}  # account -> who lends its debt limit, root apart
        self.lent: dict[tuple[str, str], Natural] = {}  # account, resource -> the debt limits out of it
        self.balances: dict[tuple[str, str], Balance] = {}
        self.inflight: dict[str, Balance] = {}
        self.drawn: dict[tuple[str, str], Natural] = {}  # account, resource -> what open holds drew from it
        self.issued: dict[str, Natural] = {}  # what a resource's external accounts below zero lack together
        self.counters: dict[CounterKey, Counter] = {}
        self.keyed: dict[KeyedKey, Counter] = {}  # of the limits that count by a value
        self.keys = KeyIndex()
        self.windows: dict[WindowKey, tuple[int, int, int, int]] = {}  # start, end, seq, position
        self.moved: dict[CounterKey, tuple[str, int]] = {}  # -> per and start of the window it went into
        self.topups: dict[str, TopUp] = {}  # the intent that asked, in hex -> what ends by itself
        self.slices: dict[WindowKey, tuple[int, ...]] = {}  # of a rolling window, the oldest first
        self.raised: dict[WindowKey, int] = {}  # what a hard limit is raised by, by top-ups that end
        self.zones: dict[str, Zone] = {}  # by name; the one of no name is the world's
        self.holds: dict[bytes, Hold] = {}
        self.started: dict[bytes, tuple[bytes, int]] = {}  # intent -> who dispatched it, and when
        self.asked: dict[bytes, list[Ask]] = {}  # intent that waits -> why, unless plainly
        self.labels: dict[bytes, dict[str, str]] = {}  # of the open holds whose intents have some
        self.refused: dict[bytes, list[str]] = {}  # intent that is held -> why receipts of it were refused
        self.appointments: dict[tuple[int, int], int] = {}  # seq, position -> due time, of other domains
        self.agenda: list[Due] = []
        self.agenda_is_shared = False

    def asks_of(self, intent_hash: bytes) -> list[Ask]:
        """The reasons for which a hold waits; one without a name, for anybody, where none were recorded."""
        return self.asked.get(intent_hash) or [ANYBODY]

    def fork(self) -> "Ledger":
        """What is derived, for a fork; its tables are laid over these by `State.fork`."""
        child = Ledger()
        child.drawn = Overlay(self.drawn)
        child.issued = Overlay(self.issued)
        child.raised, child.slices = Overlay(self.raised), Overlay(self.slices)
        child.keys = KeyIndex(self.keys)
        child.lent = self.lent  # made anew where somebody lends
        child.agenda = self.agenda
        child.agenda_is_shared = True
        return child

    def counter_key(self, scope: str, window: Window) -> CounterKey:
        """The key of the counter of a window that a leg names."""
        key = (scope, window.dim, window.per, window.start_ns)
        if self.moved and key in self.moved:
            return (scope, window.dim, *self.moved[key])
        return key

    def move_counter(self, key: CounterKey, into: CounterKey) -> None:
        """Make a window's counter that of another, with what was counted there already."""
        if key == into:
            return
        counter, there = self.counters.pop(key), self.counters.get(into, UNUSED)
        self.counters[into] = Counter(
            limit=counter.limit,
            reserved=added(counter.reserved, there.reserved),
            spent=added(0, saturated(counter.spent + there.spent)),
            refunded=added(0, saturated(counter.refunded + there.refunded)),
            told=counter.told,
        )
        for old, place in list(self.moved.items()):
            if (old[0], old[1], *place) == key:
                self.moved[old] = into[2:]
        self.moved.pop(into, None)
        self.moved[key] = into[2:]

    def counted(self, key: CounterKey) -> Counter | None:
        """The counter of a window; of a rolling one what all slices count that the newest stands beside."""
        if not is_rolling(key[2]):
            return self.counters.get(key)
        slices = self.slices.get(key[:3], ())
        return self.rolled(key[:3], slices[-1]) if key[3] in slices else None

    def rolled(self, window: WindowKey, now_ns: int) -> Counter:
        """What the slices of a rolling window count together now, under the limit of the newest."""
        slices = counting(window[2], self.slices.get(window, ()), now_ns)
        found = [self.counters[*window, at] for at in slices]
        return Counter(
            limit=found[-1].limit if found else -1,
            reserved=added(0, saturated(sum(x.reserved for x in found))),
            spent=added(0, saturated(sum(x.spent for x in found))),
            refunded=added(0, saturated(sum(x.refunded for x in found))),
            told=max((x.told for x in found), default=0),
        )

    def keep_slices(self, window: WindowKey, kept: tuple[int, ...]) -> None:
        """Make these the slices of a rolling window, and forget the counters of the others."""
        for at in self.slices.pop(window, ()):
            if at not in kept:
                self.counters.pop((*window, at), None)
        if kept:
            self.slices[window] = kept

    def schedule(self, due: Due) -> None:
        """Put an item on the agenda."""
        self._own_agenda()
        heappush(self.agenda, due)
        if len(self.agenda) > 1024 and len(self.agenda) > 2 * self._standing():
            self.rebuild_agenda()

    def _standing(self) -> int:
        return len(self.holds) + len(self.windows) + len(self.appointments) + len(self.topups)

    def next_due(self) -> Due | None:
        """The first item that still stands, without taking it."""
        while self.agenda:
            item = self.agenda[0]
            if self._stands(item):
                return item
            self._own_agenda()
            heappop(self.agenda)
        return None

    def due_items(self, now_ns: int, most: int) -> list[Due]:
        """At most `most` items due at `now_ns`, in order. The agenda is read and not taken apart, so an
        interruption loses nothing of it: below the item at `n` of a heap are those at 2n + 1 and 2n + 2."""
        agenda, items = self.agenda, list[Due]()
        heads = [(agenda[0], 0)] if agenda else []
        while heads and heads[0][0].due_ns <= now_ns and len(items) < most:
            item, at = heappop(heads)
            for below in (2 * at + 1, 2 * at + 2):
                if below < len(agenda):
                    heappush(heads, (agenda[below], below))
            if self._stands(item) and (not items or items[-1] != item):
                items.append(item)
        return items

    def rebuild_agenda(self) -> None:
        """Derive the agenda from holds, windows and appointments."""
        due = [
            Due(due_ns=h.due_ns, seq=h.seq, position=h.member, hold=key, window=NO_WINDOW)
            for key, h in self.holds.items()
            if h.due_ns
        ]
        due += [
            Due(due_ns=end, seq=seq, position=at, hold=b"", window=key)
            for key, (_, end, seq, at) in self.windows.items()
            if end
        ]
        due += [Due(due_ns, *key, b"", NO_WINDOW) for key, due_ns in self.appointments.items()]
        due += [end_of_topup(key, topup) for key, topup in self.topups.items()]
        heapify(due)
        self.agenda, self.agenda_is_shared = due, False

    def rebuild_sums(self) -> None:
        """Derive what open holds drew, accounts issued and lenders lent, and how far limits are raised."""
        self.rebuild_lent()
        self.raised.clear()
        for topup in self.topups.values():
            self.raise_limit(topup, 1)
        self._rebuild_slices()
        self.drawn.clear()
        for hold in self.holds.values():
            for draw in hold.draws:
                key = (draw.account, draw.resource)
                self.drawn[key] = added(self.drawn.get(key, 0), draw.amount)
        self.issued.clear()
        for (account, resource), balance in self.balances.items():
            if account.startswith(EXTERNAL):
                self.issued[resource] = added(self.issued.get(resource, 0), issued_by(balance))

    def _rebuild_slices(self) -> None:
        self.slices.clear()
        rolling = {window for window in self.windows if is_rolling(window[2])}
        for *window, at in sorted(self.counters) if rolling else ():
            key = (window[0], window[1], window[2])
            if key in rolling:
                self.slices[key] = (*self.slices.get(key, ()), at)

    def raise_limit(self, topup: TopUp, sign: int) -> None:
        """Count, or no longer count, a top-up that ends by itself."""
        key = (topup.scope, topup.dim, topup.per)
        amount = self.raised.pop(key, 0) + sign * topup.amount
        if amount:
            self.raised[key] = amount

    def rebuild_lent(self) -> None:
        """Derive which debt limits come out of which account."""
        self.lent = {}
        for name, lender in self.lenders.items():
            for resource, accounts in lender.backs.items():
                for account in accounts:
                    lent = self.lent.get((account, resource), 0)
                    self.lent[account, resource] = added(lent, self.accounts[name].debt_limit)

    def _stands(self, item: Due) -> bool:
        if item.hold:
            hold = self.holds.get(item.hold)
            return hold is not None and hold.due_ns == item.due_ns
        if item.window == NO_WINDOW:
            return self.appointments.get((item.seq, item.position)) == item.due_ns
        if not item.window[0]:
            topup = self.topups.get(item.window[1])
            return topup is not None and topup.until_ns == item.due_ns
        window = self.windows.get(item.window)
        return window is not None and window[1:] == (item.due_ns, item.seq, item.position)

    def _own_agenda(self) -> None:
        if self.agenda_is_shared:
            self.agenda, self.agenda_is_shared = list(self.agenda), False
