"""An obvious model of what budgets do by themselves: rules that fall due, cascades, approvals of rules.

What is due stands in one list, in the order in which it is worked through: (when, place, what). What was
worked through is told in `ended`: rule, version, status, and why not.
"""

from dataclasses import dataclass

DAY = 86_400 * 10**9
CASCADE_DEPTH_MAX = 8
RESERVED = "/reserved"


@dataclass
class Firing:
    budget: str
    rule: str
    version: int
    resource: str
    amount: int
    depth: int
    cause: object
    place: int = 0
    is_waiting: bool = False


class Refused(Exception):
    """What cannot be carried out, and why."""


class Rules:
    """The agenda of two budgets; who has one has `held`, `budgets`, `parts`, `dead` and `tasks`, too."""

    def __init__(self):
        self.now, self.place = 0, 0
        self.due = []
        self.waiting = []
        self.ended = []
        self.fired = {}  # within one cascade: (cause, budget, rule, version, resource) -> firing

    # --- what makes rules due -----------------------------------------------------------------------

    def calendar(self, name, only=None):
        """Rules of the calendar fall due when the period that holds now ends."""
        for rule in self.budgets[name].plan["rules"]:
            if rule["on"] == "day" and only in (None, rule["name"]):
                firing = Firing(name, rule["name"], self.budgets[name].version, "", 0, 0, object())
                self.appoint(self.now - self.now % DAY + DAY, firing)

    def came(self, credits, cause, depth=0):
        """Rules fall due for what one record brought to budgets: [(budget, resource, amount)]."""
        total = {}
        for name, resource, amount in credits:
            if name in self.budgets and amount:
                total[name, resource] = total.get((name, resource), 0) + amount
        for (name, resource), amount in sorted(total.items()):
            budget = self.budgets[name]
            rules = ["allocations"] if resource in budget.shares else []
            rules += [
                x["name"] for x in budget.plan["rules"] if x["on"] == "deposit" and x["of"] in ("", resource)
            ]
            for rule in rules:
                self.set_off(Firing(name, rule, budget.version, resource, amount, depth, cause))

    def measured(self, name, value):
        for rule in self.budgets[name].plan["rules"]:
            if rule["on"] == "metric":
                firing = Firing(name, rule["name"], self.budgets[name].version, "m", value, 0, object())
                self.appoint(self.now, firing)

    def set_off(self, firing):
        """Once in a cascade; what is due still takes what comes in, what was worked through does not."""
        key = (firing.cause, firing.budget, firing.rule, firing.version, firing.resource)
        known = self.fired.get(key)
        if known is None:
            self.fired[key] = firing
            self.appoint(self.now, firing)
        elif any(known is what for *_, what in self.due):
            known.amount += firing.amount

    # --- the agenda ---------------------------------------------------------------------------------

    def appoint(self, when, what):
        self.place += 1
        self.due.append((when, self.place, what))
        if isinstance(what, Firing):
            what.place = self.place

    def run(self, now):
        """Everything that is due by now, rules that other rules make due included."""
        self.now = max(self.now, now)
        while self.due:
            first = min(self.due, key=lambda x: x[:2])
            if first[0] > self.now:
                break
            self.due.remove(first)
            if isinstance(first[2], Firing):
                self.fire(first[2])
            elif self.tasks[first[2]].status == "open":
                self.free(first[2])
        self.fired = {}

    def fire(self, firing):
        budget = self.budgets[firing.budget]
        rule = next((x for x in budget.plan["rules"] if x["name"] == firing.rule), None)
        why = ()
        try:
            self.require_live(firing)
            if rule and rule["when"] and not rule["when"][1](firing.amount, self.balances(firing.budget)):
                raise Refused("condition")
            if rule and rule["approval"]:
                firing.is_waiting = True
                self.waiting = sorted([*self.waiting, firing], key=lambda x: x.place)
            else:
                self.carry_out(firing)
        except Refused as refused:
            why = (str(refused),)
        if not firing.is_waiting:
            self.tell(firing, *why)
        if firing.version == budget.version:
            self.calendar(firing.budget, only=firing.rule)

    def tell(self, firing, *why):
        self.ended.append((firing.rule, firing.version, "skipped" if why else "done", *why))

    def require_live(self, firing):
        budget = self.budgets[firing.budget]
        if firing.version != budget.version:
            raise Refused("replaced")
        if firing.depth > CASCADE_DEPTH_MAX:
            raise Refused("cascade")
        if budget.adopter in self.dead:
            raise Refused("revoked")

    def balances(self, name):
        return {resource: self.of(name, resource) for resource in self.budgets[name].plan["resources"]}

    def carry_out(self, firing):
        """All of a rule's actions or none; its deposits make other rules due, one deeper."""
        kept, credits = dict(self.held), []
        try:
            if firing.rule == "allocations":
                self.raise_parts(firing)
            else:
                rules = self.budgets[firing.budget].plan["rules"]
                for action in next(x for x in rules if x["name"] == firing.rule)["do"]:
                    credits += self.act(firing, action)
        except Refused:
            self.held = kept
            raise
        self.came(credits, firing.cause, firing.depth + 1)

    def act(self, firing, action):
        name, amount = firing.budget, action["amount"][1](firing.amount, self.balances(firing.budget))
        if amount < 0:
            raise Refused("amount")
        if amount == 0:
            return []
        if action["kind"] == "transfer":
            moves = [(name, action["to"], action["resource"] or firing.resource, amount)]
        else:
            swap = self.budgets[name].plan["conversions"][action["conversion"]]
            got = amount * swap["rate"][0] // swap["rate"][1]
            given_to = name + RESERVED if swap["keeps"] else swap["counter"]
            moves = [(name, given_to, swap["gives"], amount), (swap["counter"], name, swap["gets"], got)]
        for at, (debit, _, resource, moved) in enumerate(moves):
            if moved == 0:
                raise Refused("conversion_too_small")
            if self.of(debit, resource) < moved:
                raise Refused("conversion_uncovered" if at else "insufficient_balance")
        for objection in self.objections(name, moves[0][2], amount):
            raise Refused(objection)
        for move in moves:
            self.move(*move)
        own = (name, name + RESERVED)
        return [
            (to, resource, moved) for debit, to, resource, moved in moves if debit not in own or to not in own
        ]

    def raise_parts(self, firing):
        shares = self.budgets[firing.budget].shares[firing.resource]
        for part, amount in shared(firing.amount, shares).items():
            if not self.is_dead(f"{firing.budget}/{part}"):
                self.parts[f"{firing.budget}/{part}"].limit += amount

    def answer(self, firing, is_yes):
        """Whether an approved rule could be carried out; what waits ends, or waits on."""
        try:
            if is_yes:
                self.require_live(firing)
                self.carry_out(firing)
        except Refused:
            return False
        self.waiting.remove(firing)
        self.tell(firing, *(() if is_yes else ("rejected",)))
        return True


def shared(whole, weights):
    """Floors, then one unit each to the largest remainders, then by name."""
    total = sum(weights.values())
    parts = {name: whole * weight // total for name, weight in weights.items()}
    left = whole - sum(parts.values())
    order = sorted(weights, key=lambda name: (-(whole * weights[name] % total), name))
    for name in order[:left]:
        parts[name] += 1
    return parts
