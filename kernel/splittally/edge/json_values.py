"""JSON text to values of the data model, and back (spec/01-canonical-form.md, "JSON at the edges").

Rule 1. Nothing is repaired: duplicate keys, NaN, lone surrogates, a sixty-fifth level are refused.
Rule 2. Integers are exact; a number with a fraction or an exponent is a float, also 1.0.
Rule 3. Bytes are `{"$bytes": "<hex>"}`. A map that holds the key `$bytes` has no JSON form: it is printed
        with its value in an array, which no reader takes for bytes, and refused when read.
Rule 4. The fast path refuses what `read_plainly` refuses; only the latter knows where and why.
"""

import json
import math
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from splittally.core.errors import InvalidInput
from splittally.core.limits import DEPTH_MAX, INT_MAX, INT_MIN, LINE_BYTES_MAX

BYTES_KEY = "$bytes"
EXACT_IN_JSON = 2**53  # the largest magnitude up to which every JSON reader keeps each integer
_DIGITS_MAX = 20  # of an integer of the data model, the sign of a negative one included
_HEX = re.compile(r"(?:[0-9a-fA-F]{2})*")
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_TOKEN = re.compile(
    r"""[ \t\n\r]*(?:
        (?P<sign>[\[\]{},:])
      | (?P<text>"(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+")
      | (?P<number>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)(?![0-9A-Za-z_.])
      | (?P<word>true|false|null)(?![0-9A-Za-z_])
      | (?P<end>\Z)
    )""",
    re.VERBOSE,
)
_WORDS = {"true": True, "false": False, "null": None}


class _Refused(Exception):
    """The fast path met something that `read_plainly` must judge."""


def parse_json(text: str | bytes, bytes_max: int = LINE_BYTES_MAX) -> Any:
    """The value that one JSON document stands for; `InvalidInput` with `line` and `column` otherwise."""
    source = _source(text, bytes_max)
    if source.count("[") + source.count("{") > DEPTH_MAX or _SURROGATE_ESCAPE.search(source):
        return read_plainly(source)
    try:
        return _FAST.decode(source)
    except (_Refused, ValueError, RecursionError):
        return read_plainly(source)


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


# --- the fast path ------------------------------------------------------------------------------
def _map(pairs: list[tuple[str, Any]]) -> Any:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _Refused
    if BYTES_KEY in value:
        digits = value[BYTES_KEY]
        if len(value) != 1 or type(digits) is not str or not _HEX.fullmatch(digits):
            raise _Refused
        return bytes.fromhex(digits)
    return value


def _integer(digits: str) -> int:
    if len(digits) > _DIGITS_MAX or not INT_MIN <= (value := int(digits)) <= INT_MAX:
        raise _Refused
    return value


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise _Refused
    return value


def _constant(_: str) -> NoReturn:
    raise _Refused


_FAST = json.JSONDecoder(
    object_pairs_hook=_map, parse_int=_integer, parse_float=_float, parse_constant=_constant
)


# --- the definition -----------------------------------------------------------------------------
def read_plainly(source: str) -> Any:
    """`parse_json` by the definition: one token after the other, with a place for every refusal."""
    reader = _Reader(source)
    value = reader.value(DEPTH_MAX)
    if reader.kind != "end":
        reader.refuse("the document ends before this")
    return value


class _Reader:
    """One token ahead; `left` is how many levels may still be opened."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.end = 0
        self.step()

    def refuse(self, why: str) -> NoReturn:
        _refuse(self.source, self.at, why)

    def step(self) -> None:
        match = _TOKEN.match(self.source, self.end)
        if match is None or match.lastgroup is None:
            self.at = self.end + len(re.match(r"[ \t\n\r]*", self.source[self.end :]).group())  # type: ignore[union-attr]
            self.refuse("this is not JSON")
        self.kind, self.token = match.lastgroup, match.group(match.lastgroup)
        self.at, self.end = match.start(match.lastgroup), match.end()

    def take(self, signs: str, expected: str) -> str:
        if self.kind != "sign" or self.token not in signs:
            self.refuse(f"{expected} is expected here")
        sign = self.token
        self.step()
        return sign

    def value(self, left: int) -> Any:
        if self.kind == "sign" and self.token in "[{":
            if not left:
                self.refuse(f"nested deeper than {DEPTH_MAX}")
            return self.array(left) if self.token == "[" else self.map(left)
        if self.kind in ("sign", "end"):
            self.refuse("a value is expected here")
        value = self.atom()
        self.step()
        return value

    def atom(self) -> Any:
        if self.kind == "text":
            return self.text()
        if self.kind == "word":
            return _WORDS[self.token]
        try:
            return _integer(self.token) if self.token.lstrip("-").isdigit() else _float(self.token)
        except _Refused:
            self.refuse("a number outside the data model")

    def text(self) -> str:
        text: str = json.loads(self.token)
        for offset in _lone_surrogates(self.token):
            self.at += offset
            self.refuse("half of a surrogate pair is not text")
        return text

    def array(self, left: int) -> list[Any]:
        self.step()
        items: list[Any] = []
        while self.kind != "sign" or self.token != "]" or items:
            items.append(self.value(left - 1))
            if self.take(",]", "`,` or `]`") == "]":
                return items
        self.step()
        return items

    def map(self, left: int) -> Any:
        start = self.at
        self.step()
        entries: dict[str, Any] = {}
        while self.kind != "sign" or self.token != "}" or entries:
            if self.kind != "text":
                self.refuse("a key in double quotes is expected here")
            key = self.text()
            if key in entries:
                self.refuse("this key stands in the map already")
            self.step()
            self.take(":", "`:`")
            entries[key] = self.value(left - 1)
            if self.take(",}", "`,` or `}`") == "}":
                break
        else:
            self.step()
        try:
            return _map(list(entries.items()))
        except _Refused:
            _refuse(
                self.source, start, '`$bytes` stands alone and holds pairs of hex digits: {"$bytes": "00ff"}'
            )


def _lone_surrogates(token: str) -> Iterator[int]:
    high = 0  # where half of a pair stands; the quote is at 0, so 0 is none
    for match in re.finditer(r"\\u([0-9a-fA-F]{4})|\\.|[^\\]+", token):
        code = int(match.group(1) or "0", 16)
        if 0xDC00 <= code <= 0xDFFF and high:
            high = 0
            continue
        if high:
            yield high
        high = match.start() if 0xD800 <= code <= 0xDBFF else 0
        if 0xDC00 <= code <= 0xDFFF:
            yield match.start()
    if high:
        yield high


# --- values to text -----------------------------------------------------------------------------
def json_ready(value: Any) -> Any:
    """A value of the data model as values of JSON; never refuses one, so any record can be printed.

    Integers beyond 2^53 become strings of digits; only a schema's `integer` reads them back.
    """
    kind = type(value)
    if kind is dict:
        return {
            key: [json_ready(item)] if key == BYTES_KEY else json_ready(item) for key, item in value.items()
        }
    if kind is list or kind is tuple:
        return [json_ready(item) for item in value]
    if kind is bytes:
        return {BYTES_KEY: value.hex()}
    if kind is int and not -EXACT_IN_JSON <= value <= EXACT_IN_JSON:
        return str(value)
    return value


def to_json(value: Any) -> str:
    """One line of ASCII JSON for a value of the data model, maps in the order they have."""
    return json.dumps(json_ready(value), separators=(",", ":"), allow_nan=False)


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
