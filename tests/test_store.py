"""Both stores answer alike: the memory store is the definition, LMDB is compared with it step by step."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from splittally.core.errors import JournalDamaged, KernelStopped
from splittally.journal.frame import EMPTY, Frame, Head, open_frame, seal
from splittally.journal.lmdb import LmdbStore
from splittally.journal.memory import MemoryStore
from splittally.journal.store import Conflict

from tests.journal_damage import chain_head

atoms = st.one_of(
    st.none(), st.booleans(), st.integers(0, 2**64 - 1), st.text(max_size=8), st.binary(max_size=40)
)
bodies = st.lists(atoms | st.lists(atoms, max_size=3), max_size=6)
sizes = st.sampled_from([0, 0, 0, 400, 1_900, 2_100, 4_080, 9_000, 70_000])


def sealed(head: Head, contents: list[list[object]]) -> list[Frame]:
    frames, prev = [], head.hash
    for seq, body in enumerate(contents, head.size):
        frame = seal(seq, prev, body)
        frames.append(frame)
        prev = frame.hash
    return frames


class Stores(RuleBasedStateMachine):
    """Every step is taken by both stores, and their answers must be equal."""

    @initialize()
    def create(self):
        self.folder = Path(tempfile.mkdtemp(prefix="store-"))
        self.model = MemoryStore()
        self.disk = LmdbStore(self.folder / "journal", writable=True, map_bytes=1 << 16)
        self.reader = LmdbStore(self.folder / "journal", writable=False)

    def teardown(self):
        if hasattr(self, "folder"):
            self.disk.close()
            self.reader.close()
            shutil.rmtree(self.folder)

    def both(self, do):
        answers = []
        for store in (self.model, self.disk):
            try:
                answers.append(do(store))
            except JournalDamaged as error:
                answers.append((type(error), error.facts))
        assert answers[0] == answers[1]
        return answers[0]

    @rule(contents=st.lists(st.tuples(bodies, sizes), max_size=9), repeat=st.integers(1, 12))
    def append(self, contents, repeat):
        frames = sealed(self.model.head, [[*body, bytes(size)] for body, size in contents] * repeat)
        head = self.both(lambda store: store.append(store.head, frames))
        assert head == self.model.head
        if frames:
            assert head == (frames[-1].seq + 1, frames[-1].hash)

    @precondition(lambda self: self.model.head.size)
    @rule(back=st.integers(1, 5))
    def append_after_another_head(self, back):
        size = max(self.model.head.size - back, 0)
        stale = Head(size, self.model.entry(size - 1)[0]) if size else EMPTY
        frames = sealed(stale, [[1]])
        assert self.both(lambda store: store.append(stale, frames)) == Conflict(self.model.head)

    @rule(data=st.data())
    def read(self, data):
        seq = data.draw(st.integers(0, self.model.head.size + 2))
        self.both(lambda store: store.entry(seq))
        self.both(lambda store: store.read(seq))
        self.both(lambda store: store.verified(seq))

    @rule(data=st.data())
    def scan(self, data):
        start = data.draw(st.integers(0, self.model.head.size))
        stop = data.draw(st.none() | st.integers(start, self.model.head.size + 3))
        self.both(lambda store: list(store.scan(start, stop)))

    @rule(data=st.data())
    def verify(self, data):
        size = data.draw(st.integers(0, self.model.head.size))
        start = Head(size, self.model.entry(size - 1)[0]) if size else EMPTY
        assert self.both(lambda store: chain_head(store, start)) == self.model.head

    @rule()
    def reopen(self):
        self.disk.close()
        self.disk = LmdbStore(self.folder / "journal", writable=True, map_bytes=1 << 16)

    @rule()
    def refresh_reader(self):
        assert self.reader.refresh() == self.model.head

    @invariant()
    def heads_agree(self):
        if hasattr(self, "folder"):
            assert self.disk.head == self.model.head
            seen = self.reader.head
            assert list(self.reader.scan()) == list(self.model.scan(0, seen.size))


Stores.TestCase.settings = settings(max_examples=25, stateful_step_count=30)
TestStores = Stores.TestCase


@pytest.fixture(params=["memory", "lmdb"])
def store(request, tmp_path):
    made = MemoryStore() if request.param == "memory" else LmdbStore(tmp_path / "journal", writable=True)
    yield made
    made.close()


def filled(store, count):
    store.append(store.head, sealed(store.head, [[seq, "body"] for seq in range(count)]))
    return store


def test_a_head_of_as_many_frames_and_another_hash_is_a_conflict(store):
    """Two histories of one length are two journals."""
    filled(store, 3)
    head, other = store.head, Head(3, b"x" * 32)
    assert store.append(other, sealed(other, [["mine"]])) == Conflict(head)
    assert store.head == head


@pytest.mark.req("X5-20")
def test_a_reader_that_resumes_at_its_cursor_gets_exactly_what_was_appended_since(store):
    filled(store, 700)
    seen = list(store.scan())
    filled(store, 300)
    assert [seq for seq, _ in store.scan(len(seen))] == list(range(700, 1000))
    assert seen + list(store.scan(700)) == list(store.scan())


@pytest.mark.parametrize("broken", ["gap", "behind", "foreign"])
def test_frames_that_do_not_continue_the_head_are_a_bug_of_the_caller(store, broken):
    filled(store, 3)
    frames = {
        "gap": [seal(4, store.head.hash, [])],
        "behind": [seal(2, store.entry(1)[0], [])],
        "foreign": [seal(3, bytes(32), [])],
    }[broken]
    with pytest.raises(AssertionError):
        store.append(store.head, frames)
    assert store.head.size == 3


def test_a_chain_can_be_checked_in_part(store):
    filled(store, 5_000)
    assert chain_head(store) == store.head
    assert chain_head(store, stop=4_000) == (4_000, store.entry(3_999)[0])


def test_a_verification_from_a_wrong_head_names_its_first_frame(store):
    filled(store, 10)
    with pytest.raises(JournalDamaged) as caught:
        chain_head(store, Head(4, bytes(32)))
    assert caught.value.facts["seq"] == 4


def test_a_verified_read_returns_the_hash_and_the_body(store):
    filled(store, 10)
    for seq in range(10):
        hash_, body = store.verified(seq)
        assert body == [seq, "body"]
        assert hash_ == store.entry(seq)[0]
        assert open_frame(store.read(seq))[0] == seq


def tampered(change):
    """A memory store of ten frames, one of them changed behind its back."""
    store = filled(MemoryStore(), 10)
    change(store._frames)
    return store


def put(seq, **fields):
    def change(frames):
        frames[seq] = frames[seq]._replace(**fields)

    return change


def impostor(seq, prev=None):
    """Another sound frame in the place of `seq`."""

    def change(frames):
        frames[seq] = seal(seq, frames[seq - 1].hash if prev is None else prev, ["impostor"])

    return change


@pytest.mark.parametrize(
    ("change", "bad"),
    [
        (put(4, data=seal(4, bytes(32), ["rot"]).data), 4),
        (put(4, hash=bytes(32)), 4),
        (put(9, data=seal(9, bytes(32), ["rot"]).data), 9),
        (put(9, hash=bytes(32)), 9),
        (impostor(4), 4),
        (impostor(4, bytes(32)), 4),
        (impostor(9), 9),
        (impostor(0, bytes(32)), 0),
        (lambda frames: frames.__setitem__(4, frames[5]), 4),
        (lambda frames: frames.__setitem__(5, frames[4]), 5),
    ],
)
def test_the_bad_frame_is_named_by_the_chain_and_by_reading_it(change, bad):
    store = tampered(change)
    with pytest.raises(JournalDamaged) as caught:
        chain_head(store)
    assert caught.value.facts["seq"] == bad
    with pytest.raises(JournalDamaged) as caught:
        store.verified(bad)
    assert caught.value.facts["seq"] == bad
    with pytest.raises(JournalDamaged):
        [store.verified(seq) for seq in range(10)]
    good = [seq for seq in range(10) if seq not in (bad - 1, bad)]
    assert [store.verified(seq)[1] for seq in good] == [[seq, "body"] for seq in good]


def test_a_closed_store_neither_reads_nor_writes(store):
    filled(store, 2)
    head = store.head
    store.close()
    store.close()
    with pytest.raises(KernelStopped):
        store.append(head, sealed(head, [[1]]))
    with pytest.raises(KernelStopped):
        store.verified(0)
    with pytest.raises(KernelStopped):
        list(store.scan())
