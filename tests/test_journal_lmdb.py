"""The reader of LMDB files, through its face: every page that must not be followed is refused, by name.

The damage suite shows that nothing slips through all checks together; this shows that each of them holds.
"""

import os
import random
import struct
from collections import deque

import pytest
from splittally.core.errors import JournalDamaged, KernelStopped
from splittally.journal.frame import seal
from splittally.journal.lmdb import LmdbFile, LmdbStore
from splittally.journal.lmdb.pages import BRANCH, LEAF, BadPage
from splittally.journal.lmdb.salvage import intact, key_in

from tests.journal_damage import append, build, chain_head, copy, loaded, page, write

PAGE = 4096
U16, U32, U64 = struct.Struct("=H"), struct.Struct("=I"), struct.Struct("=Q")


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages") / "journal"
    build(folder, groups=30, seed=3)
    return folder


@pytest.fixture
def file(sound, tmp_path):
    return copy(sound, tmp_path / "journal")


@pytest.fixture
def rows(file):
    return loaded(file)


def all_of(rows):
    return list(rows.range(0, rows.size))


def refused(file, writable=False):
    """The first bad frame that a store names when the file is opened."""
    with pytest.raises(JournalDamaged) as caught:
        LmdbStore(file.parent, writable)
    return caught.value.facts["seq"]


# --- rows -----------------------------------------------------------------------------------------


def test_rows_come_alone_and_in_ranges(rows):
    values = all_of(rows)
    assert len(values) == rows.size > 150
    assert [rows.get(key) for key in range(rows.size)] == values
    for start in range(0, rows.size, 7):
        for stop in (start, start + 1, start + 40, rows.size):
            assert list(rows.range(start, min(stop, rows.size))) == values[start:stop]


def test_a_file_that_was_closed_reads_nothing(file):
    store = LmdbStore(file.parent, writable=False)
    left = store.entries(0, store.head.size)
    next(left)
    store.close()
    with pytest.raises(KernelStopped):
        list(left)


# --- branches, leaves, values ---------------------------------------------------------------------


def nodes(data):
    return struct.unpack_from(f"={(U16.unpack_from(data, 12)[0] - 16) // 2}H", data, 16)


def changed(data, offset, new):
    return data[:offset] + new + data[offset + len(new) :]


BRANCH_CHECKS = {
    "number": lambda data: changed(data, 0, U64.pack(3)),
    "kind": lambda data: changed(data, 10, U16.pack(LEAF)),
    "bounds crossed": lambda data: changed(data, 12, U16.pack(U16.unpack_from(data, 14)[0] + 2)),
    "upper bound behind the page": lambda data: changed(data, 14, U16.pack(PAGE + 2)),
    "odd bound": lambda data: changed(data, 12, U16.pack(17)),
    "lower bound in the header": lambda data: changed(data, 12, U16.pack(14)),
    "one child": lambda data: changed(data, 12, U16.pack(18)),
    "no child": lambda data: changed(data, 12, U16.pack(16)),
    "a node in the header": lambda data: changed(data, 18, U16.pack(8)),
    "a node behind the page": lambda data: changed(data, 18, U16.pack(PAGE - 2)),
    "a key behind the page": lambda data: changed(data, 18, U16.pack(PAGE - 8)),
    "a key of another size": lambda data: changed(data, nodes(data)[1] + 6, U16.pack(9)),
    "a key before the one before": lambda data: changed(data, nodes(data)[2] + 8, bytes(8)),
    "a key twice": lambda data: changed(data, nodes(data)[2] + 8, data[nodes(data)[1] + 8 :][:8]),
    "a key behind the end": lambda data: changed(data, nodes(data)[-1] + 8, (1 << 40).to_bytes(8)),
    "a child among the meta pages": lambda data: changed(data, nodes(data)[1], U32.pack(1)),
    "a child behind the last page": lambda data: changed(data, nodes(data)[1], U32.pack(1 << 30)),
}


@pytest.mark.parametrize("name", BRANCH_CHECKS)
def test_a_branch_page_that_does_not_fit_is_refused(file, rows, name):
    root = rows.meta.main.root
    assert rows.meta.main.depth == 2
    write(file, root * PAGE, BRANCH_CHECKS[name](page(file, root)))
    with pytest.raises(BadPage):
        loaded(file)
    refused(file)
    refused(file, writable=True)


def leaf_worth_damaging(file, rows):
    """A leaf left of the right edge with small values and a large one: its number, first key, stop."""
    root = page(file, rows.meta.main.root)
    bounds = [0, *(int.from_bytes(root[node + 8 : node + 16]) for node in nodes(root)[1:])]
    for node, lower, stop in zip(nodes(root), bounds, bounds[1:], strict=False):
        number = U32.unpack_from(root, node)[0]
        kinds = [U16.unpack_from(page(file, number), at + 4)[0] for at in nodes(page(file, number))]
        if 1 in kinds and 0 in kinds and stop - lower > 2:
            return number, lower, stop
    raise AssertionError("no such leaf")


def node(data, kind):
    return next(at for at in nodes(data) if U16.unpack_from(data, at + 4)[0] == kind)


def moved(data, index, size):
    """A page with a copy of one node in the gap before all nodes, and its offset pointing there."""
    at, gap = nodes(data)[index], U16.unpack_from(data, 12)[0]
    assert gap + size < U16.unpack_from(data, 14)[0]
    return changed(changed(data, gap, data[at : at + size]), 16 + 2 * index, U16.pack(gap))


LEAF_CHECKS = {
    "number": lambda data: changed(data, 0, U64.pack(3)),
    "kind": lambda data: changed(data, 10, U16.pack(BRANCH)),
    "a node in the header": lambda data: changed(data, 18, U16.pack(8)),
    "a node behind the page": lambda data: changed(data, 18, U16.pack(PAGE - 15)),
    "a frame fewer": lambda data: changed(data, 12, U16.pack(U16.unpack_from(data, 12)[0] - 2)),
    "no frame": lambda data: changed(data, 12, U16.pack(16)),
    "another key": lambda data: changed(data, node(data, 0) + 8, (1 << 40).to_bytes(8)),
    "another key of a large value": lambda data: changed(data, node(data, 1) + 8, (1 << 40).to_bytes(8)),
    "a key of another size": lambda data: changed(data, nodes(data)[1] + 6, U16.pack(7)),
    "unknown flags": lambda data: changed(data, node(data, 0) + 4, U16.pack(2)),
    "a value behind the page": lambda data: changed(data, node(data, 0), U32.pack(PAGE)),
    "a large value that is too large": lambda data: changed(data, node(data, 1), U32.pack(1 << 31)),
    "a large value among the meta pages": lambda data: changed(data, node(data, 1) + 16, U64.pack(1)),
    "a large value behind the last page": lambda data: changed(data, node(data, 1) + 16, U64.pack(1 << 40)),
}


@pytest.mark.parametrize("name", LEAF_CHECKS)
def test_a_leaf_page_that_does_not_fit_hides_no_frame_before_it(file, rows, name):
    """What can still be read is read, and the first frame that cannot is the one that is named."""
    values = all_of(rows)
    number, lower, stop = leaf_worth_damaging(file, rows)
    write(file, number * PAGE, LEAF_CHECKS[name](page(file, number)))
    store = LmdbStore(file.parent, writable=False)
    read, entries = [], store.entries(0, store.head.size)
    with pytest.raises(JournalDamaged) as caught:
        deque(read.append(kept + data) for kept, data in entries)
    seq = caught.value.facts["seq"]
    assert read == values[:seq]
    assert lower <= seq < stop
    with pytest.raises(JournalDamaged) as caught:
        store.entry(seq)
    assert caught.value.facts["seq"] == seq
    rest = [kept + data for kept, data in store.entries(stop, store.head.size)]
    assert rest == values[stop:]
    store.close()


def test_a_leaf_page_with_a_frame_too_many_is_refused(file, rows):
    """A record behind the last that the meta page counts, such as an interrupted hand would leave."""
    slot = rows.meta.slot
    write(file, slot * PAGE + 88 + 32, U64.pack(rows.size - 1))
    with pytest.raises(BadPage):
        loaded(file)
    refused(file)


def test_a_node_where_the_next_commit_writes_is_refused(tmp_path):
    """It reads as what it was; liblmdb would put the next frame over it."""
    store = LmdbStore(tmp_path / "journal", writable=True)
    store.append(store.head, [seal(0, bytes(32), [bytes(100)])])
    store.close()
    root = loaded(store.file).meta.main.root
    data = page(store.file, root)
    write(store.file, root * PAGE, moved(data, 0, PAGE - nodes(data)[0]))
    assert refused(store.file) == refused(store.file, writable=True) == 1


@pytest.mark.parametrize(
    ("offset", "new"), [(0, U64.pack(5)), (10, U16.pack(LEAF)), (12, U32.pack(0)), (12, U32.pack(1 << 20))]
)
def test_an_overflow_page_that_does_not_fit_is_refused(file, rows, offset, new):
    number, _, _ = leaf_worth_damaging(file, rows)
    at = node(page(file, number), 1)
    seq = int.from_bytes(page(file, number)[at + 8 : at + 16])
    first = U64.unpack_from(page(file, number), at + 16)[0]
    write(file, first * PAGE + offset, new)
    store = LmdbStore(file.parent, writable=False)
    with pytest.raises(JournalDamaged) as caught:
        store.entry(seq)
    assert caught.value.facts["seq"] == seq
    with pytest.raises(JournalDamaged) as caught:
        chain_head(store)
    assert caught.value.facts["seq"] == seq
    store.close()


# --- loading while a writer goes on ---------------------------------------------------------------


def test_commits_at_any_moment_of_loading_are_no_damage(file, monkeypatch):
    """Loading reads a dozen times; a writer commits three times before the n-th, which takes pages back."""
    writer = LmdbStore(file.parent, writable=True)
    fd, pread = os.open(file, os.O_RDONLY), os.pread
    for turn in range(80):
        reads, last = 0, 0

        def pread_late(*arguments):
            nonlocal reads, last
            reads += 1
            if reads == 1 + turn // 2 or (turn % 2 and reads % 7 == 0 and reads < 60):  # noqa: B023
                last = reads
                for seed in range(3):
                    append(writer, 4, random.Random(seed))
            return pread(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(os, "pread", pread_late)
            rows = LmdbFile.load(fd, key_in if turn % 3 else None)
        assert rows.size == writer.head.size or last >= reads - 1
        for seed in range(3):
            append(writer, 9, random.Random(seed))
        assert [key_in(value) for value in all_of(rows)] == list(range(rows.size))
    writer.close()
    os.close(fd)


# --- the list of free pages -----------------------------------------------------------------------


def free_row(file, meta):
    """Where the first row of the list of free pages stands, and the pages that it names."""
    data = page(file, meta.free.root)
    at = nodes(data)[0] + 16
    count = U64.unpack_from(data, at)[0]
    return meta.free.root * PAGE + at, list(struct.unpack_from(f"={count}Q", data, at + 8))


def relist(file, meta, numbers):
    at, _ = free_row(file, meta)
    write(file, at - 16, U32.pack(8 * (len(numbers) + 1)))
    write(file, at, struct.pack(f"={len(numbers) + 1}Q", len(numbers), *numbers))


def pages_in_use(file, rows):
    """Every page that a frame is reached through or lies on, by kind."""
    found = {"branch": set(), "leaf": set(), "large": set(), "inner": set()}
    kinds = {BRANCH: "branch", LEAF: "leaf", 4: "large"}
    for key in range(rows.size):
        for number in rows.pages_to(key):
            data = page(file, number)
            kind = kinds.get(U16.unpack_from(data, 10)[0]) if U64.unpack_from(data)[0] == number else None
            found[kind or "inner"].add(number)
    return found


@pytest.mark.parametrize("kind", ["branch", "leaf", "large", "inner"])
def test_no_page_in_use_may_be_listed_as_free(file, rows, kind):
    """A writer would write over it: an old frame would be gone, found only when somebody reads it."""
    numbers = free_row(file, rows.meta)[1]
    in_use = sorted(pages_in_use(file, rows)[kind])
    assert in_use
    fd = os.open(file, os.O_RDONLY)
    LmdbFile.load(fd, key_in)
    for used in in_use:
        for replaced in numbers:
            relist(file, rows.meta, sorted({*numbers, used} - {replaced}, reverse=True))
            with pytest.raises(BadPage, match="in use"):
                LmdbFile.load(fd, key_in)
    os.close(fd)
    before = file.read_bytes()
    assert refused(file, writable=True) == rows.size
    assert file.read_bytes() == before
    reader = LmdbStore(file.parent, writable=False)
    assert chain_head(reader) == reader.head
    with pytest.raises(JournalDamaged):
        reader.verify_pages()
    reader.close()


FREE_CHECKS = {
    "a page fewer": lambda numbers, meta: numbers[1:],
    "a page twice": lambda numbers, meta: [numbers[0], *numbers[:-1]],
    "out of order": lambda numbers, meta: numbers[::-1],
    "a meta page": lambda numbers, meta: [*numbers[:-1], 1],
    "a page behind the last": lambda numbers, meta: [meta.page_last + 1, *numbers[1:]],
    "a page of the list itself": lambda numbers, meta: sorted({*numbers[1:], meta.free.root}, reverse=True),
}


@pytest.mark.parametrize("name", FREE_CHECKS)
def test_a_list_of_free_pages_that_does_not_fit_is_refused_for_writing(file, rows, name):
    numbers = free_row(file, rows.meta)[1]
    assert len(numbers) > 1
    relist(file, rows.meta, FREE_CHECKS[name](numbers, rows.meta))
    assert refused(file, writable=True) == rows.size


FREE_NODE_CHECKS = {
    "a count too large": (16, U64.pack(1000)),
    "a transaction of the future": (8, U64.pack(1 << 40)),
    "no transaction": (8, U64.pack(0)),
    "a key of another size": (6, U16.pack(7)),
    "an odd size": (0, U32.pack(9)),
    "no size": (0, U32.pack(0)),
    "a size behind the page": (0, U32.pack(1 << 16)),
    "unknown flags": (4, U16.pack(2)),
    "a row on other pages": (4, U16.pack(1)),
}


@pytest.mark.parametrize("name", FREE_NODE_CHECKS)
def test_a_row_of_the_free_list_that_does_not_fit_is_refused_for_writing(file, rows, name):
    offset, data = FREE_NODE_CHECKS[name]
    write(file, free_row(file, rows.meta)[0] - 16 + offset, data)
    assert refused(file, writable=True) == rows.size


@pytest.mark.parametrize(("offset", "new"), [(6, U16.pack(2)), (32, U64.pack(9)), (16, U64.pack(7))])
def test_a_list_of_free_pages_that_its_meta_page_describes_otherwise_is_refused(file, rows, offset, new):
    write(file, rows.meta.slot * PAGE + 40 + offset, new)
    if offset == 16:  # the number of leaf pages of the list, which nothing rests on
        LmdbStore(file.parent, writable=True).close()
    else:
        assert refused(file, writable=True) == rows.size


def test_appending_keeps_the_list_of_free_pages_in_one_leaf(tmp_path):
    """What the reader relies on: liblmdb takes the pages back two commits later."""
    store = LmdbStore(tmp_path / "journal", writable=True, map_bytes=1 << 16)
    chance = random.Random(6)
    for _ in range(400):
        append(store, chance.choice([1, 2, 5, 64]), chance)
        assert loaded(store.file).meta.free.depth <= 1
    assert len(loaded(store.file).free_pages()) < 100
    store.verify_pages()
    store.close()


# --- the length of the file -----------------------------------------------------------------------


def test_a_file_may_end_before_a_page_that_is_free(file):
    """liblmdb does not write a page that it takes and gives back in one commit."""
    for seed in range(200):
        writer = LmdbStore(file.parent, writable=True)
        append(writer, 1, random.Random(seed))
        writer.close()
        rows = loaded(file)
        if rows.meta.page_last in free_row(file, rows.meta)[1]:
            break
    else:
        raise AssertionError("the last page was never free")
    os.truncate(file, rows.meta.page_last * PAGE)
    for writable in (False, True):
        store = LmdbStore(file.parent, writable)
        assert chain_head(store) == store.head == (rows.size, store.entry(rows.size - 1)[0])
        store.close()
    os.truncate(file, min(rows.pages_to(rows.size - 1)) * PAGE)
    assert refused(file) < rows.size


def test_a_file_that_lost_an_old_page_is_refused_when_it_is_opened(file):
    """The pages that opening reads may all stand before the cut."""
    writer = LmdbStore(file.parent, writable=True)
    for _ in range(100):
        append(writer, 1, random.Random(1))
        rows = loaded(file)
        last = max(set().union(*pages_in_use(file, rows).values()))
        if last not in rows.pages_to(rows.size - 1) and last > rows.meta.free.root:
            break
    else:
        raise AssertionError("the right edge never moved away from the end")
    writer.close()
    os.truncate(file, last * PAGE)
    seq = refused(file)
    assert seq < rows.size
    fd = os.open(file, os.O_RDONLY)
    assert sum(1 for _ in intact(fd)) >= seq
    os.close(fd)
