"""The reader: what an LMDB file held when it was loaded, read with `pread` alone and no lock.

    file = LmdbFile.load(fd)
    file.size, file.get(7), list(file.range(3, 9))

Rule 1. A `LmdbFile` is one committed state. It stays readable while a writer goes on: pages left of the
        right edge are final, and the right edge is held in memory from the moment of loading.
Rule 2. Loading compares the meta pages before and after. A writer that committed in between makes us
        load again; a file that has not changed and does not fit is damaged: `BadPage`.
Rule 3. One sound meta page is enough. The newer of the two counts; the other may say anything if it
        claims to be the one before, which is what a failed write of a meta page leaves. If it does not,
        the state is `in_doubt`: the lost page may have been the newer one.
Rule 4. What the system refuses (EIO, ENOMEM, ...) is a `WorldError` and never damage.
"""

import os
from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterator
from itertools import chain

from splittally.core.errors import WorldError
from splittally.journal import disk
from splittally.journal.lmdb import pages
from splittally.journal.lmdb.pages import LEAF, METAS, BadPage, Branch, KeyIn, Large, Meta

LOAD_TRIES_MAX = 100  # a writer commits about every millisecond, a load takes a tenth of one
BRANCHES_KEPT_MAX = 4_096  # about 15 MB; each leads to one or two thousand frames
Place = tuple[int, int, int]  # a page, and the keys `lower` ... `stop` - 1 that it holds, as its parent says
Leaf = tuple[int, int, bytes]  # a leaf page that holds the keys from the first number to before the second


class LmdbFile:
    """The rows 0 ... `size` - 1 of one committed state; every method may raise `BadPage`."""

    def __init__(self, fd: int, meta: Meta) -> None:
        self.meta = meta
        self.size = meta.main.rows
        self._fd, self._page_bytes, self._page_last = fd, meta.page_bytes, meta.page_last
        self._levels_below_root = meta.main.depth - 2
        self._edge: dict[int, bytes] = {}  # the pages of the right edge
        self._branches: dict[Place, Branch] = {}  # branch pages that were read
        self._recent: Leaf = (0, 0, b"")  # the leaf that was read last
        if meta.main.depth > 1:
            self._root = self._branch((meta.main.root, 0, self.size))
        else:  # as if there were a branch page above the only leaf
            self._root = Branch(array("Q", [0, self.size]), array("Q", [meta.main.root]))

    @classmethod
    def load(cls, fd: int, key_in: KeyIn | None = None) -> "LmdbFile":
        """The state that was committed last, checked as far as opening rests on it.

        With `key_in` it is also checked that the next commit writes over no row (`_check_pages`).
        """
        for _ in range(LOAD_TRIES_MAX):
            meta = newest(fd)
            try:
                file = cls(fd, meta)
                file._load_edge()
                file._check_length()
                if key_in is not None:
                    file._check_pages(key_in)
            except BadPage:
                if newest(fd) == meta:
                    raise
                continue
            if newest(fd) == meta:
                return file
        raise WorldError("the journal is written faster than it can be read; try again")

    def get(self, key: int) -> bytes:
        """The value of one row, 0 <= `key` < `size`."""
        row = self._row(key)
        return row if isinstance(row, bytes) else fetch(self._fd, row, self._page_bytes)

    def range(self, start: int, stop: int) -> Iterator[bytes]:
        """The values of `start` ... `stop` - 1 in order, as far as they can be read."""
        return chain.from_iterable(self._runs(start, stop))

    def free_pages(self) -> list[int]:
        """The pages that the next commits may take."""
        root = self.meta.free.root
        return pages.read_free(self._page(root), self.meta) if root != pages.NO_PAGE else []

    def pages_to(self, key: int) -> set[int]:
        """Every page that reading row `key` leads through."""
        row, (place, _, _) = self._row(key), self._find(key)
        # Of the branch pages that were read, those on the way are the ones that hold the key.
        found = {page for page, lower, stop in [place, *self._branches] if lower <= key < stop}
        return found.union(row.pages) if isinstance(row, Large) else found

    def close(self) -> None:
        """Nothing is read any more: the descriptor may soon be another file's."""
        self.size, self._fd = 0, -1

    def _load_edge(self) -> None:
        if self.size:
            leaf, _, _ = self._find(self.size - 1)
            self._edge = {page: self._page(page) for page, _, _ in [*self._branches, leaf]}
            pages.nodes_of(self._edge[leaf[0]], leaf[0], LEAF)
            deque(self.range(leaf[1], self.size), maxlen=0)

    def _check_length(self) -> None:
        """The file may end before a page only if that page is free; liblmdb then never wrote it."""
        whole = disk.size_of(self._fd) // self._page_bytes
        missing = self._page_last + 1 - whole
        if missing > 0 and missing != sum(page >= whole for page in self.free_pages()):
            raise BadPage(f"the file ends before page {whole}, and pages from there on are in use")

    def _check_pages(self, key_in: KeyIn) -> None:
        """liblmdb takes the pages listed as free: none may be in use, and all must be accounted for."""
        main, free = self.meta.main, self.free_pages()
        for page in free:
            if self._is_in_use(page, key_in):
                raise BadPage(f"the list of free pages names page {page}, which is in use")
        used = main.branch_pages + main.leaf_pages + main.overflow_pages + self.meta.free.depth
        if METAS + used + len(free) != self._page_last + 1:
            raise BadPage(f"{METAS + used + len(free)} of {self._page_last + 1} pages are accounted for")

    def _is_in_use(self, page: int, key_in: KeyIn) -> bool:
        """Whether a row leads to `page`; judged by the key that the page itself says it leads to.

        Of a large value only the first page says one, so those before `page` are asked as well.
        """
        size = self._page_bytes
        for first in range(page, max(METAS, page - pages.VALUE_BYTES_MAX // size) - 1, -1):
            key = pages.key_on(read(self._fd, first * size, size), first, key_in)
            if key is not None:
                return key < self.size and page in self.pages_to(key)
        return False

    def _runs(self, start: int, stop: int) -> Iterator[list[bytes]]:
        while start < stop:
            _, (bounds, children), first = self._find(start)
            for at in range(first, min(bisect_left(bounds, stop), len(children))):
                lower, end, data = self._leaf((children[at], bounds[at], bounds[at + 1]))
                rows = pages.inline_rows(data, start - lower, min(stop, end) - lower, start)
                yield rows
                start += len(rows)
                while start < stop and start < bounds[at + 1]:  # a large value, or a row that cannot be read
                    yield [self.get(start)]
                    start += 1

    def _row(self, key: int) -> bytes | Large:
        lower, end, data = self._recent
        if not lower <= key < end:
            lower, end, data = self._leaf(self._find(key)[0])
            if key >= end:
                raise BadPage(f"a leaf page does not hold row {key}")
        return pages.read_row(data, key - lower, key, self._page_last)

    def _find(self, key: int) -> tuple[Place, Branch, int]:
        """The leaf that holds `key`, the branch page above it, and which of its children the leaf is."""
        if not 0 <= key < self.size:
            raise BadPage(f"the file holds no row {key}")
        branch, below = self._root, self._levels_below_root
        while True:
            bounds, children = branch
            at = bisect_right(bounds, key) - 1
            place = children[at], bounds[at], bounds[at + 1]
            if below <= 0:
                return place, branch, at
            branch = self._branches.get(place) or self._branch(place)
            below -= 1

    def _branch(self, place: Place) -> Branch:
        page, lower, stop = place
        branch = pages.read_branch(self._page(page), page, self._page_last, lower, stop)
        if len(self._branches) >= BRANCHES_KEPT_MAX:
            self._branches.clear()
        self._branches[place] = branch
        return branch

    def _leaf(self, place: Place) -> Leaf:
        page, lower, stop = place
        data = self._edge.get(page) or read(self._fd, page * self._page_bytes, self._page_bytes)
        end = lower + pages.count_of(data, page, LEAF)
        if end > stop:
            raise BadPage(f"leaf page {page} holds {end - lower} rows, not {stop - lower}")
        leaf = self._recent = lower, end, data
        return leaf

    def _page(self, page: int) -> bytes:
        return self._edge.get(page) or read(self._fd, page * self._page_bytes, self._page_bytes)


def newest(fd: int) -> Meta:
    """The newest state that a sound meta page tells of; `BadPage` when neither is sound."""
    for size in pages.PAGE_SIZES:
        claims = [pages.read_meta(read(fd, at * size, pages.META_BYTES), at, size) for at in range(METAS)]
        if sound := [meta for _, meta in claims if meta is not None]:
            meta = max(sound, key=lambda meta: meta.txn)
            return meta._replace(in_doubt=claims[1 - meta.slot][0] != max(meta.txn - 1, 0))
    raise BadPage("neither meta page is sound")


def fetch(fd: int, large: Large, page_bytes: int) -> bytes:
    """A value that is not in its leaf."""
    data = read(fd, large.pages[0] * page_bytes, pages.HEADER_BYTES + large.size)
    return pages.read_large(data, large)


def read(fd: int, offset: int, size: int) -> bytes:
    """`size` bytes, or fewer where the file ends."""
    if fd < 0:
        raise BadPage("the file was closed")
    try:
        return os.pread(fd, size, offset)
    except OSError as error:
        raise disk.refusal("the journal cannot be read", error) from error
