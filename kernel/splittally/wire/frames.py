"""The layout of frames, for whoever speaks them: bytes in, frames out, and back. It does no input or output.

    u32 length | u32 id | document          both big-endian; the length counts the id and the document

Rule 1. The first frame each way is a hello, in JSON. Documents after it are in the encoding that it names.
Rule 2. A length is looked at before the bytes are kept.
Rule 3. In CBOR an answer has its hashes as bytes and its integers whole; in JSON as JSON has them.
"""

import struct
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from splittally.core.canonical import decode as decode_cbor
from splittally.core.canonical import encode as encode_cbor
from splittally.core.limits import LINE_BYTES_MAX
from splittally.edge.answer_lines import Say, exact, readable
from splittally.edge.json_values import parse_json

HELLO = "splittally/1"
HELLO_BYTES_MAX = 4_096
FRAME_BYTES_MAX = LINE_BYTES_MAX
ID_MAX = 2**32 - 1
_HEAD = struct.Struct(">II")
_ID_BYTES = 4
Document = Any


class Codec(NamedTuple):
    """How documents are read and written, and how the values of answers are said in them."""

    read: Callable[[bytes], Document]
    write: Callable[[Document], bytes]
    say: Say
    array: Callable[[list[bytes]], bytes]  # one document of several


def _array_of_json(documents: list[bytes]) -> bytes:
    return b"[" + b",".join(documents) + b"]"


def _array_of_cbor(documents: list[bytes]) -> bytes:
    size = len(documents)
    assert size < 2**16
    head = b"\x99" + size.to_bytes(2)
    if size < 2**8:
        head = bytes([0x80 | size]) if size < 24 else bytes([0x98, size])
    return head + b"".join(documents)


CODECS = {
    "json": Codec(parse_json, msgspec.json.Encoder().encode, readable, _array_of_json),
    "cbor": Codec(decode_cbor, encode_cbor, exact, _array_of_cbor),
}


class Frame(NamedTuple):
    """One frame: its id, and the bytes of its document."""

    number: int
    data: bytes


class WrongLength(Exception):
    """A frame is longer than is taken here, or has no room for its id; `number` is its id."""

    def __init__(self, number: int, bytes_max: int) -> None:
        super().__init__(f"a frame has {_ID_BYTES} to {bytes_max} bytes here")
        self.number = number


def pack(number: int, data: bytes) -> bytes:
    """A frame as bytes."""
    return _HEAD.pack(len(data) + _ID_BYTES, number) + data


def take(buffer: bytearray, bytes_max: int, frames_max: int) -> list[Frame]:
    """The frames that are whole at the beginning of a buffer, which are taken out of it; at most so many.

    `WrongLength` where one among them cannot be.
    """
    whole: list[Frame] = []
    at = 0
    while len(buffer) - at >= _HEAD.size and len(whole) < frames_max:
        length, number = _HEAD.unpack_from(buffer, at)
        if not _ID_BYTES <= length <= bytes_max:
            raise WrongLength(number, bytes_max)
        end = at + _ID_BYTES + length
        if len(buffer) < end:
            break
        whole.append(Frame(number, bytes(buffer[at + _HEAD.size : end])))
        at = end
    del buffer[:at]
    return whole


def hello(encoding: str, principal: str | None = None, token: str | None = None) -> bytes:
    """The document of a hello: for whom one asks, where it is not whom the connection says already."""
    said = {"hello": HELLO, "encoding": encoding, "principal": principal, "token": token}
    return msgspec.json.encode({name: value for name, value in said.items() if value is not None})
