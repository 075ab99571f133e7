"""Hashes: BLAKE3 in `derive_key` mode, one context for each meaning (spec/01-canonical-form.md).

No digest is ever truncated in a comparison. `grant_hash` alone is SHA-256, over canonical CBOR.
"""

from hashlib import sha256

from blake3 import blake3


def hash_intent(data: bytes) -> bytes:
    return blake3(data, derive_key_context="splittally 1 intent").digest()


def hash_frame(data: bytes) -> bytes:
    return blake3(data, derive_key_context="splittally 1 frame").digest()


def hash_module(data: bytes) -> bytes:
    return blake3(data, derive_key_context="splittally 1 module").digest()


def hash_manifest(data: bytes) -> bytes:
    return blake3(data, derive_key_context="splittally 1 manifest").digest()


def hash_terms(data: bytes) -> bytes:
    return blake3(data, derive_key_context="splittally 1 terms").digest()


def hash_schema(data: bytes) -> bytes:
    return blake3(data, derive_key_context="splittally 1 schema").digest()


def hash_state(data: bytes) -> bytes:
    return blake3(data, derive_key_context="splittally 1 state").digest()


def hash_prices(data: bytes) -> bytes:
    return blake3(data, derive_key_context="splittally 1 prices").digest()


def hash_grant(data: bytes) -> bytes:
    return sha256(data).digest()


def hash_question(data: bytes) -> bytes:
    return blake3(data, derive_key_context="splittally 1 question").digest()


def hash_params(data: bytes) -> bytes:
    return blake3(data, derive_key_context="splittally 1 params").digest()


def hash_key(data: bytes) -> bytes:
    return blake3(data, derive_key_context="splittally 1 key").digest()
