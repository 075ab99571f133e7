"""The obvious model: a world as dictionaries and loops, slow and plain.

It knows grants in a tree with life limits, holds with one leg per grant, one account that pays, expiry,
approval, unknown, late receipts and refunds. It shares no code with the kernel.
"""

from dataclasses import dataclass, field

PROMPT_PRICE, COMPLETION_PRICE = 3_000_000, 15_000_000  # minor units of USD (scale 6) per 10^6 tokens


def price(prompt, completion):
    return -(-(prompt * PROMPT_PRICE + completion * COMPLETION_PRICE) // 10**6)


@dataclass
class ModelGrant:
    name: str
    parent: str | None
    limits: dict
    expiry: int = 0
    draws: bool = False
    above: str = "charge"
    reserved: dict = field(default_factory=dict)
    spent: dict = field(default_factory=dict)
    refunded: dict = field(default_factory=dict)
    revoked: bool = False


@dataclass
class ModelHold:
    grant: str
    chain: list
    reserve: dict
    payer: str | None
    due: int
    phase: str = "open"
    status: str = "reserved"
    cause: str = ""
    late: bool = False
    charged: dict = field(default_factory=dict)
    refunded: dict = field(default_factory=dict)
    paid: int = 0
    committed: int = 0


class Model:
    """What a world must be after each step."""

    def __init__(self):
        self.now = 0
        self.grants = {}
        self.holds = {}
        self.team = 0
        self.vendor = 0
        self.flying = 0
        self.issued = 0

    def add(self, grant):
        self.grants[grant.name] = grant

    def chain(self, name):
        names = []
        while name is not None:
            names.append(name)
            name = self.grants[name].parent
        return names

    def advance(self, now):
        self.now = max(self.now, now)
        for hold in self.holds.values():
            if hold.status == "reserved" and hold.due and hold.due <= self.now:
                self._end(hold, "released", "approval_timeout" if hold.phase == "approval" else "expiry")

    def verdict(self, name, reserve):
        chain = self.chain(name)
        if any(self.grants[x].revoked for x in chain):
            return "revoked"
        if any(self.grants[x].expiry and self.now >= self.grants[x].expiry for x in chain):
            return "expired"
        for x in chain:
            grant = self.grants[x]
            for dim, limit in grant.limits.items():
                used = grant.reserved.get(dim, 0) + grant.spent.get(dim, 0) + reserve.get(dim, 0)
                if used > limit + grant.refunded.get(dim, 0):
                    return "budget"
        payer = self.payer(chain)
        if payer and reserve["USD"] > self.team:
            return "balance"
        return "allow"

    def payer(self, chain):
        return next((x for x in chain if self.grants[x].draws), None)

    def hold(self, key, name, reserve, due, phase="open"):
        chain = self.chain(name)
        hold = ModelHold(name, chain, reserve, self.payer(chain), due, phase)
        for x in chain:
            reserved = self.grants[x].reserved
            for dim, amount in reserve.items():
                reserved[dim] = reserved.get(dim, 0) + amount
        if hold.payer:
            hold.committed = reserve["USD"]
            self.team -= hold.committed
            self.flying += hold.committed
        self.holds[key] = hold

    def _free(self, hold):
        for x in hold.chain:
            for dim, amount in hold.reserve.items():
                self.grants[x].reserved[dim] -= amount

    def _end(self, hold, status, cause=""):
        self._free(hold)
        hold.status, hold.cause = status, cause
        self.flying -= hold.committed
        self.team += hold.committed

    def settle(self, key, usage):
        hold = self.holds.get(key)
        if hold is None:
            return "not_found"
        if hold.status == "settled" or hold.late:
            return "duplicate"
        late = hold.status == "released"
        if late:
            hold.late = True
        else:
            self._end(hold, "settled")
        self._charge(hold, usage, late)
        return "late" if late else "settled"

    def _charge(self, hold, usage, late):
        for x in hold.chain:
            grant = self.grants[x]
            for dim, used in usage.items():
                capped = grant.above == "cap" and used > hold.reserve[dim] > 0
                amount = hold.reserve[dim] if capped else used
                grant.spent[dim] = grant.spent.get(dim, 0) + amount
                if x == hold.grant:
                    hold.charged[dim] = amount
        if hold.payer and usage:
            paid = min(usage.get("USD", 0), hold.committed)
            if late:
                paid = max(0, min(paid, self.team))
            hold.paid = paid
            self.team -= paid
            self.vendor += paid

    def release(self, key):
        hold = self.holds.get(key)
        if hold is None or hold.status == "settled":
            return "not_reserved"
        if hold.status == "released":
            return "duplicate"
        self._end(hold, "released", "cancel")
        return "released"

    def refund(self, key, tokens):
        hold = self.holds.get(key)
        if hold is None or not (hold.status == "settled" or hold.late):
            return False
        if tokens > hold.charged.get("tokens", 0) - hold.refunded.get("tokens", 0):
            return False
        hold.refunded["tokens"] = hold.refunded.get("tokens", 0) + tokens
        for x in hold.chain:
            refunded = self.grants[x].refunded
            refunded["tokens"] = refunded.get("tokens", 0) + tokens
        return True
