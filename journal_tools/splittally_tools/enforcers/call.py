"""One call of a module outside any world: the question, the answer, and what it cost.

Rule 1. Questions are made by the kernel's own functions, so they are what a world would ask.
Rule 2. No schema of an effect is applied: params are taken as they stand.
"""

from typing import Any, NamedTuple

from splittally.core.abi import (
    CheckVerdict,
    Fault,
    SettleVerdict,
    check_input,
    check_template,
    origin_part,
    receipt_part,
    settle_input,
)
from splittally.core.canonical import encode
from splittally.core.errors import InvalidInput
from splittally.core.intent import intent_hash
from splittally.core.limits import CHECK_FUEL_MAX, KEY_BYTES, PARAMS_BYTES_MAX, PAYLOAD_BYTES_MAX
from splittally.core.types import OPERATOR, RECEIPT_STATUSES, Leg
from splittally.edge.identity import sealed_key
from splittally.edge.records import Intent, Origin, Receipt
from splittally.sandbox import ReferenceSandbox, Sandbox

from splittally_tools.audit.recorded_calls import verdict_of
from splittally_tools.enforcers.misreadings import why_unread

NO_KEY = bytes(KEY_BYTES)


class Asked(NamedTuple):
    """A question and its answer; `fuel` is what the call used of `CHECK_FUEL_MAX`."""

    question: bytes
    answer: bytes | Fault
    fuel: int

    @property
    def cost(self) -> dict[str, Any]:
        """Fuel with its share of the limit, and the bytes of input and output."""
        return {
            "fuel": self.fuel,
            "fuel_percent": round(100 * self.fuel / CHECK_FUEL_MAX, 3),
            "input_bytes": len(self.question),
            "output_bytes": 0 if isinstance(self.answer, Fault) else len(self.answer),
        }


def asked(sandbox: Sandbox | ReferenceSandbox, module: bytes, question: bytes) -> Asked:
    """One call of the loaded `module`."""
    answer = sandbox.judge(module, question)
    return Asked(question, answer, sandbox.fuel_used)


class Terms(NamedTuple):
    """What a grant and the clock would give: the cap, its canonical params, the logical time."""

    cap: str
    cap_params: bytes
    now_ns: int


def check_question(intent: Intent, terms: Terms) -> bytes:
    """The Check of an intent as a host sends it."""
    if not isinstance(intent.kind, str) or not isinstance(intent.grant, str):
        raise InvalidInput("`kind` and `grant` are texts", field="kind")
    template = check_template(terms.cap, terms.cap_params, intent.grant, intent.kind)
    params = encode(intent.params)
    if len(params) > PARAMS_BYTES_MAX:
        raise InvalidInput(f"`params` have {len(params)} bytes; at most {PARAMS_BYTES_MAX}", field="params")
    return check_input(template, _origin(intent), params, terms.now_ns)


def settle_question(intent: Intent, terms: Terms, receipt: Receipt, reserve: dict[str, int]) -> bytes:
    """The Settle of the same intent on what its Check reserved."""
    if receipt.status not in RECEIPT_STATUSES:
        raise InvalidInput(f"a module is asked for {', '.join(RECEIPT_STATUSES)}", field="status")
    payload = {} if receipt.payload is None else receipt.payload
    payload = payload if isinstance(payload, bytes) else encode(payload)
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise InvalidInput(
            f"`payload` has {len(payload)} bytes; at most {PAYLOAD_BYTES_MAX}", field="payload"
        )
    params = encode(intent.params)
    template = check_template(terms.cap, terms.cap_params, intent.grant, intent.kind)
    cost = -1 if receipt.cost_cents is None else receipt.cost_cents
    part = receipt_part(receipt.status, receipt.adapter_id, payload, cost)
    leg = Leg(
        grant=intent.grant,
        grant_hash=b"",
        terms_hash=b"",
        enforcer_ref=b"",
        cap=terms.cap,
        params=b"",
        reserve=reserve,
        windows=[],
        above="charge",
    )
    key = sealed_key(intent.idempotency_key or NO_KEY)
    digest = intent_hash(intent.kind, params, intent.grant, key)
    return settle_input(template, _origin(intent), params, terms.now_ns, leg, part, digest)


def _origin(intent: Intent) -> bytes:
    origin = intent.origin
    if origin is None:
        return origin_part("plan", f"host/{OPERATOR}@1")
    if not isinstance(origin, Origin):
        raise InvalidInput("`origin` is `{kind, name}`", field="origin")
    return origin_part(origin.kind, origin.name)


def verdict_json(variant: str, answer: bytes | Fault) -> dict[str, Any]:
    """A verdict by name, for programs; a fault where the kernel reads none."""
    verdict = verdict_of(variant, answer)
    match verdict:
        case Fault():
            reason = "" if isinstance(answer, Fault) else why_unread(variant, answer)
            return {"verdict": "fault", "fault": verdict.cls} | ({"reason": reason} if reason else {})
        case CheckVerdict(deny_code=""):
            return {"verdict": "allow", "reserve": verdict.reserve}
        case CheckVerdict():
            return {
                "verdict": "deny",
                "deny": {"code": verdict.deny_code, "message": verdict.deny_message},
            }
        case SettleVerdict():
            code = verdict.violation_code
            violation = {"code": code, "message": verdict.violation_message} if code else None
            return {"verdict": "settled", "usage": verdict.usage, "violation": violation}
