"""Receipts signed and verified with Ed25519 (RFC 8032). What is signed is `signed_parts.py`.

Rule 1. A signature under a key of low order shows nothing, so it is none.
"""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec.structs import replace

from splittally.core.errors import InvalidInput
from splittally.core.limits import SEED_BYTES, SIGNATURE_BYTES
from splittally.core.public_keys import is_key
from splittally.edge.records import Receipt
from splittally.edge.signed_parts import message_of_receipt


def sign_receipt(receipt: Receipt, private_key: Ed25519PrivateKey | bytes) -> Receipt:
    """The receipt with the signature of its adapter, whose private key, or the 32 bytes of its seed, this is.

    `InvalidInput` where it names no adapter, or the key is none; `CanonicalError` where the payload has no
    canonical bytes.
    """
    if type(private_key) is bytes and len(private_key) == SEED_BYTES:
        private_key = Ed25519PrivateKey.from_private_bytes(private_key)
    if not isinstance(private_key, Ed25519PrivateKey):
        text = f"a private key is an Ed25519PrivateKey or the {SEED_BYTES} bytes of its seed"
        raise InvalidInput(text, field="private_key")
    return replace(receipt, signature=private_key.sign(message_of_receipt(receipt)))


def is_signature(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether this signature of this message was made with the private key of this public one."""
    if len(signature) != SIGNATURE_BYTES or not is_key(public):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
