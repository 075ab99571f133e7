"""An approval: what is above an amount waits, reserved, until somebody else has answered.

Run it with a Python that has splittally: `python examples/approval.py`. The clock of this world is given,
so that two hours pass in no time.

    submit -> require_approval    reserved, phase `approval`; nothing may happen yet
    approve                       phase `open`: the host may act now
    reject, or no answer in time  released; what was reserved is free again
"""

import splittally
from splittally import Intent, Kernel, Receipt

HOUR_NS = 3_600 * 10**9
DESK = {"cap": "sys/native@1", "params": {"operations": ["approval.answer"]}}
SHOP = {
    "effects": {"shop.buy": {"cap_type": "shop"}},
    "caps": {"acme/shop@1": {"enforcer": "sys/CapEnforceRules@2", "cap_type": "shop"}},
    "grants": {
        "purchases": {
            "cap": "acme/shop@1",
            "holder": "buyer",
            "budget": {"cents": 80_000},
            "params": {
                "reserve": {"cents": "params.cents"},
                "usage": {"cents": 'receipt.status == "ok" ? payload.cents : 0'},
            },
            "approval_ns": "2h",
        },
        "chief_desk": {**DESK, "holder": "chief"},
        "buyer_desk": {**DESK, "holder": "buyer"},
    },
    "policy": [
        {
            "name": "dear",
            "decision": "require_approval",
            "effect_kind": "shop.buy",  # answers to approvals reserve no cents: the condition would fault
            "when": "reserve.cents > 10000",
        },
        {"name": "rest", "decision": "allow"},
    ],
}


def buy(buyer: Kernel, what: str, cents: int) -> bytes:
    """Ask to buy something; the intent's hash names the purchase from here on."""
    decision = buyer.submit(Intent("shop.buy", {"what": what, "cents": cents}, "purchases"))
    print(f"{what} for {cents}: {decision.outcome}")
    assert decision.intent_hash is not None
    return decision.intent_hash


def carry_out(buyer: Kernel, intent: bytes, cents: int) -> None:
    """What the buyer's host does with an intent that waited: look, act, report."""
    found = buyer.outcome(intent)
    assert found is not None
    if found["phase"] != "open":
        print(f"  not bought: {found['status']}, {found['cause']}")
        return
    settled = buyer.settle(Receipt(intent, "ok", "shop", {"cents": cents}))
    print(f"  bought: {settled.status}, {settled.usage}")


def main() -> None:
    """Four purchases: too small to ask, approved, rejected, and never answered."""
    with splittally.open(None, clock="given") as kernel:
        assert kernel.apply(SHOP).allowed
        buyer, chief = kernel.as_principal("buyer"), kernel.as_principal("chief")

        carry_out(buyer, buy(buyer, "pencils", 900), 900)

        chair = buy(buyer, "a chair", 30_000)
        own = buyer.approve(chair)
        print(f"  the buyer approves: {own.outcome} ({own.findings[0].code})")
        print(f"  the chief approves: {chief.approve(chair).outcome}")
        carry_out(buyer, chair, 29_900)

        sofa = buy(buyer, "a sofa", 45_000)
        print(f"  the chief rejects: {chief.reject(sofa).outcome}")
        carry_out(buyer, sofa, 45_000)

        desk = buy(buyer, "a desk", 40_000)
        kernel.tick(now_ns=3 * HOUR_NS)
        carry_out(buyer, desk, 40_000)
        print(kernel.state.counters["purchases"]["cents"])


if __name__ == "__main__":
    main()
