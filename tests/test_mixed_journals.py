"""Two journals that are mixed up: what belongs to another world, or to a copy that went on, is refused.

The siblings are one world up to a frame, then a copy of it goes on for itself, as after a backup that was put
back while the first was still in use. The strangers had the same requests at the same times.
"""

import shutil
from contextlib import closing

import pytest
import splittally
from splittally import Intent
from splittally.core.errors import JournalDamaged
from splittally.core.limits import MAP_BYTES_FIRST
from splittally.journal.frame import Frame
from splittally.journal.lmdb.environment import open_environment
from splittally.journal.lmdb.pages import key_bytes
from splittally.runtime.reader import open_reader
from splittally_tools.audit.verify import verify

from tests.rows.worlds import ACT, apply, manifest, reserves, save_snapshot

GRANTS = {"g": {"budget": {"a": 10_000}}}


def opened(path):
    return splittally.open(path, clock="given")


def ask(kernel, numbers):
    """One intent for each number, under a key that says it."""
    for number in numbers:
        intent = Intent(ACT, {"a": reserves({"a": number})}, "g", idempotency_key=number.to_bytes(32))
        decision = kernel.submit(intent)
        assert decision.allowed
        assert not decision.duplicate


def made(path, numbers):
    with opened(path) as kernel:
        apply(kernel, manifest(GRANTS))
        ask(kernel, numbers)
    return path


def siblings(folder, mine, theirs):
    """Two copies of a world of five intents that went on with these, and the frame in which they differ."""
    path = made(folder / "mine", range(1, 6))
    shutil.copytree(path, folder / "theirs")
    with opened(path) as kernel:
        differ = kernel.state.seq
        ask(kernel, mine)
    with opened(folder / "theirs") as kernel:
        ask(kernel, theirs)
    return path, folder / "theirs", differ


def frames(path):
    with open_reader(path) as reader:
        return [Frame(seq, *reader.store.entry(seq)) for seq in range(reader.head.size)]


def put(path, rows):
    """Writes rows of the journal by hand: each holds by itself."""
    with closing(open_environment(path / "journal", MAP_BYTES_FIRST)) as env, env.begin(write=True) as txn:
        for frame in rows:
            txn.put(key_bytes(frame.seq), frame.hash + frame.data)


def bad_frame(path):
    """The frame that opening names, one of the two that do not fit; a reader and audit name the same."""
    with open_reader(path) as reader:
        damage = verify(reader).damage
    with pytest.raises(JournalDamaged) as refused:
        opened(path)
    assert damage is not None
    assert damage["facts"]["seq"] == refused.value.facts["seq"]
    return refused.value.facts["seq"]


@pytest.mark.req("X6-18")
@pytest.mark.parametrize("behind", [0, 1, 2])
def test_frames_of_a_sibling_are_refused_where_they_do_not_follow(folder, behind):
    mine, theirs, differ = siblings(folder, range(10, 15), range(20, 25))
    put(mine, frames(theirs)[differ + behind :])
    if behind == 0:  # each of theirs follows the last that both have: the journal is theirs
        with opened(mine) as kernel, opened(theirs) as other:
            assert kernel.state.root == other.state.root
    else:
        assert bad_frame(mine) in (differ + behind - 1, differ + behind)


@pytest.mark.req("X6-18")
@pytest.mark.parametrize("cut", [0, 1, 3])
def test_frames_of_a_stranger_are_refused_however_alike_they_are(folder, cut):
    mine, theirs = made(folder / "mine", range(1, 6)), made(folder / "theirs", range(1, 6))
    assert len(frames(mine)) == len(frames(theirs))
    put(mine, frames(theirs)[:cut])
    if cut:
        assert bad_frame(mine) in (cut - 1, cut)
    put(mine, frames(theirs)[: cut + 1])
    assert bad_frame(mine) in (cut, cut + 1)


@pytest.mark.req("X6-18")
@pytest.mark.parametrize("what", ["snapshots", "index", "both"])
def test_what_lies_beside_a_sibling_decides_nothing(folder, what):
    """Both have as many frames and as many intents; only one knows each key."""
    mine, theirs, _ = siblings(folder, range(10, 15), range(20, 25))
    for path in (mine, theirs):
        with opened(path) as kernel:
            save_snapshot(kernel)
    for name in ("snapshots", "index"):
        if what in (name, "both"):
            shutil.rmtree(mine / name)
            shutil.copytree(theirs / name, mine / name)
    with opened(mine) as kernel:
        repairs = "\n".join(kernel.repairs)
        assert ("it belongs to another journal" in repairs) == (what != "index")
        assert ("run" in repairs) == (what != "snapshots")
        before = kernel.state.seq
        for number in range(10, 15):
            intent = Intent(ACT, {"a": reserves({"a": number})}, "g", idempotency_key=number.to_bytes(32))
            assert kernel.submit(intent).duplicate
        assert kernel.state.seq == before
        ask(kernel, range(20, 25))
        assert kernel.state.counter("g", "a").reserved == sum([*range(1, 6), *range(10, 15), *range(20, 25)])
    with open_reader(mine) as reader:
        assert verify(reader).is_sound


def test_a_store_takes_no_frame_of_another_world(folder):
    """The head that is expected is another world's, so nothing is written, however many frames that has."""
    mine, theirs = made(folder / "mine", range(1, 6)), made(folder / "theirs", range(1, 9))
    with opened(mine) as kernel, open_reader(theirs) as reader:
        store, size = kernel._world.store, kernel.state.seq
        more = frames(theirs)[size:]
        head = store.head
        assert type(store.append(reader.head, more)).__name__ == "Conflict"
        assert (store.head, kernel.state.seq) == (head, size)
