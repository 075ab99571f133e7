"""The reader: what an LMDB file held when it was loaded, read with `pread` alone and no lock.

    file = LmdbFile.load(fd)
    file.size, file.get(7), list(file.range(3, 9)), file.check_pages(key_in)

Rule 1. A `LmdbFile` is one committed state. It stays readable while a writer goes on: pages left of the
        right edge are final, and the right edge is held in memory from the moment of loading.
Rule 2. Loading compares the meta pages before and after. A writer that committed in between makes us
        load again; a file that has not changed and does not fit is damaged: `BadPage`.
Rule 3. One sound meta page is enough. The newer of the two counts; the other may say anything if it
        claims to be the one before, which is what a failed write of a meta page leaves. If it does not,
        the state is `in_doubt`: the lost page may have been the newer one, and `loose_rows` are its rows.
Rule 4. What the system refuses (EIO, ENOMEM, ...) is a `WorldError` and never damage.
"""

import os
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator

from splittally.core.errors import WorldError
from splittally.journal import disk
from splittally.journal.lmdb import pages
from splittally.journal.lmdb.pages import LEAF, METAS, BadPage, Branch, Claim, Large, Meta

LOAD_TRIES_MAX = 100  # a writer commits about every millisecond, a load takes a tenth of one
BRANCHES_KEPT_MAX = 4_096  # about 15 MB; each leads to one or two thousand frames
Place = tuple[int, int, int]  # a page, and the keys `lower` ... `stop` - 1 that it holds, as its parent says
Leaf = tuple[int, int, bytes, tuple[int, ...]]  # lower, stop, the bytes of the page, where its nodes begin
KeyIn = Callable[[bytes], int | None]  # the key that a value says it has; None when it says nothing


class LmdbFile:
    """The rows 0 ... `size` - 1 of one committed state; every method may raise `BadPage`."""

    def __init__(self, fd: int, meta: Meta, in_doubt: bool) -> None:
        self.meta = meta
        self.in_doubt = in_doubt
        self.size = meta.main.rows
        self._fd = fd
        self._edge: dict[Place, Branch] = {}  # the branch pages of the right edge
        self._kept: dict[Place, Branch] = {}  # those, and others that were read
        self._last_page, self._last_data = pages.NO_PAGE, b""
        self._recent: Leaf = (0, 0, b"", ())

    @classmethod
    def load(cls, fd: int, key_in: KeyIn | None = None) -> "LmdbFile":
        """The state that was committed last, checked as far as opening rests on it.

        With `key_in` it is also checked that the next commit may be written (`check_pages`).
        """
        for _ in range(LOAD_TRIES_MAX):
            before = read_claims(fd)
            try:
                file = cls(fd, *current(before))
                file._load_edge()
                file._check_length()
                if key_in is not None:
                    file.check_pages(key_in)
            except BadPage:
                if read_claims(fd) == before:
                    raise
                continue
            if read_claims(fd) == before:
                return file
        raise WorldError("the journal is written faster than it can be read; try again")

    def get(self, key: int) -> bytes:
        """The value of one row, 0 <= `key` < `size`."""
        row = self._row(key)
        return self._fetch(row) if isinstance(row, Large) else row

    def range(self, start: int, stop: int) -> Iterator[bytes]:
        """The values of `start` ... `stop` - 1 in order, as far as they can be read."""
        while start < stop:
            lower, end, data, nodes = self._leaf(start)
            rows = pages.inline_rows(data, nodes[start - lower : stop - lower], start)
            yield from rows
            start += len(rows)
            if start < min(stop, end):  # a large value, or a row that cannot be read
                yield self.get(start)
                start += 1

    def check_pages(self, key_in: KeyIn) -> None:
        """Nothing when the next commit may be written; `BadPage` when it would write over a row.

        liblmdb takes the pages that are listed as free: none may be in use, and all must be accounted for.
        """
        main, free = self.meta.main, self._free_pages()
        for page in free:
            if self._is_in_use(page, key_in):
                raise BadPage(f"the list of free pages names page {page}, which is in use")
        used = main.branch_pages + main.leaf_pages + main.overflow_pages + self.meta.free.depth
        if METAS + used + len(free) != self.meta.page_last + 1:
            raise BadPage(f"{METAS + used + len(free)} of {self.meta.page_last + 1} pages are accounted for")

    def loose_rows(self) -> Iterator[tuple[int, bytes | None]]:
        """Keys from `size` on, and their values, in pages that this state does not use; see `rows_on`."""
        beyond = range(self.meta.page_last + 1, disk.size_of(self._fd) // self.meta.page_bytes)
        rows = rows_on(self._fd, self.meta.page_bytes, [*self._free_pages(), *beyond])
        return (row for row in rows if row[0] >= self.size)

    def close(self) -> None:
        """Nothing is read any more: the descriptor may soon be another file's."""
        self.size, self._fd = 0, -1

    def pages_to(self, key: int) -> set[int]:
        """Every page that reading row `key` leads through."""
        row = self._row(key)
        found = {page for page, _, _ in self._path(key)}
        if isinstance(row, Large):
            found.update(range(row.page, row.page + pages.pages_of(row.size, self.meta.page_bytes)))
        return found

    def _load_edge(self) -> None:
        if self.size:
            page, lower, _ = self._path(self.size - 1)[-1]
            self._edge = dict(self._kept)
            self._last_data = self._page(page)
            self._last_page = page
            for _ in self.range(lower, self.size):
                pass

    def _check_length(self) -> None:
        """The file may end before a page only if that page is free; liblmdb then never wrote it."""
        whole = disk.size_of(self._fd) // self.meta.page_bytes
        if whole <= self.meta.page_last:
            free = set(self._free_pages())
            for page in range(whole, self.meta.page_last + 1):
                if page not in free:
                    raise BadPage(f"the file ends before page {page}, which is in use")

    def _path(self, key: int) -> list[Place]:
        """The pages from the root to the leaf that holds `key`."""
        if not 0 <= key < self.size:
            raise BadPage(f"the file holds no row {key}")
        place = self.meta.main.root, 0, self.size
        path = [place]
        for _ in range(self.meta.main.depth - 1):
            bounds, children = self._kept.get(place) or self._branch(place)
            child = bisect_right(bounds, key) - 1
            place = children[child], bounds[child], bounds[child + 1]
            path.append(place)
        return path

    def _branch(self, place: Place) -> Branch:
        page, lower, stop = place
        branch = pages.read_branch(self._page(page), page, self.meta.page_last, lower, stop)
        if len(self._kept) >= BRANCHES_KEPT_MAX:
            self._kept = dict(self._edge)
        self._kept[place] = branch
        return branch

    def _row(self, key: int) -> bytes | Large:
        lower, _, data, nodes = self._leaf(key)
        if key - lower >= len(nodes):
            raise BadPage(f"a leaf page does not hold row {key}")
        return pages.read_row(data, nodes[key - lower], key, self.meta.page_last)

    def _leaf(self, key: int) -> Leaf:
        """The leaf that should hold `key`; the one that was read last is kept."""
        leaf = self._recent
        if not leaf[0] <= key < leaf[1]:
            page, lower, stop = self._path(key)[-1]
            data = self._page(page)
            leaf = lower, stop, data, pages.nodes_of(data, page, LEAF)
            if len(leaf[3]) > stop - lower:
                raise BadPage(f"leaf page {page} holds {len(leaf[3])} rows, not {stop - lower}")
            self._recent = leaf
        return leaf

    def _page(self, page: int) -> bytes:
        size = self.meta.page_bytes
        return self._last_data if page == self._last_page else read_exactly(self._fd, page * size, size)

    def _fetch(self, large: Large) -> bytes:
        return read_large(self._fd, large, self.meta.page_bytes)

    def _free_pages(self) -> list[int]:
        """The pages that the next commits may take; appending frees few, so their tree is one leaf."""
        free, page_last = self.meta.free, self.meta.page_last
        if free.depth > 1:
            raise BadPage("the list of free pages is longer than appending makes it")
        listed = pages.read_free(self._page(free.root), self.meta) if free.rows else []
        if not all(METAS <= page <= page_last and page != free.root for page in listed):
            raise BadPage("the list of free pages names a page that cannot be free")
        return listed

    def _is_in_use(self, page: int, key_in: KeyIn) -> bool:
        """Whether a row leads to `page`; judged by the key that the page itself says it holds."""
        size = self.meta.page_bytes
        for first in range(page, max(METAS, page - pages.VALUE_BYTES_MAX // size) - 1, -1):
            data = read_upto(self._fd, first * size, size)
            if len(data) < size:  # beyond the end of the file, where nothing is in use
                return False
            kind = pages.kind_of(data, first)
            if kind in (pages.BRANCH, LEAF, pages.OVERFLOW):
                key = _key_on(data, first, kind, key_in)
                return key is not None and key < self.size and page in self.pages_to(key)
        return False  # the bytes of no value lead further back


def current(claims: tuple[Claim, Claim]) -> tuple[Meta, bool]:
    """The newest state that a sound meta page tells of, and whether a newer one may have been lost."""
    sound = [claim.meta for claim in claims if claim.meta is not None]
    if not sound:
        raise BadPage("neither meta page is sound")
    meta = max(sound, key=lambda meta: meta.txn)
    return meta, claims[1 - meta.slot].txn != max(meta.txn - 1, 0)


def read_claims(fd: int) -> tuple[Claim, Claim]:
    """What both meta pages say, for the page size under which one of them is sound."""
    for size in pages.PAGE_SIZES:
        even, odd = (
            pages.read_meta(read_upto(fd, slot * size, pages.META_BYTES), slot, size) for slot in range(METAS)
        )
        if even.meta or odd.meta:
            break
    return even, odd


def rows_on(fd: int, page_bytes: int, numbers: Iterable[int]) -> Iterator[tuple[int, bytes | None]]:
    """Key and value of the rows on every page that looks like a leaf, by the first key of the page.

    A value is None where it cannot be read, and for the last key that a branch page says it leads to.
    Copies of one leaf may both be there.
    """
    file_bytes = disk.size_of(fd)
    keys_max = file_bytes // pages.NODE_BYTES  # keys of the free list, read as those of rows, are huge
    leaves = []
    for page in numbers:
        data = read_upto(fd, page * page_bytes, page_bytes)
        kind = pages.kind_of(data, page) if len(data) == page_bytes else 0
        key = _key_on(data, page, kind, lambda _: None) if kind else None
        if key is not None and key < keys_max:
            leaves.append((key, page, kind))
    for lower, page, kind in sorted(leaves):
        if kind == pages.BRANCH:
            yield lower, None
            continue
        data = read_exactly(fd, page * page_bytes, page_bytes)
        for key, node in enumerate(pages.nodes_of(data, page, LEAF), lower):
            try:
                row = pages.read_row(data, node, key, file_bytes // page_bytes)
                yield key, read_large(fd, row, page_bytes) if isinstance(row, Large) else row
            except BadPage:
                yield key, None


def _key_on(data: bytes, page: int, kind: int, key_in: KeyIn) -> int | None:
    """A key that page `page` says it leads to: the first of a leaf, the last of a branch page."""
    if kind == pages.OVERFLOW:
        return key_in(data[pages.HEADER_BYTES :])
    try:
        nodes = pages.nodes_of(data, page, kind)
    except BadPage:
        return None
    if kind == pages.BRANCH:
        return pages.key_at(data, nodes[-1]) if len(nodes) > 1 else None
    return pages.key_at(data, nodes[0]) if kind == LEAF and nodes else None


def read_large(fd: int, large: Large, page_bytes: int) -> bytes:
    """A value that is not in its leaf."""
    data = read_exactly(fd, large.page * page_bytes, pages.HEADER_BYTES + large.size)
    return pages.read_large(data, large, page_bytes)


def read_exactly(fd: int, offset: int, size: int) -> bytes:
    """`size` bytes; `BadPage` when the file ends before."""
    data = read_upto(fd, offset, size)
    if len(data) != size:
        raise BadPage("the file ends before this page")
    return data


def read_upto(fd: int, offset: int, size: int) -> bytes:
    """At most `size` bytes, fewer only where the file ends."""
    try:
        return os.pread(fd, size, offset)
    except OSError as error:
        raise disk.refusal("the journal cannot be read", error) from error
