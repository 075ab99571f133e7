"""How the obvious model of histories ends what is held: receipts, releases, refunds, revocations."""


class Endings:
    """What becomes of a hold, and of the money that it drew."""

    def free(self, hold, cause):
        self.reserve(hold, -1)
        self.flying -= hold.drawn
        self.team += hold.drawn
        hold.status, hold.cause = "released", cause
        hold.story.append(("released", cause))

    def unknown(self, hold):
        if hold.phase == "approval":
            hold.story.append(("hold_changed", "approval"))
        if hold.phase in ("approval", "unknown"):
            return
        wait = next((self.grants[x].unknown for x in hold.chain if self.grants[x].unknown), 0)
        hold.story.append(("hold_changed", "unknown"))
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
            counters = [(name, dim, "life", 0) for dim in usage if (name, dim, "life", 0) in self.counters]
            for counter in [*counters, *hold.windows[name]]:
                if hold.charged.get(name, {}).get(counter[1], 0):
                    self.tell(*counter)
        self.spend(hold.charged.get(hold.chain[0], {}))

    def pay(self, hold, amount):
        hold.paid += amount
        hold.credited += max(0, amount)
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
            hold.story.append(("settled", "late"))
            return "late"
        hold.status = "settled"
        hold.story.append(("settled", "receipt"))
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
        hold.story.append(("hold_changed", "running"))
        return "dispatched"

    def extend(self, key, until):
        """Never past what a grant of the chain bounds, nor what waits or is unknown."""
        hold = self.holds.get(key)
        if hold is None or hold.status != "reserved":
            return "not_reserved" if hold is None else "refused"
        bounds = [hold.at + x for x in (self.grants[y].hold_max for y in hold.chain) if x]
        if hold.phase not in ("open", "running") or until <= self.now or until > min(bounds, default=until):
            return "refused"
        hold.due = until
        hold.story.append(("hold_changed", hold.phase))
        return "extended"

    def answer(self, key, is_yes):
        """Approve or reject what waits; whether the question stood."""
        hold = self.holds.get(key)
        if hold is None or hold.status != "reserved" or (hold.phase != "approval" and not is_yes):
            return False
        if hold.phase != "approval":
            return True
        dead = any(x.revoked or 0 < x.expiry <= self.now for x in map(self.grants.get, hold.chain))
        over = [x for x in self.caps or () if x[0] in hold.reserve and self.counted(*x[:2]) > x[2]]
        if not is_yes or dead or over:
            self.free(hold, "rejected")
        else:
            hold.phase, hold.due = "open", hold.expires
            hold.story.append(("hold_changed", "open"))
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
                    self.counter(name, dim, "life", 0).refunded += amount
                for window in hold.windows[name]:
                    if window[1] == dim:
                        self.counter(*window).refunded += amount
        hold.story.append(("refunded", ""))
        back = amounts.get("USD", 0) if hold.payer else 0
        self.pay(hold, -back)
        return True

    def revoke(self, name, seq):
        """It is void from frame `seq` on, and what waits under it is released."""
        if not self.grants[name].revoked and not self.grants[name].forgotten:
            self.latest.append((seq, name))
        self.grants[name].revoked = True
        for hold in self.holds.values():
            if hold.status == "reserved" and hold.phase == "approval" and name in hold.chain:
                self.free(hold, "governance")
