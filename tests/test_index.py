"""The index is a projection: whatever happens to its files, every key is found in its frames."""

import os
import random
import shutil
import tempfile
from contextlib import nullcontext, suppress
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from splittally.core.errors import DiskFull, WorldError
from splittally.journal import index as index_module
from splittally.journal import runs as runs_module
from splittally.journal.frame import Head, seal
from splittally.journal.index import Index
from splittally.journal.memory import MemoryStore

WHOLE = index_module.HELD_BYTES_MAX


def key_of(n):
    return blake3(n.to_bytes(8)).digest()


def grow(store, count):
    for _ in range(count):
        store.append(store.head, [seal(store.head.size, store.head.hash, [])])


class IndexMachine(RuleBasedStateMachine):
    """A dictionary says what the index must answer, through flushes, merges, reopening and damage."""

    @initialize()
    def create(self):
        self.folder = Path(tempfile.mkdtemp(prefix="index-"))
        self.store = MemoryStore()
        self.model = {}
        self.rows = []  # the keys of each frame, which is what is read again
        self.index = Index(self.folder / "index")
        assert self.index.open(self.store) == 0

    def teardown(self):
        if hasattr(self, "folder"):
            self.index.close()
            shutil.rmtree(self.folder)

    @rule(frames=st.lists(st.lists(st.integers(0, 40), max_size=3, unique=True), min_size=1, max_size=30))
    def record(self, frames):
        for numbers in frames:
            seq = self.store.head.size
            grow(self.store, 1)
            self.rows.append([key_of(n) for n in numbers])
            for key in self.rows[seq]:
                self.index.put(key, seq)
                self.model.setdefault(key, []).append(seq)

    @rule()
    def flush(self):
        self.index.flush(self.store.head)
        self.index.remove_others()
        assert self.index.size_in_memory == 0
        sizes = [run.rows for run in self.index._runs]
        assert all(left >= 2 * right for left, right in pairwise(sizes))

    @rule(how=st.sampled_from(["nothing", "flip", "cut", "lose", "foreign", "half"]), data=st.data())
    def reopen(self, how, data):
        self.index.close()
        files = sorted((self.folder / "index").glob("*.run"))
        hurt = self.hurt(data.draw(st.sampled_from(files)), how, data) if files and how != "nothing" else None
        self.index = Index(self.folder / "index")
        start = self.index.open(self.store)
        self.index.remove_others()
        if hurt is not None:
            assert start <= int(hurt.stem.split("-")[0], 16)
            assert (how == "lose") != bool(self.index.repairs)
        else:
            assert self.index.repairs == []
        for seq in range(start, self.store.head.size):
            for key in self.rows[seq]:
                self.index.put(key, seq)

    def hurt(self, file, how, data):
        size = file.stat().st_size
        if how == "lose":
            file.unlink()
        elif how == "cut":
            os.truncate(file, data.draw(st.integers(0, size - 1)))
        elif how == "half":
            file.with_suffix(".new").write_bytes(b"half")
            return None
        elif how == "flip":
            content = bytearray(file.read_bytes())
            content[data.draw(st.integers(0, size - 1))] ^= 1 << data.draw(st.integers(0, 7))
            file.write_bytes(content)
        else:
            other = MemoryStore()
            other.append(other.head, [seal(0, other.head.hash, ["another journal"])])
            run = runs_module.Run(file)
            cover = run.cover._replace(hash=other.head.hash)
            rows = [run.rows_of(n) for n in range(256)]
            run.close()
            runs_module.write_run(file.parent, cover, sum(map(len, rows)), rows).close()
        return file

    @invariant()
    def every_key_is_found(self):
        if hasattr(self, "folder"):
            for n in range(42):
                assert self.index.seqs(key_of(n)) == tuple(self.model.get(key_of(n), ()))


IndexMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=25)
TestIndexMachine = IndexMachine.TestCase


@pytest.fixture
def store():
    made = MemoryStore()
    grow(made, 100)
    return made


def test_an_index_without_a_folder_keeps_everything_in_memory(store):
    index = Index(None)
    assert index.open(store) == 0
    index.put(key_of(1), 3)
    index.put(key_of(1), 7)
    index.flush(store.head)
    assert (index.seqs(key_of(1)), index.size_in_memory) == ((3, 7), 2)


def test_frames_without_rows_are_covered_too_so_they_are_not_read_again(store, tmp_path):
    index = Index(tmp_path / "index")
    index.open(store)
    index.flush(store.head)
    index.close()
    assert Index(tmp_path / "index").open(store) == store.head.size


def test_runs_of_a_journal_that_was_rolled_back_are_dropped(store, tmp_path):
    index = Index(tmp_path / "index")
    index.put(key_of(1), 99)
    index.flush(store.head)
    index.close()
    shorter = MemoryStore()
    grow(shorter, 50)
    index = Index(tmp_path / "index")
    assert index.open(shorter) == 0
    assert len(index.repairs) == 1
    assert index.seqs(key_of(1)) == ()


def test_an_index_opened_for_reading_changes_nothing_on_disk(store, tmp_path):
    index = Index(tmp_path / "index")
    index.put(key_of(1), 1)
    index.flush(store.head)
    index.close()
    (run,) = (tmp_path / "index").iterdir()
    run.write_bytes(run.read_bytes()[:-1])
    (tmp_path / "index" / "0.new").write_bytes(b"")
    before = sorted((tmp_path / "index").iterdir())
    index = Index(tmp_path / "index", writable=False)
    assert index.open(store) == 0
    index.remove_others()
    index.put(key_of(1), 1)
    index.flush(store.head)
    assert index.seqs(key_of(1)) == (1,)
    assert sorted((tmp_path / "index").iterdir()) == before
    nothing = Index(tmp_path / "nothing", writable=False)
    assert nothing.open(store) == 0
    assert not (tmp_path / "nothing").exists()


def test_a_merge_that_was_cut_off_before_the_old_runs_went_is_taken_up(store, tmp_path):
    folder = tmp_path / "index"
    index = Index(folder)
    for seq in range(40):
        index.put(key_of(seq), seq)
    index.flush(Head(40, store.entry(39)[0]))
    old = {path.name: path.read_bytes() for path in folder.iterdir()}
    for seq in range(40, 100):
        index.put(key_of(seq), seq)
    index.flush(store.head)
    index.remove_others()
    index.close()
    assert len(list(folder.iterdir())) == 1
    for name, content in old.items():
        (folder / name).write_bytes(content)
    index = Index(folder)
    assert index.open(store) == 100
    index.remove_others()
    assert index.repairs == []
    assert [index.seqs(key_of(seq)) for seq in range(100)] == [(seq,) for seq in range(100)]
    assert len(list(folder.iterdir())) == 1
    index.close()


def test_keys_that_share_their_first_bytes_are_told_apart(store, tmp_path):
    """Nobody promises that keys are spread evenly: an attacker may choose them."""
    chance = random.Random(1)
    keys = [b"same" * 7 + chance.randbytes(4) for _ in range(300)] + [bytes(32), b"\xff" * 32]
    index = Index(tmp_path / "index")
    for n, key in enumerate(keys):
        index.put(key, n % 100)
    index.flush(store.head)
    assert all(index.seqs(key) == (n % 100,) for n, key in enumerate(keys))
    assert index.seqs(b"same" * 7 + b"none") == ()


def test_of_many_keys_in_merged_runs_each_is_found_in_all_its_frames(store, tmp_path):
    """So many that several share a first byte, and stand in several of the runs that are merged."""
    index = Index(tmp_path / "index")
    for seq in range(100):
        for n in range(seq % 7, 700, 7):
            index.put(key_of(n), seq)
        if seq % 20 == 19:
            index.flush(Head(seq + 1, store.entry(seq)[0]))
    assert index.size_in_memory == 0
    for n in range(700):
        assert index.seqs(key_of(n)) == tuple(range(n % 7, 100, 7))


def test_bytes_of_a_key_that_straddle_two_rows_are_not_a_row(store, tmp_path):
    """Rows lie side by side, so the end of one and the beginning of the next can spell a third key."""
    first, second = b"a" * 32, b"a" * 8 + b"b" * 24
    ghost = (first + (7).to_bytes(8) + second)[20:52]
    index = Index(tmp_path / "index")
    index.put(first, 7)
    index.put(second, 8)
    index.flush(store.head)
    (run,) = index._runs
    assert run.find_held(ghost, 0, 2) == ()
    assert run.find_held(second, 0, 2) == (8,)


@given(data=st.data(), held_bytes=st.sampled_from([0, 3_000, WHOLE]))
def test_a_run_that_is_hurt_while_it_is_open_is_an_error_of_the_look_up_and_no_signal(data, held_bytes):
    """A page of a map that the file does not have any more ends the process; no look-up may."""
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_module, "HELD_BYTES_MAX", held_bytes)
        store = MemoryStore()
        grow(store, 60)
        index = Index(Path(folder))
        for seq in range(60):
            index.put(key_of(seq), seq)
            if seq in (39, 59):
                index.flush(Head(seq + 1, store.entry(seq)[0]))
        hurt = data.draw(st.sampled_from(sorted(Path(folder).iterdir())))
        size = hurt.stat().st_size
        is_cut = data.draw(st.booleans())
        if is_cut:
            os.truncate(hurt, data.draw(st.integers(0, size - 1)))
        else:
            hurt.write_bytes(data.draw(st.randoms()).randbytes(size))
        for seq in range(60):
            with nullcontext() if held_bytes == WHOLE else suppress(WorldError):
                assert index.seqs(key_of(seq)) == (seq,) or not (is_cut or held_bytes == WHOLE)
        index.close()
        index = Index(Path(folder))
        assert index.open(store) in (0, 40)
        assert len(index.repairs) in (1, 2)
        index.close()


def test_runs_are_not_merged_beyond_a_bound(store, tmp_path, monkeypatch):
    monkeypatch.setattr(index_module, "MERGED_ROWS_MAX", 40)
    index = Index(tmp_path / "index")
    for seq in range(100):
        index.put(key_of(seq), seq)
        if seq % 10 == 9:
            index.flush(Head(seq + 1, store.entry(seq)[0]))
    assert max(run.rows for run in index._runs) <= 40
    assert [index.seqs(key_of(seq)) for seq in range(100)] == [(seq,) for seq in range(100)]


def test_a_run_or_a_merge_that_cannot_be_written_loses_no_row(store, tmp_path, monkeypatch):
    index = Index(tmp_path / "index")
    for seq in range(100):
        index.put(key_of(seq), seq)
        if seq % 50 == 49:
            with monkeypatch.context() as patch:
                fails = iter([DiskFull("full")] if seq == 49 else [None, DiskFull("full")])

                def write(*args, fails=fails):
                    if (error := next(fails)) is not None:
                        raise error
                    return runs_module.write_run(*args)

                patch.setattr(index_module, "write_run", write)
                with pytest.raises(DiskFull) if seq == 49 else nullcontext():
                    index.flush(Head(seq + 1, store.entry(seq)[0]))
        assert [index.seqs(key_of(n)) for n in range(seq + 1)] == [(n,) for n in range(seq + 1)]
    index.put(key_of(1000), 99)
    index.flush(store.head)
    assert index.seqs(key_of(1000)) == (99,)
