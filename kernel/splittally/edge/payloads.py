"""From a receipt's payload to what is recorded of it: never an error, because receipts always settle.

Rule 1. Bytes are canonical CBOR, with a schema or without; what is recorded is their normal form. Empty
        bytes are no payload.
Rule 2. A payload is cut where its effect's schema says so (`schema/cut.py`). The hash and the size of what
        was sent stand beside what is left of it.
Rule 3. What does not fit a schema with secrets is dropped: it may hold one. So is what is still too large,
        with its hash and size.
Rule 4. Of a signed receipt hash and size of what was sent always stand there: its signature covers the hash,
        and what is recorded may be other bytes, which were cut or normalized.
"""

from typing import Any, NamedTuple

from splittally.core.canonical import decode, encode
from splittally.core.commands import FITS, MISFIT, TOO_LARGE, WITHHELD
from splittally.core.errors import CanonicalError, SplittallyError
from splittally.core.hashing import hash_payload
from splittally.core.limits import PAYLOAD_BYTES_MAX, SENT_BYTES_MAX
from splittally.edge.host_values import plain
from splittally.edge.schema.params import ParamsSchema
from splittally.edge.signed_parts import whole_payload


class Payload(NamedTuple):
    """What is recorded of a payload: its bytes, how it fits, and what was sent where that was more."""

    data: bytes
    fits: str
    sent: bytes = b""
    sent_bytes: int = 0


DROPPED = Payload(b"", WITHHELD)
NONE = Payload(b"", FITS)


def seal_payload(schema: ParamsSchema, payload: Any) -> Payload:
    """A payload by the receipt schema of its effect."""
    if type(payload) is bytes:
        if len(payload) > SENT_BYTES_MAX:
            return _dropped(payload)
        if not payload and not schema.data:
            return NONE
    try:
        value = decode(payload) if type(payload) is bytes else {} if payload is None else payload
        data, whole = _fitting(schema, value)
    except SplittallyError:
        return _misfit(schema, payload)
    if len(data) > PAYLOAD_BYTES_MAX:
        return _dropped(whole or data)
    return Payload(data, FITS, *_of_sent(whole))


def with_whole(kept: Payload, payload: Any) -> Payload:
    """What is recorded of a signed payload: the same, with the hash and the size of the whole."""
    try:
        whole = whole_payload(payload)
    except CanonicalError:  # values of a host's own, so only their normal form can have been signed
        whole = kept.data or whole_payload(None)
    return Payload(kept.data, kept.fits, *_of_sent(whole))


def _fitting(schema: ParamsSchema, value: Any) -> tuple[bytes, bytes]:
    """The canonical bytes of what fits, and those of the whole where they are more and it has any."""
    above = schema.cut_above
    if above == 0 and (kept := schema.cut(value)) is not value:
        return schema.seal(plain(kept, "payload", schema.root)), _forced(value)
    try:
        data = schema.seal(value)
    except SplittallyError:
        return _fitting_host(schema, value)
    if not above or len(data) <= above:
        return data, b""
    kept = schema.cut(value)
    return (data, b"") if kept is value else (schema.seal(kept), data)


def _fitting_host(schema: ParamsSchema, value: Any) -> tuple[bytes, bytes]:
    """The same for what has no bytes as it is: a host's values, which may stand where the schema cuts."""
    kept = schema.cut(value) if schema.cut_above is not None else value
    normal = plain(kept, "payload", schema.root)
    if normal is value:
        return schema.seal(value), b""  # raises again, with its own reason
    if schema.cut_above is not None:
        cut = schema.cut(normal)
        whole = _forced(value) or (encode(normal) if cut is not normal else b"")
        return schema.seal(cut), whole if cut is not normal or kept is not value else b""
    return schema.seal(normal), b""


def _misfit(schema: ParamsSchema, payload: Any) -> Payload:
    """What is recorded of a payload that does not fit."""
    if schema.has_secrets:
        return DROPPED
    data = payload if type(payload) is bytes else _forced(payload)
    return _dropped(data) if len(data) > PAYLOAD_BYTES_MAX else Payload(data, MISFIT)


def _dropped(whole: bytes) -> Payload:
    return Payload(b"", TOO_LARGE, *_of_sent(whole))


def _of_sent(whole: bytes) -> tuple[bytes, int]:
    return (hash_payload(whole), len(whole)) if whole else (b"", 0)


def _forced(value: Any) -> bytes:
    try:
        return encode(value)
    except CanonicalError:
        return b""
