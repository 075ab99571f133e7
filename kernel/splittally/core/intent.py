"""The identity of an intent: the hash over what is asked, under which grant, with which key.

`intent_hash` is BLAKE3 (context `splittally 1 intent`) over the canonical map
`{kind, params: bytes, cap: grant name, idempotency_key: 32 bytes}` (spec/01-canonical-form.md).
"""

from functools import lru_cache

from splittally.core.canonical import bytes_head, encode_record
from splittally.core.hashing import hash_intent, hash_key


def intent_hash(kind: str, params: bytes, grant: str, key: bytes) -> bytes:
    """The 32 bytes that name this intent. Spliced in canonical key order: cap, kind, params, key."""
    front = _front(grant, kind)
    return hash_intent(b"".join((front, bytes_head(params), params, b"oidempotency_key\x58\x20", key)))


@lru_cache(maxsize=4096)
def _front(grant: str, kind: str) -> bytes:
    """The part of the preimage before the params, which grants and kinds repeat."""
    return b"\xa4ccap" + encode_record(grant) + b"dkind" + encode_record(kind) + b"fparams"


def key_digest(grant: str, key: bytes) -> bytes:
    """What a grant's idempotency key is found by in the index."""
    return hash_key(encode_record([grant, key]))
