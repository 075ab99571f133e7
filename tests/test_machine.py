"""A stateful machine drives the kernel and the obvious model side by side, and compares after each step."""

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule
from splittally import Intent, Receipt
from splittally.core.ledger.invariants import broken_invariants
from splittally.runtime.reader import read_store
from splittally_tools.testing.assertions import assert_agrees
from splittally_tools.testing.journal_walk import Walk

from tests.model.world import COMPLETION_PRICE, PROMPT_PRICE, Model, ModelGrant, price

PRICES = {"resource": "USD", "prompt": PROMPT_PRICE, "completion": COMPLETION_PRICE}
TEAM_MONEY = 6_000
LIMITS = {
    "team": {"tokens": 900, "USD": 9_000},
    "lead": {"tokens": 500},
    "agent": {"tokens": 300, "USD": 4_000},
    "capped": {"tokens": 400},
}
PARENTS = {"team": "root", "lead": "team", "agent": "lead", "capped": "team"}
MANIFEST = {
    "resources": {"USD": 6},
    "accounts": {"accounts/team": {}, "accounts/vendor": {}},
    "grants": {
        name: {
            "cap": "sys/llm.basic@1",
            "budget": LIMITS[name],
            "parent": PARENTS[name],
            "params": {"prices": PRICES},
            "above": "cap" if name == "capped" else "charge",
            "delegations": 2,
            **(
                {"draws_on": {"USD": "accounts/team"}, "pays_to": ["accounts/vendor"]}
                if name == "team"
                else {}
            ),
        }
        for name in PARENTS
    },
}
AMOUNTS = st.integers(0, 120)


class KernelAgainstModel(RuleBasedStateMachine):
    """Every rule asks both; every invariant compares both."""

    intents = Bundle("intents")

    def __init__(self):
        super().__init__()
        self.kernel = splittally.open(None, clock="given")
        assert self.kernel.apply(MANIFEST).allowed
        assert self.kernel.native(
            "ledger.issue", resource="USD", amount=TEAM_MONEY, to="accounts/team"
        ).allowed
        self.walk = Walk(read_store(self.kernel), is_rejudging=True)
        self.model = Model()
        self.model.team = self.model.issued = TEAM_MONEY
        for name, parent in PARENTS.items():
            self.model.add(
                ModelGrant(
                    name,
                    None if parent == "root" else parent,
                    dict(LIMITS[name]),
                    draws=name == "team",
                    above="cap" if name == "capped" else "charge",
                )
            )
        self.count = 0

    @rule(
        target=intents,
        grant=st.sampled_from(sorted(PARENTS)),
        prompt=AMOUNTS,
        completion=AMOUNTS,
        lives=st.integers(0, 40),
    )
    def submit(self, grant, prompt, completion, lives):
        self.count += 1
        key = self.count.to_bytes(32)
        now = self.kernel.state.now_ns
        expires = now + lives if lives else None
        params = {"model": "m", "max_tokens": completion, "prompt_tokens": prompt}
        intent = Intent("llm.generate", params, grant, idempotency_key=key, expires_ns=expires)
        dry = self.kernel.decide(intent)
        decision = self.kernel.submit(intent)
        assert (dry.outcome, dry.findings, dry.reserve) == (
            decision.outcome,
            decision.findings,
            decision.reserve,
        )
        reserve = {"tokens": prompt + completion, "USD": price(prompt, completion)}
        expected = self.model.verdict(grant, reserve)
        assert decision.outcome == ("allow" if expected == "allow" else "deny"), (expected, decision)
        if expected == "allow":
            self.model.hold(decision.intent_hash, grant, reserve, expires or 0)
        again = self.kernel.submit(intent)
        assert again.duplicate
        assert (again.seq, again.outcome) == (decision.seq, decision.outcome)
        return decision.intent_hash

    @rule(data=st.data(), prompt=AMOUNTS, completion=AMOUNTS)
    @precondition(lambda self: self.kernel.state.reservations)
    def settle_an_open_hold(self, data, prompt, completion):
        intent = data.draw(st.sampled_from(sorted(self.kernel.state.reservations)))
        self.settle(intent, prompt, completion)

    @rule(intent=intents, prompt=AMOUNTS, completion=AMOUNTS)
    def settle_any(self, intent, prompt, completion):
        self.settle(intent, prompt, completion)

    def settle(self, intent, prompt, completion):
        payload = {"prompt_tokens": prompt, "completion_tokens": completion}
        settlement = self.kernel.settle(Receipt(intent, "ok", "adapter", payload))
        usage = {"tokens": prompt + completion, "USD": price(prompt, completion)}
        assert settlement.status == self.model.settle(intent, usage)

    @rule(intent=intents, status=st.sampled_from(["error", "timeout"]))
    def fail(self, intent, status):
        settlement = self.kernel.settle(Receipt(intent, status, "adapter", {}))
        assert settlement.status == self.model.settle(intent, {})

    @rule(intent=intents)
    def cancel(self, intent):
        assert self.kernel.release(intent).status == self.model.release(intent)

    @rule(intent=intents, tokens=st.integers(1, 60))
    def refund(self, intent, tokens):
        decision = self.kernel.native("settlement.refund", intent_hash=intent, amounts={"tokens": tokens})
        assert decision.allowed == self.model.refund(intent, tokens)

    @rule(steps=st.integers(1, 25))
    def advance(self, steps):
        now = self.kernel.state.now_ns + steps
        self.kernel.tick(now_ns=now)
        self.model.advance(now)
        if self.kernel.state.now_ns < now:  # nothing was due, so no frame says the time
            self.kernel.native("account.open", account=f"accounts/at-{now}-{self.count}", now_ns=now)

    @rule(grant=st.sampled_from(["agent", "lead"]), amount=st.integers(1, 50))
    def top_up(self, grant, amount):
        room = self.model.grants[self.model.grants[grant].parent].limits["tokens"]
        decision = self.kernel.native("grant.topup", name=grant, dim="tokens", amount=amount)
        fits = self.model.grants[grant].limits["tokens"] + amount <= room
        assert decision.allowed == (fits and not self.model.grants[grant].revoked)
        if decision.allowed:
            self.model.grants[grant].limits["tokens"] += amount

    @rule(really=st.integers(0, 9))
    @precondition(lambda self: not self.model.grants["agent"].revoked and self.count > 5)
    def revoke_the_agent(self, really):
        if really:
            return
        decision = self.kernel.native("grant.revoke", name="agent")
        assert decision.allowed
        self.model.grants["agent"].revoked = True

    @invariant()
    def counters_agree(self):
        counters = self.kernel.state.counters
        for name, grant in self.model.grants.items():
            for dim, limit in grant.limits.items():
                row = counters[name][dim]
                assert row.limit == limit
                assert row.reserved == grant.reserved.get(dim, 0)
                assert row.spent == grant.spent.get(dim, 0)
                assert row.get("refunded", 0) == grant.refunded.get(dim, 0)

    @invariant()
    def money_agrees_and_is_conserved(self):
        accounts = self.kernel.state.accounts
        assert accounts["accounts/team"].balances.get("USD", 0) == self.model.team
        assert accounts["accounts/vendor"].balances.get("USD", 0) == self.model.vendor
        resource = self.kernel.state.resources["USD"]
        assert resource.in_flight == self.model.flying
        assert resource.imbalance == 0

    @invariant()
    def open_holds_agree_and_add_up(self):
        held = self.kernel.state.reservations
        assert set(held) == {key for key, hold in self.model.holds.items() if hold.status == "reserved"}
        for name, dims in self.kernel.state.counters.items():
            for dim, row in dims.items():
                legs = [leg for hold in held.values() for leg in hold.legs if leg.grant == name]
                assert row.reserved == sum(leg.reserve.get(dim, 0) for leg in legs)

    @invariant()
    def every_invariant_that_audit_asks_for_holds(self):
        assert list(broken_invariants(self.kernel._world.state.ledger)) == []

    @invariant()
    def the_journal_is_judged_again_to_the_same_bytes_and_folds_to_the_live_state(self):
        self.walk.go_on()
        assert_agrees(self.kernel, self.walk.state)

    def teardown(self):
        self.kernel.close()


KernelAgainstModel.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)


@pytest.mark.req("S4-38", "S4-44", "X5-12")
class TestKernelAgainstModel(KernelAgainstModel.TestCase):
    """The kernel and the obvious model agree after every step of generated histories."""
