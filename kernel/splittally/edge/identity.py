"""Who asks and by which key: the parts of an intent beside its kind, grant and params.

Rule 1. A key of text is its hash, so that an order number is a key. The hash is over the canonical text,
        apart from every other use of its context.
Rule 2. Text of 64 hex digits is the 32 bytes that it spells, at every door: one key has one meaning.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from splittally.core.canonical import encode
from splittally.core.errors import InvalidInput
from splittally.core.hashing import hash_key
from splittally.core.limits import ATTEMPT_BYTES, KEY_BYTES, NAME_BYTES_MAX, TEXT_BYTES_MAX, TIME_NS_MAX
from splittally.core.types import ORIGIN_KINDS, is_name
from splittally.edge.records import Origin
from splittally.edge.sizes import require_size, require_text

_HEX_KEY = re.compile(f"[0-9a-fA-F]{{{2 * KEY_BYTES}}}")


def sealed_key(key: Any) -> bytes:
    """The 32 bytes of a host's idempotency key; `InvalidInput` where it is none."""
    if type(key) is bytes and len(key) == KEY_BYTES:
        return key
    if type(key) is str and key:
        return _key_of_text(key)
    raise InvalidInput(
        f"`idempotency_key` has {KEY_BYTES} bytes, or is a text that is not empty, such as an order number",
        code="idempotency.invalid",
        field="idempotency_key",
        needed=KEY_BYTES,
        available=len(key) if isinstance(key, bytes | str) else 0,
    )


@lru_cache(maxsize=1024)
def _key_of_text(text: str) -> bytes:
    if _HEX_KEY.fullmatch(text):
        return bytes.fromhex(text)
    return hash_key(encode(require_text("idempotency_key", text, TEXT_BYTES_MAX, "idempotency.invalid")))


def sealed_attempt(attempt: Any) -> bytes:
    """The attempt of a client, which it keeps across its transport retries."""
    if type(attempt) is not bytes or len(attempt) != ATTEMPT_BYTES:
        raise InvalidInput(f"`attempt` has {ATTEMPT_BYTES} bytes", field="attempt")
    return attempt


def sealed_expiry(expires_ns: Any) -> int:
    """The logical time at which a hold ends by itself, 0 for never."""
    if expires_ns is None:
        return 0
    if type(expires_ns) is not int or not 0 <= expires_ns <= TIME_NS_MAX:
        raise InvalidInput("`expires_ns` is a time in nanoseconds below 2^63", field="expires_ns")
    return expires_ns


def sealed_origin(principal: str, origin: Any) -> tuple[str, str]:
    """Kind and name of where an intent comes from; the principal's own host where nothing is said."""
    if origin is None:
        return "plan", f"host/{principal}@1"
    if isinstance(origin, Origin):
        kind, name = origin.kind, origin.name
    elif isinstance(origin, Mapping) and set(origin) == {"kind", "name"}:
        kind, name = origin["kind"], origin["name"]
    elif isinstance(origin, tuple | list) and len(origin) == 2:
        kind, name = origin
    else:
        raise InvalidInput("`origin` is `{kind, name}`", field="origin")
    if type(kind) is not str or kind not in ORIGIN_KINDS:
        raise InvalidInput("`origin.kind` is plan or reducer", field="origin.kind")
    if not is_name(name):
        if type(name) is str:
            require_size("origin.name", len(name), NAME_BYTES_MAX, "characters")
        raise InvalidInput("`origin.name` is a name such as com.acme/p@1", field="origin.name")
    return kind, name
