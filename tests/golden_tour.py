"""The tour: scenes that together show every kind of record and nearly every code of the kernel.

One world, one given clock, three principals: the operator, `alice` who works, and `mailer`, an adapter.
"""

from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from splittally.edge.receipt_signatures import sign_receipt
from splittally.edge.records import Intent, Receipt
from splittally.sandbox.registry import builtin

from tests.golden_acting import acting
from tests.golden_charters import charters
from tests.golden_manifests import DAY, FIRST, GRANTS, NATURAL_MAX, POLICY
from tests.golden_metrics import metrics
from tests.golden_people import people
from tests.golden_solvers import solvers
from tests.golden_stages import stages
from tests.golden_teller import DAY_ONE, SECOND, Tour, key_of

EMPTY_MODULE = b"\0asm\1\0\0\0"


def play(tour: Tour) -> None:
    """Every scene in its order."""
    for scene in (
        making, value, settling, refusals, chain, endings, windows, cards, refunds, doubts, groups,
        policy, approvals, authority, budgets, governor, quorum, calendars, broken, capacity, credit,
        invoices, prices, callers, signatures, stages, metrics, solvers, acting, people, charters, anchors,
    ):  # fmt: skip
        tour.scene((scene.__doc__ or "").rstrip("."))
        scene(tour)


def making(t: Tour) -> None:
    """A manifest makes the world."""
    t.apply("m1", FIRST, at=0)
    t.apply("m1 again", FIRST)
    t.apply("m-sys", {"caps": {"sys/mine@1": {"enforcer": "sys/CapAllowAll@1"}}})
    t.apply("m-broken", {"modules": {"acme/broken@1": EMPTY_MODULE}})
    t.apply("m-lost", {**FIRST, "grants": {"x": {"cap": "acme/none@1"}}})
    t.apply("m-scale", {**FIRST, "resources": {"USD": 3}})
    deep = {f"g{n}": {"cap": "acme/mail@1", "parent": f"g{n - 1}" if n else "root"} for n in range(17)}
    t.apply("m-deep", {**FIRST, "grants": {**GRANTS, **deep}})
    t.native("install", "module.install", name="acme/CapAllow@1", wasm=builtin("sys/CapAllowAll@1"))
    named = {"acme/named@1": {"cap_type": "mail", "enforcer": "acme/CapAllow@1"}}
    t.apply("m-named", {**FIRST, "caps": {**FIRST["caps"], **named}})
    t.native("install-other", "module.install", name="acme/CapAllow@1", wasm=builtin("sys/CapEnforceCost@1"))
    t.apply("m-named again", {**FIRST, "caps": {**FIRST["caps"], **named}})
    t.native("install-sys", "module.install", name="sys/Mine@1", wasm=builtin("sys/CapAllowAll@1"))
    t.native("install-broken", "module.install", name="acme/broken@1", wasm=EMPTY_MODULE)


def value(t: Tour) -> None:
    """Value enters and moves; nothing appears from nowhere."""
    t.native("issue", "ledger.issue", at=10, resource="USD", amount="500.00 USD", to="accounts/team")
    t.native("issue-lost", "ledger.issue", resource="USD", amount=1, to="accounts/none")
    plain = {"from": "accounts/team"}
    t.native("issue-plain", "ledger.issue", resource="USD", amount=1, to="vendors/mill", **plain)
    t.native("issue-much", "ledger.issue", resource="USD", amount=NATURAL_MAX, to="accounts/team")
    move(t, "move", "12.50 USD", "accounts/team", "accounts/credit")
    move(t, "move-much", 100_000, "accounts/credit", "accounts/team")
    move(t, "move-external", 1, "external/issuer", "accounts/team")
    t.native("define", "resource.define", resource="HOURS", scale=0)
    t.native("define-again", "resource.define", resource="HOURS", scale=1)
    t.native("open", "account.open", account="vendors/tea")
    t.native("open-again", "account.open", account="vendors/tea")
    t.native("open-fee", "account.open", "alice", grant="fee", account="accounts/alice")
    move(t, "native-alice", 1, "accounts/team", "vendors/tea", "alice")
    petty = {"amount": 1, "from": "accounts/team", "grant": "petty"}
    t.native("petty", "ledger.transfer", "alice", resource="USD", to="vendors/tea", **petty)
    t.native("petty-credit", "ledger.transfer", "alice", resource="USD", to="accounts/credit", **petty)
    t.native("petty-hours", "ledger.transfer", "alice", resource="HOURS", to="vendors/tea", **petty)


def move(t: Tour, label: str, amount: Any, source: str, to: str, by: str = "operator") -> None:
    """Ask for a transfer."""
    t.native(label, "ledger.transfer", by, resource="USD", amount=amount, to=to, **{"from": source})


def settling(t: Tour) -> None:
    """Reserve, settle, and the same again."""
    params = {"model": "m", "max_tokens": 50}
    t.ask("a1", "llm.generate", params, "llm", at=20, attempt=bytes(16))
    t.ask("a1", "llm.generate", params, "llm", attempt=bytes(15) + b"\1")
    t.settle("a1", "ok", {"prompt_tokens": 10, "completion_tokens": 20}, at=25)
    t.settle("a1", "ok", {"prompt_tokens": 10, "completion_tokens": 20})
    t.settle("nobody", "ok", {})
    t.ask("a2", "llm.generate", params, "llm", origin={"kind": "reducer", "name": "com.acme/r@1"})
    t.settle("a2", "error", {})
    t.ask("a3", "llm.generate", params, "llm", key=None)
    t.settle("a3", "timeout")
    t.ask("a4", "llm.generate", params, "llm")
    t.settle("a4", "ok", {"prompt_tokens": 31, "completion_tokens": 20})
    t.ask("a5", "blob.put", {"size": 7}, "meter")
    t.settle("a5", "ok", {}, cost_cents=12)
    t.ask("a6", "blob.put", {"size": 7}, "purse")
    t.settle("a6", "ok", {}, cost_cents=12)
    t.ask("a7", "blob.put", {"size": 7}, "purse")


def refusals(t: Tour) -> None:
    """What is refused before anything is held."""
    params = {"model": "m", "max_tokens": 50}
    t.ask("r1", "llm.generate", {"model": "n", "max_tokens": 50}, "llm")
    t.ask("r2", "llm.generate", {"model": "m", "max_tokens": 920}, "llm")
    t.ask("r3", "llm.sing", params, "llm")
    t.ask("r4", "llm.generate", params, "none")
    t.ask("r5", "llm.generate", params, "llm", key=b"short")
    t.ask("r6", "llm.generate", params, "llm", origin={"kind": "user", "name": "com.acme/p@1"})
    t.ask("r7", "llm.generate", {"model": "m", "max_tokens": "50"}, "llm")
    t.ask("r8", "llm.generate", {"model": "m", "max_tokens": 51}, "llm", key=key_of("a1"))
    t.ask("r9", "mail.send", {"to": "x", "body": "y" * 200}, "alice_mail", "alice")
    t.ask("r10", "llm.generate", params, "llm", expires_ns=DAY_ONE + 25 * SECOND)
    t.ask("r11", "mill.run", {"stone": "z" * 25_000}, "mill")
    long = Intent("mill.run", {"stone": "z" * 25_000}, "mill", idempotency_key=key_of("r11b"))
    t.group("first", [("r11b", long)])
    t.ask("r12", "mill.run", {}, "mill_free")
    t.ask("r13", "mill.run", {}, "mill", labels={"run": "r" * 257})


def chain(t: Tour) -> None:
    """A grant below a grant: both hold, and what is above is not shown."""
    t.ask("c1", "llm.generate", {"max_tokens": 150}, "alice_llm", "alice", at=30)
    t.ask("c2", "llm.generate", {"max_tokens": 51}, "alice_llm", "alice")
    t.ask("c3", "llm.generate", {"max_tokens": 1}, "llm", "alice")
    t.ask("c4", "mail.send", {"to": "x"}, "alice_llm", "alice")
    t.settle("c1", "ok", {"prompt_tokens": 0, "completion_tokens": 60})
    t.settle("c1", "ok", {}, "alice")


def endings(t: Tour) -> None:
    """A hold ends by cancel, expiry, order or receipt; late spend still counts."""
    params = {"max_tokens": 20}
    for label in ("e1", "e2", "e3"):
        t.ask(label, "llm.generate", params, "short", at=40)
    t.ask("e4", "llm.generate", params, "short", expires_ns=DAY_ONE + 100 * SECOND)
    t.ask("e5", "llm.generate", params, "short", expires_ns=DAY_ONE + 100 * SECOND)
    t.release("e1", "cancel", at=50)
    t.release("e1", "cancel")
    t.release("nobody", "cancel")
    t.settle("e1", "ok", {"prompt_tokens": 5, "completion_tokens": 5})
    t.settle("e1", "ok", {"prompt_tokens": 5, "completion_tokens": 5})
    t.release("e2", "not_dispatched")
    t.release("e3", "governance", order="order-7")
    t.release("e3", "governance", order="order-7")
    t.extend("e4", 200, at=90)
    t.extend("e4", 10_000)
    t.extend("e1", 200)
    t.tick(at=150)
    t.settle("e5", "ok", {"prompt_tokens": 10, "completion_tokens": 5}, at=160)
    t.settle("e4", "ok", {"prompt_tokens": 20, "completion_tokens": 0}, at=200)
    one, two = b"one." * 4, b"two." * 4
    for attempt in (one, two):
        t.ask("e6", "llm.generate", params, "short", attempt=attempt)
    t.settle("e6", "unknown")
    t.ask("e6", "llm.generate", params, "short", attempt=one)
    t.settle("e6", "ok", {"prompt_tokens": 0, "completion_tokens": 0})
    t.ask("e6", "llm.generate", params, "short", attempt=one)
    careful = {"cap": "sys/llm.basic@1", "dispatch": True}
    t.native("careful", "grant.issue", name="careful", terms=careful)
    for label in ("d1", "d2", "d4", "d5"):
        t.ask(label, "llm.generate", params, "careful", attempt=one)
    t.ask("d3", "llm.generate", params, "careful", expires_ns=DAY_ONE + 250 * SECOND)
    for label, attempt in (("d1", one), ("d1", two), ("d3", two), ("d4", one), ("d5", one)):
        t.dispatch(label, attempt)
    t.extend("d4", 400)
    t.settle("d4", "ok", {"prompt_tokens": 1, "completion_tokens": 1})
    t.release("d5", "cancel", attempt=one)
    t.ask("d1", "llm.generate", params, "careful", attempt=one)
    t.release("d1", "not_dispatched", attempt=two)
    t.release("d1", "not_dispatched", attempt=one)
    t.settle("d2", "ok", {"prompt_tokens": 1, "completion_tokens": 1})
    t.tick(at=250)
    t.settle("d3", "ok", {"prompt_tokens": 2, "completion_tokens": 1})


def windows(t: Tour) -> None:
    """Limits by intent, minute, day and week; soft, shadow and asking limits."""
    t.ask("w1", "llm.generate", {"max_tokens": 91}, "limits", at=300)
    t.ask("w2", "llm.generate", {"max_tokens": 40}, "limits")
    t.ask("w3", "llm.generate", {"max_tokens": 21}, "limits")
    t.settle("w2", "ok", {"prompt_tokens": 0, "completion_tokens": 40})
    t.ask("w3", "llm.generate", {"max_tokens": 21}, "limits", at=400)
    t.ask("w4", "llm.generate", {"max_tokens": 46}, "limits", at=500)
    t.settle("w3", "ok", {"prompt_tokens": 0, "completion_tokens": 20})
    t.tick(at=DAY)
    t.ask("w5", "llm.generate", {"max_tokens": 46}, "limits", at=DAY + 60)
    t.answer("w5", "approve")
    t.settle("w5", "ok", {"prompt_tokens": 0, "completion_tokens": 46})
    t.ask("w6", "llm.generate", {"max_tokens": 46}, "limits", at=DAY + 200)
    t.tick(at=DAY + 500)
    t.ask("w7", "llm.generate", {"max_tokens": 45}, "limits", at=DAY + 600)
    t.settle("w7", "ok", {"prompt_tokens": 0, "completion_tokens": 45})
    t.ask("w8", "llm.generate", {"max_tokens": 45}, "limits", at=3 * DAY)
    t.settle("w8", "ok", {"prompt_tokens": 0, "completion_tokens": 45})
    t.ask("w9", "llm.generate", {"max_tokens": 45}, "limits", at=3 * DAY + 100)


def cards(t: Tour) -> None:
    """A grant that draws on an account is a card."""
    t.ask("p1", "mill.run", {}, "mill", at=3 * DAY + 200)
    t.settle("p1", "ok", {}, cost_cents=300)
    t.ask("p2", "mill.run", {}, "mill")
    t.settle("p2", "ok", {}, cost_cents=400, pays_to="vendors/post")
    t.ask("p3", "mill.run", {}, "mill")
    t.settle("p3", "ok", {}, cost_cents=520, pays_to="accounts/credit")
    t.ask("p4", "mill.run", {}, "mill_cap")
    t.settle("p4", "ok", {}, cost_cents=520)
    for label in ("p5", "p6"):
        t.ask(label, "mill.run", {}, "mill_debt")
        t.settle(label, "ok", {}, cost_cents=1_400)
    t.ask("p7", "mill.run", {}, "mill_debt")
    t.ask("p8", "mill.run", {}, "mill")
    t.release("p8", "cancel")
    t.settle("p8", "ok", {}, cost_cents=100)


def refunds(t: Tour) -> None:
    """A settlement is given back in part, never more than was charged."""
    t.native("refund", "settlement.refund", intent_hash=t.hashes["p1"], amounts={"USD": 100})
    t.native("refund-much", "settlement.refund", intent_hash=t.hashes["p1"], amounts={"USD": 201})
    t.native("refund-open", "settlement.refund", intent_hash=t.hashes["r1"], amounts={"USD": 1})
    t.native("refund-tokens", "settlement.refund", intent_hash=t.hashes["a1"], amounts={"tokens": 10})


def doubts(t: Tour) -> None:
    """Nobody knows whether it happened."""
    start = 4 * DAY
    for label in ("u1", "u2", "u3", "u4"):
        t.ask(label, "mill.run", {}, "mill", at=start)
        t.settle(label, "unknown")
    t.settle("u1", "unknown")
    t.ask("u5", "mill.run", {}, "mill_cap")
    t.settle("u5", "unknown")
    t.settle("u1", "ok", {}, cost_cents=1)
    t.native("attest", "outcome.attest", intent_hash=t.hashes["u2"], happened=True, usage={"USD": 90})
    t.native("attest-not", "outcome.attest", intent_hash=t.hashes["u3"], happened=False)
    t.native("attest-again", "outcome.attest", intent_hash=t.hashes["u3"], happened=True)
    for label in ("u6", "u7"):
        t.ask(label, "mill.run", {}, "mill")
        t.settle(label, "unknown")
    t.release("u6", "cancel")
    t.release("u7", "governance", order="order-9")
    t.tick(at=start + 600)


def groups(t: Tour) -> None:
    """Intents decided together: all, or the first that passes."""
    fits = [_llm(label, size, "llm") for label, size in (("g1", 10), ("g2", 10))]
    t.group("all", fits)
    t.group("all", [_llm("g3", 10, "llm"), _llm("g4", 900, "llm"), _llm("g5", 10, "llm")])
    t.group("first", [_llm("g6", 250, "team", "g6"), _llm("g6", 250, "llm", "g6")])
    t.group("first", [_llm("g7", 2_000, grant, "g7") for grant in ("team", "llm")])
    for label in ("g1", "g2"):
        t.release(label, "cancel")


def _llm(label: str, size: int, grant: str, key: str = "") -> tuple[str, Intent]:
    params = {"model": "m", "max_tokens": size}
    return f"{label} {grant}" if key else label, Intent(
        "llm.generate", params, grant, idempotency_key=key_of(key or label)
    )


def policy(t: Tour) -> None:
    """A policy: the first rule that matches decides, and no match is deny."""
    start = 5 * DAY
    t.apply("m2", {**FIRST, "policy": POLICY, "world": {"utc_offset": "+02:00"}}, at=start)
    t.ask("o1", "blob.get", {"key": "k"}, "meter")
    t.ask("o2", "blob.put", {"size": 1}, "meter")
    t.ask("o3", "mail.send", {"to": "x"}, "alice_mail", "alice")
    for label in ("o4", "o5", "o6", "o7"):
        t.ask(label, "mail.send", {"to": "x", "copies": 1}, "alice_mail", "alice")
    t.settle("o4", "ok", {"delivered": True}, "mailer")
    t.settle("o5", "ok", {"lost": True}, "mailer")
    t.ask("o8", "mail.send", {"to": "x", "copies": 1}, "alice_mail", "alice", at=start + 60)
    move(t, "native-policy", 1, "accounts/team", "vendors/tea", "alice")


def approvals(t: Tour) -> None:
    """What waits for an answer is held meanwhile."""
    boss = {"to": "boss"}
    for label in ("b1", "b2", "b3", "b4"):
        t.ask(label, "mail.send", boss, "alice_mail", "alice")
    t.answer("b1", "approve", "alice")
    t.answer("b1", "approve")
    t.answer("b1", "approve")
    t.answer("b2", "reject")
    t.answer("b2", "reject")
    t.settle("b1", "ok", {"delivered": True}, "alice")
    t.settle("b3", "ok", {"delivered": True}, "alice")
    for label in ("b5", "b6", "b7", "b9"):
        t.ask(label, "mail.send", boss, "alice_mail", "alice")
    t.release("b5", "cancel", "alice")
    t.release("b9", "not_dispatched", "alice")
    t.release("b6", "governance", order="order-10")
    t.settle("b7", "unknown", None, "alice")
    t.native("attest-b7", "outcome.attest", intent_hash=t.hashes["b7"], happened=False)
    t.settle("b7", "ok", {"delivered": True}, "alice")
    grants = {**GRANTS, "alice_mail": {**GRANTS["alice_mail"], "expiry_ns": DAY_ONE + 6 * DAY * SECOND}}
    t.apply("m3", {**FIRST, "grants": grants, "policy": POLICY})
    t.answer("b4", "approve", at=6 * DAY)
    t.ask("b8", "mail.send", boss, "alice_mail", "alice")


def authority(t: Tour) -> None:
    """Grants are issued, changed and revoked."""
    child = {"cap": "sys/llm.basic@1", "budget": {"tokens": 30}, "holder": "bob"}
    hire(t, "hire", "bob_llm", child, at=8 * DAY)
    hire(t, "hire-wide", "eve", {**child, "delegations": 9})
    hire(t, "hire-account", "eve", {**child, "draws_on": {"USD": "accounts/team"}})
    hire(t, "hire-again", "bob_llm", child)
    t.ask("h1", "llm.generate", {"max_tokens": 30}, "bob_llm", "bob")
    less = {**child, "budget": {"tokens": 20}, "parent": "alice_llm"}
    t.native("amend", "grant.amend", name="bob_llm", terms=less)
    t.native("topup", "grant.topup", name="bob_llm", dim="tokens", amount=25)
    t.native("topup-lost", "grant.topup", name="bob_llm", dim="words", amount=25)
    t.ask("h2", "llm.generate", {"max_tokens": 10}, "bob_llm", "bob")
    t.native("fire", "grant.revoke", name="alice_llm", order="order-8")
    t.ask("h3", "llm.generate", {"max_tokens": 1}, "bob_llm", "bob")
    t.settle("h1", "ok", {"prompt_tokens": 1, "completion_tokens": 29}, "bob")
    t.native("apply-alice", "manifest.apply", "alice", grant="alice_native", resources={})
    t.apply("m4", {**FIRST, "grants": {name: x for name, x in GRANTS.items() if name != "alice_llm"}})
    t.ask("h4", "llm.generate", {"max_tokens": 46}, "limits")
    fewer = {**FIRST, "grants": {name: GRANTS[name] for name in ("llm", "meter", "mill")}}
    t.apply("m5 unasked", fewer, allow_revoke=False)
    t.apply("m5 expected", fewer, expect=bytes(32))
    t.apply("m5", fewer)
    t.apply("m6", {**FIRST, "grants": GRANTS})
    crew = {"cap": "sys/all@1", "budget": {"tokens": 9}, "holder": "alice", "delegations": 1}
    t.native("crew", "grant.issue", name="crew", terms=crew)
    desk = {"cap": "sys/native@1", "holder": "alice"}
    t.native("desk", "grant.issue", "alice", grant="crew", name="desk", terms=desk)
    t.ask("h5", "llm.generate", {"model": "m", "max_tokens": 1}, "llm")
    reached = {"intent_hash": t.hashes["h5"], "order": "order-11"}
    t.native("release-far", "reservation.release", "alice", grant="desk", **reached)
    t.release("h5", "cancel")


def hire(t: Tour, label: str, name: str, terms: dict[str, Any], at: int | None = None) -> None:
    """Ask for a grant below alice's."""
    t.native(label, "grant.issue", "alice", grant="alice_llm", name=name, terms=terms, at=at)


PLAN: dict[str, Any] = {
    "resources": {"USD": 2, "Stars": 0},
    "constraints": [{"name": "runway", "resource": "USD", "minimum": 1_000}],
    "metrics": {"stars": {"description": "stars given", "nature": "maximise"}},
    "formulas": {"half": {"value": "balance.USD / 2", "unit": "USD"}},
    "rules": [
        {"name": "savings", "on": "deposit", "of": "USD",
         "do": [{"kind": "transfer", "to": "vendors/tea", "amount": "cause.amount / 20"}]},
        {"name": "bonus", "on": "metric", "of": "stars", "when": "cause.amount > 3", "approval": True,
         "do": [{"kind": "transfer", "to": "vendors/tea", "resource": "USD", "amount": "7"}]},
    ],
}  # fmt: skip
SHOP = "budgets/shop"


def budgets(t: Tour) -> None:
    """A budget has a plan, and the plan is asked before anything is committed."""
    plain = {"from": "accounts/team"}
    pays = {"pays_to": ["vendors/mill"]}
    t.native("shop", "budget.create", budget=SHOP, schema=PLAN, **pays)
    task = {"result": "a sign", "amounts": {"USD": 100}}
    t.native("fund-little", "ledger.transfer", resource="USD", amount=500, to=SHOP, **plain)
    t.ask("sign-early", "task.post", task, SHOP)
    t.native("fund", "ledger.transfer", resource="USD", amount=2_000, to=SHOP, **plain)
    t.ask("sign", "task.post", task, SHOP)
    t.settle("sign", "ok", {})
    t.ask("sign-much", "task.post", {**task, "amounts": {"USD": 2_000}}, SHOP)
    t.ask("sign-negative", "task.post", {**task, "amounts": {"USD": -1}}, SHOP)
    t.ask("sign-fractional", "task.post", {**task, "amounts": {"USD": "1.005 USD"}}, SHOP)
    t.ask("sign-endless", "task.post", {**task, "amounts": {"USD": 2**64}}, SHOP)
    t.ask("sign-payee", "task.post", {**task, "payee": "vendors/tea"}, SHOP)
    t.native("stars-few", "metric.record", budget=SHOP, metric="stars", value=2)
    t.native("stars", "metric.record", budget=SHOP, metric="stars", value=4)
    t.tick(t.at + 1)
    waiting = min(t.world.state.plans.firings)
    t.native("bonus", "budget.answer", budget=SHOP, item=list(waiting), answer="approve")
    t.native("solve", "budget.solve", budget=SHOP)
    fault = {**PLAN, "formulas": {"half": {"value": "balance.USD / 0"}}}
    t.native("fault", "budget.create", budget="budgets/fault", schema=fault)
    t.native("solve-fault", "budget.solve", budget="budgets/fault")
    t.native("split-much", "budget.split", budget=SHOP, resource="USD", shares={"a": 61, "b": 40})
    t.native("split", "budget.split", budget=SHOP, resource="USD", shares={"a": 60, "b": 40})
    t.native("amend", "budget.amend", budget=SHOP, schema={**PLAN, "constraints": []})
    rate = {"resource": "USD", "gets": "Stars", "counter": "vendors/mill", "to": "accounts/team", **plain}
    t.native("convert", "ledger.convert", amount=10, rate=[1, 2], **rate)
    t.native("convert-little", "ledger.convert", amount=1, rate=[1, 2], **rate)
    t.native("stars-issued", "ledger.issue", resource="Stars", amount=9, to="vendors/mill")
    t.native("convert-again", "ledger.convert", amount=11, rate=[1, 2], **rate)
    pays = {"kind": "transfer", "amount": "1"}
    for name in ("ping", "pong"):
        t.native(name, "budget.create", budget=f"budgets/{name}", schema={"resources": {"USD": 2}})
        t.native(f"{name}-fund", "ledger.transfer", resource="USD", amount=10, to=f"budgets/{name}", **plain)
    for name, to in (("ping", "pong"), ("pong", "ping")):
        back = {"name": "back", "on": "deposit", "do": [{**pays, "to": f"budgets/{to}"}]}
        t.native(
            f"{name}-rule",
            "budget.amend",
            budget=f"budgets/{name}",
            schema={"resources": {"USD": 2}, "rules": [back]},
        )
    t.native("ping-pong", "ledger.transfer", resource="USD", amount=5, to="budgets/ping", **plain)


GOVERNOR: dict[str, Any] = {
    "caps": [
        {"resource": "USD", "per": "day", "amount": "3.00 USD"},
        {"resource": "USD", "per": "week", "amount": "4.00 USD"},
    ],
    "envelope": {
        "total": "128 GiB", "reserved": "31.8 GiB", "default_lane": "5.5 GiB", "lanes": {"giant": "97 GiB"},
    },
    "fields": {"task.post": {"lane": "/lane", "failure_class": "/failure"}},
}  # fmt: skip


def governor(t: Tour) -> None:
    """A governor says whether it should happen now; what waits is judged afresh."""
    t.apply("g-lost", {**STANDING, "governor": {"caps": [{"resource": "EUR", "per": "day", "amount": 1}]}})
    t.apply("g1", {**STANDING, "governor": GOVERNOR})
    task = {"result": "a banner", "amounts": {"USD": 200}}
    t.ask("now", "task.post", {**task, "lane": "small"}, SHOP)
    t.ask("day", "task.post", task, SHOP)
    t.ask("giant", "task.post", {**task, "amounts": {"USD": 0}, "lane": "giant"}, SHOP)
    t.ask("given-up", "task.post", {**task, "amounts": {"USD": 50}, "failure": "kv_cache_derivation"}, SHOP)
    t.settle("now", "ok", {})
    t.tick(t.at + DAY)
    t.ask("day", "task.post", task, SHOP)
    t.ask("week", "task.post", {**task, "amounts": {"USD": 1}}, SHOP)
    t.release("day", "cancel")
    t.apply("g2", STANDING)
    t.apply("g2 and budgets", {**STANDING, "budgets": {}})


BOARD = {"approvers": ["operator", "bob"], "approvals": 2}
STANDING: dict[str, Any] = {**FIRST, "grants": {name: GRANTS[name] for name in ("llm", "meter", "mill")}}


def quorum(t: Tour) -> None:
    """Several must approve; each reason is answered for itself, and nobody answers twice."""
    asks = {"decision": "require_approval", "effect_kind": "mail.send"}
    rules = [
        {**asks, "name": "board", "when": 'params.to == "board"', **BOARD},
        {"name": "answers", "decision": "allow", "effect_kind": "approval.answer"},
        {**asks, "name": "jury", "approvers": ["bob"]},
    ]
    jury = {"cap": "sys/native@1", "holder": "bob", "params": {"operations": ["approval.answer"]}}
    grants = {**STANDING["grants"], "post": {"cap": "acme/mail@1"}, "jury": jury}
    t.apply("q1", {**STANDING, "grants": grants, "policy": rules})
    for label, to in (("q1", "board"), ("q2", "jury")):
        t.ask(label, "mail.send", {"to": to}, "post")
    t.answer("q1", "approve")
    t.answer("q1", "approve")
    t.answer("q1", "approve", "bob")
    t.settle("q1", "ok", {"delivered": True})
    t.answer("q2", "approve")
    t.answer("q2", "reject", "bob")
    t.apply("q3", STANDING)


def calendars(t: Tour) -> None:
    """Windows in zones, from an anchor, rolling; a zone is edited inside a day; a top-up ends by itself."""
    calls = {"dim": "tokens", "per": "day", "amount": 100, "rollover": "50%", "rollover_max": 20}
    other = {"dim": "tokens", "per": "month", "starts": 15, "amount": 400, "timezone": "America/New_York"}
    first = {"dim": "tokens", "per": "60s", "amount": 60, "rolling": False}
    any60 = {"dim": "tokens", "per": "90s", "amount": 90, "over": "defer"}

    def world(name: str, zone: str | None = None) -> None:
        grant = {"cap": "sys/llm.basic@1", "limits": [calls, other, first, any60]}
        kept = {name: GRANTS[name] for name in ("llm", "meter", "mill")}
        document = {**FIRST, "grants": {**kept, "clocks": grant}}
        t.apply(name, {**document, "world": {"timezone": zone}} if zone else document)

    params = {"model": "m", "max_tokens": 50}
    world("z1")
    t.ask("c1", "llm.generate", params, "clocks")
    t.ask("c2", "llm.generate", params, "clocks", at=t.at + 89)
    t.ask("c2", "llm.generate", params, "clocks", at=t.at + 1)
    world("z2", "Europe/Amsterdam")
    t.settle("c1", "ok", {"prompt_tokens": 10, "completion_tokens": 40})
    t.ask("c3", "llm.generate", params, "clocks", at=t.at + 200)
    until = DAY_ONE + (t.at // DAY + 1) * DAY * SECOND
    t.native("extra", "grant.topup", name="clocks", dim="tokens", amount=50, per="day", until_ns=until)
    t.ask("c5", "llm.generate", params, "clocks")
    t.release("c5", "cancel")
    world("z2 again", "Europe/Amsterdam")
    t.tick((t.at // DAY + 1) * DAY)
    t.ask("c4", "llm.generate", params, "clocks")


def broken(t: Tour) -> None:
    """No receipt, however broken, leaves a hold."""
    for label in ("x1", "x2", "x3"):
        t.ask(label, "llm.generate", {"model": "m", "max_tokens": 20}, "llm", at=8 * DAY + 100)
    t.settle("x1", "ok", {"prompt_tokens": "many"})
    t.settle("x2", "ok", {"text": "z" * 70_000, "usage": {"prompt_tokens": 3, "completion_tokens": 4}})
    t.settle("x3", "ok", {"usage": {"note": "z" * 70_000}})
    t.ask("x9", "mill.run", {}, "mill", labels={"run": "7", "trace": "4bf92f"})
    t.settle("x9", "ok", {"text": "z" * 25_000})
    t.ask("x8", "mill.run", {}, "mill")
    t.settle("x8", "ok", {"password": "in plain text"}, cost_cents=1)
    for label in ("x4", "x5"):
        t.ask(label, "http.request", {"url": "https://a.example/"}, "meter")
    t.settle("x4", "ok", {}, cost_cents=NATURAL_MAX - 12)
    t.settle("x5", "ok", {}, cost_cents=7)
    t.ask("x6", "http.request", {"url": "https://a.example/"}, "meter")
    t.ask("x7", "llm.generate", {"model": "m", "max_tokens": NATURAL_MAX}, "llm")


def capacity(t: Tour) -> None:
    """Above the bound on open intents nothing more is taken in."""
    while t.ask(f"k{len(t.world.state.ledger.holds)}", "mill.run", {}, "mill", at=8 * DAY + 200).allowed:
        pass


def credit(t: Tour) -> None:
    """A debt limit is lent by a grant that holds it, once."""
    team = {"cap": "sys/all@1", "budget": {"USD": 500}, "holder": "alice", "delegations": 1}
    t.native("bank", "grant.issue", name="bank", terms=team)
    names = ["budgets/lent", "budgets/lent-too"]
    teller = {"cap": "sys/native@1", "holder": "alice", "params": {"accounts": names}}
    t.native("teller", "grant.issue", "alice", grant="bank", name="teller", terms=teller)
    lent = {"schema": {"resources": {"USD": 2}}, "debt_limit": 300}
    for name in names:
        t.native(name, "budget.create", "alice", grant="teller", budget=name, **lent)


def invoices(t: Tour) -> None:
    """An invoice shows what nobody asked for."""
    t.native("invoice", "usage.record", grant="mill", usage={"USD": "9.00 USD"}, note="invoice 7")
    t.native("invoice-lost", "usage.record", grant="none", usage={"USD": 1})
    t.native("invoice-free", "usage.record", grant="mill_free", usage={"USD": 1})
    t.native("invoice-back", "settlement.refund", intent_hash=t.hashes["invoice"], amounts={"USD": 400})


def prices(t: Tour) -> None:
    """A call is priced by the snapshot in force, and by the row of its model alone."""
    spring, summer = (
        {"since": since, "resource": "USD", "models": {"m": {"prompt": price, "completion": "8 USD"}}}
        for since, price in (("2026-01-01", "2 USD"), ("2026-02-15", "3 USD"))
    )
    kept = {name: GRANTS[name] for name in ("llm", "meter", "mill")}
    priced = {"cap": "sys/llm.basic@1", "params": {"prices": "newest"}}
    listed = {"spring": spring, "summer": summer}
    t.apply("m-prices", {**FIRST, "prices": listed, "grants": {**kept, "priced": priced}})
    params = {"model": "m", "prompt_tokens": 1_000_000, "max_tokens": 0}
    t.release("h2", "cancel", "bob")
    t.release("k5", "cancel")
    t.release("k7", "cancel")
    t.ask("priced1", "llm.generate", params, "priced", at=40 * DAY)
    t.ask("priced2", "llm.generate", params, "priced", at=41 * DAY)
    t.ask("priced3", "llm.generate", {**params, "model": "n"}, "priced")
    t.settle("priced1", "ok", {"prompt_tokens": 500_000, "completion_tokens": 0})


def callers(t: Tour) -> None:
    """Who may reach the world where it is served: tokens that are issued, and what a manifest says."""
    kept = {name: GRANTS[name] for name in ("llm", "meter", "mill")}
    door = {"cap": "sys/native@1", "holder": "alice", "params": {"operations": ["token.*"]}}
    robot = {"principal": "robot", "hash": "0b" * 32, "roles": ["operator"], "expires_ns": 10**18}
    users = {"alice": {"uids": [1001, 1002], "roles": ["auditor"]}}
    served = {**FIRST, "grants": {**kept, "door": door}, "tokens": {"deploy": robot}, "principals": users}
    t.apply("m-served", served)
    ann = {"name": "ann", "principal": "ann", "token_hash": b"\1" * 32}
    t.native("token1", "token.issue", **ann, expires_ns=10**19 // 2)
    t.native("token2", "token.issue", **ann)
    t.native("token3", "token.issue", **ann | {"name": "other"})
    t.native("token4", "token.issue", "alice", grant="door", **ann)
    mine = {"name": "alice", "principal": "alice", "token_hash": b"\2" * 32, "roles": ["auditor"]}
    t.native("token5", "token.issue", "alice", grant="door", **mine)
    t.native("token6", "token.revoke", "alice", grant="door", name="ann")
    t.native("token7", "token.revoke", name="ann")
    t.native("token8", "token.revoke", name="deploy")
    t.apply("m-served again", served)
    t.apply("m-served no more", {**FIRST, "grants": kept})


def signatures(t: Tour) -> None:
    """A receipt of a kind with adapters is taken when one of them signed it, and else refused."""
    kept = {name: GRANTS[name] for name in ("llm", "meter", "mill")}
    seed = key_of("mailer's key")
    adapter = {"key": public_key(seed), "kinds": ["llm.generate", "mill.run"]}
    for label in ("k6", "k8", "k9"):
        t.release(label, "cancel")
    t.ask("s1", "mill.run", {}, "mill")
    t.apply("m-signed", {**FIRST, "grants": kept, "adapters": {"miller": adapter}}, allow_revoke=True)
    t.ask("s2", "mill.run", {}, "mill")
    t.ask("s3", "llm.generate", {"model": "m", "max_tokens": 20}, "llm")

    def bring(
        label: str, signed_as: str | None, payload: Any = None, cost: int = 10, by: str = "miller"
    ) -> None:
        said: dict[str, Any] = {"adapter_id": by, "cost_cents": cost}
        if signed_as is not None:
            honest = Receipt(t.hashes[signed_as], "ok", "miller", payload or {}, 10)
            said["signature"] = sign_receipt(honest, seed).signature
        t.settle(label, "ok", payload or {}, **said)

    bring("s1", None)
    bring("s1", None)
    bring("s1", "s2")
    bring("s1", "s1", cost=11)
    bring("s1", "s1", by="joiner")
    bring("s1", "s1")
    bring("s1", "s1")
    t.release("s2", "cancel")
    bring("s2", None)
    bring("s2", None)
    bring("s2", "s2")
    bring("s3", "s3", {"text": "z" * 25_000, "usage": {"prompt_tokens": 3, "completion_tokens": 4}})
    t.apply("m-unsigned", {**FIRST, "grants": kept})


def public_key(seed: bytes) -> bytes:
    """The public key of a seed."""
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def anchors(t: Tour) -> None:
    """What was written beside the journal is named in it."""
    t.anchor()


def play_host(t: Tour, reading: list[int]) -> None:
    """A world with the host's clock: who sends a time is refused; while it has jumped, time stands."""
    t.scene((play_host.__doc__ or "").rstrip("."))
    t.ask("t1", "llm.generate", {}, "none", at=0)
    reading[0] += 2 * DAY * SECOND
    t.native("t2", "account.open", account="accounts/late")
    t.native("t3", "clock.accept")
    t.native("t4", "account.open", account="accounts/late")
