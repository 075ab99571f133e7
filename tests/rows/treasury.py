"""A world of money in which every kind of step can be asked for with any amount, in any order.

`World` has two budgets under rules, conversions, cards that draw on accounts which may owe, an account that
burns, and a governor. A step is a name, two amounts and a choice; most are refused, each with a typed answer.
"""

from hashlib import sha256
from typing import Any

import hypothesis.strategies as st
import splittally
from splittally import Intent, Receipt
from splittally.core.errors import SplittallyError
from splittally.core.native import NATIVE
from splittally.edge.manifest import read_manifest_document

from tests.rows.worlds import PARROT, act, manifest, uses

TOP = 2**64 - 1
AMOUNTS = (0, 1, 2**53 + 1, 2**63 - 1, 2**63, TOP - 1, TOP)
RULES = [
    {"name": "on", "on": "deposit", "of": "A", "do": [
        {"kind": "transfer", "to": "budgets/q", "amount": "cause.amount / 2", "resource": "A"},
    ]},
    {"name": "swap", "on": "deposit", "of": "A", "do": [
        {"kind": "convert", "conversion": "c", "amount": "cause.amount / 3"},
        {"kind": "transfer", "to": "external/burn", "amount": "1", "resource": "B"},
    ]},
    {"name": "slow", "on": "deposit", "of": "B", "approval": True, "do": [
        {"kind": "transfer", "to": "accounts/a", "amount": "cause.amount", "resource": "B"},
    ]},
    {"name": "told", "on": "metric", "of": "m", "do": [
        {"kind": "transfer", "to": "accounts/b", "amount": "cause.amount", "resource": "A"},
    ]},
]  # fmt: skip
CONVERSIONS = {"c": {"gives": "A", "gets": "B", "rate": [3, 1], "counter": "accounts/m", "keeps": True}}


class World:
    """The world, and what was decided in it: `step` asks for one thing more."""

    def __init__(self, scale: int, path: Any = None) -> None:
        self.kernel = splittally.open(path, clock="given")
        self.scale = scale
        self.hashes: list[bytes] = []
        self.settled: list[bytes] = []
        self.count = 0
        self.allowed: set[str] = set()
        self._require(self.apply(5, 9))
        for resource in "AB":
            for account in ("accounts/a", "accounts/m", "accounts/o"):
                self._require(self.native("ledger.issue", resource=resource, amount=1_000, to=account))
        for name in ("budgets/p", "budgets/q"):
            terms = {"schema": self.plan(1), "pays_to": ["accounts/b", "budgets/q"]}
            funding = {"resource": "A", "amount": 100, "from": "accounts/a"}
            self._require(self.native("budget.create", budget=name, **terms, **funding))

    @staticmethod
    def _require(decision: Any) -> None:
        assert decision.allowed, decision.findings

    def document(self, one: int, two: int) -> dict[str, Any]:
        """The manifest with two amounts in it."""
        draws = {"draws_on": {"A": "accounts/a", "B": "accounts/o"}, "unknown_ns": 20}
        grants = {
            "g": {
                "budget": {"A": one},
                "above": "debt",
                **draws,
                "pays_to": ["accounts/b", "budgets/p", "accounts/o"],
            },
            "h": {"parent": "g", "above": "debt", "limits": [{"dim": "A", "per": "day", "amount": two}]},
            "cap": {"above": "cap", "doubt": "payee", **draws, "pays_to": ["external/burn", "accounts/a"]},
            "free": {"draws_on": {"B": "accounts/o"}, "pays_to": ["accounts/o"], "above": "debt"},
        }
        return manifest(
            grants,
            PARROT,
            resources={"A": self.scale, "B": self.scale},
            accounts={
                "accounts/a": {},
                "accounts/b": {"debt_limit": min(two, 2**62)},
                "accounts/m": {},
                "accounts/o": {"debt_limit": min(one, 2**62)},
                "external/burn": {"debt_limit": min(one, 2**60)},
            },
            governor={"caps": [{"resource": "A", "per": "day", "amount": two}]},
        )

    def plan(self, minimum: int) -> dict[str, Any]:
        """A plan with every kind of rule."""
        return {
            "resources": {"A": self.scale, "B": self.scale},
            "constraints": [{"name": "floor", "resource": "B", "minimum": minimum, "tier": "full"}],
            "metrics": {"m": {"description": "d", "nature": "maximise"}},
            "formulas": {"f": {"value": "metric.m + balance.A"}},
            "conversions": CONVERSIONS,
            "rules": RULES,
        }

    def living(self, one: int, two: int) -> dict[str, Any]:
        """A plan of a child with everything that a living plan may say, and two amounts in it."""
        whole = self.plan(0)
        digest = {"description": "d", "nature": "output", "per": "day", "reads": "sum", "target": 3}
        return whole | {
            "metrics": whole["metrics"] | {"n": digest},
            "lines": {
                "first": {"resource": "A", "amount": min(two, 2**63 - 1), "priority": 1},
                "then": {"resource": "A", "amount": 7, "metric": "n"},
            },
            "surplus": {"A": {"then": 1}},
            "constraints": [
                {"name": "burn", "resource": "A", "needs": "digest.n.sum * 2", "tier": "partial"},
                {"name": "truth", "holds": "metric.m >= 0 || balance.A > 0", "blocks": ["x"]},
            ],
            "conversions": {"c": CONVERSIONS["c"] | {"floats": "supply.B / 3"}},
            "overdraft": {"resource": "A", "amount": one, "when": "metric.m > 0"},
            "funding_limits": [{"when": "digest.n.sum > 9", "percent": 50}],
            "work": {"w": {"metric": "n", "resource": "A", "pays": two, "result": "x"}},
            "quorum": {"agree": 1},
            "rules": [
                {"name": "earn", "on": "metric", "of": "m", "once": True, "do": [
                    {"kind": "issue", "resource": "B", "amount": "cause.amount"},
                    {"kind": "record", "metric": "n", "value": "cause.amount * 2"},
                    {"kind": "review", "title": "earned"},
                    {"kind": "solve"},
                ]},
                {"name": "back", "on": "metric", "of": "n", "do": [
                    {"kind": "record", "metric": "m", "value": "spent.A + surplus.A"},
                    {"kind": "convert", "conversion": "c", "amount": "cause.amount"},
                ]},
            ],
        }  # fmt: skip

    def apply(self, one: int, two: int) -> Any:
        return self.kernel.apply(self.document(one, two))

    def native(self, kind: str, **params: Any) -> Any:
        return self.kernel.native(kind, **params)

    def step(self, name: str, one: int, two: int, at: int) -> Any:
        """One step; what it raises is typed, and what is refused is told by findings."""
        self.count += 1
        ask = getattr(self, name.replace(".", "_"), None)
        try:
            answer = ask(one, two, at) if ask else self.native(name, **self.params(name, one, two, at))
        except SplittallyError:
            return None
        if getattr(answer, "status", "") in ("settled", "late"):
            self.settled.append(answer.intent_hash)
        if isinstance(answer, splittally.Decision):
            if answer.allowed:
                self.allowed.add(name)
                self.hashes.append(answer.intent_hash)
            assert answer.allowed or answer.findings, answer
        return answer

    def any(self, at: int) -> bytes:
        """One that was decided; three times of four one that was settled, where there is one."""
        among = self.settled if self.settled and at % 4 else self.hashes
        return among[-1 - at % len(among)] if among else bytes(32)

    def open(self, at: int, phase: str = "") -> bytes:
        held = [digest for digest, row in self.kernel.state.reservations.items() if phase in ("", row.phase)]
        return held[at % len(held)] if held else bytes(32)

    def budget(self, at: int) -> str:
        """One of the budgets, later ones more often than the first two."""
        names = sorted(self.kernel._world.state.plans.budgets)
        return names[at % len(names)] if at % 3 else ("budgets/p", "budgets/q")[at % 2]

    # --- steps that are no native effect ------------------------------------------------------------

    def act(self, one: int, two: int, at: int) -> Any:
        reserve = [{"A": one}, {"A": one, "B": two}, {"B": one, "calls": two}, {"calls": one}][at % 4]
        now = self.kernel.state.now_ns
        fields = {"expires_ns": now + 50} if at % 3 == 2 else {}
        return act(self.kernel, reserve, ("g", "h", "cap", "free")[at // 4 % 4], **fields)

    def task(self, one: int, two: int, at: int) -> Any:
        amounts = {"A": one, "B": two}
        return self.kernel.submit(Intent("task.post", {"result": "x", "amounts": amounts}, self.budget(at)))

    def settle(self, one: int, two: int, at: int) -> Any:
        usage = [{"A": one}, {"A": one, "B": two}, {"calls": one, "B": two}][at % 3]
        payee = ("", "accounts/o", "budgets/p", "external/burn", "nobody")[at % 5]
        digest = self.open(at) if at % 4 else self.any(at)
        return self.kernel.settle(Receipt(digest, "ok", "adapter", uses(usage), pays_to=payee or None))

    def doubt(self, one: int, two: int, at: int) -> Any:
        return self.kernel.settle(Receipt(self.open(at), "unknown"))

    def release(self, one: int, two: int, at: int) -> Any:
        return self.kernel.release(self.open(at))

    def wait(self, one: int, two: int, at: int) -> Any:
        return self.kernel.tick(now_ns=self.kernel.state.now_ns + (30, 60, 86_400 * 10**9)[at % 3])

    def group(self, one: int, two: int, at: int) -> Any:
        """In one record: what an account owes, and another limit of what it may."""
        members = [
            Intent("ledger.transfer", self.params("ledger.transfer", one, two, at), "root"),
            Intent("manifest.apply", self.params("manifest.apply", two, one, at), "root"),
        ]
        return self.kernel.submit(members, mode="all")

    # --- native effects -----------------------------------------------------------------------------

    def params(self, kind: str, one: int, two: int, at: int) -> dict[str, Any]:
        """Params of a native effect with these amounts."""
        accounts = ("accounts/a", "accounts/o", "budgets/p", "external/burn", "accounts/m", "accounts/b")
        debit, to = accounts[at % 6], accounts[at // 6 % 6]
        resource = "AB"[at // 3 % 2]
        move = {"resource": resource, "amount": one, "from": debit, "to": to}
        grant = ("g", "h", "cap", "free", "budgets/p/x", "child")[at % 6]
        limits = [{"dim": "A", "per": ("life", "day", "intent")[at % 3], "amount": two, "over": "tell"}]
        terms = {"cap": "test/parrot@1", "limits": limits}
        waiting = [x for x in self.kernel._world.state.plans.firings.items() if x[1].status == "waiting"]
        every: dict[str, dict[str, Any]] = {
            "module.install": {"name": "test/m@1", "wasm": PARROT},
            "grant.issue": {"name": f"n{self.count}", "terms": terms | {"budget": {"A": one}}},
            "grant.amend": {"name": grant, "terms": terms | ({"budget": {"calls": one}} if at % 2 else {})},
            "grant.topup": {"name": grant, "dim": "A", "amount": one},
            "grant.revoke": {"name": f"n{self.count - 1}"},
            "resource.define": {"resource": f"R{self.count}", "scale": self.scale},
            "account.open": {"account": f"accounts/n{self.count}", "debt_limit": one},
            "ledger.issue": move | {"from": ("external/issuer", "external/burn")[at % 2]},
            "ledger.transfer": move,
            "ledger.convert": move
            | {
                "gets": "BA"[at // 3 % 2],
                "rate": [1 + two % 10**9, 1 + at % 7],
                "counter": accounts[at // 2 % 6],
            },
            "approval.answer": {"intent_hash": self.open(at), "answer": "approve"},
            "reservation.release": {"intent_hash": self.open(at), "order": "o"},
            "outcome.attest": {"intent_hash": self.open(at, "unknown"), "happened": at % 3 > 0}
            | ({"usage": {"A": one, "B": two}} if at % 2 else {}),
            "clock.accept": {"up_to_ns": at},
            "token.issue": {
                "name": f"t{at % 9}",
                "principal": "ann",
                "token_hash": sha256(b"%d" % at).digest(),
            }
            | ({"expires_ns": self.kernel.state.now_ns + one} if 0 < one < 2**53 else {}),
            "token.revoke": {"name": f"t{at % 9}"},
            "usage.record": {"grant": grant, "usage": {"A": one, "calls": two} if at % 3 else {"B": two}},
            "settlement.refund": {"intent_hash": self.any(at), "amounts": {"A": one, "B": two, "calls": two}}
            if at % 2
            else {"intent_hash": self.any(at), "amounts": {"AB"[at // 2 % 2]: one}},
            "budget.create": {"budget": f"budgets/n{self.count}"}
            | (
                {"schema": self.living(one, two), "parent": "budgets/p"}
                if at % 3 == 0
                else {"schema": self.plan(two)}
            )
            | ({"resource": "A", "amount": one, "from": debit} if at % 2 else {"debt_limit": one}),
            "budget.migrate": {
                "budget": f"budgets/n{self.count}",
                "source": self.budget(at),
                "schema": self.living(two, one),
                "move_funds": at % 2 == 1,
            },
            "budget.request": {"budget": self.budget(at), "name": f"r{at % 3}"}
            | ({"resource": "A", "amount": one} if at % 2 else {"constraint": "burn"}),
            "budget.propose": {"budget": self.budget(at), "name": f"r{at % 3}"}
            | (
                {"what": "spend", "part": f"z{self.count}", "holder": "ann", "resource": "A", "amount": one}
                if at % 2
                else {"what": "amend", "schema": self.living(one, two)}
            ),
            "budget.vote": {"budget": self.budget(at), "vote": ("agree", "object")[at % 2]}
            | ({"name": f"r{at % 3}"} if at % 4 else {}),
            "budget.reply": {
                "budget": self.budget(at),
                "name": f"r{at % 3}",
                "act": ("comment", "offer", "grant", "accept", "refuse", "withdraw")[at // 2 % 6],
                "from": debit,
            }
            | ({"amount": one} if at // 2 % 6 in (1, 2) else {}),
            "budget.amend": {"budget": "budgets/q", "schema": self.plan(two)},
            "budget.solve": {"budget": self.budget(at)},
            "metric.record": {"budget": self.budget(at), "metric": "mn"[at // 3 % 2], "value": one},
            "budget.split": {"budget": "budgets/p", "resource": "A", "shares": {"x": 60, "y": 40}}
            if at % 2
            else {"budget": "budgets/q", "resource": "A", "amounts": {"x": one, "y": two}},
            "budget.answer": {
                "budget": waiting[0][1].budget,
                "item": list(waiting[0][0]),
                "answer": "approve",
            }
            if waiting
            else {"budget": "budgets/p", "item": [0, 0], "answer": "approve"},
        }
        if kind == "manifest.apply":
            world = self.kernel._world
            document = self.document(one, two)
            return read_manifest_document(document, world.state, world.sealer.schema)[0]
        return every[kind]


OTHERS = ("act", "task", "settle", "doubt", "release", "wait", "group")
OFTEN = (
    "act",
    "act",
    "act",
    "settle",
    "settle",
    "doubt",
    "outcome.attest",
    "settlement.refund",
    "ledger.issue",
)
STEPS = (*NATIVE, *OTHERS, *OTHERS, *OFTEN, *OFTEN)
steps = st.lists(
    st.tuples(
        st.sampled_from(STEPS),
        st.sampled_from(AMOUNTS) | st.integers(0, 12),
        st.sampled_from(AMOUNTS) | st.integers(0, 12),
        st.integers(0, 71),
    ),
    max_size=40,
)
