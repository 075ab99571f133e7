"""A damaged journal is refused by name or is provably the same; the process never dies of it.

LMDB has no checksums and follows what it finds: a short file ends the process by SIGBUS, swapped pages by
SIGABRT. Every damaged copy is judged in a child process of its own.
"""

import os
import random
from hashlib import sha256

import pytest
from splittally.core.errors import JournalDamaged
from splittally.journal.frame import EMPTY, seal
from splittally.journal.lmdb import LmdbStore
from splittally.journal.lmdb.salvage import intact
from splittally.journal.proof.checkpoint import checkpoint_of, compare

from tests.journal_damage import (
    FILE_DAMAGE,
    INSERTED,
    RECORD_DAMAGE,
    append,
    build,
    chain_head,
    copy,
    edited,
    flip,
    noise_in_transaction_number,
    places,
    rolled_back,
)


@pytest.fixture(scope="module")
def sound(memory):
    folder = memory / "sound"
    return folder, build(folder)


@pytest.fixture
def judged(sound, judges, memory):
    """Judges a copy after `damage(file)`; the first bad sequence, or None when it is the same journal."""
    folder, hashes = sound
    digest = sha256(b"".join(hashes)).hexdigest()

    def judge(damage):
        copied = copy(folder, memory / "copy")
        told = damage(copied)
        code, verdict = judges.judge(copied.parent)
        if code == 0:
            assert verdict == {"size": len(hashes), "digest": digest}, told
            return None
        seq = verdict["seq"]
        assert 0 <= seq <= len(hashes), (told, verdict)
        assert verdict.get("intact", 0) >= seq, (told, verdict)
        return seq

    return judge


def test_the_sound_journal_passes(judged):
    assert judged(lambda file: None) is None


@pytest.mark.parametrize("name", FILE_DAMAGE)
def test_damage_to_the_file_is_refused_or_changes_nothing(judged, name):
    damage, times = FILE_DAMAGE[name]
    refused = 0
    for seed in range(times):
        refused += judged(lambda file: (seed, damage(file, random.Random(f"{name}{seed}")))) is not None  # noqa: B023
    assert refused


def test_a_transaction_number_that_says_anything_costs_no_frame(judged):
    """Whichever page is taken for the newer, the frames of the last commit are found."""
    for seed in range(120):
        chance = random.Random(seed)
        assert judged(lambda file: noise_in_transaction_number(file, chance)) is None  # noqa: B023


def test_a_flipped_bit_in_any_record_names_that_record(sound, judged):
    folder, hashes = sound
    where = places(folder / "data.mdb")
    assert len(where) == len(hashes)
    chance = random.Random(7)
    for seq, (offset, size) in where.items():
        at = offset + chance.choice([chance.randrange(32), chance.randrange(size)])
        assert judged(lambda file: flip(file, at, chance.randrange(8))) == seq  # noqa: B023


@pytest.mark.parametrize("name", RECORD_DAMAGE)
def test_a_record_damaged_through_lmdb_is_named(sound, judged, name):
    count = len(sound[1])
    for seq in (0, 1, count // 2, count - 2):
        named = judged(lambda file: edited(file, lambda txn: RECORD_DAMAGE[name](txn, seq)))  # noqa: B023
        assert named == (seq + 1 if name == "duplicated over the next" else seq)


@pytest.mark.parametrize("name", INSERTED)
def test_a_record_inserted_through_lmdb_is_refused(sound, judged, name):
    count = len(sound[1])
    assert judged(lambda file: edited(file, lambda txn: INSERTED[name](txn, count))) is not None


@pytest.mark.parametrize("what", ["empty", "deleted", "noise", "folder", "pipe", "link"])
def test_what_is_no_journal_file_is_refused(judged, what):
    def replace(file):
        if what == "empty":
            return os.truncate(file, 0)
        if what == "noise":
            return file.write_bytes(random.Random(1).randbytes(100_000))
        if what == "link":
            file.rename(file.with_name("elsewhere"))
            return file.symlink_to(file.with_name("elsewhere"))
        file.unlink()
        return {"deleted": lambda: None, "folder": file.mkdir, "pipe": lambda: os.mkfifo(file)}[what]()

    assert judged(replace) == 0


def test_only_a_checkpoint_shows_a_lost_commit(sound, tmp_path):
    """LMDB, its own checker and the chain are content with a journal that was rolled back."""
    file = copy(sound[0], tmp_path / "copy")
    store = LmdbStore(file.parent, writable=True)
    append(store, 5, random.Random(3))
    checkpoint = checkpoint_of(store, "example.org/world", bytes(32))
    store.close()
    rolled_back(file, random.Random(0))
    store = LmdbStore(file.parent, writable=True)
    assert chain_head(store).size == len(sound[1])
    with pytest.raises(JournalDamaged) as caught:
        compare(store, checkpoint)
    assert caught.value.facts["seq"] == len(sound[1])
    store.close()


def test_only_a_checkpoint_shows_a_lost_tail(sound, tmp_path):
    file = copy(sound[0], tmp_path / "copy")
    store = LmdbStore(file.parent, writable=False)
    checkpoint = checkpoint_of(store, "example.org/world", bytes(32))
    store.close()
    last = len(sound[1]) - 1
    edited(file, lambda txn: txn.delete(last.to_bytes(8)))
    store = LmdbStore(file.parent, writable=False)
    assert chain_head(store).size == last
    with pytest.raises(JournalDamaged) as caught:
        compare(store, checkpoint)
    assert caught.value.facts["seq"] == last
    store.close()


def test_only_a_checkpoint_shows_a_chain_that_was_written_anew(tmp_path):
    store = LmdbStore(tmp_path / "journal", writable=True)
    append(store, 20, random.Random(3))
    checkpoint = checkpoint_of(store, "example.org/world", bytes(32))
    forged = LmdbStore(tmp_path / "forged", writable=True)
    prev = EMPTY.hash
    for seq in range(20):
        body = store.verified(seq)[1] if seq != 7 else ["forged"]
        frame = seal(seq, prev, body)
        forged.append(forged.head, [frame])
        prev = frame.hash
    compare(store, checkpoint)
    assert chain_head(forged) == forged.head
    with pytest.raises(JournalDamaged):
        compare(forged, checkpoint)
    store.close()
    forged.close()


def test_intact_frames_can_be_taken_out_of_a_file_whose_tree_is_lost(sound, tmp_path):
    file = copy(sound[0], tmp_path / "copy")
    with open(file, "r+b") as f:
        f.write(bytes(8192))
    fd = os.open(file, os.O_RDONLY)
    assert sum(1 for _ in intact(fd)) == len(sound[1])
    os.close(fd)
