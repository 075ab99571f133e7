"""The pages of an LMDB data file, read from plain bytes (spec/07-journal.md, "Reading").

LMDB has no checksums, and a process in which liblmdb follows a damaged page dies by a signal. So
liblmdb only writes here; every read goes through this module.

Rule 1. Nothing is followed before it is checked: page number, kind, bounds, node offsets, key size,
        key value. What does not fit is `BadPage`, never a repair and never a guess.
Rule 2. A key is its sequence, 8 bytes, big-endian. A leaf holds exactly the keys that its parent says.
Rule 3. Both meta pages must be sound, because the newer of the two can only be told with both.
Rule 4. The format is that of LMDB 0.9 (data version 1) in the byte order of this machine.
"""

import os
from array import array
from collections.abc import Callable
from struct import Struct, pack, unpack_from
from typing import NamedTuple

from splittally.core.limits import FRAME_BYTES_MAX, HASH_BYTES, MAP_BYTES_MAX

METAS = 2  # meta pages stand first
META_BYTES = 152
NO_PAGE = 2**64 - 1
PAGE_BYTES_MIN, PAGE_BYTES_MAX = 4096, 32768

BRANCH, LEAF, OVERFLOW, META = 0x01, 0x02, 0x04, 0x08
INTEGER_KEY = 0x08  # the only flag of the list of free pages
BIG_DATA = 0x01  # the node holds the number of an overflow page instead of its data
HEADER_BYTES = 16
NODE_BYTES = 16  # node header and the 8-byte key
MAGIC, DATA_VERSION = 0xBEEFC0DE, 1
DEPTH_MAX = 32  # liblmdb's own bound

_META = Struct("=QHHHH II QQ IHHQQQQQ IHHQQQQQ QQ".replace(" ", ""))
_HEADER = Struct("=QHHHH")
_NODE = Struct("=I12s")  # size, then flags, key size and key
_PAGE_NUMBER = Struct("=Q")
key_of = Struct(">Q").pack
INLINE, SPILLED = pack("=HH", 0, 8), pack("=HH", BIG_DATA, 8)  # flags and key size of a frame's node


class BadPage(Exception):
    """What stands in the file cannot be followed; `seq` is the first frame that it hides, if known."""

    def __init__(self, reason: str, seq: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.seq = seq

    def hiding(self, seq: int) -> "BadPage":
        """The same fault, `seq` being the first frame that it hides unless a later one was named."""
        return BadPage(self.reason, seq if self.seq is None else self.seq)


class Db(NamedTuple):
    """One tree of the file; `root` is `NO_PAGE` when it is empty."""

    flags: int
    depth: int
    branch_pages: int
    leaf_pages: int
    overflow_pages: int
    entries: int
    root: int


class Meta(NamedTuple):
    """One meta page: a committed state of the file."""

    page_bytes: int
    map_bytes: int
    free: Db
    main: Db
    page_last: int
    txn: int


class Branch(NamedTuple):
    """Child `i` holds the keys from `lowers[i]` to before `lowers[i + 1]`."""

    lowers: "array[int]"
    children: "array[int]"


class Spill(NamedTuple):
    """A value too large for its leaf: `size` bytes from overflow page `page` on."""

    page: int
    size: int


Slots = tuple[tuple[int, ...], int]  # the node offsets of a page, and the least that one may have
Fetch = Callable[[Spill, int], bytes]  # reads the value of a frame that is not in its leaf


def read_upto(fd: int, offset: int, size: int) -> bytes:
    """At most `size` bytes, fewer only where the file ends; `BadPage` when the medium refuses."""
    try:
        return os.pread(fd, size, offset)
    except OSError as error:
        raise BadPage(f"the medium cannot be read: {error.strerror}") from error


def read_at(fd: int, offset: int, size: int) -> bytes:
    """Exactly `size` bytes; `BadPage` when the file ends before or the medium refuses."""
    data = read_upto(fd, offset, size)
    if len(data) != size:
        raise BadPage("the file ends before this page")
    return data


def read_metas(fd: int) -> tuple[Meta, Meta]:
    """Both meta pages; `BadPage` when one of them is not what liblmdb writes."""
    first = read_at(fd, 0, META_BYTES)
    page_bytes = _META.unpack(first)[9]
    sound = PAGE_BYTES_MIN <= page_bytes <= PAGE_BYTES_MAX and page_bytes & (page_bytes - 1) == 0
    if not sound:
        raise BadPage("meta page 0 has no plausible page size")
    return _meta(first, 0, page_bytes), _meta(read_at(fd, page_bytes, META_BYTES), 1, page_bytes)


def newest(metas: tuple[Meta, Meta]) -> Meta:
    """The committed state; transactions are consecutive and alternate, so their numbers differ by one."""
    even, odd = metas
    if even.txn == odd.txn == 0:
        return even
    if even.txn % 2 or not odd.txn % 2 or abs(even.txn - odd.txn) != 1:
        raise BadPage("the meta pages do not follow one another")
    return max(even, odd, key=_txn)


def _txn(meta: Meta) -> int:
    return meta.txn


def _meta(data: bytes, slot: int, page_bytes: int) -> Meta:
    page, _, flags, _, _, magic, version, _, map_bytes, *rest = _META.unpack(data)
    if magic != MAGIC or version != DATA_VERSION:
        raise BadPage(f"meta page {slot} is not one of an LMDB 0.9 file")
    if page != slot or flags != META:
        raise BadPage(f"meta page {slot} has a wrong header")
    free, main = Db(*rest[1:8]), Db(*rest[9:16])
    page_last, txn = rest[16:]
    if rest[0] != page_bytes or map_bytes > MAP_BYTES_MAX or page_last >= MAP_BYTES_MAX // page_bytes:
        raise BadPage(f"meta page {slot} has sizes out of range")
    meta = Meta(
        page_bytes=page_bytes, map_bytes=map_bytes, free=free, main=main, page_last=page_last, txn=txn
    )
    for db in (free, main):
        empty = db.root == NO_PAGE
        if empty and (db.entries or db.depth):
            raise BadPage(f"meta page {slot} counts entries of an empty tree")
        if not empty and not (METAS <= db.root <= page_last and 0 < db.depth <= DEPTH_MAX and db.entries):
            raise BadPage(f"meta page {slot} has a tree out of range")
    if main.flags or free.flags != INTEGER_KEY:
        raise BadPage(f"meta page {slot} has unknown flags")
    return meta


def pages_of(size: int, meta: Meta) -> int:
    """How many overflow pages a value of `size` bytes takes."""
    return (HEADER_BYTES - 1 + size) // meta.page_bytes + 1


def slots_of(data: bytes, page: int, kind: int) -> Slots:
    """The node offsets of a branch or leaf page and the least offset that one may have."""
    number, _, flags, lower, upper = _HEADER.unpack_from(data)
    if number != page or flags != kind:
        raise BadPage(f"page {page} is not the page that it should be")
    if not HEADER_BYTES <= lower <= upper <= len(data) or lower % 2:
        raise BadPage(f"page {page} has bounds out of range")
    return unpack_from(f"={(lower - HEADER_BYTES) // 2}H", data, HEADER_BYTES), upper


def read_branch(data: bytes, page: int, meta: Meta, lower: int, stop: int) -> Branch:
    """The children of branch page `page`, which holds the keys `lower` ... `stop` - 1."""
    slots, upper = slots_of(data, page, BRANCH)
    if len(slots) < 2:  # liblmdb asserts two, and an assertion of liblmdb ends the process
        raise BadPage(f"branch page {page} has fewer than two children", lower)
    lowers, children = array("Q"), array("Q")
    for slot in slots:
        if not upper <= slot <= len(data) - 8:
            raise BadPage(f"branch page {page} has a node out of range", lower)
        head = _PAGE_NUMBER.unpack_from(data, slot)[0]
        child, key_bytes = head & 0xFFFF_FFFF_FFFF, head >> 48
        if lowers:
            if key_bytes != 8 or slot > len(data) - NODE_BYTES:
                raise BadPage(f"branch page {page} has a key of a wrong size", lower)
            bound = int.from_bytes(data[slot + 8 : slot + NODE_BYTES])
            if not lowers[-1] < bound < stop:
                raise BadPage(f"branch page {page} has keys out of order", lower)
        else:  # the key of the first child is never compared, and liblmdb leaves it empty
            bound = lower
        if not METAS <= child <= meta.page_last:
            raise BadPage(f"branch page {page} has a child out of range", bound)
        lowers.append(bound)
        children.append(child)
    return Branch(lowers, children)


def read_leaf(data: bytes, page: int, meta: Meta, lower: int, stop: int, fetch: Fetch) -> list[bytes]:
    """The values of leaf page `page`, which holds the keys `lower` ... `stop` - 1."""
    slots, upper = slots_of(data, page, LEAF)
    values = []
    slot_last = len(data) - NODE_BYTES
    for seq, slot in enumerate(slots, lower):
        if not upper <= slot <= slot_last:
            raise BadPage("a node lies outside its page", seq)
        size, rest = _NODE.unpack_from(data, slot)
        end = slot + NODE_BYTES + size
        if rest == INLINE + key_of(seq) and end <= len(data):
            values.append(data[slot + NODE_BYTES : end])
        else:
            values.append(fetch(_spill(data, slot, seq, meta), seq))
    if len(slots) != stop - lower:
        raise BadPage(f"leaf page {page} holds {len(slots)} frames, not {stop - lower}", lower + len(slots))
    return values


def read_value(data: bytes, slots: Slots, meta: Meta, lower: int, seq: int) -> bytes | Spill:
    """The value of `seq` alone, from a leaf page with `slots` whose first key is `lower`."""
    offsets, upper = slots
    if seq - lower >= len(offsets):
        raise BadPage("a leaf page does not hold this frame", seq)
    slot = offsets[seq - lower]
    if not upper <= slot <= len(data) - NODE_BYTES:
        raise BadPage("a node lies outside its page", seq)
    size, rest = _NODE.unpack_from(data, slot)
    end = slot + NODE_BYTES + size
    if rest == INLINE + key_of(seq) and end <= len(data):
        return data[slot + NODE_BYTES : end]
    return _spill(data, slot, seq, meta)


def _spill(data: bytes, slot: int, seq: int, meta: Meta) -> Spill:
    size, rest = _NODE.unpack_from(data, slot)
    if rest != SPILLED + key_of(seq):
        raise BadPage("another key stands where this frame should be", seq)
    start = slot + NODE_BYTES
    if start + 8 > len(data) or not HASH_BYTES < size <= FRAME_BYTES_MAX + HASH_BYTES:
        raise BadPage("a value ends outside its page", seq)
    spill = Spill(_PAGE_NUMBER.unpack_from(data, start)[0], size)
    if not METAS <= spill.page <= meta.page_last + 1 - pages_of(size, meta):
        raise BadPage("a value lies outside the file", seq)
    return spill


def read_spill(fd: int, spill: Spill, meta: Meta) -> bytes:
    """The bytes of a value that lies on overflow pages."""
    data = read_at(fd, spill.page * meta.page_bytes, HEADER_BYTES + spill.size)
    page, _, flags = unpack_from("=QHH", data)
    if page != spill.page or flags != OVERFLOW:
        raise BadPage(f"page {spill.page} is not the page that it should be")
    if unpack_from("=I", data, 12)[0] != pages_of(spill.size, meta):
        raise BadPage(f"overflow page {spill.page} counts other pages")
    return data[HEADER_BYTES:]
