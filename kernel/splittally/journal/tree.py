"""One committed state of an LMDB data file, read without liblmdb (spec/07-journal.md, "Reading").

Rule 1. A tree is what one meta page commits. It stays readable while a writer goes on: keys are only
        ever added at the right end, so every page left of the right edge is final, and the right
        edge itself is held in memory from the moment of loading.
Rule 2. Loading reads the meta pages, then the upper branches and the right edge, then the meta pages
        again. A writer that committed in between makes us load again; a file that has not changed
        and does not fit is damaged.
Rule 3. Sequences are dense from 0, so the number of entries says what every leaf must hold.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from splittally.journal.pages import (
    LEAF,
    NO_PAGE,
    BadPage,
    Branch,
    Meta,
    Slots,
    Spill,
    newest,
    read_at,
    read_branch,
    read_leaf,
    read_metas,
    read_spill,
    read_upto,
    read_value,
    slots_of,
)

LOAD_TRIES_MAX = 100  # a writer commits about every millisecond, a load takes a tenth of one
PARENTS_KEPT_MAX = 4_096  # about 15 MB; each leads to one or two thousand frames
RUN_PAGES_MAX = 16  # neighbouring leaves fetched by one read of a scan
Leaf = tuple[int, int, int, bytes, Slots]  # first key, stop, page, bytes, nodes


class Tree:
    """Values by sequence, 0 ... `size` - 1; every method raises `BadPage` naming what it could not read."""

    def __init__(self, fd: int, meta: Meta) -> None:
        self.meta = meta
        self.size = meta.main.entries
        self.branches: set[int] = set()  # the branch pages above the parents of leaves
        self._fd = fd
        self._lowers, self.parents = array("Q"), array("Q")  # the parents of leaves
        self._kept: dict[int, Branch] = {}  # by position in `parents`
        self._last_at, self._last_parent = -1, Branch(array("Q"), array("Q"))
        self._last_page, self._last_leaf = NO_PAGE, b""
        self._recent: Leaf = (0, 0, NO_PAGE, b"", ((), 0))  # the leaf that was read last
        if self.size:
            self._load_upper()

    @classmethod
    def load(cls, fd: int) -> "Tree":
        """The newest committed tree of the file, its right edge in memory."""
        for _ in range(LOAD_TRIES_MAX):
            before = read_metas(fd)
            try:
                tree = cls(fd, newest(before))
                tree._load_edge()
            except BadPage:
                if read_metas(fd) == before:
                    raise
                continue
            if read_metas(fd) == before:
                return tree
        raise BadPage("the file changes faster than it can be read")

    def read(self, seq: int) -> bytes:
        """The value of one frame, 0 <= `seq` < `size`."""
        lower, stop, _, data, slots = self._recent
        if not lower <= seq < stop:
            lower, stop, _, data, slots = self._seek(seq)
        value = read_value(data, slots, self.meta, lower, seq)
        return self._fetch(value, seq) if isinstance(value, Spill) else value

    def scan(self, start: int, stop: int) -> Iterator[bytes]:
        """The values of `start` ... `stop` - 1 in order."""
        for lower, upper, page, data in self._leaves(start, stop):
            try:
                values = read_leaf(data, page, self.meta, lower, upper, self._fetch)
            except BadPage as bad:  # what stands before the fault in this leaf still comes out
                for seq in range(max(lower, start), min(bad.seq or lower, upper, stop)):
                    yield self.read(seq)
                raise bad.hiding(lower) from None
            if lower < start or upper > stop:
                values = values[max(start - lower, 0) : stop - lower]
            yield from values

    def close(self) -> None:
        """Nothing is read any more: the descriptor may soon be another file's."""
        self.size, self._fd = 0, -1

    def place(self, seq: int) -> tuple[int, Spill | None]:
        """The leaf page of `seq` and, when its value is not in the leaf, where it lies."""
        lower, _, page, data, slots = self._seek(seq)
        value = read_value(data, slots, self.meta, lower, seq)
        return page, value if isinstance(value, Spill) else None

    def _load_upper(self) -> None:
        level = [(0, self.size, self.meta.main.root)]
        for _ in range(self.meta.main.depth - 2):
            below: list[tuple[int, int, int]] = []
            for lower, stop, page in level:
                lowers, children = self._read_branch(page, lower, stop)
                below += zip(lowers, [*lowers[1:], stop], children, strict=True)
                self.branches.add(page)
            level = below
        for lower, _, page in level:
            self._lowers.append(lower)
            self.parents.append(page)

    def _load_edge(self) -> None:
        if not self.size:
            return
        at = len(self.parents) - 1
        self._last_parent, self._last_at = self._parent(at), at
        lower, page = self._last_parent.lowers[-1], self._last_parent.children[-1]
        self._last_leaf = read_at(self._fd, page * self.meta.page_bytes, self.meta.page_bytes)
        self._last_page = page
        read_leaf(self._last_leaf, page, self.meta, lower, self.size, self._fetch)

    def _read_branch(self, page: int, lower: int, stop: int) -> Branch:
        try:
            data = read_at(self._fd, page * self.meta.page_bytes, self.meta.page_bytes)
            return read_branch(data, page, self.meta, lower, stop)
        except BadPage as bad:
            raise bad.hiding(lower) from None

    def _parent(self, at: int) -> Branch:
        if at == self._last_at:
            return self._last_parent
        if self.meta.main.depth == 1:  # the root is the only leaf
            return Branch(array("Q", [0]), array("Q", [self.meta.main.root]))
        branch = self._read_branch(self.parents[at], self._lowers[at], self._stop(at))
        if len(self._kept) >= PARENTS_KEPT_MAX:
            self._kept.clear()
        self._kept[at] = branch
        return branch

    def _stop(self, at: int) -> int:
        return self._lowers[at + 1] if at + 1 < len(self._lowers) else self.size

    def _seek(self, seq: int) -> Leaf:
        """The leaf that holds `seq`; the next read looks there first."""
        at = bisect_right(self._lowers, seq) - 1
        branch = self._kept.get(at) or self._parent(at)
        lowers = branch.lowers
        child = bisect_right(lowers, seq)
        stop = lowers[child] if child < len(lowers) else self._stop(at)
        lower, page = lowers[child - 1], branch.children[child - 1]
        size = self.meta.page_bytes
        data = self._last_leaf if page == self._last_page else read_upto(self._fd, page * size, size)
        if len(data) != size:
            raise BadPage("the file ends before this page", lower)
        try:
            leaf = self._recent = lower, stop, page, data, slots_of(data, page, LEAF)
        except BadPage as bad:
            raise bad.hiding(lower) from None
        return leaf

    def _leaves(self, start: int, stop: int) -> Iterator[tuple[int, int, int, bytes]]:
        """Lower, stop, page and bytes of the leaves that hold `start` ... `stop` - 1."""
        while start < stop:
            at = bisect_right(self._lowers, start) - 1
            branch = self._kept.get(at) or self._parent(at)
            bounds = [*branch.lowers, self._stop(at)]
            first, end = bisect_right(branch.lowers, start) - 1, bisect_left(branch.lowers, stop)
            while first < end:
                until = self._run_end(branch, first, end)
                yield from self._run(branch, bounds, first, until)
                first = until
            start = bounds[end]

    def _run_end(self, branch: Branch, first: int, end: int) -> int:
        """Where the run of neighbouring pages that begins with child `first` ends."""
        pages, until = branch.children, first + 1
        end = min(end, first + RUN_PAGES_MAX)
        while until < end and pages[until] == pages[until - 1] + 1 and pages[until] != self._last_page:
            until += 1
        return until

    def _run(
        self, branch: Branch, bounds: list[int], first: int, until: int
    ) -> Iterator[tuple[int, int, int, bytes]]:
        page, size = branch.children[first], self.meta.page_bytes
        if page == self._last_page:
            data = self._last_leaf
        else:
            data = read_upto(self._fd, page * size, (until - first) * size)
        for at in range(first, until):
            leaf = data[(at - first) * size : (at - first + 1) * size]
            if len(leaf) != size:
                raise BadPage("the file ends before this page", bounds[at])
            yield bounds[at], bounds[at + 1], branch.children[at], leaf

    def _fetch(self, spill: Spill, seq: int) -> bytes:
        try:
            return read_spill(self._fd, spill, self.meta)
        except BadPage as bad:
            raise bad.hiding(seq) from None
