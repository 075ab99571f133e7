"""What the obvious model of histories knows of the governor: its caps, what counts, what it said."""

from tests.model.records import end_of, start_of


class Governor:
    """`caps` are (resource, per, amount), None where the world has no governor."""

    def __init__(self):
        self.caps = None
        self.spent = {}  # (resource, per) -> start of the window, amount
        self.charges = []  # every charge of a leaf, with its time
        self.verdicts = {}  # what the governor said -> start of the day, how often

    def govern(self, reserve):
        """What the governor says of an intent, None where it is not asked, and with which code."""
        caps = [cap for cap in self.caps or () if cap[0] in reserve]
        over = [cap for cap in caps if self.counted(*cap[:2]) + reserve[cap[0]] > cap[2]]
        if over:
            never = [cap for cap in over if reserve[cap[0]] > cap[2]]  # however long one waits
            last = max(over, key=lambda cap: end_of(cap[1], start_of(cap[1], self.now)))
            per = (never or [last])[0][1]
            return "deny" if never else "defer", [{"day": "over_daily_cap", "week": "over_weekly_cap"}[per]]
        return ("allow" if caps else None), []

    def counted(self, resource, per):
        """What counts against a cap: spent in the window that is open, and everything that is reserved."""
        start, amount = self.spent.get((resource, per), (0, 0))
        held = [x.reserve.get(resource, 0) for x in self.holds.values() if x.status == "reserved"]
        return (amount if start == start_of(per, self.now) else 0) + sum(held)

    def note(self, said):
        """Count what the governor said today."""
        if said:
            today = start_of("day", self.now)
            start, count = self.verdicts.get(said, (today, 0))
            self.verdicts[said] = (today, (count if start == today else 0) + 1)

    def spend(self, charged):
        """Count against the governor's caps, and what was counted before, what a leaf was charged."""
        self.charges.append((self.now, charged))
        for resource, per in {*self.spent, *(cap[:2] for cap in self.caps or ())}:
            if charged.get(resource):
                now = start_of(per, self.now)
                start, amount = self.spent.get((resource, per), (now, 0))
                self.spent[resource, per] = (now, (amount if start == now else 0) + charged[resource])

    def replace_caps(self, caps):
        """Other caps: what was spent in the open windows counts on, and a week knows at least of its day."""
        if caps == self.caps:
            return
        starts = {per: start_of(per, self.now) for per in ("day", "week")}
        known = {key: amount for key, (start, amount) in self.spent.items() if start == starts[key[1]]}
        for resource in {*(cap[0] for cap in caps or ()), *(key[0] for key in self.spent)}:
            day = known.get((resource, "day"), 0)
            self.spent[resource, "day"] = (starts["day"], day)
            self.spent[resource, "week"] = (starts["week"], known.get((resource, "week"), day))
        self.caps = caps
