"""What liblmdb follows when it writes, checked before it is let at the file (spec/07-journal.md).

Rule 1. liblmdb follows the meta pages, the right edge of the tree and the list of free pages, and
        nothing else. `Tree.load` has checked the first two; this module checks the third.
Rule 2. A page that is listed as free is overwritten sooner or later, so none may be in use: not by the
        list itself, not as a branch, not as a leaf, not as part of a value.
Rule 3. Every page is a meta page, in use, or free: the counts of the newest meta page must add up.
Rule 4. The file may end before a page only if that page and all after it are free.
"""

import os
from itertools import pairwise
from struct import unpack_from

from splittally.core.errors import JournalDamaged
from splittally.core.limits import FRAME_BYTES_MAX, HASH_BYTES
from splittally.journal.frame import seq_of
from splittally.journal.pages import (
    BIG_DATA,
    BRANCH,
    HEADER_BYTES,
    LEAF,
    METAS,
    OVERFLOW,
    BadPage,
    Meta,
    Spill,
    pages_of,
    read_at,
    read_spill,
    read_upto,
    slots_of,
)
from splittally.journal.tree import Tree

NUMBER_BYTES = 8  # a page number, a transaction number or a count in the list
FRAME_SEEN_BYTES = HASH_BYTES + 64  # enough of a value to see which frame it holds


def check_free_pages(fd: int, tree: Tree) -> None:
    """Nothing, when liblmdb may write to the file; `BadPage` names what it would stumble over."""
    own, listed = _read_list(fd, tree.meta)
    free = set(listed)
    if len(free) != len(listed) or not own.isdisjoint(free):
        raise BadPage("the list of free pages names a page twice")
    for page in listed:
        if not METAS <= page <= tree.meta.page_last:
            raise BadPage(f"the list of free pages names page {page}, which is not in the file")
        if _is_in_use(fd, tree, page):
            raise BadPage(f"the list of free pages names page {page}, which is in use")
    used = tree.meta.main
    counted = METAS + used.branch_pages + used.leaf_pages + used.overflow_pages + len(own) + len(free)
    if counted != tree.meta.page_last + 1:
        raise BadPage(f"{counted} of {tree.meta.page_last + 1} pages are accounted for")


def check_length(fd: int, tree: Tree) -> None:
    """Nothing, when the file holds every page in use; `BadPage` when it was cut short."""
    whole = os.fstat(fd).st_size // tree.meta.page_bytes
    if whole <= tree.meta.page_last:
        free = set(_read_list(fd, tree.meta)[1])
        for page in range(max(whole, METAS), tree.meta.page_last + 1):
            if page not in free:
                raise BadPage(f"the file ends before page {page}, which is in use")


def _read_list(fd: int, meta: Meta) -> tuple[set[int], list[int]]:
    """The pages that the list of free pages takes itself, and those it names."""
    own: set[int] = set()
    listed: list[int] = []
    left = [(meta.free.root, 1)] if meta.free.entries else []
    while left:
        page, depth = left.pop()
        if page in own or not METAS <= page <= meta.page_last:
            raise BadPage("the list of free pages leads astray")
        own.add(page)
        data = read_at(fd, page * meta.page_bytes, meta.page_bytes)
        if depth < meta.free.depth:
            slots, upper = slots_of(data, page, BRANCH)
            left += [(_child(data, slot, upper), depth + 1) for slot in slots]
            continue
        slots, upper = slots_of(data, page, LEAF)
        for slot in slots:
            spill, numbers = _record(fd, data, slot, upper, meta)
            own.update(spill)
            listed += numbers
    return own, listed


def _child(data: bytes, slot: int, upper: int) -> int:
    if not upper <= slot <= len(data) - NUMBER_BYTES:
        raise BadPage("the list of free pages has a node out of range")
    return int(unpack_from("=Q", data, slot)[0]) & 0xFFFF_FFFF_FFFF


def _record(fd: int, data: bytes, slot: int, upper: int, meta: Meta) -> tuple[range, tuple[int, ...]]:
    """The overflow pages that one record of the list takes, and the pages that it names."""
    start = slot + 8 + NUMBER_BYTES
    if not upper <= slot <= len(data) - 8 - NUMBER_BYTES:
        raise BadPage("the list of free pages has a node out of range")
    size, flags, key_bytes, txn = unpack_from("=IHHQ", data, slot)
    if key_bytes != NUMBER_BYTES or not 0 < txn <= meta.txn or size % NUMBER_BYTES or not size:
        raise BadPage("the list of free pages has a malformed record")
    own = range(0)
    if flags == BIG_DATA and start + NUMBER_BYTES <= len(data) and size <= meta.page_last * NUMBER_BYTES:
        first = unpack_from("=Q", data, start)[0]
        own = range(first, first + pages_of(size, meta))
        if first < METAS or own[-1] > meta.page_last:
            raise BadPage("the list of free pages leads astray")
        value = read_spill(fd, Spill(first, size), meta)
    elif not flags and start + size <= len(data):
        value = data[start : start + size]
    else:
        raise BadPage("the list of free pages has a malformed record")
    count, *numbers = unpack_from(f"={size // NUMBER_BYTES}Q", value)
    if count != len(numbers) or any(left <= right for left, right in pairwise(numbers)):
        raise BadPage("the list of free pages has a malformed record")
    return own, tuple(numbers)


def _is_in_use(fd: int, tree: Tree, page: int) -> bool:
    """Whether the tree of frames leads to `page`; judged by what the page says that it holds."""
    if page in tree.branches or page in tree.parents:
        return True
    size, first = tree.meta.page_bytes, page
    while first >= max(METAS, page - FRAME_BYTES_MAX // size - 1):
        head = read_upto(fd, first * size, HEADER_BYTES + FRAME_SEEN_BYTES)
        if len(head) < HEADER_BYTES:  # beyond the end of the file, where nothing is in use
            return False
        number, _, kind = unpack_from("=QHH", head)
        if number == first and kind in (BRANCH, LEAF, OVERFLOW):
            return _leads_to(tree, fd, first, kind, head, page)
        first -= 1  # inside a value that begins on an earlier page
    return False


def _leads_to(tree: Tree, fd: int, first: int, kind: int, head: bytes, page: int) -> bool:
    """Whether `page`, which page `first` of kind `kind` says it covers, is where the tree finds it."""
    if kind == OVERFLOW:
        try:
            seq = seq_of(head[HEADER_BYTES + HASH_BYTES :])
        except JournalDamaged:
            return False
        spill = tree.place(seq)[1] if seq < tree.size else None
        return spill is not None and spill.page == first and page - first < pages_of(spill.size, tree.meta)
    if kind == BRANCH or first != page:
        return False
    data = read_at(fd, page * tree.meta.page_bytes, tree.meta.page_bytes)
    if data[:HEADER_BYTES] != head[:HEADER_BYTES]:  # a writer has just taken it, so it was free
        return False
    slots, _ = slots_of(data, page, LEAF)
    seq = int.from_bytes(data[slots[0] + 8 : slots[0] + 16]) if slots else tree.size
    return seq < tree.size and tree.place(seq)[0] == page
