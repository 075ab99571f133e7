"""`tally salvage`: what is sound of a damaged world, whatever the damage, and what is lost."""

import os
import random
import shutil
import struct

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import HealthCheck, given, settings
from splittally.journal.frame import Frame, open_frame, seal
from splittally.journal.lmdb import LmdbStore
from splittally.runtime.reader import open_reader

from tests.cli_tools import run

PAGE = 4096
MANIFEST = {"grants": {"g": {"cap": "sys/llm.basic@1", "budget": {"tokens": 10**6}}}}
INTENT = splittally.Intent("llm.generate", {"max_tokens": 5}, "g")


@pytest.fixture(scope="module")
def books(tmp_path_factory):
    """A world of several leaves, and the hashes of its frames."""
    folder = tmp_path_factory.mktemp("salvage") / "books"
    with splittally.open(folder, clock="given") as kernel:
        kernel.apply(MANIFEST, now_ns=1)
        for now_ns in range(2, 60):
            kernel.submit(INTENT, now_ns=now_ns)
    with open_reader(folder) as reader:
        return folder, [hash_ for _, hash_, _ in reader.entries()]


def copy_of(world, folder):
    shutil.copytree(world, folder / "copy")
    return folder / "copy", folder / "copy" / "journal" / "data.mdb"


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_is_saved_is_a_sound_beginning_and_nothing_is_called_whole_that_is_not(books, folder, data):
    world, hashes = books
    shutil.rmtree(folder, ignore_errors=True)
    damaged, file = copy_of(world, folder)
    content = bytearray(file.read_bytes())
    pages = len(content) // PAGE
    noise = random.Random(data.draw(st.integers(0, 1_000)))
    for page in data.draw(st.lists(st.integers(0, pages - 1), min_size=1, max_size=4)):
        at = page * PAGE + data.draw(st.sampled_from([0, 16, 100, 2_000]))
        size = data.draw(st.sampled_from([1, 64, PAGE]))
        content[at : at + size] = noise.randbytes(len(content[at : at + size]))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, pages)) * PAGE :]
    file.write_bytes(content)
    before = {path: path.read_bytes() for path in damaged.rglob("*") if path.is_file()}

    looked = run("salvage", damaged, folder / "new", "--dry-run", "--json")
    assert not (folder / "new").exists()
    saved = run("salvage", damaged, folder / "new", "--json")
    found = saved.json
    assert found | {"new": None, "dry_run": True} == looked.json
    assert {path: path.read_bytes() for path in damaged.rglob("*") if path.is_file()} == before
    assert sorted(path.name for path in folder.iterdir()) == ["copy"] + ["new"] * bool(found["frames"])

    assert saved.code == (0 if found["lost"] == 0 and found["is_end_known"] else 1)
    if saved.code == 0:
        assert found["frames"] == len(hashes)
    if found["frames"]:
        assert found["head"] == hashes[found["frames"] - 1].hex()
        assert run("-w", folder / "new", "verify").code == 0
        with splittally.open(folder / "new") as kernel:
            assert (kernel.state.seq, kernel.state.root.hex()) == (found["frames"], found["state_root"])
            assert found["at_ns"] == kernel.state.now_ns
            assert kernel.submit(INTENT, now_ns=99).outcome == "allow"


def test_a_sound_world_is_copied_whole(books, folder):
    world, hashes = books
    ran = run("salvage", world, folder / "new")
    assert ran.code == 0
    assert "nothing is lost" in ran.out
    assert f"whole up to sequence {len(hashes) - 1}, time 1970-01-01 00:00:00 +00:00" in ran.out


def test_frames_are_found_where_both_meta_pages_are_lost(books, folder):
    world, hashes = books
    damaged, file = copy_of(world, folder)
    with open(file, "r+b") as stream:
        stream.write(bytes(2 * PAGE))
    ran = run("salvage", damaged, folder / "new")
    assert ran.code == 1
    assert f"whole up to sequence {len(hashes) - 1}," in ran.out
    assert "nothing says where the journal ended" in ran.out


def test_a_frame_that_cannot_be_applied_ends_what_is_saved(books, folder):
    """Its hash holds, so it was written so: the state and its root are those before it."""
    world, _ = books
    with open_reader(world) as reader:
        frames = [Frame(*entry) for entry in reader.entries(0, 5)]
        root = reader.at(4).root.hex()
    (folder / "forged").mkdir()
    store = LmdbStore(folder / "forged" / "journal", writable=True)
    body = open_frame(frames[3].data)[2]
    store.append(store.head, [*frames, seal(5, frames[4].hash, body)])  # decides an intent twice
    store.close()
    ran = run("salvage", folder / "forged", folder / "new", "--json")
    assert (ran.code, ran.json["frames"], ran.json["lost"]) == (1, 5, 1)
    assert "frame 5 cannot be applied" in ran.json["damage"]
    assert ran.json["state_root"] == root
    with splittally.open(folder / "new") as kernel:
        assert (kernel.state.seq, kernel.state.root.hex()) == (5, root)


def test_nothing_is_overwritten_and_nothing_is_left_behind(books, folder, monkeypatch):
    world, _ = books
    (folder / "new").mkdir()
    assert run("salvage", world, folder / "new").code == 3
    assert run("salvage", folder / "nowhere", folder / "other").code == 3
    (folder / "other.new").mkdir()
    assert run("salvage", world, folder / "other").code == 3
    assert list((folder / "other.new").iterdir()) == []
    (folder / "other.new").rmdir()

    def refuse(*_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("os.fsync", refuse)
    ran = run("salvage", world, folder / "other")
    assert ran.code == 3
    assert [path.name for path in folder.iterdir()] == ["new"]


def test_a_snapshot_of_a_later_frame_says_that_frames_are_lost(books, folder):
    """An older copy of the journal is sound in itself; what lies beside it tells."""
    world, hashes = books
    newer, file = copy_of(world, folder)
    old = file.read_bytes()
    with splittally.open(newer) as kernel:
        for now_ns in range(100, 110):
            kernel.submit(INTENT, now_ns=now_ns)
        kernel._world.save_projections()
    file.write_bytes(old)
    ran = run("salvage", newer, folder / "new", "--json")
    assert (ran.code, ran.json["frames"], ran.json["lost"]) == (1, len(hashes), 10)


def test_frames_are_found_where_the_branch_pages_are_lost(books, folder):
    """The tree leads nowhere, and the leaves say themselves which frames they hold."""
    world, hashes = books
    damaged, file = copy_of(world, folder)
    content = bytearray(file.read_bytes())
    for page in range(2, len(content) // PAGE):
        number, _, kind = struct.unpack_from("=QHH", content, page * PAGE)
        if (number, kind) == (page, 1):  # a branch page
            content[page * PAGE : (page + 1) * PAGE] = bytes(PAGE)
    file.write_bytes(content)
    ran = run("salvage", damaged, folder / "new", "--json")
    assert (ran.code, ran.json["frames"], ran.json["lost"]) == (0, len(hashes), 0)
    assert ran.json["damage"] is not None
