"""What the system refuses is no damage, and a name that is no file keeps nobody waiting.

A disk that says EIO once, a process out of descriptors: the journal is as sound as before, and whoever is
told that it is damaged would restore an old copy over it.
"""

import errno
import fcntl
import os
import random
import shutil
import subprocess
import sys

import pytest
import splittally
from splittally.core.errors import JournalDamaged, WorldError
from splittally.journal.index import Index
from splittally.journal.lmdb import LmdbStore
from splittally.journal.lock import WriterLock
from splittally.journal.memory import MemoryStore
from splittally.journal.snapshot import Snapshots

from tests.cli_tools import run
from tests.journal_damage import append, build, frames_after

REFUSALS = [errno.EIO, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EACCES, errno.ESTALE]


class Refusing:
    """A system call that fails the n-th time, and is well before and after."""

    def __init__(self, call, at, number):
        self.call, self.left, self.number = call, at, number

    def __call__(self, *arguments, **named):
        self.left -= 1
        if self.left == 0:
            raise OSError(self.number, os.strerror(self.number))
        return self.call(*arguments, **named)


def refused_at_every_turn(monkeypatch, owner, name, number, do):
    """`do` with its n-th call of `owner.name` refused, for every n; how often it was refused."""
    for at in range(1, 200):
        refusing = Refusing(getattr(owner, name), at, number)
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, refusing)
            try:
                do()
            except WorldError as error:
                assert os.strerror(number) in str(error)  # noqa: PT017
            if refusing.left > 0:
                return at - 1
    raise AssertionError("it never ends")


@pytest.fixture
def folder(tmp_path):
    build(tmp_path / "journal")
    return tmp_path / "journal"


@pytest.mark.parametrize("number", REFUSALS)
def test_a_read_that_is_refused_is_no_damage(folder, monkeypatch, number):
    def read():
        reader = LmdbStore(folder, writable=False)
        try:
            reader.verify_pages()
            reader.refresh()
            for seq in (0, 50, reader.head.size - 1):
                reader.verified(seq)
            assert len(list(reader.scan())) == reader.head.size
        finally:
            reader.close()

    def write():
        LmdbStore(folder, writable=True).close()

    assert refused_at_every_turn(monkeypatch, os, "pread", number, read) > 40
    assert refused_at_every_turn(monkeypatch, os, "pread", number, write) > 10
    assert refused_at_every_turn(monkeypatch, os, "open", number, read) == 1
    store = LmdbStore(folder, writable=True)
    append(store, 5, random.Random(1))
    store.close()


def test_a_read_that_is_refused_while_damage_is_named_is_a_refusal(folder, monkeypatch):
    with open(folder / "data.mdb", "r+b") as file:
        file.seek(3 * 4096)
        file.write(bytes(64 * 4096))

    def read():
        with pytest.raises(JournalDamaged):
            LmdbStore(folder, writable=False)

    assert refused_at_every_turn(monkeypatch, os, "pread", errno.EIO, read) > 5


def test_a_lost_meta_page_that_cannot_be_written_is_a_refusal(folder, monkeypatch):
    with open(folder / "data.mdb", "r+b") as file:
        file.write(bytes(4096))
    size = LmdbStore(folder, writable=False).head.size
    for name in ("pwrite", "fsync"):
        assert refused_at_every_turn(
            monkeypatch, os, name, errno.EIO, lambda: LmdbStore(folder, writable=True).close()
        )
        with open(folder / "data.mdb", "r+b") as file:
            file.write(bytes(4096))
    store = LmdbStore(folder, writable=True)
    assert store.head.size == size
    store.close()


def test_a_lock_that_the_file_system_does_not_give_is_a_refusal(folder, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", Refusing(fcntl.flock, 1, errno.ENOLCK))
    with pytest.raises(WorldError, match="No locks"):
        LmdbStore(folder, writable=True)
    LmdbStore(folder, writable=True).close()
    monkeypatch.setattr(fcntl, "flock", Refusing(fcntl.flock, 1, errno.ENOLCK))
    with pytest.raises(WorldError, match="No locks"):
        WriterLock(folder.parent / "lock").acquire()


def test_the_command_line_ends_with_the_code_of_the_environment(tmp_path, monkeypatch):
    world = tmp_path / "world"
    assert run("-w", world, "init").code == 0
    monkeypatch.setattr(os, "pread", Refusing(os.pread, 5, errno.EIO))
    done = run("-w", world, "--json", "verify")
    assert (done.code, "Input/output" in done.out + done.err) == (3, True)
    assert run("-w", world, "verify").code == 0


# --- projections ----------------------------------------------------------------------------------


@pytest.fixture
def indexed(tmp_path):
    """A store, and a folder with one run of an index over it."""
    store = MemoryStore()
    store.append(store.head, frames_after(store.head, 20, random.Random(1)))
    index = Index(tmp_path / "index")
    index.open(store)
    for seq in range(20):
        index.put(store.entry(seq)[0], seq)
    index.flush(store.head)
    index.close()
    return store, tmp_path / "index"


@pytest.mark.parametrize("number", REFUSALS)
@pytest.mark.parametrize(("owner", "name"), [(os, "open"), (os, "pread")])
def test_a_run_that_the_system_does_not_read_is_kept(indexed, monkeypatch, owner, name, number):
    store, folder = indexed
    (run_file,) = folder.iterdir()

    def read():
        index = Index(folder)
        try:
            assert index.open(store) == 20
            assert index.repairs == []
        finally:
            index.close()

    assert refused_at_every_turn(monkeypatch, owner, name, number, read) >= 1
    assert run_file.exists()


@pytest.mark.parametrize("number", REFUSALS)
def test_a_snapshot_that_the_system_does_not_read_is_kept(tmp_path, monkeypatch, number):
    Snapshots(tmp_path / "s").save(5, bytes(32), bytes(32), b"state")

    def read():
        found = Snapshots(tmp_path / "s")
        assert found.latest().seq == 5
        assert found.problems() == []

    assert refused_at_every_turn(monkeypatch, os, "open", number, read) >= 1
    read()


# --- names that are no files ----------------------------------------------------------------------


def pipe(path):
    os.mkfifo(path)


def link(path):
    path.symlink_to(path.with_name("elsewhere"))


NO_FILES = {"pipe": pipe, "link": link, "folder": os.mkdir}

OPEN_AND_WRITE = """
import sys, splittally
with splittally.open(sys.argv[1]) as kernel:
    kernel.apply({"grants": {"g": {"cap": "sys/allow@1"}}})
    kernel._world.save_projections()
    print(len(kernel.repairs))
"""


@pytest.mark.parametrize("what", NO_FILES)
def test_what_stands_in_the_place_of_a_projection_keeps_nobody_waiting(tmp_path, what):
    """A pipe is opened only when somebody writes to it, which would be never."""
    world = tmp_path / "world"
    with splittally.open(world) as kernel:
        kernel.apply({"grants": {"f": {"cap": "sys/allow@1"}}})
        kernel._world.save_projections()
    (run_file,) = (world / "index").iterdir()
    (snapshot,) = (world / "snapshots").iterdir()
    for path in (run_file, snapshot):
        path.unlink()
        NO_FILES[what](path)
        NO_FILES[what](path.with_name(f"{path.name}.new"))
    env = {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", OPEN_AND_WRITE, world], env=env, capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 1
    assert run("-w", world, "log").code == 0


@pytest.mark.parametrize("what", NO_FILES)
def test_what_stands_in_the_place_of_the_lock_is_refused(tmp_path, what):
    NO_FILES[what](tmp_path / "lock")
    with pytest.raises(WorldError):
        WriterLock(tmp_path / "lock", seconds=0).acquire()


@pytest.mark.parametrize("what", NO_FILES)
def test_what_stands_in_the_place_of_the_journal_is_damage(folder, what):
    (folder / "data.mdb").rename(folder / "elsewhere")
    NO_FILES[what](folder / "data.mdb")
    for writable in (False, True):
        with pytest.raises(JournalDamaged) as caught:
            LmdbStore(folder, writable)
        assert caught.value.facts["seq"] == 0


# --- what a crash leaves --------------------------------------------------------------------------


def test_what_a_crash_left_half_written_is_removed_by_the_next_writer_and_by_nobody_else(tmp_path):
    world = tmp_path / "world"
    with splittally.open(world) as kernel:
        kernel._world.save_projections()
    left = [world / "snapshots" / f"{9:020d}.snapshot.new", world / "index" / "0-9.run.new"]
    for path in left:
        path.write_bytes(b"half")
    assert run("-w", world, "log").code == 0
    assert all(path.exists() for path in left)
    shutil.copy(left[0], world / "snapshots" / "notes.new")
    with splittally.open(world) as kernel:
        assert kernel.repairs == ()
    assert not any(path.exists() for path in left)
    assert (world / "snapshots" / "notes.new").exists()
