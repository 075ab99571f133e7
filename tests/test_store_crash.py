"""What was acknowledged survives the end of the process and of the power; what was not is whole or absent."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from splittally.journal.frame import EMPTY, Head
from splittally.journal.index import Index
from splittally.journal.lmdb import LmdbStore
from splittally.journal.snapshot import Snapshots

from tests.journal_damage import append, build, chain_head, copy

KERNEL = Path(__file__).parent.parent / "kernel"
KILLS = 20
GROUP = 5

APPEND = """
import os, random, sys
from pathlib import Path
from splittally.journal.index import Index
from splittally.journal.lmdb import LmdbStore
from splittally.journal.snapshot import Snapshots
from tests.journal_damage import append
folder = Path(sys.argv[1])
store = LmdbStore(folder / "journal", writable=True)
index, snapshots, chance = Index(folder / "index"), Snapshots(folder / "snapshots"), random.Random(1)
for seq in range(index.open(store), store.head.size):
    index.put(store.entry(seq)[0], seq)
os.write(1, b"ready\\n")
while True:
    head = append(store, 5, chance)
    os.write(1, b"%d\\n" % head.size)
    for seq in range(head.size - 5, head.size):
        index.put(store.entry(seq)[0], seq)
    if head.size % 50 == 0:
        index.flush(head)
        snapshots.save(head.size - 1, head.hash, bytes(32), b"state" * 1000)
"""


def test_nothing_acknowledged_is_lost_when_the_writer_is_killed_at_any_moment(tmp_path):
    """The journal grows by whole groups, and index and snapshots hold only what the journal holds."""
    chance = random.Random(5)
    env = os.environ | {"PYTHONPATH": f"{KERNEL}:{KERNEL.parent}"}
    for _ in range(KILLS):
        child = subprocess.Popen([sys.executable, "-c", APPEND, tmp_path], env=env, stdout=subprocess.PIPE)
        assert child.stdout.readline() == b"ready\n"
        time.sleep(chance.uniform(0, 0.06))
        child.send_signal(signal.SIGKILL)
        told = child.communicate()[0].splitlines()
        store = LmdbStore(tmp_path / "journal", writable=True)
        acknowledged = int(told[-1]) if told else 0
        assert store.head.size >= acknowledged
        assert store.head.size % GROUP == 0
        assert chain_head(store) == store.head
        hashes = [kept for kept, _ in store.entries(0, store.head.size)]
        index = Index(tmp_path / "index")
        start = index.open(store)
        assert index.repairs == []
        assert all(index.seqs(hash_) == (seq,) for seq, hash_ in enumerate(hashes[:start]))
        index.close()
        snapshots = Snapshots(tmp_path / "snapshots")
        assert snapshots.problems() == []
        assert all(hashes[snapshot.seq] == snapshot.frame_hash for snapshot in snapshots.all())
        store.close()
    assert store.head.size > KILLS * GROUP


@pytest.fixture
def commit(tmp_path):
    """The data file before and after one commit, and the heads of both."""
    folder = tmp_path / "sound"
    hashes = build(folder)
    file = folder / "data.mdb"
    before = file.read_bytes()
    store = LmdbStore(folder, writable=True)
    head = append(store, 30, random.Random(11))
    store.close()
    return folder, before, file.read_bytes(), Head(len(hashes), hashes[-1]), head


def test_a_power_cut_at_any_point_of_a_commit_leaves_the_state_before_or_after(commit, tmp_path):
    """Before the meta page is written any part of the other pages may have reached the disk, in any order."""
    sound, before, after, head_before, head_after = commit
    count = max(len(before), len(after)) // 4096
    changed = [n for n in range(2, count) if before[n * 4096 :][:4096] != after[n * 4096 :][:4096]]
    assert len(changed) > 5
    for seed in range(60):
        chance = random.Random(seed)
        file = copy(sound, tmp_path / "cut")
        kept = before if chance.random() < 0.5 else before.ljust(len(after), b"\0")
        file.write_bytes(kept)
        with open(file, "r+b") as f:
            for number in chance.sample(changed, chance.randrange(len(changed) + 1)):
                f.seek(number * 4096)
                page = after[number * 4096 :][:4096]
                f.write(page if chance.random() < 0.8 else page[: 512 * chance.randrange(8)])
        store = LmdbStore(file.parent, writable=True)
        assert store.head == head_before
        assert chain_head(store) == head_before
        append(store, 3, chance)
        assert chain_head(store, EMPTY).size == head_before.size + 3
        store.close()
    copy(sound, tmp_path / "whole").write_bytes(after)
    store = LmdbStore(tmp_path / "whole", writable=True)
    assert chain_head(store) == head_after
    store.close()
