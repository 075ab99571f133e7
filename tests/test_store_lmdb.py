"""What the LMDB store owes besides being a store: room, locks, forks, live readers, private files."""

import errno
import json
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

import lmdb
import pytest
from lmdb.verify import verify as lmdb_verify
from splittally.core.errors import DiskFull, JournalDamaged, KernelStopped, NoWorld, WorldError, WorldLocked
from splittally.core.limits import MAP_BYTES_MAX
from splittally.journal import disk
from splittally.journal.frame import Head, seal
from splittally.journal.lmdb import LmdbStore
from splittally.journal.store import Conflict, Unknown

from tests.failing_calls import library
from tests.journal_damage import append, chain_head

KERNEL = Path(__file__).parent.parent / "kernel"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "journal"


def filled(folder, count=20, seed=1):
    store = LmdbStore(folder, writable=True)
    append(store, count, random.Random(seed))
    return store


def run(code, *args):
    """A fresh process that runs `code` with the kernel and these tests on its path."""
    env = os.environ | {"PYTHONPATH": f"{KERNEL}:{KERNEL.parent}"}
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, args)], env=env, capture_output=True, text=True
    )


# --- the file -------------------------------------------------------------------------------------


def test_a_journal_is_private_to_its_owner(folder):
    filled(folder).close()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [path.name for path in folder.iterdir()] == ["data.mdb"]
    assert stat.S_IMODE((folder / "data.mdb").stat().st_mode) == 0o600


def test_lmdb_reads_what_the_store_wrote_and_calls_it_sound(folder):
    """The reader of pages and liblmdb agree on every value, after many commits of many sizes."""
    chance = random.Random(4)
    store = LmdbStore(folder, writable=True, map_bytes=1 << 20)
    for _ in range(150):
        append(store, chance.choice([1, 2, 7, 64]), chance)
    ours = [kept + data for kept, data in store.entries(0, store.head.size)]
    store.close()
    env = lmdb.open(str(folder), readonly=True, lock=False)
    with env.begin() as txn:
        theirs = list(txn.cursor())
    env.close()
    assert theirs == [(seq.to_bytes(8), value) for seq, value in enumerate(ours)]
    assert lmdb_verify(str(folder)) == []


def test_the_format_does_not_depend_on_the_surroundings(folder, monkeypatch):
    """The binding bundles two engines, and a variable of the environment chooses one for new files."""
    monkeypatch.setenv("LMDB_DEFAULT_LIB_VERSION", "1")
    result = run(
        "import random, sys\n"
        "from splittally.journal.lmdb import LmdbStore\n"
        "from tests.journal_damage import append\n"
        "append(LmdbStore(sys.argv[1], writable=True), 5, random.Random(1))\n",
        folder,
    )
    assert result.returncode == 0, result.stderr
    store = LmdbStore(folder, writable=True)
    assert chain_head(store).size == 5
    assert store._env.lib_version()[:2] == (0, 9)
    store.close()


def test_every_commit_is_synced(folder):
    store = LmdbStore(folder, writable=True)
    flags = store._env.flags()
    assert (flags["sync"], flags["metasync"], flags["writemap"], flags["map_async"]) == (
        True,
        True,
        False,
        False,
    )
    store.close()


def test_without_a_world_there_is_nothing_to_read(tmp_path):
    with pytest.raises(NoWorld):
        LmdbStore(tmp_path / "journal", writable=False)
    with pytest.raises(NoWorld):
        LmdbStore(tmp_path / "no" / "journal", writable=True)


def test_a_deleted_journal_file_is_damage_and_never_a_new_world(folder):
    filled(folder).close()
    (folder / "data.mdb").unlink()
    for writable in (True, False):
        with pytest.raises(JournalDamaged) as caught:
            LmdbStore(folder, writable)
        assert caught.value.facts["seq"] == 0


@pytest.mark.parametrize("number", [errno.EACCES, errno.EMFILE, errno.EIO])
def test_a_file_that_the_system_does_not_open_is_no_damage(folder, monkeypatch, number):
    filled(folder).close()

    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(WorldError, match=os.strerror(number)):
        LmdbStore(folder, writable=False)


def test_a_journal_that_cannot_be_made_is_a_typed_error(folder, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(WorldError, match="Read-only"):
        LmdbStore(folder, writable=True)


def test_a_creation_that_was_cut_off_is_done_again(folder):
    unfinished = folder.with_name("journal.new")
    unfinished.mkdir()
    (unfinished / "data.mdb").write_bytes(b"half")
    filled(folder).close()
    assert not unfinished.exists()


def test_large_frames_and_many_frames_are_read_back_after_they_left_memory(folder, monkeypatch):
    monkeypatch.setattr("splittally.journal.lmdb.store.FRESH_BYTES_MAX", 1 << 16)
    store = LmdbStore(folder, writable=True, map_bytes=1 << 16)
    large = seal(0, bytes(32), [bytes(1 << 16)])
    store.append(store.head, [large])
    assert not store._fresh
    for _ in range(22):
        append(store, 50, random.Random(2))
    assert store.read(0) == large.data
    assert sum(len(frame.data) for frame in store._fresh.values()) <= 1 << 16
    assert chain_head(store) == store.head
    assert [store.verified(seq)[1][0] for seq in (1, 700, store.head.size - 1)] == [
        1,
        700,
        store.head.size - 1,
    ]
    store.close()
    reader = LmdbStore(folder, writable=False)
    assert reader.read(0) == large.data
    reader.close()


# --- room -----------------------------------------------------------------------------------------


def test_a_full_map_grows(folder):
    store = LmdbStore(folder, writable=True, map_bytes=1 << 16)
    for _ in range(8):
        append(store, 64, random.Random(1))
    assert store._env.info()["map_size"] > 1 << 16
    assert chain_head(store) == store.head
    store.close()


def test_a_map_that_may_not_grow_refuses_and_writes_nothing(folder, monkeypatch):
    store = LmdbStore(folder, writable=True, map_bytes=1 << 16)
    head = append(store, 20, random.Random(1))
    monkeypatch.setattr("splittally.journal.lmdb.store.MAP_BYTES_MAX", 1 << 16)
    with pytest.raises(DiskFull):
        append(store, 200, random.Random(1))
    assert store.head == head
    monkeypatch.setattr("splittally.journal.lmdb.store.MAP_BYTES_MAX", MAP_BYTES_MAX)
    append(store, 200, random.Random(1))
    assert chain_head(store) == store.head
    store.close()


def test_a_disk_without_room_refuses_before_anything_is_written(folder, monkeypatch):
    store = filled(folder)
    head = store.head
    monkeypatch.setattr(disk, "has_room", lambda path, size: False)
    with pytest.raises(DiskFull):
        append(store, 1, random.Random(1))
    with pytest.raises(DiskFull):
        LmdbStore(folder.with_name("other"), writable=True)
    monkeypatch.undo()
    assert append(store, 1, random.Random(1)).size == head.size + 1
    store.close()


SMALL_FILES = """
import random, resource, sys
from splittally.core.errors import DiskFull, KernelStopped
from splittally.journal.lmdb import LmdbStore
from tests.journal_damage import append
store = LmdbStore(sys.argv[1], writable=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
head = store.head
try:
    while True:
        head = append(store, 8, random.Random(1))
except DiskFull as error:
    print(head.size, error)
try:
    append(store, 8, random.Random(1))
except KernelStopped:
    print("stopped")
"""


def test_a_commit_that_the_system_refuses_stops_the_store_and_loses_nothing(folder):
    result = run(SMALL_FILES, folder)
    assert result.returncode == 0, result.stderr
    told, stopped = result.stdout.splitlines()
    assert stopped == "stopped"
    assert "disk is full" in told
    store = LmdbStore(folder, writable=True)
    assert chain_head(store).size == int(told.split()[0])
    append(store, 8, random.Random(1))
    store.close()


FILL = """
import random, sys
from splittally.core.errors import DiskFull
from splittally.journal.lmdb import LmdbStore
from tests.journal_damage import append
try:
    store = LmdbStore(sys.argv[1], writable=True)
    while True:
        append(store, 8, random.Random(1))
except DiskFull as error:
    print("full")
"""


BALLAST = """
import sys
try:
    with open(sys.argv[1], "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
except OSError as error:
    print(error.strerror)
"""
SMALL_DISK_BYTES = 2 << 20


def mount(path):
    """Whether a small disk could be mounted here, which takes the right to."""
    options = f"size={SMALL_DISK_BYTES}"
    return not subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], capture_output=True
    ).returncode


def may_mount():
    with TemporaryDirectory() as path:
        return mount(path) and not subprocess.run(["umount", path]).returncode


# One that is told of to the program (`small_disk.c`), and where this may be mounted, a real one.
@pytest.fixture(params=["told", "mounted"] if may_mount() else ["told"])
def small_disk(request, tmp_path, monkeypatch):
    path = tmp_path / "small"
    path.mkdir()
    if request.param == "mounted":
        assert mount(path)
        yield path
        subprocess.run(["umount", path], check=True)
        return
    monkeypatch.setenv("LD_PRELOAD", str(library(tmp_path, Path(__file__).parent / "small_disk.c")))
    monkeypatch.setenv("SMALL_DISK", str(path))
    monkeypatch.setenv("SMALL_DISK_BYTES", str(SMALL_DISK_BYTES))
    yield path


def test_a_small_disk_fills_without_a_signal_and_can_be_read_and_resumed(small_disk):
    folder = small_disk / "journal"
    assert run(FILL, folder).stdout == "full\n"
    ballast = small_disk / "ballast"
    assert run(BALLAST, ballast).stdout == "No space left on device\n"
    reader = LmdbStore(folder, writable=False)
    size = chain_head(reader).size
    reader.close()
    assert size > 100
    assert run(FILL, folder).stdout == "full\n"  # it cannot even be opened for writing
    assert run(FILL, small_disk / "other").stdout == "full\n"
    ballast.unlink()
    store = LmdbStore(folder, writable=True)
    assert append(store, 1, random.Random(1)).size == size + 1
    store.close()


def test_a_disk_that_fills_inside_a_commit_loses_nothing(small_disk):
    """The check before a commit can be overtaken by another program; then LMDB itself meets the end."""
    folder = small_disk / "journal"
    blind = FILL.replace(
        "try:", "from splittally.journal import disk\ndisk.refuse_full = lambda *_: None\ntry:", 1
    )
    result = run(blind, folder)
    assert (result.stdout, result.returncode) == ("full\n", 0), result.stderr
    reader = LmdbStore(folder, writable=False)
    assert chain_head(reader).size > 100
    reader.close()


# --- one writer, many readers ---------------------------------------------------------------------


@pytest.mark.parametrize("other", ["same", "relative", "link"])
def test_a_journal_is_opened_for_writing_once(folder, other, tmp_path, monkeypatch):
    store = filled(folder)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(folder)
    path = {"same": folder, "relative": Path("journal"), "link": Path("link")}[other]
    with pytest.raises(WorldLocked):
        LmdbStore(path, writable=True)
    append(store, 1, random.Random(1))
    store.close()
    LmdbStore(path, writable=True).close()


def test_another_process_cannot_write_while_one_does(folder):
    store = filled(folder)
    code = "import sys; from splittally.journal.lmdb import LmdbStore; LmdbStore(sys.argv[1], writable=True)"
    assert "WorldLocked" in run(code, folder).stderr
    store.close()
    assert run(code, folder).returncode == 0


READ_ON = """
import sys
from splittally.journal.lmdb import LmdbStore
from tests.journal_damage import chain_head
store = LmdbStore(sys.argv[1], writable=False)
last = store.head
rounds = 0
print("ready", flush=True)
while last.size < int(sys.argv[2]):
    head = store.refresh()
    assert chain_head(store, last) == head
    assert chain_head(store).size == head.size
    store.verify_pages()
    last = head
    rounds += 1
print(rounds)
"""


def test_readers_follow_a_running_writer_and_see_only_whole_commits(folder):
    store = LmdbStore(folder, writable=True)
    total = 3_000
    env = os.environ | {"PYTHONPATH": f"{KERNEL}:{KERNEL.parent}"}
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", READ_ON, folder, str(total)], env=env, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    assert [reader.stdout.readline() for reader in readers] == ["ready\n"] * 2
    chance = random.Random(3)
    while store.head.size < total:
        append(store, chance.choice([1, 5, 20]), chance)
    for reader in readers:
        assert int(reader.communicate(timeout=50)[0]) > 0
        assert reader.returncode == 0
    store.close()


def test_a_reader_keeps_its_view_until_it_refreshes(folder):
    store = filled(folder, 30)
    reader = LmdbStore(folder, writable=False)
    before = list(reader.scan())
    for _ in range(50):
        append(store, 9, random.Random(5))
    assert list(reader.scan()) == before
    assert [reader.verified(seq)[1][0] for seq in range(30)] == list(range(30))
    assert chain_head(reader).size == 30
    assert reader.refresh() == store.head
    assert list(reader.scan())[:30] == before
    reader.close()
    store.close()


def test_a_reader_sees_that_a_journal_lost_frames(folder, tmp_path):
    store = filled(folder, 30)
    shutil.copy(folder / "data.mdb", tmp_path / "yesterday.mdb")
    append(store, 5, random.Random(5))
    store.close()
    reader = LmdbStore(folder, writable=False)
    (folder / "data.mdb").write_bytes((tmp_path / "yesterday.mdb").read_bytes())
    with pytest.raises(JournalDamaged) as caught:
        reader.refresh()
    assert caught.value.facts["seq"] == 30
    reader.close()


def test_a_reader_sees_that_a_journal_was_replaced(folder, tmp_path):
    filled(folder).close()
    reader = LmdbStore(folder, writable=False)
    before = (folder / "data.mdb").read_bytes()
    filled(tmp_path / "other", 40, seed=8).close()
    (folder / "data.mdb").write_bytes((tmp_path / "other" / "data.mdb").read_bytes())
    with pytest.raises(JournalDamaged) as caught:
        reader.refresh()
    assert caught.value.facts["seq"] == 19
    (folder / "new").write_bytes(before)
    (folder / "new").rename(folder / "data.mdb")
    with pytest.raises(KernelStopped):
        reader.refresh()
    reader.close()


def test_a_journal_is_read_from_a_medium_that_cannot_be_written(folder):
    filled(folder).close()
    os.chmod(folder / "data.mdb", 0o400)
    os.chmod(folder, 0o500)
    names = sorted(os.listdir(folder))
    reader = LmdbStore(folder, writable=False)
    assert chain_head(reader).size == 20
    reader.close()
    assert sorted(os.listdir(folder)) == names
    os.chmod(folder, 0o700)


def test_a_reader_cannot_append(folder):
    filled(folder).close()
    reader = LmdbStore(folder, writable=False)
    with pytest.raises(KernelStopped):
        append(reader, 1, random.Random(1))
    reader.close()


def test_one_thread_reads_while_another_commits(folder):
    """The kernel may sync a group in a thread of its own and read back older frames meanwhile."""
    store = filled(folder, 50)
    failed = []

    def read():
        chance = random.Random(9)
        try:
            while store.head.size < 3_000:
                size = store.head.size
                seq = chance.randrange(size)
                assert store.verified(seq)[1][0] == seq
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    while store.head.size < 3_000:
        append(store, 20, random.Random(5))
    thread.join()
    assert failed == []
    store.close()


# --- stopping -------------------------------------------------------------------------------------


def test_a_forked_child_can_neither_append_nor_harm(folder):
    store = filled(folder)
    child = os.fork()
    if child == 0:
        try:
            append(store, 1, random.Random(1))
        except KernelStopped:
            store.close()
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    append(store, 1, random.Random(1))
    with pytest.raises(WorldLocked):
        LmdbStore(folder, writable=True)
    assert chain_head(store).size == 21
    store.close()


ORPHAN = """
import os, random, sys, time
from splittally.journal.lmdb import LmdbStore
from tests.journal_damage import append
store = LmdbStore(sys.argv[1], writable=True)
append(store, 3, random.Random(1))
child = os.fork()
if child == 0:
    os.write(1, b"%d" % os.getpid())
    time.sleep(60)
time.sleep(60)
"""


def test_a_fork_that_outlives_its_parent_does_not_keep_the_journal(folder):
    with subprocess.Popen(
        [sys.executable, "-c", ORPHAN, folder],
        env=os.environ | {"PYTHONPATH": f"{KERNEL}:{KERNEL.parent}"},
        stdout=subprocess.PIPE,
    ) as process:
        orphan = int(os.read(process.stdout.fileno(), 20))
        process.kill()
        process.wait()
        store = LmdbStore(folder, writable=True)
        assert append(store, 1, random.Random(1)).size == 4
        store.close()
        os.kill(orphan, signal.SIGKILL)


CUT_SHORT = """
import os, sys
from splittally.journal.frame import seal
from splittally.journal.lmdb import LmdbStore
store = LmdbStore(sys.argv[1], writable=True)
store.append(store.head, [seal(20, store.head.hash, [])])
os.truncate(store.file, 12288)
print(type(store.append(store.head, [seal(21, store.head.hash, [])])).__name__)
"""


def test_a_file_that_is_cut_short_under_the_writer_stops_it_before_a_signal_does(folder):
    filled(folder).close()
    result = run(CUT_SHORT, folder)
    assert (result.stdout, result.returncode) == ("Unknown\n", 0), result.stderr


@pytest.mark.parametrize("how", ["renamed", "replaced", "deleted"])
def test_a_file_that_was_moved_away_under_the_writer_stops_it(folder, how):
    """What is written to a file without its name would be lost, and acknowledged."""
    store = filled(folder)
    if how == "renamed":
        folder.rename(folder.with_name("elsewhere"))
    elif how == "deleted":
        (folder / "data.mdb").unlink()
    else:
        shutil.copy(folder / "data.mdb", folder / "copy")
        (folder / "copy").rename(folder / "data.mdb")
    head = store.head
    assert isinstance(store.append(head, [seal(20, head.hash, [])]), Unknown)
    with pytest.raises(KernelStopped):
        store.append(head, [seal(20, head.hash, [])])
    assert store.verified(3)[1][0] == 3
    store.close()


def test_a_writer_whose_file_was_put_back_to_yesterday_reads_no_frame_of_it(folder, monkeypatch):
    monkeypatch.setattr("splittally.journal.lmdb.store.FRESH_BYTES_MAX", 0)  # nothing is kept in memory
    store = filled(folder)
    yesterday = (folder / "data.mdb").read_bytes()
    append(store, 40, random.Random(2))
    (folder / "data.mdb").write_bytes(yesterday)
    for read in (lambda: store.entry(50), lambda: store.verified(19), lambda: list(store.scan())):
        with pytest.raises(JournalDamaged):
            read()
    store.close()


class FailingTransactions:
    """An environment whose commits fail: the shape of an I/O error at fdatasync."""

    def __init__(self, env, error):
        self._env, self._error = env, error

    def begin(self, write):
        raise self._error

    def __getattr__(self, name):
        return getattr(self._env, name)


def test_after_a_failed_commit_nothing_more_is_written(folder):
    store = filled(folder)
    env, head = store._env, store.head
    store._env = FailingTransactions(env, lmdb.Error("mdb_txn_commit: Input/output error"))
    assert store.append(head, [seal(20, head.hash, [])]) == Unknown(
        "a commit failed (mdb_txn_commit: Input/output error)"
    )
    store._env = env
    with pytest.raises(KernelStopped):
        store.append(head, [seal(20, head.hash, [])])
    store.close()
    store = LmdbStore(folder, writable=True)
    assert store.head == head
    store.close()


def test_frames_that_another_wrote_behind_our_back_stop_the_store(folder):
    """A tool that ignores the lock: nothing of ours goes on top of it."""
    store = filled(folder)
    with store._env.begin(write=True) as txn:
        txn.put((20).to_bytes(8), b"foreign")
    head = store.head
    assert isinstance(store.append(head, [seal(20, head.hash, [])]), Unknown)
    store.close()
    with pytest.raises(JournalDamaged) as caught:
        LmdbStore(folder, writable=True)
    assert caught.value.facts["seq"] == 20


def test_frames_that_lmdb_leaves_out_without_a_word_stop_the_store(folder, monkeypatch):
    """A put with `append` whose key is not the greatest writes nothing and raises nothing."""
    store = filled(folder)
    with store._env.begin(write=True) as txn:
        txn.put((21).to_bytes(8), b"foreign")
    monkeypatch.setattr(LmdbStore, "_is_at_head", lambda *_: True)
    head = store.head
    first = seal(20, head.hash, [])
    assert isinstance(store.append(head, [first, seal(21, first.hash, [])]), Unknown)
    store.close()


def test_the_name_of_a_new_journal_lasts(folder, monkeypatch):
    synced = []
    monkeypatch.setattr(disk, "sync", synced.append)
    LmdbStore(folder, writable=True).close()
    unfinished = folder.with_name("journal.new")
    assert synced == [unfinished / "data.mdb", unfinished, folder.parent]


def test_a_stale_head_is_a_conflict_and_the_store_goes_on(folder):
    store = filled(folder)
    assert store.append(Head(19, bytes(32)), [seal(19, bytes(32), [])]) == Conflict(store.head)
    append(store, 1, random.Random(1))
    store.close()


def test_an_address_space_too_small_is_a_typed_error(folder):
    filled(folder).close()
    code = (
        "import json, resource, sys\n"
        "from splittally.core.errors import WorldError\n"
        "from splittally.journal.lmdb import LmdbStore\n"
        "resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))\n"
        "try: LmdbStore(sys.argv[1], writable=True)\n"
        "except WorldError as error: print(json.dumps(error.code))\n"
    )
    result = run(code, folder)
    assert json.loads(result.stdout or "null") == "stopped", result.stderr
