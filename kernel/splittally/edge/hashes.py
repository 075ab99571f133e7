"""Hashes as people and programs write them."""

from splittally.core.errors import InvalidInput
from splittally.core.limits import HASH_BYTES


def require_hash(digest: object) -> bytes:
    """An intent hash as bytes, from bytes or hex; `InvalidInput` when it is neither."""
    if type(digest) is str:
        try:
            digest = bytes.fromhex(digest)
        except ValueError:
            digest = b""
    if type(digest) is not bytes or len(digest) != HASH_BYTES:
        raise InvalidInput(
            f"`intent_hash` has {HASH_BYTES} bytes, or {2 * HASH_BYTES} hex digits", field="intent_hash"
        )
    return digest
