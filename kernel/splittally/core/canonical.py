"""Canonical bytes: one value, one byte string (RFC 8949 section 4.2.1, text keys only).

Rule 1. The data model is null, bool, integers -2^63 ... 2^64-1, finite floats, text, bytes, arrays
        and maps with text keys; depth at most `DEPTH_MAX`. Types are exact: no subclass, no tuple.
Rule 2. Decoding is strict. What is not canonical is refused, never repaired.
Rule 3. `encode` and `decode` use the fast codec where it is installed and give the same bytes and the
        same refusals as `encode_plain` and `decode_plain`, which need `cbor2` alone.
Rule 4. The fast codec writes 64-bit floats only and has negative integers down to -2^64, so a value with
        either takes the plain path; it is looked for only where the bytes look so. Whatever the fast
        codec refuses the plain path judges.
Rule 5. Kernel records (frames and what stands in them) hold no float, so they never take the plain path:
        `decode_record` refuses the two things that the fast codec reads and a record does not have.
"""

import math
import re
from typing import Any

import cbor2
import msgspec

from splittally.core.errors import CanonicalError
from splittally.core.limits import DEPTH_MAX, INT_MAX, INT_MIN

try:
    from cbrrr import _cbrrr
except ImportError:  # the accelerator is optional; the plain path is the definition
    _cbrrr = None  # type: ignore[assignment]

type_error = "holds a value outside the data model"


class _NeverCid:
    """Stands where the fast codec wants its link type; no value of the data model is one."""

    def __init__(self, *_: object) -> None:
        raise ValueError("tag 42")


FAST = _cbrrr is not None
UNENCODABLE = (CanonicalError, ValueError, TypeError)
_FLOAT64_HEAD = 0xFB
_NEGATIVE64_HEAD = 0x3B
_BELOW_INT_MIN = re.compile(rb"\x3b[\x80-\xff]")  # an argument of 2^63 or more


def encode(value: Any) -> bytes:
    """The canonical bytes of `value`; `CanonicalError` when it is outside the data model."""
    if _cbrrr is None:
        return encode_plain(value)
    _refuse_deep(value, DEPTH_MAX)
    try:
        data: bytes = _cbrrr.encode_dag_cbor(value, _NeverCid, False)
    except Exception:  # whatever the fast codec refuses the definition judges
        return encode_plain(value)
    return encode_plain(value) if _is_doubtful(data) and holds_doubtful(value) else data


def decode(data: bytes) -> Any:
    """The value whose canonical bytes are `data`; `CanonicalError` for any other bytes."""
    if _cbrrr is None or type(data) is not bytes:
        return decode_plain(data)
    try:
        value, used = _cbrrr.decode_dag_cbor(data, _NeverCid, False)
    except Exception:  # a short float, or bytes that are not canonical
        return decode_plain(data)
    if used != len(data):
        raise CanonicalError("bytes follow the value")
    if used > DEPTH_MAX:  # a level takes a byte at least
        _refuse_deep(value, DEPTH_MAX)
    return decode_plain(data) if _is_doubtful(data) and holds_doubtful(value) else value


def encode_plain(value: Any) -> bytes:
    """`encode` by the definition: walk the data model, then `cbor2` in canonical mode."""
    _refuse_foreign(value, DEPTH_MAX)
    return cbor2.dumps(value, canonical=True)


def decode_plain(data: bytes) -> Any:
    """`decode` by the definition: scan, decode, walk, encode again and compare."""
    if type(data) is not bytes:
        raise CanonicalError("canonical form is bytes")
    if _item_end(data, 0, DEPTH_MAX) != len(data):
        raise CanonicalError("bytes follow the value")
    try:
        value = cbor2.loads(data, allow_indefinite=False, allow_duplicate_keys=False)
    except Exception as error:
        raise CanonicalError("bytes are not canonical CBOR") from error
    if encode_plain(value) != data:
        raise CanonicalError("bytes are not in canonical form")
    return value


def _is_doubtful(data: bytes) -> bool:
    """Whether the bytes may hold a float or an integer below -2^63; text with such bytes is judged too."""
    return _FLOAT64_HEAD in data or (_NEGATIVE64_HEAD in data and _BELOW_INT_MIN.search(data) is not None)


def holds_doubtful(value: Any) -> bool:
    """Whether a float or an integer below -2^63 is in the value; most bytes that look so are neither."""
    left = [value]
    for item in left:  # which grows while it is walked
        kind = item.__class__
        if kind is list:
            left += item
        elif kind is dict:
            left += item.values()
        elif kind is float or (kind is int and item < INT_MIN):
            return True
    return False


def encode_record(value: Any) -> bytes:
    """`encode` for kernel records: built by the kernel from lists and atoms, without floats or depth.

    One of `UNENCODABLE` is raised where it holds a number or a type that no bytes are defined for.
    """
    if _cbrrr is None:
        return encode_plain(value)
    data: bytes = _cbrrr.encode_dag_cbor(value, _NeverCid, False)
    return data


def decode_record(data: bytes) -> Any:
    """`decode` for kernel records: the same refusals except for depth, and every float refused."""
    if _cbrrr is None:
        value, is_doubtful = decode_plain(data), True
    else:
        try:
            value, used = _cbrrr.decode_dag_cbor(data, _NeverCid, False)
        except Exception as error:
            raise CanonicalError("bytes are not canonical CBOR") from error
        if used != len(data):
            raise CanonicalError("bytes follow the value")
        is_doubtful = (_FLOAT64_HEAD in data and _may_hold_float(data)) or (
            _BELOW_INT_MIN.search(data) is not None and _may_be_below_int_min(value)
        )
    if is_doubtful and holds_doubtful(value):
        raise CanonicalError("a record holds no floats and no integers below -2^63")
    return value


def _may_hold_float(data: bytes) -> bool:
    """Whether a float may be in canonical bytes: the fast codec's other mode has none and refuses them.

    Two hashes in three hold the byte of a float; most are cleared here, at a third of what a walk costs.
    """
    try:
        _cbrrr.decode_dag_cbor(data, _NeverCid, True)
    except Exception:  # also for keys that mean something in that mode, so the walk decides
        return True
    return False


def _may_be_below_int_min(value: Any) -> bool:
    """Whether an integer below -2^63 may be in a value, which MessagePack has no room for either."""
    try:
        msgspec.msgpack.encode(value)
    except Exception:  # also for what is nested too deep for it
        return True
    return False


def decode_record_at(data: bytes, at: int) -> tuple[Any, int]:
    """The value whose canonical bytes begin at `at`, and where they end; depth and floats are not judged."""
    if _cbrrr is None:
        end = _item_end(data, at, DEPTH_MAX)
        return decode_plain(data[at:end]), end
    try:
        rest: Any = memoryview(data)[at:]
        value, used = _cbrrr.decode_dag_cbor(rest, _NeverCid, False)
    except Exception as error:
        raise CanonicalError("bytes are not canonical CBOR") from error
    return value, at + used


def bytes_head(data: bytes) -> bytes:
    """The CBOR head of a byte string of this length."""
    return _head(0x40, len(data))


def natural_head(value: int) -> bytes:
    """A natural below 2^64 in CBOR, which is its head alone."""
    return _head(0x00, value)


def _head(major: int, value: int) -> bytes:
    if value < 24:
        return bytes((major | value,))
    if value < 0x100:
        return bytes((major | 24, value))
    if value < 0x10000:
        return bytes((major | 25,)) + value.to_bytes(2)
    if value < 0x1_0000_0000:
        return bytes((major | 26,)) + value.to_bytes(4)
    return bytes((major | 27,)) + value.to_bytes(8)


def _refuse_deep(value: Any, left: int) -> None:
    kind = value.__class__
    if kind is dict:
        children = value.values()
    elif kind is list:
        children = value
    else:
        return
    if not left:
        raise CanonicalError(f"nested deeper than {DEPTH_MAX}", depth=DEPTH_MAX)
    for child in children:
        kind = child.__class__
        if kind is dict or kind is list:
            _refuse_deep(child, left - 1)


def _refuse_foreign(value: Any, left: int) -> None:
    match value:
        case None | bool():
            pass
        case int() if type(value) is int:
            if not INT_MIN <= value <= INT_MAX:
                raise CanonicalError("integer outside -2^63 ... 2^64-1")
        case float() if type(value) is float:
            if not math.isfinite(value):
                raise CanonicalError("not-a-number and infinities have no canonical form")
        case str() if type(value) is str:
            _refuse_surrogates(value)
        case bytes() if type(value) is bytes:
            pass
        case list() | dict() if not left:
            raise CanonicalError(f"nested deeper than {DEPTH_MAX}", depth=DEPTH_MAX)
        case list() if type(value) is list:
            for item in value:
                _refuse_foreign(item, left - 1)
        case dict() if type(value) is dict:
            for key, item in value.items():
                if type(key) is not str:
                    raise CanonicalError("map keys are text")
                _refuse_surrogates(key)
                _refuse_foreign(item, left - 1)
        case _:
            raise CanonicalError(f"`{type(value).__name__}` {type_error}")


def _refuse_surrogates(text: str) -> None:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise CanonicalError("text holds a lone surrogate") from error


# Shortest-form argument sizes by additional information (RFC 8949 section 3).
_ARGUMENT_BYTES = {24: 1, 25: 2, 26: 4, 27: 8}
_SIMPLE_ALLOWED = (0xF4, 0xF5, 0xF6, 0xF9, 0xFA, 0xFB)


def _item_end(data: bytes, at: int, left: int) -> int:
    """Where the item at `at` ends; refuses tags, indefinite lengths, simple values and depth.

    This runs before `cbor2`, whose decoder builds objects (dates, patterns, cycles) from tags.
    """
    if at >= len(data):
        raise CanonicalError("bytes end inside a value")
    head = data[at]
    major, info = head >> 5, head & 31
    if info > 27 or major == 6:
        raise CanonicalError("tags and indefinite lengths have no place in canonical form")
    size = _ARGUMENT_BYTES.get(info, 0)
    body = at + 1 + size
    if body > len(data):
        raise CanonicalError("bytes end inside a value")
    if major == 7:
        if head not in _SIMPLE_ALLOWED:
            raise CanonicalError("a simple value outside the data model")
        return body
    if major < 2:
        return body
    argument = int.from_bytes(data[at + 1 : body]) if size else info
    if argument > len(data) - body:
        raise CanonicalError("bytes end inside a value")
    if major < 4:
        return body + argument
    if not left:
        raise CanonicalError(f"nested deeper than {DEPTH_MAX}", depth=DEPTH_MAX)
    for _ in range(argument if major == 4 else 2 * argument):
        body = _item_end(data, body, left - 1)
    return body
