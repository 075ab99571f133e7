"""How far the frames of a damaged file are intact (spec/07-journal.md, "Damage").

Rule 1. Nothing here decides anything and nothing is repaired: it names the first bad frame, and it
        hands out the intact ones so that a person can start again from them.
Rule 2. Where the tree can be walked, the walk says which frame fails first. Where its root is lost,
        every page of the file is looked at: leaves say themselves which frames they hold.
Rule 3. A frame is intact when its hash is the one kept with it and its `prev` is the hash before.
"""

import os
from array import array
from collections.abc import Iterator

from splittally.core.errors import JournalDamaged
from splittally.core.hashing import hash_frame
from splittally.core.limits import HASH_BYTES
from splittally.journal.frame import ZERO_HASH, prev_of
from splittally.journal.pages import (
    LEAF,
    METAS,
    NODE_BYTES,
    PAGE_BYTES_MAX,
    PAGE_BYTES_MIN,
    BadPage,
    Db,
    Meta,
    Spill,
    newest,
    read_at,
    read_metas,
    read_spill,
    read_value,
    slots_of,
)
from splittally.journal.tree import Tree

ENDLESS = 2**63  # the walk ends where it finds no more frames, whatever number the file claims


def first_bad(fd: int) -> int:
    """The first frame of a damaged file that cannot be read intact: all before it can."""
    try:
        meta = newest(read_metas(fd))
        tree = Tree(fd, meta._replace(main=meta.main._replace(entries=ENDLESS)))
    except BadPage:
        return sum(1 for _ in intact(fd))
    size, last = 0, ZERO_HASH
    try:
        while True:
            value = tree.read(size)
            if not _is_next(value, size, last):
                break
            size, last = size + 1, value[:HASH_BYTES]
    except BadPage:
        pass
    return size


def intact(fd: int) -> Iterator[bytes]:
    """The bytes of the frames that can still be found, chained from frame 0 on, whatever the tree says."""
    meta = _any_meta(fd)
    lowers, pages = _leaves(fd, meta)
    seq, last = 0, ZERO_HASH
    for at in sorted(range(len(pages)), key=lowers.__getitem__):
        if lowers[at] > seq:
            return
        for value in _values(fd, meta, pages[at], lowers[at], seq):
            if not _is_next(value, seq, last):
                break
            yield value[HASH_BYTES:]
            seq, last = seq + 1, value[:HASH_BYTES]


def is_frame(value: bytes, seq: int) -> bool:
    """Whether a stored value is frame `seq` with the hash that was sealed with it."""
    return hash_frame(value[HASH_BYTES:]) == value[:HASH_BYTES] and _prev(value, seq) is not None


def _prev(value: bytes, seq: int) -> bytes | None:
    try:
        return prev_of(seq, value[HASH_BYTES:])
    except JournalDamaged:
        return None


def _is_next(value: bytes, seq: int, last: bytes) -> bool:
    return is_frame(value, seq) and _prev(value, seq) == last


def _any_meta(fd: int) -> Meta:
    """A stand-in for lost meta pages: the sizes that reading a leaf needs."""
    try:
        page_bytes = max(read_metas(fd), key=lambda meta: meta.txn).page_bytes
    except BadPage:
        page_bytes = min(max(os.sysconf("SC_PAGE_SIZE"), PAGE_BYTES_MIN), PAGE_BYTES_MAX)
    nothing = Db(flags=0, depth=0, branch_pages=0, leaf_pages=0, overflow_pages=0, entries=0, root=0)
    return Meta(
        page_bytes=page_bytes,
        map_bytes=0,
        free=nothing,
        main=nothing,
        page_last=max(os.fstat(fd).st_size // page_bytes, METAS),
        txn=0,
    )


def _leaves(fd: int, meta: Meta) -> tuple["array[int]", "array[int]"]:
    """First key and page number of everything in the file that looks like a leaf."""
    lowers, pages = array("Q"), array("Q")
    for page in range(METAS, os.fstat(fd).st_size // meta.page_bytes):
        try:
            data = read_at(fd, page * meta.page_bytes, meta.page_bytes)
            slots, upper = slots_of(data, page, LEAF)
        except BadPage:
            continue
        if slots and upper <= slots[0] <= len(data) - NODE_BYTES:
            lowers.append(int.from_bytes(data[slots[0] + 8 : slots[0] + NODE_BYTES]))
            pages.append(page)
    return lowers, pages


def _values(fd: int, meta: Meta, page: int, lower: int, seq: int) -> Iterator[bytes]:
    """The values of a leaf from `seq` on, as far as they can be read."""
    try:
        data = read_at(fd, page * meta.page_bytes, meta.page_bytes)
        slots = slots_of(data, page, LEAF)
        for wanted in range(seq, lower + len(slots[0])):
            value = read_value(data, slots, meta, lower, wanted)
            yield read_spill(fd, value, meta) if isinstance(value, Spill) else value
    except BadPage:
        return
