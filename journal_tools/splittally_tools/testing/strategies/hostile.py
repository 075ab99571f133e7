"""Bytes, text and values that are made to confuse; each is refused by whoever reads it strictly.

Rule 1. Every one of them is wrong by construction, however small it has become by shrinking.
Rule 2. What is wrong may stand alone or deep inside something that is right.
"""

import datetime
import decimal
import json
import math
from typing import Any

from hypothesis import strategies as st
from splittally.core.canonical import encode
from splittally.core.limits import DEPTH_MAX, INT_MAX, INT_MIN

DEEPER_MAX = 40  # levels beyond what is allowed
JSON_DEEPER_MAX = 2_000
sound = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-300, 70_000)
    | st.text("aé😀", max_size=3)
    | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=5,
)

# --- bytes --------------------------------------------------------------------------------------------

_LONG_HEADS = [
    "1800", "1817", "190000", "1900ff", "1a0000ffff", "1b00000000ffffffff", "3817", "3900ff", "5800",
    "580161", "7800", "780161", "9800", "980101", "b800", "b801616101", "fa3fc00000", "fb3ff8000000000000",
    "fa7f800000", "fb7ff0000000000000",
]  # fmt: skip
_INDEFINITE = ["5fff", "5f4161ff", "7fff", "7f6161ff", "9fff", "9f01ff", "bfff", "bf616101ff", "ff"]
_NO_VALUES = [
    "f7", "e0", "f814", "f8ff", "1c", "f97e00", "f97c00", "f9fc00", "fb7ff8000000000001", "c0613a", "c24101",
    "c249010000000000000000", "c349010000000000000000", "d9d9f700", "d82a4100", "d901028101",
    "3b8000000000000000", "3bffffffffffffffff",
]  # fmt: skip
_BAD_TEXT = ["61ff", "62c328", "62c0af", "63eda080", "63edb080", "64f8888080"]
_BAD_MAPS = [
    "a2616101616102", "a2616201616101", "a262616101616201", "a10101", "a1416101", "a1f601", "a1f401",
    "a163eda08001",
]  # fmt: skip
_LYING = [
    "9bffffffffffffffff",
    "7b8000000000000000",
    "5bffffffffffffffff",
    "bb7fffffffffffffff",
    "9a40000000",
]


def hostile_bytes() -> st.SearchStrategy[bytes]:
    """Bytes that are no canonical CBOR: long heads, indefinite lengths, tags, duplicate keys, cut short."""
    one = st.sampled_from([*_LONG_HEADS, *_INDEFINITE, *_NO_VALUES, *_BAD_TEXT, *_BAD_MAPS, *_LYING])
    item = one.map(bytes.fromhex)
    inside = st.recursive(item, _around, max_leaves=1)
    deep = st.integers(DEPTH_MAX + 1, DEPTH_MAX + DEEPER_MAX).map(lambda levels: b"\x81" * levels + b"\x00")
    followed = st.tuples(sound, st.binary(min_size=1, max_size=3)).map(lambda pair: encode(pair[0]) + pair[1])
    cut = sound.map(lambda value: encode(value)[:-1])
    return inside | deep | followed | cut


def _around(inner: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """The same in an array, or as the value of a key."""
    return inner.map(lambda item: b"\x81" + item) | inner.map(lambda item: b"\xa1\x61a" + item)


# --- text ---------------------------------------------------------------------------------------------

_BAD_JSON = [
    "", " ", "nul", "True", "NaN", "Infinity", "-Infinity", "01", "-01", "+1", ".5", "1.", "1e", "0x10",
    "1_000",
    "[1,]", "[,1]", "[1 2]", "{,}", '{"a":1,}', '{"a"}', '{"a" 1}', "{a:1}", "{'a':1}", "{1:1}", "[1}", "[",
    "{", '"', '"a', "'a'", '"\\x41"', '"\\u12"', '"\t"', '"\n"', '"\x00"', "// note\n1", "/* */ 1", "#1",
    "\ufeff1", "\u00a01", "1 1", "{}{}", "1e999", "-1e999", "18446744073709551616", "-9223372036854775809",
    "1" + 40 * "0", '{"a":1,"a":2}', '{"a":1,"\\u0061":2}', '{"$bytes":"0"}', '{"$bytes":"zz"}',
    '{"$bytes":1}', '{"$bytes":"00","b":1}', '"\\ud800"', '"\\udc00"', '"\\udfff\\ud800"', '{"\\ud800":1}',
]  # fmt: skip


def hostile_json() -> st.SearchStrategy[str]:
    """Text that is no JSON document of the data model: duplicate keys, huge integers, half a surrogate."""
    one = st.sampled_from(_BAD_JSON)
    deep = st.integers(DEPTH_MAX + 1, JSON_DEEPER_MAX).map(lambda levels: "[" * levels + "]" * levels)
    huge = st.integers(INT_MAX + 1, INT_MAX**3) | st.integers(INT_MIN**3, INT_MIN - 1)
    twice = st.text(max_size=3).map(lambda key: f"{{{json.dumps(key)}:1,{json.dumps(key)}:1}}")
    followed = st.sampled_from(["0", "[]", "{}", '"a"']).map(lambda text: f"{text} x")
    item = one | deep | huge.map(str) | twice | followed
    return item | item.map(lambda text: f"[{text}]" if text.strip() else "[,]")


# --- values -------------------------------------------------------------------------------------------


class _Text(str):
    """A subclass, which no exact reader takes for text."""


_NO_DATA: list[Any] = [
    (), (1,), set(), frozenset("a"), bytearray(b"a"), memoryview(b"a"), object(), Ellipsis, range(2), 1j,
    math.nan, math.inf, -math.inf, "\ud800", "a\udfff", {1: 1}, {None: 1}, {b"a": 1}, {"\ud800": 1},
    {("a",): 1},
    _Text("a"), decimal.Decimal(1), datetime.date(2024, 1, 1), len, [_Text("a")], {_Text("a"): 1},
]  # fmt: skip


def hostile_values() -> st.SearchStrategy[Any]:
    """Python values outside the data model: wrong types, huge integers, lone surrogates, too deep."""
    huge = st.integers(INT_MAX + 1, INT_MAX**3) | st.integers(INT_MIN**3, INT_MIN - 1)
    deep = st.integers(DEPTH_MAX + 1, DEPTH_MAX + DEEPER_MAX).map(_nested)
    one = st.sampled_from(range(len(_NO_DATA))).map(_NO_DATA.__getitem__) | huge | deep
    return one | one.map(lambda value: [value]) | one.map(lambda value: {"a": value})


def _nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value
