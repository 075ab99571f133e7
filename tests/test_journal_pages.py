"""Every check of a page, one by one: each line below is a page that must not be followed.

The damage suite shows that nothing slips through all checks together; this shows that each of them holds.
"""

import os
import random
import struct

import lmdb
import pytest
from splittally.core.errors import JournalDamaged
from splittally.journal import freelist, pages
from splittally.journal import tree as tree_module
from splittally.journal.freelist import check_free_pages, check_length
from splittally.journal.lmdb import LmdbStore
from splittally.journal.pages import BRANCH, LEAF, NO_PAGE, BadPage, Spill
from splittally.journal.tree import Tree

from tests.journal_damage import append, build, copy, flip, write

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
def fd(file):
    number = os.open(file, os.O_RDONLY)
    yield number
    os.close(number)


@pytest.fixture
def tree(fd):
    return Tree.load(fd)


def newest_slot(fd):
    return [meta.txn for meta in pages.read_metas(fd)].index(pages.newest(pages.read_metas(fd)).txn)


# --- meta pages -----------------------------------------------------------------------------------

FREE, MAIN = 40, 88  # where the two trees are described
FLAGS, DEPTH, ENTRIES, ROOT = 4, 6, 32, 40
META_CHECKS = {
    "page number": (0, U64.pack(7)),
    "page kind": (10, U16.pack(LEAF)),
    "magic": (16, U32.pack(0xBEEFC0DF)),
    "version": (20, U32.pack(2)),
    "map size": (32, U64.pack(1 << 60)),
    "page size": (FREE, U32.pack(8192)),
    "a page size that is no power of two": (FREE, U32.pack(4097)),
    "a fixed map": (FREE + FLAGS, U16.pack(9)),
    "flags of the free list": (FREE + FLAGS, U16.pack(0)),
    "flags of the tree": (MAIN + FLAGS, U16.pack(4)),
    "a depth of zero": (MAIN + DEPTH, U16.pack(0)),
    "a depth out of range": (MAIN + DEPTH, U16.pack(33)),
    "no entries": (MAIN + ENTRIES, U64.pack(0)),
    "a root among the meta pages": (MAIN + ROOT, U64.pack(1)),
    "a root behind the last page": (MAIN + ROOT, U64.pack(1 << 30)),
    "an empty tree with entries": (MAIN + ROOT, U64.pack(NO_PAGE)),
    "a free list out of range": (FREE + ROOT, U64.pack(1 << 30)),
    "the last page": (136, U64.pack(1 << 40)),
}


@pytest.mark.parametrize("name", META_CHECKS)
@pytest.mark.parametrize("slot", [0, 1])
def test_a_meta_page_that_is_not_what_lmdb_writes_is_refused(file, fd, name, slot):
    offset, data = META_CHECKS[name]
    write(file, slot * PAGE + offset, data)
    with pytest.raises(BadPage):
        pages.read_metas(fd)


@pytest.mark.parametrize(("even", "odd"), [(4, 4), (4, 7), (5, 4), (4, 6), (7, 8), (6, 1), (0, 3)])
def test_meta_pages_that_do_not_follow_one_another_are_refused(file, fd, even, odd):
    write(file, 144, U64.pack(even))
    write(file, PAGE + 144, U64.pack(odd))
    with pytest.raises(BadPage):
        pages.newest(pages.read_metas(fd))


@pytest.mark.parametrize(("even", "odd", "slot"), [(4, 5, 1), (6, 5, 0), (0, 1, 1)])
def test_the_newer_of_two_sound_meta_pages_counts(file, fd, even, odd, slot):
    write(file, 144, U64.pack(even))
    write(file, PAGE + 144, U64.pack(odd))
    assert pages.newest(pages.read_metas(fd)) == pages.read_metas(fd)[slot]


# --- branches, leaves, values ---------------------------------------------------------------------


def slots(data):
    return struct.unpack_from(f"={(U16.unpack_from(data, 12)[0] - 16) // 2}H", data, 16)


def changed(data, offset, new):
    return data[:offset] + new + data[offset + len(new) :]


@pytest.fixture
def branch(fd, tree):
    """A sound branch page: its bytes, number, and the keys it covers."""
    page = tree.parents[0]
    data = os.pread(fd, PAGE, page * PAGE)
    assert len(pages.read_branch(data, page, tree.meta, 0, tree.size).children) > 3
    return data, page


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
    "a key of another size": lambda data: changed(data, slots(data)[1] + 6, U16.pack(9)),
    "a key before the one before": lambda data: changed(data, slots(data)[2] + 8, bytes(8)),
    "a key twice": lambda data: changed(data, slots(data)[2] + 8, data[slots(data)[1] + 8 :][:8]),
    "a key behind the end": lambda data: changed(data, slots(data)[-1] + 8, (1 << 40).to_bytes(8)),
    "a child among the meta pages": lambda data: changed(data, slots(data)[1], U32.pack(1)),
    "a child behind the last page": lambda data: changed(data, slots(data)[1], U32.pack(1 << 30)),
}


@pytest.mark.parametrize("name", BRANCH_CHECKS)
def test_a_branch_page_that_does_not_fit_is_refused(branch, tree, name):
    data, page = branch
    with pytest.raises(BadPage):
        pages.read_branch(BRANCH_CHECKS[name](data), page, tree.meta, 0, tree.size)


def no_fetch(spill, seq):
    return b""


@pytest.fixture
def leaf(fd, tree):
    """A sound leaf page with values in it and one large value: bytes, number, first key, stop."""
    for lower, stop, page, data in tree._leaves(0, tree.size):
        kinds = [U16.unpack_from(data, slot + 4)[0] for slot in slots(data)]
        if 1 in kinds and 0 in kinds and stop - lower > 2:
            pages.read_leaf(data, page, tree.meta, lower, stop, no_fetch)
            return data, page, lower, stop
    raise AssertionError("no such leaf")


def node(data, kind):
    return next(slot for slot in slots(data) if U16.unpack_from(data, slot + 4)[0] == kind)


LEAF_CHECKS = {
    "number": lambda data: changed(data, 0, U64.pack(3)),
    "kind": lambda data: changed(data, 10, U16.pack(BRANCH)),
    "a node in the header": lambda data: changed(data, 18, U16.pack(8)),
    "a node behind the page": lambda data: changed(data, 18, U16.pack(PAGE - 15)),
    "a frame fewer": lambda data: changed(data, 12, U16.pack(U16.unpack_from(data, 12)[0] - 2)),
    "another key": lambda data: changed(data, node(data, 0) + 8, (1 << 40).to_bytes(8)),
    "another key of a large value": lambda data: changed(data, node(data, 1) + 8, (1 << 40).to_bytes(8)),
    "a key of another size": lambda data: changed(data, slots(data)[1] + 6, U16.pack(7)),
    "unknown flags": lambda data: changed(data, node(data, 0) + 4, U16.pack(2)),
    "a value behind the page": lambda data: changed(data, node(data, 0), U32.pack(PAGE)),
    "a large value that is too small": lambda data: changed(data, node(data, 1), U32.pack(32)),
    "a large value that is too large": lambda data: changed(data, node(data, 1), U32.pack(1 << 31)),
    "a large value among the meta pages": lambda data: changed(data, node(data, 1) + 16, U64.pack(1)),
    "a large value behind the last page": lambda data: changed(data, node(data, 1) + 16, U64.pack(1 << 40)),
}


def read_one_by_one(data, page, meta, seqs):
    return [pages.read_value(data, pages.slots_of(data, page, LEAF), meta, seqs[0], seq) for seq in seqs]


@pytest.mark.parametrize("name", LEAF_CHECKS)
def test_a_leaf_page_that_does_not_fit_is_refused_whole_and_frame_by_frame(leaf, tree, name):
    data, page, lower, stop = leaf
    hurt = LEAF_CHECKS[name](data)
    with pytest.raises(BadPage):
        pages.read_leaf(hurt, page, tree.meta, lower, stop, no_fetch)
    with pytest.raises(BadPage):
        read_one_by_one(hurt, page, tree.meta, range(lower, stop))


def test_a_leaf_page_with_a_frame_too_many_is_refused(leaf, tree):
    data, page, lower, stop = leaf
    with pytest.raises(BadPage) as caught:
        pages.read_leaf(data, page, tree.meta, lower, stop - 1, no_fetch)
    assert caught.value.seq == stop


@pytest.mark.parametrize(
    ("offset", "new"), [(0, U64.pack(5)), (10, U16.pack(LEAF)), (12, U32.pack(0)), (12, U32.pack(1 << 20))]
)
def test_an_overflow_page_that_does_not_fit_is_refused(file, fd, tree, offset, new):
    spill = next(spill for seq in range(tree.size) if (spill := tree.place(seq)[1]))
    pages.read_spill(fd, spill, tree.meta)
    write(file, spill.page * PAGE + offset, new)
    with pytest.raises(BadPage):
        pages.read_spill(fd, spill, tree.meta)


def test_a_value_behind_the_end_of_the_file_is_refused(fd, tree):
    with pytest.raises(BadPage):
        pages.read_spill(fd, Spill(tree.meta.page_last, 9_000), tree.meta)


# --- loading while a writer goes on ---------------------------------------------------------------


def test_a_tree_that_changed_while_it_was_loaded_is_loaded_again(file, fd, monkeypatch):
    writer = LmdbStore(file.parent, writable=True)
    original, loads = Tree._load_edge, []

    def load_slowly(tree):
        original(tree)
        loads.append(tree.size)
        if len(loads) < 3:
            append(writer, 4, random.Random(1))

    monkeypatch.setattr(Tree, "_load_edge", load_slowly)
    assert Tree.load(fd).size == writer.head.size
    assert loads == [writer.head.size - 8, writer.head.size - 4, writer.head.size]
    writer.close()


def test_a_page_that_was_reused_while_it_was_read_is_no_damage_and_an_unchanged_one_is(file, fd, monkeypatch):
    writer = LmdbStore(file.parent, writable=True)
    original, loads = Tree._load_edge, []

    def load_torn(tree):
        loads.append(tree.size)
        if len(loads) == 1:
            append(writer, 4, random.Random(1))
            raise BadPage("torn")
        original(tree)

    monkeypatch.setattr(Tree, "_load_edge", load_torn)
    assert Tree.load(fd).size == writer.head.size
    writer.close()

    def load_bad(tree):
        raise BadPage("bad")

    monkeypatch.setattr(Tree, "_load_edge", load_bad)
    with pytest.raises(BadPage, match="bad"):
        Tree.load(fd)


def test_a_file_that_never_rests_is_given_up(file, fd, monkeypatch):
    metas = pages.read_metas(fd)
    turns = iter(range(10_000))

    def restless(_):
        turn = next(turns)
        return (metas[0]._replace(txn=2 * turn), metas[1]._replace(txn=2 * turn + 1))

    monkeypatch.setattr(tree_module, "read_metas", restless)
    with pytest.raises(BadPage, match="changes faster"):
        Tree.load(fd)


# --- the list of free pages -----------------------------------------------------------------------


def free_record(fd, meta):
    """Where the first record of the list of free pages stands, and the pages that it names."""
    data = os.pread(fd, PAGE, meta.free.root * PAGE)
    at = slots(data)[0] + 16
    count = U64.unpack_from(data, at)[0]
    return meta.free.root * PAGE + at, list(struct.unpack_from(f"={count}Q", data, at + 8))


def relist(file, fd, meta, numbers):
    at, _ = free_record(fd, meta)
    write(file, at - 16, U32.pack(8 * (len(numbers) + 1)))
    write(file, at, struct.pack(f"={len(numbers) + 1}Q", len(numbers), *numbers))


def pages_in_use(fd, tree):
    """Every page that a frame is reached through or lies on, by kind."""
    found = {
        "branch": {tree.meta.main.root, *tree.branches, *tree.parents},
        "leaf": set(),
        "large": set(),
        "inner": set(),
    }
    for seq in range(tree.size):
        leaf, spill = tree.place(seq)
        found["leaf"].add(leaf)
        if spill is not None:
            found["large"].add(spill.page)
            found["inner"].update(range(spill.page + 1, spill.page + pages.pages_of(spill.size, tree.meta)))
    return found


@pytest.mark.parametrize("kind", ["branch", "leaf", "large", "inner"])
def test_no_page_in_use_may_be_listed_as_free(file, fd, tree, kind):
    """A writer would write over it: an old frame would be gone, found only when somebody reads it."""
    check_free_pages(fd, tree)
    numbers = free_record(fd, tree.meta)[1]
    in_use = sorted(pages_in_use(fd, tree)[kind])
    assert in_use
    for page in in_use:
        for replaced in numbers:
            relist(file, fd, tree.meta, sorted({*numbers, page} - {replaced}, reverse=True))
            with pytest.raises(BadPage, match="in use"):
                check_free_pages(fd, tree)
    with pytest.raises(JournalDamaged) as caught:
        LmdbStore(file.parent, writable=True)
    assert caught.value.facts["seq"] == tree.size
    reader = LmdbStore(file.parent, writable=False)
    assert reader.verify_chain() == reader.head
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
def test_a_list_of_free_pages_that_does_not_fit_is_refused(file, fd, tree, name):
    numbers = free_record(fd, tree.meta)[1]
    assert len(numbers) > 1
    relist(file, fd, tree.meta, FREE_CHECKS[name](numbers, tree.meta))
    with pytest.raises(BadPage):
        check_free_pages(fd, tree)


FREE_NODE_CHECKS = {
    "a count too large": (16, U64.pack(1000)),
    "a transaction of the future": (8, U64.pack(1 << 40)),
    "no transaction": (8, U64.pack(0)),
    "a key of another size": (6, U16.pack(7)),
    "an odd size": (0, U32.pack(9)),
    "no size": (0, U32.pack(0)),
    "a size behind the page": (0, U32.pack(1 << 16)),
    "unknown flags": (4, U16.pack(2)),
    "a large list that leads to the meta pages": (4, U16.pack(1)),
}


@pytest.mark.parametrize("name", FREE_NODE_CHECKS)
def test_a_record_of_the_free_list_that_does_not_fit_is_refused(file, fd, tree, name):
    offset, data = FREE_NODE_CHECKS[name]
    at = free_record(fd, tree.meta)[0] - 16
    write(file, at + offset, data)
    if name.startswith("a large"):
        write(file, at + 16, U64.pack(1))
    with pytest.raises(BadPage):
        check_free_pages(fd, tree)


@pytest.fixture
def roomy(tmp_path):
    """A journal whose file once held another tree, and a reader that kept every state of it."""
    folder = tmp_path / "roomy"
    build(folder, groups=5, seed=4)
    env = lmdb.open(str(folder), map_size=1 << 30, max_dbs=1, sync=False)
    with env.begin(write=True) as txn:
        other = env.open_db(b"other", txn=txn)
    reader = env.begin()
    for step in range(300):
        with env.begin(write=True) as txn:
            for at in range(10):
                txn.put(b"%d %d" % (step, at), bytes(3000), db=other)
    with env.begin(write=True) as txn:
        txn.drop(other, delete=True)
    reader.abort()
    env.close()
    (folder / "lock.mdb").unlink()
    return folder / "data.mdb"


def test_a_free_list_of_many_pages_and_records_is_read(roomy):
    fd = os.open(roomy, os.O_RDONLY)
    tree = Tree.load(fd)
    assert tree.meta.free.depth > 1
    assert tree.meta.free.overflow_pages
    check_free_pages(fd, tree)
    root = tree.meta.free.root * PAGE
    first = slots(os.pread(fd, PAGE, root))[0]
    for offset, new in ((10, U16.pack(LEAF)), (16, U16.pack(4)), (first, U32.pack(1))):
        old = os.pread(fd, len(new), root + offset)
        write(roomy, root + offset, new)
        with pytest.raises(BadPage):
            check_free_pages(fd, tree)
        write(roomy, root + offset, old)
    check_free_pages(fd, tree)
    os.close(fd)
    store = LmdbStore(roomy.parent, writable=True)
    append(store, 10, random.Random(1))
    assert store.verify_chain() == store.head
    store.close()


# --- the length of the file -----------------------------------------------------------------------


def test_a_file_may_end_before_pages_that_are_free_and_no_others(file, fd, tree, monkeypatch):
    last = tree.meta.page_last
    monkeypatch.setattr(freelist, "_read_list", lambda *_: (set(), [last, last - 1]))
    for cut in range(3):
        os.truncate(file, (last + 1 - cut) * PAGE)
        check_length(fd, tree)
    os.truncate(file, (last - 1) * PAGE - 1)
    with pytest.raises(BadPage):
        check_length(fd, tree)


def test_a_file_that_lost_an_old_page_is_refused_when_it_is_opened(file, fd):
    """The pages that opening reads may all stand before the cut."""
    writer = LmdbStore(file.parent, writable=True)
    for _ in range(100):
        append(writer, 1, random.Random(1))
        tree = Tree.load(fd)
        used = max(set().union(*pages_in_use(fd, tree).values()))
        if used not in {*tree.branches, *tree.parents, tree._last_page} and used > tree.meta.free.root:
            break
    else:
        raise AssertionError("the right edge never moved away from the end")
    writer.close()
    os.truncate(file, used * PAGE)
    Tree.load(fd)
    with pytest.raises(JournalDamaged) as caught:
        LmdbStore(file.parent, writable=False)
    assert caught.value.facts["seq"] < tree.size


def test_a_tree_that_was_closed_reads_nothing(fd, tree):
    tree.close()
    with pytest.raises(BadPage):
        tree.read(0)


def test_a_flipped_bit_of_the_kind_of_a_page_is_seen(file, fd, tree):
    flip(file, tree.parents[0] * PAGE + 10, 1)
    with pytest.raises(BadPage):
        Tree.load(fd)
