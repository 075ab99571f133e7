"""An encoder written from RFC 8949 alone, values to encode, and bytes to break: the tests' own oracle.

It shares nothing with the kernel but the data model of spec/01-canonical-form.md.
"""

import math
import random
import struct
from typing import Any

INT_MIN, INT_MAX, DEPTH_MAX = -(2**63), 2**64 - 1, 64


class OutsideModel(Exception):
    """A value without canonical bytes."""


def head(major: int, argument: int) -> bytes:
    """RFC 8949 section 3, the shortest of its five forms."""
    if argument < 24:
        return bytes([major << 5 | argument])
    for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if argument < 1 << 8 * size:
            return bytes([major << 5 | info]) + argument.to_bytes(size)
    raise OutsideModel


def encode_float(value: float) -> bytes:
    """Section 4.2.1: the shortest of the three sizes that keeps the value."""
    if not math.isfinite(value):
        raise OutsideModel
    for prefix, form in ((b"\xf9", ">e"), (b"\xfa", ">f")):
        try:
            packed = struct.pack(form, value)
        except OverflowError:
            continue
        if struct.unpack(form, packed) == (value,):
            return prefix + packed
    return b"\xfb" + struct.pack(">d", value)


def encode_model(value: Any, depth: int = 0) -> bytes:
    """The canonical bytes by the book; `OutsideModel` for anything else."""
    kind = type(value)
    if value is None:
        return b"\xf6"
    if kind is bool:
        return b"\xf5" if value else b"\xf4"
    if kind is int and INT_MIN <= value <= INT_MAX:
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if kind is float:
        return encode_float(value)
    if kind is bytes:
        return head(2, len(value)) + value
    if kind is str:
        return head(3, len(text := utf8(value))) + text
    if kind not in (list, dict) or depth == DEPTH_MAX:
        raise OutsideModel
    if kind is list:
        return head(4, len(value)) + b"".join(encode_model(item, depth + 1) for item in value)
    if any(type(key) is not str for key in value):
        raise OutsideModel
    pairs = sorted((head(3, len(utf8(key))) + utf8(key), item) for key, item in value.items())
    return head(5, len(value)) + b"".join(key + encode_model(item, depth + 1) for key, item in pairs)


def utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise OutsideModel from None


_EDGES = [0, 23, 24, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**53, 2**63 - 1, 2**63, 2**64 - 1]
INTEGERS = sorted({sign * edge + off for edge in _EDGES for sign in (1, -1) for off in (-1, 0, 1)})
FLOATS = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    1.5,
    0.1,
    65504.0,
    65505.0,
    5.96e-8,
    3.4028234663852886e38,
    1e39,
    1e300,
    5e-324,
]
TEXTS = ["", "a", "z;", "é", "😀", "\u202e", "\x00", "a" * 23, "a" * 24, "é" * 130, "\ue000", "\U00010000"]
BLOBS = [b"", b"\x3b\x80", b"\xfb" * 9, b"\xff" * 24, b"\xd9\xd9\xf7"]
OUTSIDE: list[Any] = [
    INT_MIN - 1,
    -(2**64),
    INT_MAX + 1,
    2**200,
    float("nan"),
    float("inf"),
    -float("inf"),
    "\ud800",
    "\udfff tail",
    (1,),
    {1},
    bytearray(b"a"),
    memoryview(b"a"),
    1j,
    object(),
    {1: 1},
    {None: 1},
    {b"a": 1},
    {True: 1},
    {"\ud800": 1},
    range(2),
]


def some_value(rng: random.Random, depth: int = 0) -> Any:
    """A value of the data model, from the edges of each type."""
    match rng.randrange(7 if depth == 0 and rng.random() < 0.8 else 0, 9 if depth < 5 else 7):
        case 0:
            return rng.choice([None, True, False])
        case 1 | 2:
            return rng.choice([i for i in INTEGERS if INT_MIN <= i <= INT_MAX])
        case 3:
            return rng.choice([*FLOATS, rng.uniform(-1e6, 1e6)])
        case 4:
            return rng.choice(TEXTS)
        case 5:
            return rng.choice(BLOBS)
        case 6:
            return rng.randrange(100)
        case 7:
            return [some_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {
        rng.choice(TEXTS) + rng.choice("abc"): some_value(rng, depth + 1) for _ in range(rng.randrange(5))
    }


def broken(rng: random.Random, data: bytes) -> bytes:
    """The bytes after up to three small changes."""
    changed = bytearray(data)
    for _ in range(rng.randrange(4)):
        at = rng.randrange(len(changed) + 1)
        match rng.randrange(3):
            case 0 if at < len(changed):
                changed[at] = rng.choice([rng.randrange(256), 0xFB, 0x3B, 0xF9, 0xF7, 0x9F, 0xC2, 0x80])
            case 1 if at < len(changed):
                del changed[at]
            case _:
                changed.insert(at, rng.randrange(256))
    return bytes(changed)
