"""What the tests of signed receipts share: keys, a small world, an obvious model.

The model signs and verifies by itself: another codec encodes its message, and it knows whose key is which.
"""

from typing import Any

import cbor2
import splittally
from blake3 import blake3
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from splittally import Intent, Kernel, Receipt
from splittally.core.events import Noted
from splittally.core.snapshot import tables
from splittally.core.state import State
from splittally.runtime.reader import read_store

KEYS = {name: Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32)) for name in ("a", "b", "thief")}
PUBLIC = {name: key.public_key().public_bytes_raw() for name, key in KEYS.items()}
SIGNED, FREE = "mill.run", "blob.put"
MANIFEST: dict[str, Any] = {
    "resources": {"USD": 2},
    "accounts": {"accounts/team": {}, "vendors/mill": {}, "vendors/post": {}},
    "effects": {SIGNED: {"cap_type": "mill"}},
    "caps": {"acme/mill@1": {"enforcer": "sys/CapEnforceCost@1", "cap_type": "mill"}},
    "grants": {
        "mill": {
            "cap": "acme/mill@1",
            "params": {"dimension": "USD", "max_cost_cents": 500},
            "draws_on": {"USD": "accounts/team"},
            "pays_to": ["vendors/mill", "vendors/"],
        },
        "meter": {"cap": "sys/cost@1"},
    },
}
BOTH = {"a@1": "a", "b@1": "b"}  # adapter -> whose key


def document(adapters: dict[str, str], **fields: Any) -> dict[str, Any]:
    """The manifest of a world in which these adapters sign receipts of `mill.run`."""
    stated = {name: {"key": PUBLIC[key], "kinds": [SIGNED]} for name, key in adapters.items()}
    return {**MANIFEST, "adapters": stated, **fields}


def new_world(adapters: dict[str, str], path: Any = None, **fields: Any) -> Kernel:
    """A world with money and these adapters."""
    kernel = splittally.open(path, clock="given")
    assert kernel.apply(document(adapters, **fields)).outcome == "allow"
    kernel.native("ledger.issue", resource="USD", amount=100_000, to="accounts/team")
    return kernel


def ask(kernel: Kernel, kind: str = SIGNED) -> bytes:
    """An admitted intent of a kind."""
    decision = kernel.submit(Intent(kind, {"size": 1}, "mill" if kind == SIGNED else "meter"))
    assert decision.outcome == "allow"
    return decision.intent_hash


def message(receipt: Receipt) -> bytes:
    """What an adapter signs, by the words of chapter 2 and another codec."""
    payload = {} if receipt.payload is None else receipt.payload
    whole = payload if isinstance(payload, bytes) else cbor2.dumps(payload, canonical=True)
    digest = blake3(whole, derive_key_context="splittally 1 payload").digest()
    head = ["splittally 1 receipt", receipt.intent_hash, receipt.status, receipt.adapter_id]
    return cbor2.dumps([*head, digest, receipt.cost_cents, receipt.pays_to], canonical=True)


def refusal(receipt: Receipt, adapters: dict[str, str]) -> str:
    """The code for which a receipt of `mill.run` must be refused; empty where it must be taken."""
    if not adapters:
        return ""
    if receipt.signature is None:
        return "receipt_unsigned"
    if receipt.adapter_id not in adapters:
        return "receipt_foreign"
    try:
        KEYS[adapters[receipt.adapter_id]].public_key().verify(receipt.signature, message(receipt))
    except InvalidSignature:
        return "receipt_forged"
    return ""


def books(state: State) -> dict[str, Any]:
    """Everything that is remembered, but how many frames there are and which receipts were refused."""
    return {name: rows for name, rows in tables(state).items() if name not in ("world", "refused")}


def refusals(kernel: Kernel) -> list[Noted]:
    """The recorded refusals, oldest first."""
    events = [event for record in read_store(kernel).records() for event in record.body.out]
    return [event for event in events if isinstance(event, Noted) and event.subject == "refused_receipt"]
