"""A frame: one record of the journal, chained to the one before it (spec/07-journal.md, "Frame").

Rule 1. The canonical bytes of a frame are CBOR `[seq, prev, body]`; its hash is over exactly those bytes.
Rule 2. Sequences are dense from 0. `prev` is the hash of the frame before, 32 zero bytes for frame 0.
Rule 3. The body is a list that only the runtime understands. It is a kernel record: without floats.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from splittally.core.canonical import decode_record, encode_record
from splittally.core.errors import CanonicalError, JournalDamaged
from splittally.core.hashing import hash_frame
from splittally.core.limits import HASH_BYTES

ZERO_HASH = bytes(HASH_BYTES)
_NATURAL_HEADS = {b"\x18": 1, b"\x19": 2, b"\x1a": 4, b"\x1b": 8}  # argument bytes by initial byte


class Head(NamedTuple):
    """Where a journal ends: the number of its frames and the hash of the last, zero bytes when empty."""

    size: int
    hash: bytes


class Frame(NamedTuple):
    """A sealed record: `data` is its canonical bytes."""

    seq: int
    hash: bytes
    data: bytes


EMPTY = Head(0, ZERO_HASH)


def seal(seq: int, prev: bytes, body: list[Any]) -> Frame:
    """The frame of `body` at `seq`, chained to the frame whose hash is `prev`."""
    data = encode_record([seq, prev, body])
    return Frame(seq, hash_frame(data), data)


def open_frame(data: bytes) -> tuple[int, bytes, list[Any]]:
    """`seq`, `prev` and body of canonical frame bytes; `JournalDamaged` for anything else."""
    try:
        value = decode_record(data)
    except CanonicalError as error:
        raise JournalDamaged(f"a frame is not canonical: {error}") from error
    if type(value) is list and len(value) == 3:
        seq, prev, body = value
        is_chained = type(prev) is bytes and len(prev) == HASH_BYTES
        if is_chained and type(seq) is int and seq >= 0 and type(body) is list:
            return seq, prev, body
    raise JournalDamaged("a frame is not `[seq, prev, body]`")


def prev_of(seq: int, data: bytes) -> bytes:
    """The `prev` of the frame bytes `data`, without decoding the body; they must begin as frame `seq`."""
    front = _front(seq)
    at = len(front)
    prev = data[at : at + HASH_BYTES]
    if not data.startswith(front) or len(prev) != HASH_BYTES:
        raise JournalDamaged(f"frame {seq} does not begin as frame {seq}", seq=seq)
    return prev


def follows(seq: int, data: bytes, prev: bytes) -> bool:
    """Whether `data` begins as frame `seq` after the frame whose hash is `prev`."""
    return data.startswith(_front(seq) + prev)


def seq_of(data: bytes) -> int:
    """The sequence that the frame bytes `data` claim; `JournalDamaged` when they do not begin as a frame."""
    head = data[1:2]
    argument = data[2 : 2 + _NATURAL_HEADS.get(head, 0)]
    seq = int.from_bytes(argument or head)
    prev_of(seq, data)
    return seq


def extend(head: Head, frames: Iterable[Frame]) -> Head:
    """The head after `frames`; asserts that they continue `head` without a gap."""
    size, last = head
    for seq, hash_, data in frames:
        assert seq == size
        assert follows(seq, data, last)
        size, last = seq + 1, hash_
    return Head(size, last)


def _front(seq: int) -> bytes:
    """The bytes of a frame before its `prev`: an array of three, `seq`, the head of 32 bytes."""
    if seq < 24:
        return bytes((0x83, seq, 0x58, 0x20))
    if seq < 0x100:
        return bytes((0x83, 0x18, seq, 0x58, 0x20))
    if seq < 0x10000:
        return b"\x83\x19" + seq.to_bytes(2) + b"\x58\x20"
    if seq < 0x1_0000_0000:
        return b"\x83\x1a" + seq.to_bytes(4) + b"\x58\x20"
    return b"\x83\x1b" + seq.to_bytes(8) + b"\x58\x20"
