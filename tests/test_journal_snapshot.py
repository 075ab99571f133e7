"""A snapshot is whole or passed over, and the one before it is still there."""

import os
import random

import pytest
from splittally.core.errors import DiskFull, WorldError
from splittally.journal import disk
from splittally.journal.snapshot import Snapshot, Snapshots


def saved(folder, *seqs):
    snapshots = Snapshots(folder)
    made = []
    for seq in seqs:
        made.append(Snapshot(seq, bytes([seq % 256]) * 32, bytes([seq % 251]) * 32, b"data %d" % seq * 50))
        snapshots.save(*made[-1])
    return snapshots, made


def test_the_newest_two_are_kept_and_found(tmp_path):
    snapshots, made = saved(tmp_path / "s", 5, 900, 17_000)
    assert snapshots.all() == made[1:]
    assert snapshots.latest() == made[2]
    assert snapshots.latest(16_999) == made[1]
    assert snapshots.latest(900) == made[1]
    assert snapshots.latest(899) is None
    assert snapshots.problems() == []
    assert Snapshots(tmp_path / "s").latest() == made[2]


def test_a_folder_without_snapshots_has_none(tmp_path):
    assert Snapshots(tmp_path / "s").latest() is None
    assert Snapshots(tmp_path / "s").all() == []
    assert Snapshots(tmp_path / "s").problems() == []
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_snapshot_is_reported_and_passed_over(tmp_path, seed):
    _, made = saved(tmp_path / "s", 5, 900)
    chance = random.Random(seed)
    newest = tmp_path / "s" / f"{900:020d}.snapshot"
    content = bytearray(newest.read_bytes())
    if seed % 4 == 0:
        content = content[: chance.randrange(len(content))]
    elif seed % 4 == 1:
        content += b"\0"
    else:
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    newest.write_bytes(content)
    snapshots = Snapshots(tmp_path / "s")
    (problem,) = snapshots.problems()
    assert newest.name in problem
    assert snapshots.latest() == made[0]
    assert snapshots.latest() == made[0]
    assert snapshots.all() == [made[0]]


def test_a_snapshot_under_another_name_is_passed_over(tmp_path):
    _, made = saved(tmp_path / "s", 5)
    (path,) = (tmp_path / "s").iterdir()
    path.rename(tmp_path / "s" / f"{6:020d}.snapshot")
    assert Snapshots(tmp_path / "s").latest() is None
    os.mkfifo(tmp_path / "s" / f"{7:020d}.snapshot")
    (tmp_path / "s" / f"{8:020d}.snapshot").symlink_to(path)
    snapshots = Snapshots(tmp_path / "s")
    assert snapshots.latest() is None
    assert len(snapshots.problems()) == 3
    assert made[0].seq == 5


def test_files_that_are_no_snapshots_are_left_alone(tmp_path):
    snapshots, made = saved(tmp_path / "s", 5)
    (tmp_path / "s" / "00000000000000000009.snapshot.new").write_bytes(b"half")
    (tmp_path / "s" / "notes.txt").write_bytes(b"")
    assert snapshots.latest() == made[0]
    assert snapshots.problems() == []


def test_snapshots_are_private_to_their_owner(tmp_path):
    saved(tmp_path / "s", 5)
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "s").iterdir()] == [0o600]


def test_a_snapshot_that_cannot_be_written_leaves_the_old_ones(tmp_path, monkeypatch):
    snapshots, made = saved(tmp_path / "s", 5)

    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(disk, "sync", full)
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DiskFull):
        snapshots.save(9, bytes(32), bytes(32), b"data")
    assert snapshots.latest() == made[0]
    assert len(list((tmp_path / "s").iterdir())) == 1


def test_a_snapshot_is_not_written_through_a_link(tmp_path):
    snapshots, _ = saved(tmp_path / "s", 5)
    (tmp_path / "s" / f"{9:020d}.snapshot.new").symlink_to(tmp_path / "victim")
    with pytest.raises(WorldError):
        snapshots.save(9, bytes(32), bytes(32), b"data")
    assert not (tmp_path / "victim").exists()
