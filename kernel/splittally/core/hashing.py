"""Hashes: BLAKE3 in `derive_key` mode, one context for each meaning (spec/01-canonical-form.md).

No digest is ever truncated in a comparison. `grant_hash` alone is SHA-256, over canonical CBOR.
"""

from hashlib import sha256

from blake3 import blake3

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
_PAYLOAD = blake3(derive_key_context="splittally 1 payload")
_VALUE = blake3(derive_key_context="splittally 1 value")
_NAME = blake3(derive_key_context="splittally 1 name")
_PLAN = blake3(derive_key_context="splittally 1 plan")
_TOKEN = blake3(derive_key_context="splittally 1 token")
_BOOKS = blake3(derive_key_context="splittally 1 books")


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


def hash_payload(data: bytes) -> bytes:
    return _PAYLOAD.copy().update(data).digest()


def hash_value(data: bytes) -> bytes:
    return _VALUE.copy().update(data).digest()


def hash_name(data: bytes) -> bytes:
    return _NAME.copy().update(data).digest()


def hash_plan(data: bytes) -> bytes:
    return _PLAN.copy().update(data).digest()


def hash_token(data: bytes) -> bytes:
    return _TOKEN.copy().update(data).digest()


def hash_books(data: bytes) -> bytes:
    return _BOOKS.copy().update(data).digest()
