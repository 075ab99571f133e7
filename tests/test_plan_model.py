"""Whole histories of two budgets beside the obvious model: parts, minima, rules, cascades, replaced plans.

After every step every balance, part, stage and version is compared, and what became of each rule; at the end
the journal is judged again to the same bytes. `HISTORIES=2000 pytest tests/test_plan_model.py` plays more.
"""

import os
import random

import pytest
import splittally
from splittally import Intent, Receipt
from splittally.runtime import pipeline
from splittally_tools.testing import assert_conserved, assert_replays

from tests.model.plans import Plans
from tests.model.rules import DAY, RESERVED
from tests.rows.budgets import BOTH, LOG, MARKET, A, B, done, ended, held
from tests.rows.worlds import codes

HISTORIES = int(os.environ.get("HISTORIES", "30"))
STEPS = 60
CLERK = "clerk"
NAMES = (A, B)
AMOUNTS = {
    "3": lambda came, held: 3,
    "0": lambda came, held: 0,
    "cause.amount / 2": lambda came, held: came // 2,
    "cause.amount": lambda came, held: came,
    "balance.USD / 10": lambda came, held: held["USD"] // 10,
    "balance.EUR - 4": lambda came, held: held["EUR"] - 4,
}
CONDITIONS = {
    "balance.USD > 20": lambda came, held: held["USD"] > 20,
    "cause.amount >= 5": lambda came, held: came >= 5,
}


class History:
    """A kernel on disk and the model, asked side by side."""

    def __init__(self, folder, seed):
        self.folder, self.chance, self.count, self.texts = folder, random.Random(seed), 0, []
        self.kernel = splittally.open(folder, clock="given")
        clerk = {"cap": "sys/native@1", "holder": "operator"}
        manifest = {"resources": BOTH, "accounts": {LOG: {}, MARKET: {}}, "grants": {CLERK: clerk}}
        assert self.kernel.apply(manifest).allowed
        for resource in BOTH:
            done(self.kernel, "ledger.issue", resource=resource, amount=200, to=MARKET)
        self.model = Plans({(MARKET, resource): 200 for resource in BOTH})
        for name in NAMES:
            plan = self.plan(minima=self.drawn_minima(), conversions=self.drawn_conversions())
            other = B if name == A else A
            done(self.kernel, "budget.create", budget=name, schema=self.stated(plan), pays_to=[LOG, other])
            self.model.create(name, plan, "root")

    def play(self):
        steps = {
            self.deposit: 14, self.transfer: 4, self.amend: 6, self.split: 6, self.metric: 3, self.answer: 8,
            self.revoke: 2, self.post: 14, self.settle: 10, self.cancel: 5, self.refund: 6, self.advance: 10,
            self.reopen: 3,
        }  # fmt: skip
        for step in self.chance.choices(list(steps), list(steps.values()), k=STEPS):
            self.model.run(self.model.now)
            step()
            self.kernel.tick(now_ns=self.model.now)
            self.model.run(self.model.now)
            self.compare()
        assert_conserved(self.kernel)
        assert_replays(self.kernel)
        self.kernel.close()

    # --- plans --------------------------------------------------------------------------------------

    def drawn_minima(self, old=()):
        """Minima of both tiers; of old ones mostly what an amendment may do."""
        if not old:
            tiers = self.chance.choices(["full", "partial"], k=self.chance.randint(0, 2))
            return [
                {
                    "name": f"m{at}",
                    "resource": self.resource(),
                    "minimum": self.chance.randint(0, 25),
                    "tier": tier,
                }
                for at, tier in enumerate(tiers)
            ]
        change = self.chance.choice([0, 0, 3, -1])
        moved = self.chance.choice([None, None, "partial", "full"])
        return [x | {"minimum": max(0, x["minimum"] + change), "tier": moved or x["tier"]} for x in old]

    def drawn_conversions(self):
        swap = {
            "gives": "EUR", "gets": "USD", "rate": [self.chance.randint(1, 3), self.chance.randint(1, 3)],
            "counter": MARKET, "keeps": self.chance.random() < 0.5,
        }  # fmt: skip
        return {"swap": swap} if self.chance.random() < 0.7 else {}

    def plan(self, minima, conversions):
        rules = [self.rule(f"r{at}", conversions) for at in range(self.chance.randint(0, 3))]
        return {"resources": BOTH, "constraints": minima, "conversions": conversions, "rules": rules}

    def rule(self, name, conversions):
        on = self.chance.choice(["deposit", "deposit", "deposit", "metric", "day"])
        of = {"deposit": self.chance.choice(["", "USD", "EUR"]), "metric": "m", "day": ""}[on]
        when = self.chance.choice([*CONDITIONS.items(), None, None])
        do = [self.action(conversions, on) for _ in range(self.chance.randint(0, 2))]
        is_asked = self.chance.random() < 0.2
        return {"name": name, "on": on, "of": of, "when": when, "do": do, "approval": is_asked}

    def action(self, conversions, on):
        amount = self.chance.choice(list(AMOUNTS.items()))
        if conversions and self.chance.random() < 0.3:
            return {"kind": "convert", "conversion": "swap", "amount": amount}
        resource = self.chance.choice(["", "USD", "EUR"] if on == "deposit" else ["USD", "EUR"])
        to = self.chance.choice([A, B, LOG])
        return {"kind": "transfer", "to": to, "resource": resource, "amount": amount}

    def stated(self, plan, shares=None):
        """The plan as a caller states it."""
        rules = [
            {**rule, "when": rule["when"][0] if rule["when"] else "",
             "do": [action | {"amount": action["amount"][0]} for action in rule["do"]]}
            for rule in plan["rules"]
        ]  # fmt: skip
        metrics = {"m": {"description": "what is measured", "nature": "output"}}
        return {**plan, "rules": rules, "metrics": metrics, "allocations": shares or {}}

    def resource(self):
        return self.chance.choice(list(BOTH))

    # --- steps --------------------------------------------------------------------------------------

    def native(self, kind, grant="root", **params):
        return self.kernel.native(kind, grant=grant, now_ns=self.model.now, **params)

    def deposit(self):
        name, resource, amount = self.chance.choice(NAMES), self.resource(), self.chance.randint(1, 60)
        assert self.native("ledger.issue", resource=resource, amount=amount, to=name).allowed
        self.model.move("", name, resource, amount)
        self.model.came([(name, resource, amount)], object())

    def transfer(self):
        """By the operator, whom no plan binds; also from what conversions keep, which is no deposit."""
        resource, amount = self.resource(), self.chance.randint(1, 40)
        pairs = [(LOG, A), (A, B), (B, LOG), (A + RESERVED, A), (A + RESERVED, B)]
        debit, credit = self.chance.choice(pairs)
        fits = self.model.of(debit, resource) >= amount
        asked = {"from": debit, "to": credit, "resource": resource, "amount": amount}
        assert self.native("ledger.transfer", **asked).allowed == fits
        if fits:
            self.model.move(debit, credit, resource, amount)
            if debit != credit + RESERVED:
                self.model.came([(credit, resource, amount)], object())

    def amend(self):
        name, grant = self.chance.choice(NAMES), self.chance.choice(["root", "root", CLERK])
        old = self.model.budgets[name]
        conversions = old.plan["conversions"] or self.drawn_conversions()
        plan = self.plan(self.drawn_minima(old.plan["constraints"]), conversions)
        if self.chance.random() < 0.15:
            plan = old.plan
        decision = self.native("budget.amend", grant, budget=name, schema=self.stated(plan, old.shares))
        if grant in self.model.dead:
            assert codes(decision) == ["revoked"]
        else:
            assert decision.allowed == self.model.amend(name, plan, grant), decision

    def split(self):
        name, resource = self.chance.choice(NAMES), self.resource()
        self.count += 1
        shares = {f"p{self.count}": 50, f"q{self.count}": self.chance.choice([50, 50, 49])}
        decision = self.native("budget.split", budget=name, resource=resource, shares=shares)
        is_good = sum(shares.values()) == 100 and resource not in self.model.budgets[name].shares
        assert decision.allowed == (is_good and name not in self.model.dead), decision
        if decision.allowed:
            self.model.split(name, resource, shares, "root")

    def metric(self):
        name, value = self.chance.choice(NAMES), self.chance.randint(0, 9)
        assert self.native("metric.record", budget=name, metric="m", value=value).allowed
        self.model.measured(name, value)

    def answer(self):
        if self.model.waiting:
            firing, is_yes = self.chance.choice(self.model.waiting), self.chance.random() < 0.7
            listed = self.kernel.state.budgets[firing.budget].waiting
            mine = [x for x in self.model.waiting if x.budget == firing.budget]
            item = listed[mine.index(firing)]["item"]
            said = "approve" if is_yes else "reject"
            decision = self.native("budget.answer", budget=firing.budget, item=item, answer=said)
            assert decision.allowed == self.model.answer(firing, is_yes), decision

    def revoke(self):
        names = [*self.model.parts, *self.model.parts, *NAMES, CLERK]
        name = self.chance.choice(names)
        if self.chance.random() < 0.6 and self.native("grant.revoke", name=name).allowed:
            if name in self.model.parts:
                self.model.parts[name].is_revoked = True
            else:
                self.model.dead.add(name)

    def post(self):
        if not self.model.parts:
            return
        part, amount = self.chance.choice(list(self.model.parts)), self.chance.randint(0, 30)
        expires = self.chance.choice([0, self.model.now + DAY // 3 - 7])
        params = {"result": "work", "amounts": {self.model.parts[part].resource: amount}}
        intent = Intent("task.post", params, part, expires_ns=expires or None)
        decision = self.kernel.submit(intent, now_ns=self.model.now)
        assert sorted(codes(decision)) == sorted(self.model.objections_to_task(part, amount)), decision
        if decision.allowed:
            self.model.post(decision.intent_hash, part, amount, expires)

    def task(self, *statuses):
        found = [key for key, x in self.model.tasks.items() if x.status in statuses]
        return self.chance.choice(found) if found else None

    def settle(self):
        key = self.task("open", "open", "released")
        if key is not None:
            task = self.model.tasks[key]
            payee = self.chance.choice([LOG, B if task.budget == A else A])
            is_ok = self.chance.random() < 0.8
            receipt = Receipt(key, "ok" if is_ok else "error", "adapter", {}, pays_to=payee)
            assert self.kernel.settle(receipt, now_ns=self.model.now).status in ("settled", "late")
            self.model.settle(key, task.amount if is_ok else 0, payee)

    def cancel(self):
        key = self.task("open")
        if key is not None:
            assert self.kernel.release(key, now_ns=self.model.now).status == "released"
            self.model.free(key)

    def refund(self):
        key = self.task("settled", "late", "open")
        if key is not None:
            amount = self.chance.randint(1, 20)
            asked = {"intent_hash": key, "amounts": {self.model.tasks[key].resource: amount}}
            assert self.native("settlement.refund", **asked).allowed == self.model.refund(key, amount)

    def advance(self):
        """Time goes on; what fell due meanwhile is worked through at the new time, the earliest first."""
        self.model.run(self.model.now + self.chance.choice([1, DAY // 3, DAY, 3 * DAY]))

    def reopen(self):
        self.kernel.close()
        self.kernel = splittally.open(self.folder)
        assert self.kernel.repairs == ()

    # --- comparing ----------------------------------------------------------------------------------

    def compare(self):
        model, state = self.model, self.kernel.state
        for (account, resource), amount in model.held.items():
            if account in state.accounts or amount:
                assert held(self.kernel, account, resource) == amount, (account, resource)
        for name, part in model.parts.items():
            row = state.counters[name][part.resource]
            found = (row.limit, row.reserved, row.spent, row.get("refunded", 0))
            assert found == (part.limit, part.reserved, part.spent, part.refunded), name
        for name, budget in model.budgets.items():
            row = state.budgets[name]
            assert (row.version, row.stage, row.adopted_by) == (
                budget.version,
                model.stage(name),
                budget.adopter,
            )
            waiting = [(x.rule, x.amount) for x in model.waiting if x.budget == name]
            assert [(x["rule"], x["amount"]) for x in row.waiting] == waiting
        told = ended(self.kernel)
        assert told == model.ended


@pytest.fixture
def often(monkeypatch):
    """Snapshots and index runs every few frames, so that a history goes through many of them."""
    monkeypatch.setattr(pipeline, "SNAPSHOT_FRAMES", 19)
    monkeypatch.setattr(pipeline, "INDEX_FLUSH_ROWS", 7)


@pytest.mark.req("S0-160")
@pytest.mark.parametrize("seed", range(HISTORIES))
def test_a_history_of_budgets_is_what_the_obvious_model_says(seed, memory, often):
    History(memory / str(seed), seed).play()
