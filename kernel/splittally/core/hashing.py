"""Hashes: BLAKE3 in `derive_key` mode, one context for each meaning (spec/01-canonical-form.md).

No digest is ever truncated in a comparison. `grant_hash` alone is SHA-256, over canonical CBOR.
"""

from functools import lru_cache
from hashlib import sha256

from blake3 import blake3

from splittally.core.canonical import bytes_head, encode_record

# One keyed hasher for each context; copying one is cheaper than deriving its key again.
_INTENT = blake3(derive_key_context="splittally 1 intent")
_FRAME = blake3(derive_key_context="splittally 1 frame")
_MODULE = blake3(derive_key_context="splittally 1 module")
_MANIFEST = blake3(derive_key_context="splittally 1 manifest")
_TERMS = blake3(derive_key_context="splittally 1 terms")
_SCHEMA = blake3(derive_key_context="splittally 1 schema")
_STATE = blake3(derive_key_context="splittally 1 state")
_PRICES = blake3(derive_key_context="splittally 1 prices")
_QUESTION = blake3(derive_key_context="splittally 1 question")
_PARAMS = blake3(derive_key_context="splittally 1 params")
_KEY = blake3(derive_key_context="splittally 1 key")


def hash_intent(data: bytes) -> bytes:
    return _INTENT.copy().update(data).digest()


def hash_frame(data: bytes) -> bytes:
    return _FRAME.copy().update(data).digest()


def hash_module(data: bytes) -> bytes:
    return _MODULE.copy().update(data).digest()


def hash_manifest(data: bytes) -> bytes:
    return _MANIFEST.copy().update(data).digest()


def hash_terms(data: bytes) -> bytes:
    return _TERMS.copy().update(data).digest()


def hash_schema(data: bytes) -> bytes:
    return _SCHEMA.copy().update(data).digest()


def hash_state(data: bytes) -> bytes:
    return _STATE.copy().update(data).digest()


def hash_prices(data: bytes) -> bytes:
    return _PRICES.copy().update(data).digest()


def hash_grant(data: bytes) -> bytes:
    return sha256(data).digest()


def hash_question(data: bytes) -> bytes:
    return _QUESTION.copy().update(data).digest()


def hash_params(data: bytes) -> bytes:
    return _PARAMS.copy().update(data).digest()


def hash_key(data: bytes) -> bytes:
    return _KEY.copy().update(data).digest()


def intent_hash(kind: str, params: bytes, grant: str, key: bytes) -> bytes:
    """The 32 bytes that name an intent: what is asked, under which grant, with which key.

    Over the canonical map `{kind, params: bytes, cap: grant name, idempotency_key: 32 bytes}`, spliced in
    canonical key order: cap, kind, params, key (spec/01-canonical-form.md).
    """
    front = _intent_front(grant, kind)
    return hash_intent(b"".join((front, bytes_head(params), params, b"oidempotency_key\x58\x20", key)))


@lru_cache(maxsize=4096)
def _intent_front(grant: str, kind: str) -> bytes:
    """The part of the preimage before the params, which grants and kinds repeat."""
    return b"\xa4ccap" + encode_record(grant) + b"dkind" + encode_record(kind) + b"fparams"


def key_digest(grant: str, key: bytes) -> bytes:
    """What a grant's idempotency key is found by in the index."""
    return hash_key(encode_record([grant, key]))
