"""One page of an LMDB file: bytes in, records out, no file and no state.

Rule 1. Nothing is followed before it is checked: page number, kind, bounds, node offsets, key. What
        does not fit is `BadPage`, never a repair and never a guess.
Rule 2. A page holds exactly the keys that its parent says: `lower` ... `stop` - 1.
Rule 3. The format is that of LMDB 0.9 (data version 1) in the byte order of this machine. What liblmdb
        writes for other uses (named trees, duplicate keys, long lists of free pages) is refused.
"""

from array import array
from collections.abc import Callable
from itertools import pairwise
from struct import Struct, pack, unpack_from
from typing import NamedTuple

from splittally.core.limits import MAP_BYTES_MAX

METAS = 2  # meta pages stand first
META_BYTES = 152
PAGE_SIZES = (4096, 8192, 16384, 32768)
NO_PAGE = 2**64 - 1  # the root of an empty tree
BRANCH, LEAF, OVERFLOW, META = 0x01, 0x02, 0x04, 0x08
HEADER_BYTES = 16
NODE_BYTES = 16  # node header and the 8-byte key
MAGIC, DATA_VERSION = 0xBEEFC0DE, 1
INTEGER_KEY = 0x08  # the only flag of the tree of free pages
DEPTH_MAX = 32  # liblmdb's own bound
TXN_MAX = 1 << 62  # no file gets there; a damaged number may
VALUE_BYTES_MAX = 1 << 25  # what a damaged size can make us read

_META = Struct("=QHHHHIIQQIHHQQQQQIHHQQQQQQQ")
_HEADER = Struct("=QHHHH")
_NODE = Struct("=I12s")  # size, then flags, size of key, key
_NUMBER, _OFFSET = Struct("=Q"), Struct("=H")
_INLINE, _LARGE = pack("=HH", 0, 8), pack("=HH", 1, 8)  # flags and size of key of a node in a leaf
key_bytes = Struct(">Q").pack
KeyIn = Callable[[bytes], int | None]  # the key that a value says it has; None when it says nothing


class BadPage(Exception):
    """What stands in the file cannot be followed."""


class Tree(NamedTuple):
    """One tree of the file, as a meta page describes it."""

    flags: int
    depth: int
    branch_pages: int
    leaf_pages: int
    overflow_pages: int
    rows: int
    root: int


class Meta(NamedTuple):
    """A committed state of the file: the content of the sound meta page `slot` (0 or 1)."""

    slot: int
    page_bytes: int
    free: Tree
    main: Tree
    page_last: int
    txn: int
    in_doubt: bool = False  # whether the other meta page may have told of a newer state


class Branch(NamedTuple):
    """Child `i` holds the keys from `bounds[i]` to before `bounds[i + 1]`."""

    bounds: "array[int]"
    children: "array[int]"


class Large(NamedTuple):
    """A value of `size` bytes on the overflow pages `pages`."""

    pages: range
    size: int


def read_meta(data: bytes, slot: int, page_bytes: int) -> tuple[int, Meta | None]:
    """The transaction that the first bytes of page `slot` claim, and the state that it committed.

    The number is -1 if that is no meta page, the state None if something in it cannot be.
    """
    if len(data) != META_BYTES:
        return -1, None
    number, _, kind, _, _, magic, version, _, map_bytes, *rest = _META.unpack(data)
    free, main, (page_last, txn) = Tree(*rest[1:8]), Tree(*rest[9:16]), rest[16:]
    is_meta = (number, kind, magic, version, rest[0]) == (slot, META, MAGIC, DATA_VERSION, page_bytes)
    if not is_meta or (txn and (txn % METAS != slot or txn > TXN_MAX)):  # both are 0 in a new file
        return -1, None
    is_sound = (
        rest[8] == 0
        and max(map_bytes, page_last * page_bytes) <= MAP_BYTES_MAX
        and (free.flags, main.flags) == (INTEGER_KEY, 0)
        and _is_tree(free, page_last)
        and _is_tree(main, page_last)
    )
    return txn, Meta(slot, page_bytes, free, main, page_last, txn) if is_sound else None


def _is_tree(tree: Tree, page_last: int) -> bool:
    if tree.root == NO_PAGE:
        return tree.rows == tree.depth == 0
    return METAS <= tree.root <= page_last and 0 < tree.depth <= DEPTH_MAX and tree.rows > 0


def count_of(data: bytes, page: int, kind: int) -> int:
    """How many nodes a branch or leaf page has."""
    if len(data) < HEADER_BYTES:
        raise BadPage(f"the file ends before page {page}")
    number, _, flags, lower, upper = _HEADER.unpack_from(data)
    if number != page or flags != kind:
        raise BadPage(f"page {page} is not the page that it should be")
    if not HEADER_BYTES <= lower <= upper <= len(data) or lower % 2:
        raise BadPage(f"page {page} has bounds out of range")
    return int(lower - HEADER_BYTES) // 2


def nodes_of(data: bytes, page: int, kind: int) -> tuple[int, ...]:
    """Where the nodes of a branch or leaf page begin, each in the part of the page that is theirs."""
    nodes = unpack_from(f"={count_of(data, page, kind)}H", data, HEADER_BYTES)
    upper, node_last = _OFFSET.unpack_from(data, 14)[0], len(data) - (8 if kind == BRANCH else NODE_BYTES)
    if nodes and (min(nodes) < upper or max(nodes) > node_last):
        raise BadPage(f"page {page} has a node out of range")
    return nodes


def key_on(data: bytes, page: int, key_in: KeyIn) -> int | None:
    """A key that page `page` says it leads to: the first of a leaf, the last of a branch page."""
    if len(data) < HEADER_BYTES:
        return None
    number, _, kind, _, _ = _HEADER.unpack_from(data)
    if kind == OVERFLOW and number == page:
        return key_in(data[HEADER_BYTES:])
    is_branch = kind == BRANCH
    try:
        count = count_of(data, page, BRANCH if is_branch else LEAF)
    except BadPage:
        return None
    if count <= is_branch:  # the key of the first child is never compared, and liblmdb leaves it empty
        return None
    at = count - 1 if is_branch else 0
    return _key_at(data, _OFFSET.unpack_from(data, HEADER_BYTES + 2 * at)[0])


def _key_at(data: bytes, node: int) -> int:
    return int.from_bytes(data[node + 8 : node + NODE_BYTES])


def read_branch(data: bytes, page: int, page_last: int, lower: int, stop: int) -> Branch:
    """The children of branch page `page`; liblmdb asserts that there are two, and would end the process."""
    nodes = nodes_of(data, page, BRANCH)
    heads = [_NUMBER.unpack_from(data, node)[0] for node in nodes]  # number of the child, size of the key
    children = array("Q", [head & 0xFFFF_FFFF_FFFF for head in heads])
    bounds = array("Q", [lower, *[_key_at(data, node) for node in nodes[1:]], stop])
    is_sound = (
        len(nodes) >= 2
        and {head >> 48 for head in heads[1:]} == {8}
        and all(left < right for left, right in pairwise(bounds))
        and METAS <= min(children) <= max(children) <= page_last
    )
    if not is_sound:
        raise BadPage(f"branch page {page} does not lead to the rows {lower} to {stop - 1}")
    return Branch(bounds, children)


def inline_rows(data: bytes, at: int, stop: int, key: int) -> list[bytes]:
    """The values of the nodes `at` ... `stop` - 1 of a leaf, up to the first that does not lie in it.

    The first has the key `key`, and the others those after it.
    """
    values, page_bytes, node_last = [], len(data), len(data) - NODE_BYTES
    for seq, node in enumerate(array("H", data[HEADER_BYTES + 2 * at : HEADER_BYTES + 2 * stop]), key):
        if node > node_last:
            break
        size, rest = _NODE.unpack_from(data, node)
        end = node + NODE_BYTES + size
        if rest != _INLINE + key_bytes(seq) or end > page_bytes:
            break
        values.append(data[node + NODE_BYTES : end])
    return values


def read_row(data: bytes, at: int, key: int, page_last: int) -> bytes | Large:
    """The value of row `key`, which is node `at` of the leaf page `data`."""
    start = _OFFSET.unpack_from(data, HEADER_BYTES + 2 * at)[0] + NODE_BYTES
    if start <= len(data):
        size, rest = _NODE.unpack_from(data, start - NODE_BYTES)
        if rest == _INLINE + key_bytes(key) and start + size <= len(data):
            return data[start : start + size]
        if rest == _LARGE + key_bytes(key) and start + 8 <= len(data) and size <= VALUE_BYTES_MAX:
            page, count = _NUMBER.unpack_from(data, start)[0], (HEADER_BYTES - 1 + size) // len(data) + 1
            if METAS <= page <= page_last + 1 - count:
                return Large(range(page, page + count), size)
    raise BadPage(f"another node stands where row {key} should be, or its value lies outside the file")


def read_large(data: bytes, large: Large) -> bytes:
    """The value on overflow pages, whose bytes up to the end of the value are `data`."""
    if len(data) != HEADER_BYTES + large.size:
        raise BadPage(f"the file ends within the value on page {large.pages[0]}")
    number, _, kind, count = unpack_from("=QHHI", data)
    if (number, kind, count) != (large.pages[0], OVERFLOW, len(large.pages)):
        raise BadPage(f"page {large.pages[0]} does not begin a value of {len(large.pages)} pages")
    return data[HEADER_BYTES:]


def read_free(data: bytes, meta: Meta) -> list[int]:
    """The free pages, from the one leaf page of their tree: each row names those that a transaction freed."""
    nodes = nodes_of(data, meta.free.root, LEAF)
    listed: list[int] = []
    for node in nodes:
        size, flags, key_size, txn = unpack_from("=IHHQ", data, node)
        is_row = (flags, key_size, size % 8) == (0, 8, 0) and size > 0 and 0 < txn <= meta.txn
        if not is_row or node + NODE_BYTES + size > len(data):
            raise BadPage("the list of free pages has a malformed row")
        count, *row = unpack_from(f"={size // 8}Q", data, node + NODE_BYTES)
        if count != len(row) or any(left <= right for left, right in pairwise(row)):
            raise BadPage("the list of free pages has a row that is not in order")
        listed += row
    in_range = all(METAS <= page <= meta.page_last for page in listed)
    if not in_range or len(nodes) != meta.free.rows or len({*listed, meta.free.root}) != len(listed) + 1:
        raise BadPage("the list of free pages names a page that cannot be free, or one twice")
    return listed
