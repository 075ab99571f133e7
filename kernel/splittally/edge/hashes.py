"""Hashes as people and programs write them."""

from splittally.core.errors import InvalidInput
from splittally.core.limits import HASH_BYTES


def require_hash(digest: object, name: str = "intent_hash") -> bytes:
    """The hash that stands in the field `name` as bytes, from bytes or hex; `InvalidInput` else."""
    if type(digest) is str:
        try:
            digest = bytes.fromhex(digest)
        except ValueError:
            digest = b""
    if type(digest) is not bytes or len(digest) != HASH_BYTES:
        raise InvalidInput(f"`{name}` has {HASH_BYTES} bytes, or {2 * HASH_BYTES} hex digits", field=name)
    return digest
