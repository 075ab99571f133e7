"""Reading documents that strangers send: what has too many parts is refused before it is read.

Rule 1. A document has at most `PARTS_MAX` values. Its bytes are bounded elsewhere; but a list of empty maps
        takes fifty times its bytes of memory, and a second in which this process does little else.
Rule 2. Short documents have no room for so many, and are read at once; a long one is read beside the loop.

Example. `[1,"a,b",{}]` has two commas outside texts and two brackets that open: four signs, as it has values.
"""

import re

from splittally.core.canonical import decode
from splittally.core.errors import InvalidInput
from splittally.edge.json_values import parse_json

PARTS_MAX = 250_000
LONG_BYTES = 64 * 1024  # what is longer is read in a thread
_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_ONE_BYTE, _TWO_BYTES, _FOUR_BYTES, _EIGHT_BYTES = 24, 25, 26, 27
_TEXT_TYPES = (2, 3)


def read_json(data: bytes) -> object:
    """The value of JSON text; `InvalidInput` where it is none, or has too many parts."""
    if _signs(data) > PARTS_MAX and _signs(_TEXT.sub(b"", data)) > PARTS_MAX:
        raise _too_many()
    value: object = parse_json(data)
    return value


def _signs(data: bytes) -> int:
    return data.count(b",") + data.count(b"[") + data.count(b"{")


def read_cbor(data: bytes) -> object:
    """The value of canonical bytes; `CanonicalError` where they are none, `InvalidInput` as above."""
    if len(data) > PARTS_MAX and _has_many_heads(data):
        raise _too_many()
    return decode(data)


def _has_many_heads(data: bytes) -> bool:
    """Whether more than `PARTS_MAX` values begin in these bytes; what is no CBOR is refused when read."""
    at = 0
    for _ in range(PARTS_MAX):
        if at >= len(data):
            return False
        kind, short = data[at] >> 5, data[at] & 31
        size = {_ONE_BYTE: 1, _TWO_BYTES: 2, _FOUR_BYTES: 4, _EIGHT_BYTES: 8}.get(short, 0)
        told = int.from_bytes(data[at + 1 : at + 1 + size], "big") if size else short
        at += 1 + size + (told if kind in _TEXT_TYPES else 0)
    return at < len(data)


def _too_many() -> InvalidInput:
    text = f"a document has at most {PARTS_MAX:,} values; send several"
    return InvalidInput(text, code="input.too_large", field="document", available=PARTS_MAX)
