"""What the obvious model of histories knows of grants and their limits: counters, windows, amendments."""

from tests.model.records import Counter, Found, end_of, start_of

OVER = {"deny": "deny", "defer": "defer", "ask": "require_approval", "tell": "allow", "shadow": "allow"}
CODES = {
    "deny": "budget_exceeded",
    "defer": "budget_deferred",
    "ask": "approval_threshold",
    "shadow": "shadow_exceeded",
    "tell": "limit_approaching",
}


class Limits:
    """Grants in a tree, the rules of the policy, and what each limit counts."""

    def __init__(self, grants, rules):
        self.now = 0
        self.grants, self.rules = grants, rules
        self.counters = {}
        self.open = {}  # (grant, dim, per) -> (start, end)
        self.latest = []  # (frame, grant) of the last revocations
        for name, grant in grants.items():
            self.add(name, grant)

    def add(self, name, grant):
        self.grants[name] = grant
        for limit in grant.limits:
            if limit.per == "life":
                self.counter(name, limit.dim, "life", 0).limit = self.hard(name, limit)

    def chain(self, name):
        names = []
        while name is not None:
            names.append(name)
            name = self.grants[name].parent
        return names

    def counter(self, *key):
        """The counter of this key; of a grant that is forgotten one that nobody sees."""
        is_forgotten = key[0] in self.grants and self.grants[key[0]].forgotten
        return Counter() if is_forgotten else self.counters.setdefault(key, Counter())

    def limits(self, scope):
        return self.grants[scope].limits if scope in self.grants else self.rates(scope)

    def rates(self, scope):
        return next((rule["rates"] for rule in self.rules if f"policy/{rule['name']}" == scope), [])

    def is_void(self, scope):
        return scope in self.grants and any(self.grants[x].revoked for x in self.chain(scope))

    def forget(self, kept, named):
        """Once twice as many were revoked as are kept, older void grants that nothing names are forgotten."""
        if len(self.latest) <= 2 * kept:
            return
        self.latest = sorted(self.latest)[-kept:]
        stays = {x for name in (*named, *(name for _, name in self.latest)) for x in self.chain(name)}
        for name in [name for name in self.grants if self.is_void(name) and name not in stays]:
            self.grants[name].forgotten = True
            for table in (self.counters, self.open):
                for key in [key for key in table if key[0] == name]:
                    del table[key]

    def hard(self, scope, like):
        """The amount that the counter of this limit denies above; -1 where none does."""
        same = [
            x.amount for x in self.limits(scope) if (x.dim, x.per, x.over) == (like.dim, like.per, "deny")
        ]
        return min(same, default=-1)

    def may_raise(self, name, limit, amount):
        """A grant that stands may get as much as the hard limit of the grant above it, where that has one."""
        parent = self.grants[name].parent
        most = self.hard(parent, limit) if parent else -1
        return not self.grants[name].revoked and (most < 0 or amount <= most)

    def compare(self, scope, asked):
        """What the limits of one scope say of these amounts."""
        found = Found()
        for limit in self.limits(scope):
            amount = asked.get(limit.dim, 0)
            if limit.per == "intent":
                if amount > limit.amount or (limit.over == "tell" and 0 < amount == limit.amount):
                    is_own = limit.over in ("ask", "shadow", "tell")
                    found.codes.append(CODES[limit.over] if is_own else "intent_limit_exceeded")
                    found.outcomes.append("deny" if limit.over == "defer" else OVER[limit.over])
                continue
            start = 0
            if limit.per != "life":
                window = (scope, limit.dim, limit.per)
                start = self.open[window][0] if window in self.open else start_of(limit.per, self.now)
                if window not in self.open:
                    found.opened[window] = (start, end_of(limit.per, start), self.hard(scope, limit))
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
                most = limit.amount if limit.per != "life" else left + amount + counter.reserved
                over = "deny" if limit.over == "defer" and amount > most else limit.over  # it never fits
                found.codes.append(CODES[over])
                found.outcomes.append(OVER[over])
        return found

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
            end, left = end_of(per, start), amount
            if end > self.now:
                break
        self.counters[*window, start] = Counter(limit=amount)
        self.open[window] = (start, end)

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

    def tell(self, name, dim, per, start):
        """A soft limit that a charge reaches is told of, once."""
        counter = self.counter(name, dim, per, start)
        used = counter.spent + counter.reserved - counter.refunded
        for limit in self.grants[name].limits:
            if (limit.dim, limit.per, limit.over) == (dim, per, "tell") and limit.amount <= used:
                counter.told = max(counter.told, limit.amount)
