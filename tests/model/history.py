"""An obvious model of what an intent may meet at once: chains, windows, groups, approvals, money, time.

Slow and plain: dictionaries, loops and the words of the spec (chapters 4 and 5). It shares no code with the
kernel. Every leg of an intent has one estimate and one usage, as with the parrot of `tests/rows/worlds.py`.

A counter stands under (grant, dim, per, start) and has limit (-1 where nothing limits it), reserved, spent,
refunded, told. `life` starts at 0. A window is open from its first use, or as another rolled into it.
"""

import datetime
from copy import deepcopy
from dataclasses import dataclass, field

SECOND, DAY = 10**9, 86_400 * 10**9
STRICTEST = ("deny", "defer", "require_approval", "allow")
OVER = {"deny": "deny", "defer": "defer", "ask": "require_approval", "tell": "allow", "shadow": "allow"}
CODES = {
    "deny": "budget_exceeded",
    "defer": "budget_deferred",
    "ask": "approval_threshold",
    "shadow": "shadow_exceeded",
}
LENGTHS = {"hour": 3_600 * SECOND, "day": DAY, "90s": 90 * SECOND}


@dataclass(frozen=True)
class Limit:
    dim: str
    per: str
    amount: int
    over: str = "deny"
    share: int = 0  # hundredths of what is left that the next window gets


@dataclass
class Grant:
    parent: str | None
    limits: list
    expiry: int = 0
    hold_max: int = 0
    approval: int = 0
    unknown: int = 0
    above: str = "charge"
    draws: bool = False
    revoked: bool = False


@dataclass
class Counter:
    limit: int = -1
    reserved: int = 0
    spent: int = 0
    refunded: int = 0
    told: int = 0


@dataclass
class Hold:
    chain: list
    reserve: dict
    windows: dict  # grant -> the keys of the windows that its leg names
    payer: str | None
    drawn: int
    phase: str
    due: int
    expires: int
    status: str = "reserved"
    cause: str = ""
    attempt: bytes = b""
    is_late: bool = False
    charged: dict = field(default_factory=dict)  # grant -> dim -> amount
    refunded: dict = field(default_factory=dict)
    counted: set = field(default_factory=set)  # (grant, dim) that a counter for life counted
    paid: int = 0


@dataclass
class Answer:
    outcome: str
    codes: list
    made: object = None  # what admitting it does
    noted: object = None  # what the governor said, also where it did not admit


class Model:
    """What a world must be after each step."""

    def __init__(self, grants, rules=(), team=0, caps=None):
        self.now = 0
        self.caps = None  # of the governor: (resource, per, amount); None where the world has none
        self.spent = {}  # (resource, per) -> start of the window, amount
        self.verdicts = {}  # what the governor said -> start of the day, how often
        self.grants = grants
        self.rules = rules
        self.counters = {}
        self.open = {}  # (grant, dim, per) -> (start, end)
        self.holds = {}
        self.team, self.vendor, self.flying = team, 0, 0
        self.replace_caps(caps)
        for name, grant in grants.items():
            for limit in grant.limits:
                if limit.per == "life":
                    self.counter(name, limit.dim, "life", 0).limit = self.hard(name, limit)

    def copy(self):
        return deepcopy(self)

    # --- reading ------------------------------------------------------------------------------------

    def chain(self, name):
        names = []
        while name is not None:
            names.append(name)
            name = self.grants[name].parent
        return names

    def counter(self, *key):
        return self.counters.setdefault(key, Counter())

    def limits(self, scope):
        return self.grants[scope].limits if scope in self.grants else self.rates(scope)

    def rates(self, scope):
        return next((rule["rates"] for rule in self.rules if f"policy/{rule['name']}" == scope), [])

    def is_void(self, scope):
        return scope in self.grants and any(self.grants[x].revoked for x in self.chain(scope))

    def hard(self, scope, like):
        """The amount that the counter of this limit denies above; -1 where none does."""
        same = [
            x.amount for x in self.limits(scope) if (x.dim, x.per, x.over) == (like.dim, like.per, "deny")
        ]
        return min(same, default=-1)

    def start(self, per, at):
        """When the window that holds this moment began."""
        if per == "90s":
            return at
        if per in LENGTHS:
            return at - at % LENGTHS[per]
        day = datetime.date(1970, 1, 1) + datetime.timedelta(days=at // DAY)
        first = day - datetime.timedelta(days=day.weekday()) if per == "week" else day.replace(day=1)
        return (first - datetime.date(1970, 1, 1)).days * DAY

    def end(self, per, start):
        if per in LENGTHS:
            return start + LENGTHS[per]
        if per == "week":
            return start + 7 * DAY
        return self.start("month", start + 32 * DAY)

    # --- time ---------------------------------------------------------------------------------------

    def advance(self, now):
        """What falls due by now, the earliest first."""
        self.now = max(self.now, now)
        while True:
            holds = [
                (x.due, "hold", key) for key, x in self.holds.items() if x.status == "reserved" and x.due
            ]
            windows = [(end, "window", key) for key, (_, end) in self.open.items()]
            due = min([x for x in holds + windows if x[0] <= self.now], key=lambda x: x[0], default=None)
            if due is None:
                return
            if due[1] == "window":
                self.close(due[2])
            else:
                self.expire(due[2])

    def close(self, window):
        start, end = self.open.pop(window)
        scope, dim, per = window
        limit = next((x for x in self.limits(scope) if (x.dim, x.per) == (dim, per) and x.share), None)
        if limit is None or self.is_void(scope):
            return
        counter = self.counters[*window, start]
        left = max(0, counter.limit - counter.spent - counter.reserved)
        while True:
            start, amount = end, limit.amount + left * limit.share // 100
            end, left = self.end(per, start), amount
            if end > self.now:
                break
        self.counters[*window, start] = Counter(limit=amount)
        self.open[window] = (start, end)

    def expire(self, key):
        hold = self.holds[key]
        if hold.phase == "running":
            self.unknown(hold)
        elif hold.phase == "unknown":
            self.finish(hold, dict(hold.reserve), hold.drawn)
            hold.status = "settled"
        else:
            self.free(hold, "approval_timeout" if hold.phase == "approval" else "expiry")

    # --- deciding -----------------------------------------------------------------------------------

    def decide(self, name, reserve, expires=0):
        """The answer to an intent now; nothing is changed before `admit`."""
        chain = self.chain(name)
        codes = []
        for each in chain:
            codes += ["revoked"] if self.grants[each].revoked else []
            codes += ["expired"] if 0 < self.grants[each].expiry <= self.now else []
        if 0 < expires <= self.now:
            codes.append("already_expired")
        if codes:
            return Answer("deny", codes)
        outcomes, opened, told, windows = ["allow"], {}, [], {}
        for each in chain:
            found = self.compare(each, reserve)
            codes, outcomes = codes + found.codes, outcomes + found.outcomes
            opened |= found.opened
            told += found.told
            windows[each] = found.windows
        payer = next((x for x in chain if self.grants[x].draws and "USD" in reserve), None)
        drawn = reserve["USD"] if payer else 0
        if drawn > self.team:
            codes, outcomes = [*codes, "insufficient_balance"], ["deny"]
        outcome = min(outcomes, key=STRICTEST.index)
        rate = None
        if outcome in ("allow", "require_approval") and self.rules:
            rule = next((x for x in self.rules if x["grant"] in ("", name)), None)
            said, more, rate = self.policy(rule)
            codes, outcome = codes + more, min([outcome, *said], key=STRICTEST.index)
        noted = None
        if outcome in ("allow", "require_approval"):
            noted, more = self.govern(reserve)
            codes, outcome = codes + more, min([outcome, noted or "allow"], key=STRICTEST.index)
        if outcome not in ("allow", "require_approval"):
            return Answer(outcome, codes, noted=noted)
        bounds = [self.now + x for x in (self.grants[y].hold_max for y in chain) if x]
        expires = min([x for x in [expires, *bounds] if x], default=0)
        due, phase = expires, "open"
        if outcome == "require_approval":
            wait = next((self.grants[x].approval for x in chain if self.grants[x].approval), 0)
            phase, due = "approval", min([x for x in (expires, wait and self.now + wait) if x], default=0)
        hold = Hold(chain, reserve, windows, payer, drawn, phase, due, expires)
        return Answer(outcome, codes, (hold, opened, told, rate), noted)

    def govern(self, reserve):
        """What the governor says of an intent, None where it is not asked, and with which code."""
        caps = [cap for cap in self.caps or () if cap[0] in reserve]
        over = [cap for cap in caps if self.counted(*cap[:2]) + reserve[cap[0]] > cap[2]]
        if over:
            return "defer", [{"day": "over_daily_cap", "week": "over_weekly_cap"}[over[0][1]]]
        return ("allow" if caps else None), []

    def counted(self, resource, per):
        """What counts against a cap: spent in the window that is open, and everything that is reserved."""
        start, amount = self.spent.get((resource, per), (0, 0))
        held = [x.reserve.get(resource, 0) for x in self.holds.values() if x.status == "reserved"]
        return (amount if start == self.start(per, self.now) else 0) + sum(held)

    def note(self, said):
        """Count what the governor said today."""
        if said:
            today = self.start("day", self.now)
            start, count = self.verdicts.get(said, (today, 0))
            self.verdicts[said] = (today, (count if start == today else 0) + 1)

    def spend(self, charged):
        """Count against the governor's caps, and what was counted before, what a leaf was charged."""
        for resource, per in {*self.spent, *(cap[:2] for cap in self.caps or ())}:
            if charged.get(resource):
                now = self.start(per, self.now)
                start, amount = self.spent.get((resource, per), (now, 0))
                self.spent[resource, per] = (now, (amount if start == now else 0) + charged[resource])

    def replace_caps(self, caps):
        """Other caps: what was spent in the open windows counts on, and a week knows at least of its day."""
        if caps == self.caps:
            return
        starts = {per: self.start(per, self.now) for per in ("day", "week")}
        known = {key: amount for key, (start, amount) in self.spent.items() if start == starts[key[1]]}
        for resource in {*(cap[0] for cap in caps or ()), *(key[0] for key in self.spent)}:
            day = known.get((resource, "day"), 0)
            self.spent[resource, "day"] = (starts["day"], day)
            self.spent[resource, "week"] = (starts["week"], known.get((resource, "week"), day))
        self.caps = caps

    def compare(self, scope, asked):
        """What the limits of one scope say of these amounts."""
        found = Found()
        for limit in self.limits(scope):
            amount = asked.get(limit.dim, 0)
            if limit.per == "intent":
                if amount > limit.amount:
                    is_own = limit.over in ("ask", "shadow")
                    found.codes.append(CODES[limit.over] if is_own else "intent_limit_exceeded")
                    found.outcomes.append(OVER[limit.over])
                continue
            start = 0
            if limit.per != "life":
                window = (scope, limit.dim, limit.per)
                start = self.open[window][0] if window in self.open else self.start(limit.per, self.now)
                if window not in self.open:
                    found.opened[window] = (start, self.end(limit.per, start), self.hard(scope, limit))
                if (*window, start) not in found.windows:
                    found.windows.append((*window, start))
            key = (scope, limit.dim, limit.per, start)
            counter = self.counters.get(key, Counter())
            if limit.per != "life" and key[:3] not in self.open:
                counter = Counter(limit=self.hard(scope, limit))
            bound = counter.limit if limit.over == "deny" else limit.amount
            left = bound + counter.refunded - counter.reserved - counter.spent - amount
            if limit.over == "tell":
                if left <= 0 and counter.told < limit.amount:
                    found.codes.append("limit_approaching")
                    found.told.append((key, limit.amount))
            elif left < 0:
                found.codes.append(CODES[limit.over])
                found.outcomes.append(OVER[limit.over])
        return found

    def policy(self, rule):
        if rule is None:
            return ["deny"], ["policy_unmatched"], None
        if rule["decision"] == "deny":
            return ["deny"], ["policy_denied"], None
        codes = ["policy_approval"] if rule["decision"] == "require_approval" else []
        found = self.compare(f"policy/{rule['name']}", {"attempts": 1})
        codes += ["rate_exceeded" for _ in found.codes]
        return [rule["decision"], *found.outcomes], codes, found

    def admit(self, key, answer):
        """What an admitted intent changes."""
        hold, opened, told, rate = answer.made
        for window, (start, end, limit) in {**opened, **(rate.opened if rate else {})}.items():
            self.open[window] = (start, end)
            self.counters[*window, start] = Counter(limit=limit)
        for where, amount in told:
            counter = self.counter(*where)
            counter.told = max(counter.told, amount)
        for window in rate.windows if rate else ():
            self.counter(*window).spent += 1
        self.note(answer.noted)
        self.reserve(hold, 1)
        self.team -= hold.drawn
        self.flying += hold.drawn
        self.holds[key] = hold

    def reserve(self, hold, sign):
        for name in hold.chain:
            for dim, amount in hold.reserve.items():
                if (name, dim, "life", 0) in self.counters:
                    self.counters[name, dim, "life", 0].reserved += sign * amount
            for window in hold.windows[name]:
                self.counter(*window).reserved += sign * hold.reserve.get(window[1], 0)

    # --- ending -------------------------------------------------------------------------------------

    def free(self, hold, cause):
        self.reserve(hold, -1)
        self.flying -= hold.drawn
        self.team += hold.drawn
        hold.status, hold.cause = "released", cause

    def unknown(self, hold):
        if hold.phase == "approval" or hold.phase == "unknown":
            return
        wait = next((self.grants[x].unknown for x in hold.chain if self.grants[x].unknown), 0)
        hold.phase, hold.due = "unknown", self.now + wait if wait else 0

    def finish(self, hold, usage, drawn_used):
        """Charge what an open hold used, and pay what it drew."""
        self.reserve(hold, -1)
        self.charge(hold, usage)
        self.flying -= hold.drawn
        self.team += hold.drawn
        self.pay(hold, min(drawn_used, hold.drawn))
        if hold.payer and self.grants[hold.payer].above == "debt" and drawn_used > hold.drawn:
            self.pay(hold, max(0, min(drawn_used - hold.drawn, self.team)))

    def charge(self, hold, usage):
        for name in hold.chain:
            for dim, used in usage.items():
                reserved = hold.reserve.get(dim, 0)
                amount = reserved if self.grants[name].above == "cap" and used > reserved > 0 else used
                hold.charged.setdefault(name, {})[dim] = amount
                if (name, dim, "life", 0) in self.counters:
                    self.counters[name, dim, "life", 0].spent += amount
                    hold.counted.add((name, dim))
            for window in hold.windows[name]:
                self.counter(*window).spent += hold.charged.get(name, {}).get(window[1], 0)
        self.spend(hold.charged.get(hold.chain[0], {}))

    def pay(self, hold, amount):
        hold.paid += amount
        self.team -= amount
        self.vendor += amount

    def settle(self, key, usage):
        hold = self.holds.get(key)
        if hold is None:
            return "not_found"
        if hold.status == "settled" or hold.is_late:
            return "duplicate"
        if hold.status == "released":
            hold.is_late = True
            self.charge(hold, usage)
            if hold.payer:
                self.pay(hold, max(0, min(usage.get("USD", 0), hold.drawn, self.team)))
            return "late"
        hold.status = "settled"
        self.finish(hold, usage, usage.get("USD", 0))
        return "settled"

    def release(self, key, attempt=b""):
        hold = self.holds.get(key)
        if hold is None or hold.status == "settled":
            return "not_reserved"
        if hold.status == "released":
            return "duplicate"
        if hold.attempt and hold.attempt != attempt:
            return "already_dispatched"
        self.free(hold, "cancel")
        return "released"

    def dispatch(self, key, attempt):
        hold = self.holds.get(key)
        if hold is None or hold.status != "reserved":
            return "not_reserved"
        if hold.phase != "open":
            return "not_approved" if hold.phase == "approval" else "already_dispatched"
        hold.phase, hold.attempt = "running", attempt
        return "dispatched"

    def answer(self, key, is_yes):
        """Approve or reject what waits; whether the question stood."""
        hold = self.holds.get(key)
        if hold is None or hold.status != "reserved" or (hold.phase != "approval" and not is_yes):
            return False
        if hold.phase != "approval":
            return True
        dead = any(x.revoked or 0 < x.expiry <= self.now for x in map(self.grants.get, hold.chain))
        if not is_yes or dead:
            self.free(hold, "rejected")
        else:
            hold.phase, hold.due = "open", hold.expires
        return True

    def refund(self, key, amounts):
        """Whether it fits, and then what it gives back."""
        hold = self.holds.get(key)
        if hold is None or not (hold.status == "settled" or hold.is_late):
            return False
        leaf = hold.chain[0]
        for dim, amount in amounts.items():
            left = hold.charged.get(leaf, {}).get(dim, 0) - hold.refunded.get((leaf, dim), 0)
            if dim == "USD" and hold.payer:
                left = min(left, hold.paid)
                if amount > self.vendor:
                    return False
            if amount > left:
                return False
        for name in hold.chain:
            for dim, amount in amounts.items():
                left = hold.charged.get(name, {}).get(dim, 0) - hold.refunded.get((name, dim), 0)
                amount = min(amount, left)
                hold.refunded[name, dim] = hold.refunded.get((name, dim), 0) + amount
                if (name, dim) in hold.counted:
                    self.counters[name, dim, "life", 0].refunded += amount
                for window in hold.windows[name]:
                    if window[1] == dim:
                        self.counter(*window).refunded += amount
        back = amounts.get("USD", 0) if hold.payer else 0
        self.pay(hold, -back)
        return True

    # --- grants -------------------------------------------------------------------------------------

    def revoke(self, name):
        self.grants[name].revoked = True
        for hold in self.holds.values():
            if hold.status == "reserved" and hold.phase == "approval" and name in hold.chain:
                self.free(hold, "governance")

    def amend(self, name, limits):
        """New amounts for the limits that a grant has; open windows keep what was carried into them."""
        old = {(x.dim, x.per): self.hard(name, x) for x in self.grants[name].limits}
        self.grants[name].limits = limits
        for (dim, per), was in old.items():
            now = self.hard(name, next(x for x in limits if (x.dim, x.per) == (dim, per)))
            key = (name, dim, per)
            if per == "life":
                self.counters[*key, 0].limit = now
            elif key in self.open and now != was:
                counter = self.counters[*key, self.open[key][0]]
                carried = max(0, counter.limit - was) if min(was, now) >= 0 else 0
                counter.limit = now + carried


@dataclass
class Found:
    """What the limits of one scope found."""

    codes: list = field(default_factory=list)
    outcomes: list = field(default_factory=list)
    opened: dict = field(default_factory=dict)
    told: list = field(default_factory=list)
    windows: list = field(default_factory=list)
