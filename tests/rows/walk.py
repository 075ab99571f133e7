"""A random walk through a world: every kind of step, chosen and filled by a seed.

A test takes steps and looks at the world after each. The seed stands in the test's name, so a failure can
be walked again.
"""

import random
from typing import Any

from splittally import Receipt

from tests.rows.worlds import NATURAL_MAX, PARROT, act, another, apply, manifest, settle, uses

GRANTS: dict[str, Any] = {
    "team": {"budget": {"tokens": 4_000, "bytes": 9_000}, "delegations": 2, "approval_ns": 40},
    "lead": {"parent": "team", "budget": {"tokens": 3_000}, "hold_ns_max": 500, "unknown_ns": 60},
    "agent": {
        "parent": "lead",
        "budget": {"tokens": 2_500, "gpu_ms": 400},
        "limits": [{"dim": "tokens", "per": "1s", "amount": 1_500}],
    },
    "free": {},
}
POLICY = [
    {"name": "reducers ask", "decision": "require_approval", "origin_kind": "reducer"},
    {"name": "others may", "decision": "allow", "rates": [{"per": "1s", "amount": 10**6}]},
]
DIMS = ("tokens", "bytes", "gpu_ms", "cost_cents")
STEPS = {
    "submit": 34, "finish": 9, "finish_badly": 2, "fail": 2, "lose": 2, "cancel": 2, "govern": 1, "answer": 3,
    "repeat": 3, "come_late": 2, "pass_time": 5, "refund": 3, "top_up": 2, "upgrade": 1, "say_again": 3,
}  # fmt: skip


class Walk:
    """One walk; `step` takes a step, `hashes` are all intents that were answered with a record."""

    def __init__(self, kernel: Any, seed: int) -> None:
        self.kernel = kernel
        self.chance = random.Random(seed)
        self.hashes: list[bytes] = []
        self.intents: dict[bytes, dict[str, Any]] = {}
        self.modules = [PARROT, another()]
        self.taken: list[str] = []
        self.apply()

    def apply(self) -> None:
        grants = self.kernel.state.grants
        raised = {name: {"budget": grants[name].budget} for name in GRANTS if name in grants}
        terms = {name: told | raised.get(name, {}) for name, told in GRANTS.items()}
        apply(self.kernel, manifest(terms, self.modules[0], policy=POLICY))

    def step(self) -> str:
        """Takes one step and says which."""
        name = self.chance.choices(list(STEPS), STEPS.values())[0]
        getattr(self, name)()
        self.taken.append(name)
        return name

    def walk(self, steps: int) -> "Walk":
        for _ in range(steps):
            self.step()
        return self

    @property
    def now(self) -> int:
        return self.kernel.state.now_ns

    def amounts(self) -> dict[str, int]:
        dims = self.chance.sample(DIMS, self.chance.randrange(len(DIMS)))
        return {dim: self.chance.choice((0, self.chance.randrange(90))) for dim in dims}

    def any(self, among: list[bytes]) -> bytes:
        """One of these intents; an unknown one where there is none."""
        return self.chance.choice(among) if among else self.chance.randbytes(32)

    def open(self, phase: str = "") -> bytes:
        held = self.kernel.state.reservations
        return self.any([digest for digest, row in held.items() if phase in ("", row.phase)])

    # --- the steps ----------------------------------------------------------------------------------

    def submit(self) -> None:
        chance = self.chance
        fields: dict[str, Any] = {"idempotency_key": chance.randbytes(32)}
        if chance.random() < 0.2:
            fields["origin"] = ("reducer", "com.acme/p@1")
        if chance.random() < 0.4:
            fields["expires_ns"] = self.now + chance.randrange(1, 200)
        told = {"reserve": self.amounts(), "grant": chance.choice(list(GRANTS)), **fields}
        decision = act(self.kernel, **told)
        assert decision.seq is not None
        self.hashes.append(decision.intent_hash)
        self.intents[decision.intent_hash] = told

    def say_again(self) -> None:
        digest = self.any(self.hashes)
        if digest in self.intents:
            told = self.intents[digest]
            if told.get("expires_ns", self.now + 1) > self.now:
                assert act(self.kernel, **told).duplicate

    def finish(self) -> None:
        settle(self.kernel, self.open(), self.amounts())

    def finish_badly(self) -> None:
        payload = self.chance.choice((b"", b"\xff" * 9, uses({"tokens": NATURAL_MAX})[:-1], {"no": "usage"}))
        self.kernel.settle(Receipt(self.open(), "ok", "adapter", payload))

    def fail(self) -> None:
        settle(self.kernel, self.open(), {}, self.chance.choice(("error", "timeout")))

    def lose(self) -> None:
        self.kernel.settle(Receipt(self.open("open"), "unknown"))

    def cancel(self) -> None:
        self.kernel.release(self.open())

    def govern(self) -> None:
        self.kernel.release(self.open(), cause="governance", order=f"order-{len(self.taken)}")

    def answer(self) -> None:
        self.chance.choice((self.kernel.approve, self.kernel.reject))(self.open("approval"))

    def repeat(self) -> None:
        settle(self.kernel, self.any(self.hashes), self.amounts())

    def come_late(self) -> None:
        digest = self.open()
        self.kernel.release(digest)
        settle(self.kernel, digest, self.amounts())

    def pass_time(self) -> None:
        later = self.now + self.chance.choice((1, 1, 3, 7, 7, 20, 50, 10**9))
        self.kernel.tick(now_ns=later)
        self.kernel.native("account.open", account=f"accounts/{len(self.taken)}", now_ns=later)

    def refund(self) -> None:
        amounts = {"tokens": self.chance.randrange(1, 20)}
        self.kernel.native("settlement.refund", intent_hash=self.any(self.hashes), amounts=amounts)

    def top_up(self) -> None:
        amount = self.chance.randrange(1, 300)
        for name in ("team", "lead", "agent"):
            self.kernel.native("grant.topup", name=name, dim="tokens", amount=amount)

    def upgrade(self) -> None:
        self.modules.reverse()
        self.apply()
