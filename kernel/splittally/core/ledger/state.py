"""What the ledger remembers: counters, windows, accounts, holds and when they fall due.

Rule 1. A counter is keyed by (scope, dim, per, start); entries are replaced, never mutated.
Rule 2. Per resource, after every record, balances and what is in flight sum to zero.
Rule 3. What is derived stands in no root and can be rebuilt: the agenda from holds, windows and appointments,
        `drawn` from holds, `issued` from balances.
"""

from heapq import heapify, heappop, heappush

from msgspec import Struct

from splittally.core.amounts import NONE, Balance, Natural, added
from splittally.core.asks import ANYBODY, Ask
from splittally.core.overlay import Overlay
from splittally.core.types import EXTERNAL, AccountDef, Draw, Leg, Lender, ResourceDef

CounterKey = tuple[str, str, str, int]
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

    It names a hold or a window; one with neither is an appointment that another domain made.
    """

    due_ns: int
    seq: int
    position: int
    hold: bytes
    window: WindowKey


NO_WINDOW: WindowKey = ("", "", "")


def issued_by(balance: int) -> int:
    """What an external account of this balance has let into the world."""
    return max(0, -balance)


class Ledger:
    """The tables of the ledger."""

    __slots__ = ("accounts", "agenda", "agenda_is_shared", "appointments", "asked", "balances", "counters",
                 "drawn", "holds", "inflight", "issued", "labels", "lenders", "lent", "resources", "started",
                 "windows")  # fmt: skip

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
        self.windows: dict[WindowKey, tuple[int, int, int, int]] = {}  # start, end, seq, position
        self.holds: dict[bytes, Hold] = {}
        self.started: dict[bytes, tuple[bytes, int]] = {}  # intent -> who dispatched it, and when
        self.asked: dict[bytes, list[Ask]] = {}  # intent that waits -> why, unless plainly
        self.labels: dict[bytes, dict[str, str]] = {}  # of the open holds whose intents have some
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
        child.lent = self.lent  # made anew where somebody lends
        child.agenda = self.agenda
        child.agenda_is_shared = True
        return child

    def schedule(self, due: Due) -> None:
        """Put an item on the agenda."""
        self._own_agenda()
        heappush(self.agenda, due)
        if len(self.agenda) > 1024 and len(self.agenda) > 2 * self._standing():
            self.rebuild_agenda()

    def _standing(self) -> int:
        return len(self.holds) + len(self.windows) + len(self.appointments)

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
        heapify(due)
        self.agenda, self.agenda_is_shared = due, False

    def rebuild_sums(self) -> None:
        """Derive what is drawn from open holds, what is issued from external accounts, and what is lent."""
        self.rebuild_lent()
        self.drawn.clear()
        for hold in self.holds.values():
            for draw in hold.draws:
                key = (draw.account, draw.resource)
                self.drawn[key] = added(self.drawn.get(key, 0), draw.amount)
        self.issued.clear()
        for (account, resource), balance in self.balances.items():
            if account.startswith(EXTERNAL):
                self.issued[resource] = added(self.issued.get(resource, 0), issued_by(balance))

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
        window = self.windows.get(item.window)
        return window is not None and window[1:] == (item.due_ns, item.seq, item.position)

    def _own_agenda(self) -> None:
        if self.agenda_is_shared:
            self.agenda, self.agenda_is_shared = list(self.agenda), False
