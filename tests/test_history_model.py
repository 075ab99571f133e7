"""Whole histories beside the obvious model: after every step each answer, counter, window, hold and balance.

A history is a world drawn from a seed and some eighty steps in it: intents alone and in groups of both modes,
receipts late and doubled, approvals, refunds, amendments, grants for one run that are revoked and forgotten,
jumps of the clock over hours, days and weeks, and the world closed and opened again, with snapshots and index
runs every few frames.
`HISTORIES=2000 pytest tests/test_history_model.py` plays more of them.
"""

import os
import random

import pytest
import splittally
from splittally import Intent, Receipt
from splittally.core import step as deciding
from splittally.runtime import pipeline
from splittally.runtime.reader import open_reader, read_store
from splittally_tools.audit.verify import verify
from splittally_tools.testing.journal_walk import Walk

from tests.history_views import compare_tables, compare_views
from tests.history_worlds import (
    DIMS,
    PARENTS,
    document,
    drawn_caps,
    drawn_grants,
    drawn_rules,
    drawn_run,
    terms,
)
from tests.model.history import Model
from tests.model.records import SECOND, Grant, Limit
from tests.rows.worlds import ACT, apply, codes, reserves, uses

HISTORIES = int(os.environ.get("HISTORIES", "60"))
STEPS = 80
TEAM = 700
KEPT = 1  # revoked grants that these worlds remember


class History:
    """A kernel on disk and the model, asked side by side."""

    def __init__(self, folder, seed):
        self.folder, self.chance = folder, random.Random(seed)
        grants = drawn_grants(self.chance)
        rules = drawn_rules(self.chance)
        caps = drawn_caps(self.chance) if self.chance.random() < 0.5 else None
        self.kernel = splittally.open(folder, clock="given")
        apply(self.kernel, document(grants, rules, caps))
        assert self.kernel.native("ledger.issue", resource="USD", amount=TEAM, to="accounts/team").allowed
        self.model = Model(grants, rules, TEAM, caps)
        self.count = 0
        self.runs = []  # the grants that were made for one, by name
        self.keys = []  # of every intent that was admitted
        self.told = {}  # the answer to each intent: outcome, codes, grant

    def play(self):
        steps = {
            self.submit: 24, self.group: 6, self.first: 4, self.settle: 16, self.release: 4, self.dispatch: 5,
            self.extend: 4,
            self.unknown: 3, self.answer: 8, self.refund: 8, self.advance: 14, self.top_up: 3, self.amend: 4,
            self.run: 8, self.revoke: 5, self.reopen: 4, self.again: 4, self.govern: 4,
        }  # fmt: skip
        for step in self.chance.choices(list(steps), list(steps.values()), k=STEPS):
            step()
            self.compare()
        self.audit()

    # --- steps ----------------------------------------------------------------------------------

    def amounts(self):
        every = {"a": self.chance.randint(0, 40), "USD": self.chance.randint(0, 40)}
        return {dim: amount for dim, amount in every.items() if self.chance.random() < 0.8}

    def intent(self, grant, reserve, key=None, expires=0):
        self.count += 1
        params = {"a": reserves(reserve), "n": self.count if key is None else 0}
        key = key or self.count.to_bytes(32)
        return Intent(ACT, params, grant, idempotency_key=key, expires_ns=expires or None, attempt=key[:16])

    def asked(self):
        grant, reserve = self.chance.choice([*PARENTS, *self.runs[-3:]]), self.amounts()
        expires = self.model.now + self.chance.choice([0, 0, -1, 40, 4_000]) * SECOND + 7
        expires = expires if expires % SECOND == 7 and expires > self.model.now - 2 * SECOND else 0
        return grant, reserve, max(0, expires) if self.chance.random() < 0.5 else 0

    def submit(self):
        grant, reserve, expires = self.asked()
        intent = self.intent(grant, reserve, expires=expires)
        dry = self.kernel.decide(intent, now_ns=self.model.now)
        decision = self.kernel.submit(intent, now_ns=self.model.now)
        assert (dry.outcome, dry.findings, dry.reserve) == (
            decision.outcome,
            decision.findings,
            decision.reserve,
        )
        expected = self.model.decide(grant, reserve, expires)
        assert (decision.outcome, sorted(codes(decision))) == (expected.outcome, sorted(expected.codes)), (
            decision
        )
        if not expected.made:
            self.model.note(expected.noted)
        if decision.seq is not None:
            self.told[decision.intent_hash] = (expected.outcome, expected.codes, grant)
        self.take(decision, expected, reserve, intent)

    def take(self, decision, expected, reserve, intent):
        if expected.made:
            assert decision.reserve == reserve
            self.model.admit(decision.intent_hash, expected)
            self.keys.append((decision.intent_hash, intent, decision))

    def group(self):
        """All or nothing: each member is decided after those before it."""
        asked = [self.asked() for _ in range(self.chance.randint(2, 3))]
        intents = [self.intent(grant, reserve, expires=expires) for grant, reserve, expires in asked]
        decisions = self.kernel.submit(intents, mode="all", now_ns=self.model.now)
        if self.is_forgotten(grant for grant, *_ in asked):
            assert {(x.seq, *codes(x)) for x in decisions} == {(None, "unknown_grant")}
            return
        kept = self.model.copy()
        for decision, (grant, *_) in zip(decisions, asked, strict=True):
            self.told[decision.intent_hash] = (decision.outcome, codes(decision), grant)
        for at, (grant, reserve, expires) in enumerate(asked):
            expected = self.model.decide(grant, reserve, expires)
            if expected.outcome != "allow":
                self.model = kept
                assert {x.outcome for x in decisions} == {"deny"}
                assert codes(decisions[at]) == [*expected.codes, "group_member_refused"]
                assert all(codes(x) == ["group_member_refused"] for x in decisions if x is not decisions[at])
                return
            self.model.admit(decisions[at].intent_hash, expected)
        assert {x.outcome for x in decisions} == {"allow"}
        self.keys += [(x.intent_hash, intent, x) for x, intent in zip(decisions, intents, strict=True)]

    def first(self):
        """One payload under several grants: the first that is allowed alone, else the mildest refusal."""
        reserve = self.amounts()
        grants = self.chance.sample([*PARENTS, *self.runs[-2:]], self.chance.randint(2, 3))
        self.count += 1
        key = self.count.to_bytes(32)
        intents = [self.intent(grant, reserve, key) for grant in grants]
        decision = self.kernel.submit(intents, mode="first", now_ns=self.model.now)
        if self.is_forgotten(grants):
            assert (decision.seq, codes(decision)) == (None, ["unknown_grant"])
            return
        tried = []
        for grant in grants:
            tried.append(self.model.decide(grant, reserve))
            if tried[-1].outcome == "allow":
                break
        order = ["deny", "defer", "require_approval", "allow"]
        best = max(tried, key=lambda x: order.index(x.outcome))
        others = [code for x in tried if x is not best for code in x.codes]
        assert (decision.outcome, codes(decision)) == (best.outcome, [*best.codes, *others])
        if best.made:
            self.take(decision, best, reserve, intents[tried.index(best)])
        elif best.outcome == "deny":
            for each in tried:
                self.model.note(each.noted)
        else:
            self.model.note(best.noted)

    def is_forgotten(self, names):
        return any(self.model.grants[name].forgotten for name in names)

    def again(self):
        """A known intent gets its answer once more, and nothing is written."""
        if self.keys:
            _, intent, decision = self.chance.choice(self.keys)
            size = self.kernel.state.seq
            answer = self.kernel.submit(intent, now_ns=self.model.now)
            assert (answer.duplicate, answer.outcome, answer.seq) == (True, decision.outcome, decision.seq)
            hold = self.model.holds[decision.intent_hash]
            is_open = hold.status == "reserved" and hold.phase == "open"
            assert answer.allowed == is_open
            assert self.kernel.state.seq == size

    def target(self):
        """Some intent, mostly one that is open, now and then one that never was."""
        held = [key for key, hold in self.model.holds.items() if hold.status == "reserved"]
        pool = held if held and self.chance.random() < 0.7 else [key for key, *_ in self.keys]
        return self.chance.choice(pool) if pool and self.chance.random() < 0.95 else b"\0" * 32

    def settle(self):
        key, usage = self.target(), self.amounts()
        receipt = Receipt(key, self.chance.choice(["ok", "error"]), "adapter", uses(usage))
        settlement = self.kernel.settle(receipt, now_ns=self.model.now)
        assert settlement.status == self.model.settle(key, usage)

    def unknown(self):
        key = self.target()
        settlement = self.kernel.settle(Receipt(key, "unknown", "adapter"), now_ns=self.model.now)
        hold = self.model.holds.get(key)
        if hold is not None and hold.status == "reserved":
            self.model.unknown(hold)
            assert settlement.status == "held"
        else:
            assert settlement.status == ("not_found" if hold is None else "duplicate")

    def release(self):
        key = self.target()
        assert self.kernel.release(key, now_ns=self.model.now).status == self.model.release(key)

    def dispatch(self):
        key, attempt = self.target(), self.chance.randbytes(16)
        change = self.kernel.dispatch(key, attempt, now_ns=self.model.now)
        assert change.status == self.model.dispatch(key, attempt)

    def extend(self):
        key = self.target()
        until = self.model.now + self.chance.choice([-1, 0, 60, 2_000, 100_000]) * SECOND
        change = self.kernel.extend(key, max(1, until), now_ns=self.model.now)
        assert change.status == self.model.extend(key, max(1, until))

    def answer(self):
        waiting = [
            key for key, x in self.model.holds.items() if (x.status, x.phase) == ("reserved", "approval")
        ]
        key = self.chance.choice(waiting) if waiting and self.chance.random() < 0.8 else self.target()
        is_yes = self.chance.random() < 0.7
        said = "approve" if is_yes else "reject"
        decision = self.kernel.native("approval.answer", intent_hash=key, answer=said, now_ns=self.model.now)
        assert decision.allowed == self.model.answer(key, is_yes), decision

    def refund(self):
        ended = [key for key, x in self.model.holds.items() if x.status == "settled" or x.is_late]
        key = self.chance.choice(ended) if ended and self.chance.random() < 0.9 else self.target()
        amounts = {dim: self.chance.randint(1, 25) for dim in DIMS if self.chance.random() < 0.6} or {"a": 1}
        asked = {"intent_hash": key, "amounts": amounts}
        decision = self.kernel.native("settlement.refund", **asked, now_ns=self.model.now)
        assert decision.allowed == self.model.refund(key, amounts), decision

    def advance(self):
        jump = self.chance.choice([1, 30, 100, 1_000, 3_600, 20_000, 86_400, 200_000, 700_000, 3_000_000])
        now = self.model.now + jump * SECOND
        self.model.advance(now)
        self.kernel.tick(now_ns=now)
        if self.kernel.state.now_ns < now:  # nothing was due, so no frame says the time
            self.count += 1
            opened = self.kernel.native("account.open", account=f"accounts/{self.count}", now_ns=now)
            assert opened.allowed

    def top_up(self):
        name = self.chance.choice(list(PARENTS))
        hard = [x for x in self.model.grants[name].limits if x.over == "deny" and x.per != "intent"]
        if hard:
            limit, more = self.chance.choice(hard), self.chance.randint(1, 30)
            asked = {"name": name, "dim": limit.dim, "per": limit.per, "amount": more}
            decision = self.kernel.native("grant.topup", **asked, now_ns=self.model.now)
            assert decision.allowed == self.model.may_raise(name, limit, limit.amount + more), decision
            if decision.allowed:
                self.change(name, limit, limit.amount + more)

    def amend(self):
        name = self.chance.choice(list(PARENTS))
        grant = self.model.grants[name]
        if grant.limits:
            limit = self.chance.choice(grant.limits)
            limits = self.changed(name, limit, self.chance.randint(0, 90))
            new = terms(Grant(**{**vars(grant), "limits": limits})) | {"cap": "test/parrot@1"}
            new |= {"parent": grant.parent or "root", "delegations": 3 - len(self.model.chain(name)) + 1}
            if self.kernel.native("grant.amend", name=name, terms=new, now_ns=self.model.now).allowed:
                self.model.amend(name, limits)

    def changed(self, name, limit, amount):
        new = Limit(limit.dim, limit.per, amount, limit.over, limit.share)
        return [new if x is limit else x for x in self.model.grants[name].limits]

    def change(self, name, limit, amount):
        self.model.amend(name, self.changed(name, limit, amount))

    def revoke(self):
        names = self.runs[-4:] if self.runs and self.chance.random() < 0.8 else ["leaf", "side", "mid"]
        name = self.chance.choice(names)
        decision = self.kernel.native("grant.revoke", name=name, now_ns=self.model.now)
        grant = self.model.grants[name]
        assert decision.allowed == (not grant.revoked and not grant.forgotten)
        if decision.allowed:
            self.void([name])

    def void(self, names):
        """These are revoked by the last frame, and what the world then forgets is forgotten."""
        for name in names:
            self.model.revoke(name, self.kernel.state.seq)
        held = [x for x in self.model.holds.values() if x.status == "reserved"]
        self.model.forget(KEPT, {name for hold in held for name in hold.chain})

    def run(self):
        """A grant for one run, now and then under a name that was used before."""
        parent = self.chance.choice([None, *PARENTS, *self.runs[-1:]])
        name = f"run/{self.chance.randint(1, 3) if self.chance.random() < 0.1 else self.count}"
        grants = self.model.grants
        grant = drawn_run(self.chance, grants, parent)
        if name in grants:
            decision = self.kernel.native("grant.issue", name=name, terms={"cap": "test/parrot@1"})
            assert codes(decision) == ["name_taken"]
            return
        is_below = parent is None or not self.model.is_void(parent)
        if is_below and self.state_manifest(self.model.caps, {name: grant}):
            self.model.add(name, grant)
            self.runs.append(name)

    def state_manifest(self, caps, more):
        """Whether a manifest of the grants that are not void, and more, was applied."""
        grants = self.model.grants
        live = {name: grant for name, grant in grants.items() if not self.model.is_void(name)}
        stated = document(live | more, self.model.rules, caps)
        decision = self.kernel.apply(stated, now_ns=self.model.now)
        if (
            not decision.allowed
        ):  # a grant above was amended to less than what stands below it, or delegates no more
            assert set(codes(decision)) <= {"wider_than_parent", "chain_too_long"}, decision
            return False
        self.void(sorted(grants.keys() - live.keys()))
        return True

    def govern(self):
        """Other caps of the governor, none, or the first governor; a void grant is stated no more."""
        caps = drawn_caps(self.chance)
        if self.state_manifest(caps, {}):
            self.model.replace_caps(caps)

    def reopen(self):
        self.kernel.close()
        self.kernel = splittally.open(self.folder)
        assert self.kernel.repairs == ()

    # --- comparing ------------------------------------------------------------------------------

    def compare(self):
        compare_tables(self.kernel.state, self.model)

    def audit(self):
        """The journal says of each intent what the model says, and is decided again to the same bytes."""
        for key, hold in self.model.holds.items():
            row = self.kernel.outcome(key)
            assert row.status == hold.status
            if hold.charged or hold.status == "settled":
                assert row.charged == hold.charged.get(hold.chain[0], {})
            if hold.cause:
                assert row.cause == hold.cause
        walk = Walk(read_store(self.kernel), is_rejudging=True)
        walk.finish()
        assert walk.state.size == self.kernel.state.seq
        self.kernel.close()
        with open_reader(self.folder) as reader:
            report = verify(reader)
            compare_views(reader, self.model, self.told, self.chance)
        assert (report.damage, report.problems) == (None, [])


@pytest.fixture
def often(monkeypatch):
    """Snapshots and index runs every few frames, and few revoked grants remembered: all comes up often."""
    monkeypatch.setattr(pipeline, "SNAPSHOT_FRAMES", 23)
    monkeypatch.setattr(pipeline, "INDEX_FLUSH_ROWS", 9)
    monkeypatch.setattr(deciding, "REVOKED_KEPT_MAX", KEPT)


@pytest.mark.req("S4-38", "S4-44", "X5-12")
@pytest.mark.parametrize("seed", range(HISTORIES))
def test_a_history_is_what_the_obvious_model_says(seed, memory, often):
    History(memory / str(seed), seed).play()
