"""JSON text to values of the data model, and back (spec/01-canonical-form.md, "JSON at the edges").

Rule 1. Nothing is repaired: duplicate keys, NaN, lone surrogates, a sixty-fifth level are refused.
Rule 2. Integers are exact; a number with a fraction or an exponent is a float, also 1.0.
Rule 3. Bytes are `{"$bytes": "<hex>"}`. Any other map that holds the key `$bytes` has no JSON form, and is
        refused when read.
Rule 4. What is no JSON is refused by line and column, what JSON allows and we do not by its key or value.
"""

import json
import math
import re
from collections import Counter
from typing import Any, NoReturn

from splittally.core.errors import InvalidInput
from splittally.core.limits import DEPTH_MAX, INT_MAX, INT_MIN, LINE_BYTES_MAX

BYTES_KEY = "$bytes"
EXACT_IN_JSON = 2**53  # the largest magnitude up to which every JSON reader keeps each integer
_DIGITS_MAX = 20  # of an integer of the data model, the sign of a negative one included
_KEY_SHOWN_MAX = 64
_HEX = re.compile(r"(?:[0-9a-fA-F]{2})*")
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


class _NotAValue(Exception):
    """A number or word that stands for no value of the data model, and why."""


def parse_json(text: str | bytes, bytes_max: int = LINE_BYTES_MAX) -> Any:
    """The value that one JSON document stands for; `InvalidInput` says what else it is, and where."""
    source = _source(text, bytes_max)
    try:
        value = _DECODER.decode(source)
    except json.JSONDecodeError as error:
        _refuse(source, error.pos, f"this is not JSON: {error.msg.lower().removesuffix(' at')}")
    except _NotAValue as error:
        token, why = error.args
        _refuse(source, source.find(token), why)
    except RecursionError:
        raise InvalidInput(f"nested deeper than {DEPTH_MAX}") from None
    if source.count("[") + source.count("{") > DEPTH_MAX or _SURROGATE_ESCAPE.search(source):
        _refuse_foreign(value, DEPTH_MAX)
    return value


def _source(text: str | bytes, bytes_max: int) -> str:
    if not isinstance(text, str | bytes):
        raise InvalidInput("JSON is text or bytes")
    if len(text) > bytes_max:
        raise InvalidInput(f"more than {bytes_max} bytes of JSON", bytes_max=bytes_max)
    try:
        source = text.decode() if isinstance(text, bytes) else text
        size = len(text) if isinstance(text, bytes) or text.isascii() else len(text.encode())
    except UnicodeError as error:
        before = text[: error.start]  # type: ignore[attr-defined]
        shown = before.decode() if isinstance(before, bytes) else before
        _refuse(shown, len(shown), "this is not UTF-8 text")
    if size > bytes_max:
        raise InvalidInput(f"more than {bytes_max} bytes of JSON", bytes_max=bytes_max)
    return source


def _refuse(source: str, at: int, why: str) -> NoReturn:
    line = source.count("\n", 0, at) + 1
    column = at - source.rfind("\n", 0, at)
    raise InvalidInput(f"line {line}, column {column}: {why}", line=line, column=column)


def _refuse_foreign(value: Any, left: int) -> None:
    """Refuses a level below the last one, and half of a surrogate pair in a text or key."""
    if type(value) in (dict, list):
        if not left:
            raise InvalidInput(f"nested deeper than {DEPTH_MAX}")
        for item in value if type(value) is list else (*value, *value.values()):
            _refuse_foreign(item, left - 1)
    elif type(value) is str and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            half = printable(value[error.start])
            raise InvalidInput(f"`{half}` is half of a surrogate pair and no text") from None


# --- what the decoder asks ----------------------------------------------------------------------
def _map(pairs: list[tuple[str, Any]]) -> Any:
    value = dict(pairs)
    if len(value) != len(pairs):
        counts = Counter(key for key, _ in pairs)
        key = printable(next(key for key, count in counts.items() if count > 1))[:_KEY_SHOWN_MAX]
        raise InvalidInput(f"the key `{key}` stands twice in one map", key=key)
    if BYTES_KEY in value:
        digits = value[BYTES_KEY]
        if len(value) != 1 or type(digits) is not str or not _HEX.fullmatch(digits):
            raise InvalidInput(
                '`$bytes` stands alone and holds pairs of hex digits: {"$bytes": "00ff"}', key=BYTES_KEY
            )
        return bytes.fromhex(digits)
    return value


def _integer(digits: str) -> int:
    if len(digits) > _DIGITS_MAX or not INT_MIN <= (value := int(digits)) <= INT_MAX:
        raise _NotAValue(digits, "an integer outside -2^63 to 2^64-1")
    return value


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise _NotAValue(digits, "a number outside the data model")
    return value


def _constant(name: str) -> NoReturn:
    raise _NotAValue(name, "this is not JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_map, parse_int=_integer, parse_float=_float, parse_constant=_constant
)


# --- values to JSON and to text -----------------------------------------------------------------
def json_form(value: Any) -> Any:
    """The value of JSON that stands for a value of the data model: bytes as Rule 3 says, all else as it is.

    No map in it holds the key `$bytes`, which has no such form.
    """
    if type(value) is dict:
        return {key: json_form(item) for key, item in value.items()}
    if type(value) is list:
        return [json_form(item) for item in value]
    return {BYTES_KEY: value.hex()} if type(value) is bytes else value


def printable(text: str) -> str:
    """`text` for a terminal: what is not printable, or would reorder a line, becomes an escape.

    The backslash is doubled, so no text can pretend to be another.
    """
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(map(_shown, text))


_SHORT = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\"}


def _shown(character: str) -> str:
    code = ord(character)
    if character in _SHORT:
        return _SHORT[character]
    if character.isprintable():
        return character
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
