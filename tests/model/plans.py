"""An obvious model of budgets: funds, parts, minima, rules, cascades, and plans that are replaced.

Slow and plain, in the words of chapter 11, without a line of the kernel. A plan is a dictionary as a manifest
states it; an expression is a pair of its text and a function of (what came in, the budget's balances).
"""

from dataclasses import dataclass, field

from tests.model.rules import Rules, shared


@dataclass
class Budget:
    plan: dict
    adopter: str
    version: int = 1
    shares: dict = field(default_factory=dict)  # resource -> part -> weight


@dataclass
class Part:
    """A right to so much of one resource of a budget."""

    budget: str
    resource: str
    limit: int
    reserved: int = 0
    spent: int = 0
    refunded: int = 0
    is_revoked: bool = False


@dataclass
class Task:
    part: str
    budget: str
    resource: str
    amount: int
    payee: str = ""
    status: str = "open"
    charged: int = 0
    paid: int = 0
    back: int = 0


class Plans(Rules):
    """Budgets as they must be after each step; `run` works through what is due before the next."""

    def __init__(self, held):
        super().__init__()
        self.held = dict(held)  # (account, resource) -> amount; absent where nothing was ever posted
        self.budgets, self.parts, self.tasks = {}, {}, {}
        self.dead = set()  # grants that were revoked

    def of(self, account, resource):
        return self.held.get((account, resource), 0)

    # --- plans --------------------------------------------------------------------------------------

    def create(self, name, plan, adopter):
        self.budgets[name] = Budget(plan, adopter)
        self.calendar(name)

    def amend(self, name, plan, adopter):
        """Whether the plan is as narrow as the old one; the same plan changes nothing."""
        old = self.budgets[name]
        if plan == old.plan:
            return True
        minima = {x["name"]: x for x in plan["constraints"]}
        for was in old.plan["constraints"]:
            now = minima.get(was["name"])
            if (
                now is None
                or now["minimum"] < was["minimum"]
                or (was["tier"], now["tier"]) == ("partial", "full")
            ):
                return False
        if not set(old.plan["conversions"]) <= set(plan["conversions"]):
            return False
        self.adopt(name, plan, adopter)
        return True

    def adopt(self, name, plan, adopter):
        budget = self.budgets[name]
        budget.plan, budget.adopter, budget.version = plan, adopter, budget.version + 1
        self.calendar(name)

    def stage(self, name):
        plan = self.budgets[name].plan
        if not any((name, resource) in self.held for resource in plan["resources"]):
            return "planning"
        unmet = {x["tier"] for x in plan["constraints"] if self.of(name, x["resource"]) < x["minimum"]}
        has_partial = any(x["tier"] == "partial" for x in plan["constraints"])
        if "partial" in unmet or (unmet and not has_partial):
            return "planning"
        return "partial" if unmet else "full"

    def objections(self, name, resource, amount):
        """What a budget's plan says of so much less."""
        stage = self.stage(name)
        if stage == "planning":
            return ["planning_stage"]
        return [
            "constraint_unmet"
            for x in self.budgets[name].plan["constraints"]
            if x["resource"] == resource
            and not (stage == "partial" and x["tier"] == "full")
            and self.of(name, resource) - amount < x["minimum"]
        ]

    # --- parts --------------------------------------------------------------------------------------

    def split(self, name, resource, shares, adopter):
        """Parts by shares of what is there; the plan remembers them for what comes in later."""
        budget = self.budgets[name]
        for part, amount in shared(max(0, self.of(name, resource)), shares).items():
            self.parts[f"{name}/{part}"] = Part(name, resource, amount)
        budget.shares = budget.shares | {resource: shares}
        is_live = budget.adopter not in self.dead
        self.adopt(name, budget.plan, budget.adopter if is_live else adopter)

    def is_dead(self, part):
        return self.parts[part].is_revoked or self.parts[part].budget in self.dead

    # --- value --------------------------------------------------------------------------------------

    def move(self, debit, credit, resource, amount):
        for account, change in ((debit, -amount), (credit, amount)):
            if account and amount:
                self.held[account, resource] = self.of(account, resource) + change

    # --- tasks --------------------------------------------------------------------------------------

    def objections_to_task(self, part, amount):
        row = self.parts[part]
        if self.is_dead(part):
            return ["revoked"] * (row.is_revoked + (row.budget in self.dead))
        codes = ["budget_exceeded"] if row.limit + row.refunded - row.spent - row.reserved < amount else []
        codes += ["insufficient_balance"] if self.of(row.budget, row.resource) < amount else []
        return codes or (self.objections(row.budget, row.resource, amount) if amount else [])

    def post(self, key, part, amount, expires):
        row = self.parts[part]
        row.reserved += amount
        self.move(row.budget, "", row.resource, amount)
        self.tasks[key] = Task(part, row.budget, row.resource, amount)
        if expires:
            self.appoint(expires, key)

    def free(self, key):
        task = self.tasks[key]
        task.status = "released"
        self.parts[task.part].reserved -= task.amount
        self.move("", task.budget, task.resource, task.amount)
        self.came([(task.budget, task.resource, task.amount)], object())

    def settle(self, key, used, payee):
        """A receipt; a late one is paid as far as the account still can."""
        task, row = self.tasks[key], self.parts[self.tasks[key].part]
        was_open = task.status == "open"
        task.payee, task.charged, task.status = payee, used, "settled" if was_open else "late"
        row.spent += used
        if was_open:
            row.reserved -= task.amount
            self.move("", task.budget, task.resource, task.amount)
        task.paid = used if was_open else max(0, min(used, self.of(task.budget, task.resource)))
        if task.paid:
            self.move(task.budget, payee, task.resource, task.paid)
            self.came([(payee, task.resource, task.paid)], object())

    def refund(self, key, amount):
        """Whether so much may come back, and then what it sets off."""
        task = self.tasks[key]
        if task.status not in ("settled", "late") or amount > min(task.charged, task.paid) - task.back:
            return False
        if self.of(task.payee, task.resource) < amount:
            return False
        task.back += amount
        self.parts[task.part].refunded += amount
        self.move(task.payee, task.budget, task.resource, amount)
        self.came([(task.budget, task.resource, amount)], object())
        return True
