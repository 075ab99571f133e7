"""Faults found by one example and held by their whole kind: every target, every code, every period.

Each test goes over all that the kernel has of something, so that a new kind of it is asked, too.
"""

import pytest
from splittally import Intent, Receipt, SplittallyError
from splittally.core.reasons import REASONS

from tests.rows.worlds import applied, bodies, codes

YEAR_NS = 365 * 86_400 * 10**9
KEY = b"k" * 32


# --- whatever somebody answers for, refunds or ends -------------------------------------------------

OPS = {"cap": "acme/ops@1", "params": {"reserve": {"USD": 7, "calls": 1}}, "budget": {"calls": 50}}
CARD = {"cap": "sys/spend@1", "budget": {"USD": 1_000}, "pays_to": ["accounts/b"]}
MANIFEST = {
    "resources": {"USD": 0, "EUR": 0},
    "accounts": {"accounts/a": {}, "accounts/b": {}},
    "caps": {"acme/ops@1": {"enforcer": "sys/CapAllowAll@1", "cap_type": "native"}},
    "policy": [
        {"name": "ask", "effect_kind": "llm.generate", "decision": "require_approval"},
        {"name": "rest", "decision": "allow"},
    ],
    "grants": {
        "ops": OPS,
        "s": CARD | {"draws_on": {"USD": "accounts/a"}},
        "l": {"cap": "sys/llm.basic@1", "budget": {"tokens": 1_000}},
    },
}
AMOUNTS = (
    {"USD": 1}, {"USD": 7}, {"calls": 1}, {"EUR": 1}, {"tokens": 1}, {"nope": 1},
    {"USD": 0}, {"USD": 2**63 - 1}, {"USD": 2**64}, {"USD": 1, "calls": 1}, {},
)  # fmt: skip


def targets(kernel):
    """The hash of an intent in every state that one can be in, by name."""

    def task(amount=10):
        return kernel.submit(
            Intent("task.post", {"result": "x", "amounts": {"USD": amount}}, "s")
        ).intent_hash

    found = {name: task() for name in ("open", "settled", "unknown", "error", "released", "running")}
    for name in ("settled", "unknown", "error"):
        kernel.settle(Receipt(found[name], "ok" if name == "settled" else name))
    kernel.release(found["released"])
    started = kernel.submit(
        Intent("task.post", {"result": "x", "amounts": {"USD": 10}}, "s", attempt=b"a" * 16)
    ).intent_hash
    assert kernel.dispatch(started, b"a" * 16)
    found["running"] = started
    found["denied"] = task(10**6)
    found["waiting"] = kernel.submit(Intent("llm.generate", {"max_tokens": 1}, "l")).intent_hash
    transfer = {"resource": "USD", "amount": 5, "from": "accounts/a", "to": "accounts/b"}
    found["native"] = kernel.native("ledger.transfer", grant="ops", **transfer).intent_hash
    found["native of root"] = kernel.native("resource.define", resource="ZZZ").intent_hash
    refund = kernel.native("settlement.refund", intent_hash=found["settled"], amounts={"USD": 1})
    found["refund"] = refund.intent_hash
    return found | {"nothing": b"\1" * 32}


OPERATIONS = {
    **{
        f"refund {amounts}": lambda k, h, amounts=amounts: k.native(
            "settlement.refund", intent_hash=h, amounts=amounts
        )
        for amounts in AMOUNTS
    },
    **{
        f"attest {happened} {usage}": lambda k, h, happened=happened, usage=usage: k.native(
            "outcome.attest", intent_hash=h, happened=happened, usage=usage
        )
        for happened in (True, False)
        for usage in (None, {"USD": 1}, {"USD": 2**63}, {"nope": 1})
    },
    "approve": lambda k, h: k.native("approval.answer", intent_hash=h, answer="approve"),
    "reject": lambda k, h: k.native("approval.answer", intent_hash=h, answer="reject"),
    "release by order": lambda k, h: k.native("reservation.release", intent_hash=h, order="o"),
    "release": lambda k, h: k.release(h),
    "not dispatched": lambda k, h: k.release(h, "not_dispatched"),
    "extend": lambda k, h: k.extend(h, expires_ns=10**9),
    "dispatch": lambda k, h: k.dispatch(h, b"b" * 16),
    "settle": lambda k, h: k.settle(Receipt(h, "ok")),
    "settle for more": lambda k, h: k.settle(
        Receipt(h, "ok", "", {"usage": {"USD": 2**63, "tokens": 2**64 - 1}})
    ),
    "unknown": lambda k, h: k.settle(Receipt(h, "unknown")),
}


@pytest.mark.req("X6-11")
def test_whatever_is_answered_refunded_or_ended_has_an_answer_and_makes_no_money():
    """A refund of a native effect was a bare `KeyError`; here each operation meets each state."""
    with applied(MANIFEST) as kernel:
        assert kernel.native("ledger.issue", resource="USD", amount=500, to="accounts/a").allowed
        found = targets(kernel)
        states = {kernel.outcome(digest).status for name, digest in found.items() if name != "nothing"}
        phases = {row.phase for row in kernel.state.reservations.values()}
        assert states >= {"reserved", "settled", "released"} and phases >= {"open", "running", "approval"}
        for name, digest in found.items():
            for operation, ask in OPERATIONS.items():
                fork = kernel.fork()
                try:
                    ask(fork, digest)
                except SplittallyError:
                    pass
                except Exception as error:
                    raise AssertionError(f"{operation} of {name}: {type(error).__name__}") from error
                balances = [row.balances.get("USD", 0) for row in fork.state.accounts.values()]
                in_flight = sum(
                    draw.amount for hold in fork.state.reservations.values() for draw in hold.draws
                )
                assert sum(balances) + in_flight == 0, (operation, name)


# --- what an enforcer says --------------------------------------------------------------------------


@pytest.mark.req("X6-29")
@pytest.mark.parametrize("code", [code for code in sorted(REASONS) if "." not in code])
def test_no_code_of_the_kernel_in_an_enforcers_mouth_frees_a_key(code):
    """Each word of the kernel's that rules can say: the denial is final, and its key belongs to it."""
    rules = {"rules": [{"deny": "params.max_tokens > 5", "code": code}]}
    with applied({"grants": {"g": {"cap": "sys/rules@1", "params": rules}}}) as kernel:
        asked = Intent("llm.generate", {"max_tokens": 50}, "g", idempotency_key=KEY)
        first, again = kernel.submit(asked), kernel.submit(asked)
        assert (first.outcome, codes(first)) == ("deny", [code])
        assert (again.outcome, again.duplicate, again.seq) == ("deny", True, first.seq)
        other = kernel.submit(Intent("llm.generate", {"max_tokens": 2}, "g", idempotency_key=KEY))
        assert codes(other) == ["idempotency.conflict"]


# --- what sleeps ------------------------------------------------------------------------------------


@pytest.mark.req("X6-33")
@pytest.mark.parametrize("per", ["hour", "day", "week", "month"])
def test_rules_rates_and_limits_of_every_period_sleep_for_ten_years_in_a_few_frames(per):
    """Twenty rules of a budget, twenty limits that roll over and a rate, all of one period."""
    rule = {"on": per, "of": "USD", "do": [{"kind": "transfer", "to": "accounts/bank", "amount": "1"}]}
    limit = {"dim": "tokens", "amount": 5, "per": per, "rollover": [1, 2]}
    manifest = {
        "resources": {"USD": 0},
        "accounts": {"accounts/bank": {}},
        "policy": [{"name": "r", "decision": "allow", "rates": [{"per": per, "amount": 99, "over": "deny"}]}],
        "grants": {f"g{number}": {"cap": "sys/llm.basic@1", "limits": [limit]} for number in range(20)},
    }
    with applied(manifest) as kernel:
        plan = {"resources": {"USD": 0}, "rules": [{"name": f"r{number}", **rule} for number in range(20)]}
        made_budget = kernel.native(
            "budget.create", budget="budgets/a", schema=plan, pays_to=["accounts/bank"]
        )
        assert made_budget.allowed, made_budget.findings
        kernel.native("ledger.issue", resource="USD", amount=10**6, to="budgets/a")
        for name in manifest["grants"]:
            assert kernel.submit(Intent("llm.generate", {"max_tokens": 1}, name)).allowed
        before = len(bodies(kernel))
        kernel.tick(now_ns=10 * YEAR_NS)
        assert len(bodies(kernel)) - before <= 3
