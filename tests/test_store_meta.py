"""One sound meta page is enough: whatever happens to the other, no acknowledged frame is lost.

A commit ends with the write of one meta page. That write can fail, tear or be lost, and either page can rot.
"""

import os
import random
import shutil
import struct
import subprocess
import sys
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import pytest
import splittally
from splittally.journal.lmdb import LmdbStore

from tests.failing_calls import library
from tests.journal_damage import append, build, chain_head, loaded, write

KERNEL = Path(__file__).parent.parent / "kernel"
PAGE = 4096
META_BYTES = 152
U16, U32, U64 = struct.Struct("=H"), struct.Struct("=I"), struct.Struct("=Q")


@pytest.fixture(scope="module")
def states(memory):
    """A journal after each of its last commits, the newest last: the bytes of its file, and its hashes."""
    folder = memory / "states"
    build(folder)
    found = []
    for seed in range(8):
        store = LmdbStore(folder, writable=True)
        append(store, (1, 30, 4)[seed % 3], random.Random(seed))
        found.append(
            ((folder / "data.mdb").read_bytes(), [kept for kept, _ in store.entries(0, store.head.size)])
        )
        store.close()
    return found


@pytest.fixture
def size_after(memory, judges, states):
    """Writes a file and says how many frames a reader and a writer find; every one must be what it was."""

    def judge(data):
        folder = memory / "judged"
        folder.mkdir(exist_ok=True)
        (folder / "data.mdb").write_bytes(data)
        code, verdict = judges.judge(folder)
        assert code == 0, verdict
        hashes = states[-1][1][: verdict["size"]]
        assert verdict["digest"] == sha256(b"".join(hashes)).hexdigest()
        return verdict["size"]

    return judge


def with_meta(data, slot, meta):
    """A file with other bytes at the beginning of one of its meta pages."""
    return data[: slot * PAGE] + meta + data[slot * PAGE + len(meta) :]


def meta_of(data, slot):
    return data[slot * PAGE : slot * PAGE + META_BYTES]


def newest_slot(data):
    return max(range(2), key=lambda slot: U64.unpack_from(meta_of(data, slot), 144))


# --- one page rots --------------------------------------------------------------------------------

FREE, MAIN = 40, 88  # where the two trees are described
FLAGS, DEPTH, ENTRIES, ROOT = 4, 6, 32, 40
FIELDS = {
    "page number": (0, U64.pack(7)),
    "page kind": (10, U16.pack(2)),
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
    "an empty tree with entries": (MAIN + ROOT, U64.pack(2**64 - 1)),
    "a free list out of range": (FREE + ROOT, U64.pack(1 << 30)),
    "the last page": (136, U64.pack(1 << 40)),
    "a transaction of the other page": (144, U64.pack(1_001)),
    "a transaction that ends all counting": (144, U64.pack(2**64 - 1)),
}


@pytest.mark.parametrize("slot", [0, 1])
@pytest.mark.parametrize("name", FIELDS)
def test_a_meta_page_with_one_impossible_field_costs_no_frame(states, size_after, name, slot):
    data, hashes = states[-1]
    offset, new = FIELDS[name]
    if name == "a transaction of the other page":
        new = U64.pack(1_001 - slot)
    meta = meta_of(data, slot)
    assert size_after(with_meta(data, slot, meta[:offset] + new + meta[offset + len(new) :])) == len(hashes)


@pytest.mark.parametrize("slot", [0, 1])
@pytest.mark.parametrize(
    "what", ["zeros", "ones", "noise", "a leaf", "the other page", "nothing of a sector"]
)
def test_a_meta_page_that_was_lost_costs_no_frame(states, size_after, what, slot):
    data, hashes = states[-1]
    lost = {
        "zeros": bytes(PAGE),
        "ones": b"\xff" * PAGE,
        "noise": random.Random(slot).randbytes(PAGE),
        "a leaf": data[9 * PAGE : 10 * PAGE],
        "the other page": data[(1 - slot) * PAGE : (2 - slot) * PAGE],
        "nothing of a sector": bytes(512),
    }[what]
    assert size_after(with_meta(data, slot, lost)) == len(hashes)


@pytest.mark.parametrize("slot", [0, 1])
def test_a_meta_page_of_long_ago_costs_no_frame(states, size_after, slot):
    """Only the page of exactly two commits ago in the place of the newest is a whole journal of yesterday."""
    data, hashes = states[-1]
    for old, _ in states[:-4]:
        stale = meta_of(old, slot)
        assert size_after(with_meta(data, slot, stale)) == len(hashes)


def test_a_changed_byte_of_a_meta_page_is_refused_or_costs_no_frame(memory, states, judges):
    """Every byte of both: the process survives it, reading and writing. Of the older page nothing counts."""
    data, hashes = states[-1]
    folder = memory / "changed"
    folder.mkdir()
    for slot in (0, 1):
        for at in range(META_BYTES):
            meta = bytearray(meta_of(data, slot))
            meta[at] ^= 0x81 if at % 2 else 0xFF
            (folder / "data.mdb").write_bytes(with_meta(data, slot, bytes(meta)))
            code, verdict = judges.judge(folder)
            if code == 0:
                assert verdict["size"] == len(hashes), (slot, at)
            else:
                assert slot == newest_slot(data), (slot, at, verdict)
                assert verdict["seq"] <= verdict["intact"]
    shutil.rmtree(folder)


@pytest.mark.parametrize("slot", [0, 1])
def test_a_meta_page_exchanged_with_any_other_page_loses_nothing_unseen(memory, states, judges, slot):
    """One misdirected write takes a meta page and a page of the last commit with it."""
    data, hashes = states[-1]
    folder = memory / "exchanged"
    folder.mkdir()
    for other in range(2, len(data) // PAGE):
        there = data[other * PAGE : (other + 1) * PAGE]
        swapped = with_meta(with_meta(data, slot, there), other, data[slot * PAGE : (slot + 1) * PAGE])
        (folder / "data.mdb").write_bytes(swapped)
        code, verdict = judges.judge(folder)
        assert verdict["size"] == len(hashes) if code == 0 else verdict["seq"] <= verdict["intact"]
    shutil.rmtree(folder)


def test_both_meta_pages_lost_is_damage_that_names_how_many_frames_are_left(states, tmp_path, judges):
    data, hashes = states[-1]
    (tmp_path / "data.mdb").write_bytes(bytes(2 * PAGE) + data[2 * PAGE :])
    code, verdict = judges.judge(tmp_path)
    assert (code, verdict["seq"], verdict["intact"]) == (1, len(hashes), len(hashes))


@pytest.mark.parametrize("slot", [0, 1])
def test_a_new_journal_that_lost_a_meta_page_is_empty_and_takes_frames(tmp_path, slot):
    LmdbStore(tmp_path / "journal", writable=True).close()
    file = tmp_path / "journal" / "data.mdb"
    write(file, slot * PAGE, bytes(PAGE))
    assert LmdbStore(file.parent, writable=False).head.size == 0
    for size in (4, 8, 12):
        store = LmdbStore(file.parent, writable=True)
        assert append(store, 4, random.Random(1)).size == size
        store.close()
        assert not loaded(file).meta.in_doubt


# --- the write of one page fails -------------------------------------------------------------------


def test_a_meta_page_that_was_torn_at_any_byte_leaves_the_state_before_or_after(states, size_after):
    """A commit that ends here was never acknowledged; it is there as a whole or not at all."""
    for (before, old), (after, new) in pairwise(states[-4:]):
        slot = newest_slot(after)
        for cut in range(0, META_BYTES, 5):
            torn = meta_of(after, slot)[:cut] + meta_of(before, slot)[cut:]
            assert size_after(with_meta(after, slot, torn)) in (len(old), len(new))


@pytest.mark.parametrize("fill", [b"\0", b"\xff", b"\x5a"])
def test_a_meta_page_that_was_torn_into_rubbish_costs_no_frame(states, size_after, fill):
    after, hashes = states[-1]
    for slot in (0, 1):
        for cut in range(0, META_BYTES, 8):
            torn = meta_of(after, slot)[:cut] + fill * (META_BYTES - cut)
            assert size_after(with_meta(after, slot, torn)) == len(hashes)


def test_the_state_that_liblmdb_leaves_after_a_failed_meta_write_is_the_one_before(states, size_after):
    """It writes the new page again with the old transaction number and the old last page."""
    for (before, old), (after, _) in pairwise(states):
        slot = newest_slot(after)
        left = meta_of(after, slot)[:136] + meta_of(before, slot)[136:]
        assert size_after(with_meta(after, slot, left)) == len(old)


SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

/* Writes of a meta page (120 bytes behind the header of page 0 or 1) from the FAIL_FROM-th on fail FAIL_TIMES
   times: with EIO, or after half of the bytes if FAIL_HALF is set. */
static ssize_t write_at(const char *name, int fd, const void *data, size_t size, off_t at) {
    static int count = 0;
    ssize_t (*real)(int, const void *, size_t, off_t) = dlsym(RTLD_NEXT, name);
    if (size < 512 && at % 4096 == 32 && at < 8192) {
        int from = atoi(getenv("FAIL_FROM"));
        count++;
        if (count >= from && count < from + atoi(getenv("FAIL_TIMES"))) {
            if (getenv("FAIL_HALF")) return real(fd, data, size / 2, at);
            errno = EIO;
            return -1;
        }
    }
    return real(fd, data, size, at);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    return write_at("pwrite", fd, data, size, at);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off_t at) {
    return write_at("pwrite64", fd, data, size, at);
}
"""

APPEND_UNTIL_IT_FAILS = """
import random, sys
from splittally.core.errors import KernelStopped
from splittally.journal.lmdb import LmdbStore
from splittally.journal.store import Unknown
from tests.journal_damage import frames_after
store = LmdbStore(sys.argv[1], writable=True)
for turn in range(12):
    answer = store.append(store.head, frames_after(store.head, 30, random.Random(turn)))
    if isinstance(answer, Unknown):
        break
    print(answer.size, flush=True)
try:
    store.append(store.head, frames_after(store.head, 30, random.Random(turn)))
except KernelStopped:
    print("stopped")
"""


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    """A library that makes writes of meta pages fail, for `LD_PRELOAD`."""
    folder = tmp_path_factory.mktemp("shim")
    (folder / "shim.c").write_text(SHIM)
    return library(folder, folder / "shim.c")


@pytest.mark.parametrize("how", ["once", "also when it is taken back", "half written"])
@pytest.mark.parametrize("at", [1, 2, 3, 4, 9])
def test_a_world_whose_meta_write_failed_once_opens_with_every_acknowledged_frame(tmp_path, shim, at, how):
    """The disk says EIO one time and is well again; before, the world was refused for good."""
    folder = tmp_path / "journal"
    LmdbStore(folder, writable=True).close()
    env = os.environ | {
        "PYTHONPATH": f"{KERNEL}:{KERNEL.parent}",
        "LD_PRELOAD": str(shim),
        "FAIL_FROM": str(at),
        "FAIL_TIMES": "1" if how == "once" else "2",
    }
    if how == "half written":
        env["FAIL_HALF"] = "1"
    done = subprocess.run(
        [sys.executable, "-c", APPEND_UNTIL_IT_FAILS, folder], env=env, capture_output=True, text=True
    )
    *acknowledged, stopped = done.stdout.split()
    assert (len(acknowledged), stopped) == (at - 1, "stopped"), done.stderr
    size = 30 * (at - 1)
    reader = LmdbStore(folder, writable=False)
    assert chain_head(reader) == reader.head
    assert reader.head.size in (size, size + 30)
    for _ in range(3):
        store = LmdbStore(folder, writable=True)
        assert store.head.size >= reader.head.size
        head = append(store, 5, random.Random(7))
        store.close()
        assert chain_head(LmdbStore(folder, writable=False)) == head
    assert reader.refresh() == head
    reader.close()


# --- mending --------------------------------------------------------------------------------------


def lost_newest(states, tmp_path):
    """A journal whose newest meta page is gone."""
    data, hashes = states[-1]
    folder = tmp_path / "lost"
    folder.mkdir()
    (folder / "data.mdb").write_bytes(with_meta(data, newest_slot(data), bytes(PAGE)))
    return folder, hashes


def test_a_reader_shows_what_was_found_and_mends_nothing(states, tmp_path):
    folder, hashes = lost_newest(states, tmp_path)
    before = (folder / "data.mdb").read_bytes()
    reader = LmdbStore(folder, writable=False)
    size = len(hashes)
    assert reader.head == (size, hashes[-1])
    assert [reader.entry(seq)[0] for seq in range(size)] == hashes
    assert [kept for kept, _ in reader.entries(0, size)] == hashes
    assert [kept for kept, _ in reader.entries(size - 2, size - 1)] == hashes[-2:-1]
    assert reader.refresh() == (size, hashes[-1])
    reader.verify_pages()
    assert "meta page" in reader.repairs[0]
    assert (folder / "data.mdb").read_bytes() == before
    writer = LmdbStore(folder, writable=True)
    assert writer.head == reader.head
    head = append(writer, 3, random.Random(1))
    assert reader.refresh() == head
    writer.close()
    reader.close()


DIES = """
import os, sys
from splittally.journal.lmdb import store
store.open_environment = lambda *_: os._exit(9)
store.LmdbStore(sys.argv[1], writable=True)
"""


def test_a_writer_that_dies_while_it_mends_loses_nothing(states, tmp_path):
    """The page made anew still says that something was lost, until the commit that brings it back."""
    folder, hashes = lost_newest(states, tmp_path)
    env = os.environ | {"PYTHONPATH": f"{KERNEL}:{KERNEL.parent}"}
    for _ in range(2):
        assert subprocess.run([sys.executable, "-c", DIES, folder], env=env).returncode == 9
        assert loaded(folder / "data.mdb").meta.in_doubt
    store = LmdbStore(folder, writable=True)
    assert chain_head(store) == (len(hashes), hashes[-1])
    store.close()
    assert not loaded(folder / "data.mdb").meta.in_doubt


def test_a_hole_in_what_was_lost_is_damage_that_names_it(states, tmp_path, judges):
    """Frames behind the hole may have been acknowledged, so going on without them would be a wrong answer."""
    folder, hashes = lost_newest(states, tmp_path)
    file = folder / "data.mdb"
    reader = LmdbStore(folder, writable=False)
    value = b"".join(reader.entry(len(hashes) - 3))
    reader.close()
    data = file.read_bytes()
    assert value in data
    file.write_bytes(data.replace(value, value[:-1] + bytes([value[-1] ^ 1])))
    code, verdict = judges.judge(folder)
    assert (code, verdict["seq"]) == (1, len(hashes) - 3)


def test_an_open_world_tells_that_a_meta_page_was_lost(tmp_path):
    with splittally.open(tmp_path / "world", clock="given") as kernel:
        assert kernel.repairs == ()
    file = tmp_path / "world" / "journal" / "data.mdb"
    write(file, (1 - loaded(file).meta.slot) * PAGE, bytes(PAGE))
    with splittally.open(tmp_path / "world") as kernel:
        assert "meta page" in kernel.repairs[0]
