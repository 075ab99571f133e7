"""What of a receipt is signed, and the form of a signature. Nothing is signed or verified here.

Rule 1. Whoever signs hashes the canonical bytes of the whole payload. No payload is the empty map; bytes are
        taken as they are, and empty ones are no payload. The kernel hashes what it was sent in the same way,
        before it cuts or normalizes anything.
"""

from typing import Any

from splittally.core.canonical import encode
from splittally.core.errors import InvalidInput
from splittally.core.hashing import hash_payload
from splittally.core.limits import SIGNATURE_BYTES
from splittally.core.signatures import signed_message
from splittally.edge.hashes import require_hash
from splittally.edge.records import Receipt
from splittally.edge.sizes import require_name


def message_of_receipt(receipt: Receipt) -> bytes:
    """The bytes that the adapter of a receipt signs, for one whose key is elsewhere."""
    return signed_message(
        require_hash(receipt.intent_hash),
        receipt.status,
        require_name("adapter_id", receipt.adapter_id),
        hash_payload(whole_payload(receipt.payload)),
        receipt.cost_cents,
        receipt.pays_to or None,
    )


def whole_payload(payload: Any) -> bytes:
    """The canonical bytes of a payload as it is sent; `CanonicalError` where it has none."""
    if type(payload) is bytes and payload:
        return payload
    return encode({} if payload is None or payload == b"" else payload)


def sealed_signature(receipt: Receipt) -> bytes:
    """The signature of a receipt, empty for none; `InvalidInput` where it cannot be one."""
    signature = receipt.signature
    if signature is None:
        return b""
    if type(signature) is not bytes or len(signature) != SIGNATURE_BYTES:
        raise InvalidInput(f"`signature` has {SIGNATURE_BYTES} bytes", field="signature")
    if receipt.adapter_id == "":
        raise InvalidInput("a signed receipt names its adapter in `adapter_id`", field="adapter_id")
    return signature
