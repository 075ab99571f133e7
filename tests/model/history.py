"""An obvious model of what an intent may meet at once: chains, windows, groups, approvals, money, time.

Slow and plain: dictionaries, loops and the words of the spec (chapters 4 and 5). It shares no code with the
kernel. Every leg of an intent has one estimate and one usage, as with the parrot of `tests/rows/worlds.py`.
"""

from copy import deepcopy

from tests.model.endings import Endings
from tests.model.governor import Governor
from tests.model.limits import Limits
from tests.model.records import Answer, Counter, Hold

STRICTEST = ("deny", "defer", "require_approval", "allow")


class Model(Limits, Governor, Endings):
    """What a world must be after each step."""

    def __init__(self, grants, rules=(), team=0, caps=None):
        Limits.__init__(self, grants, rules)
        Governor.__init__(self)
        self.holds = {}
        self.team, self.vendor, self.flying = team, 0, 0
        self.replace_caps(caps)

    def copy(self):
        return deepcopy(self)

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

    def expire(self, key):
        hold = self.holds[key]
        if hold.phase == "running":
            self.unknown(hold)
        elif hold.phase == "unknown":
            self.finish(hold, dict(hold.reserve), hold.drawn)
            hold.status = "settled"
            hold.story.append(("settled", "unknown"))
        else:
            self.free(hold, "approval_timeout" if hold.phase == "approval" else "expiry")

    # --- deciding -----------------------------------------------------------------------------------

    def decide(self, name, reserve, expires=0):
        """The answer to an intent now; nothing is changed before `admit`."""
        if self.grants[name].forgotten:
            return Answer("deny", ["unknown_grant"])
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
        hold = Hold(chain, reserve, windows, payer, drawn, phase, due, expires, self.now)
        return Answer(outcome, codes, (hold, opened, told, rate), noted)

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
