"""What the journal asks of the file system: room, kinds of files, names that last, whole files or none."""

import errno
import os
import stat
from types import SimpleNamespace

import pytest
from splittally.core.errors import DiskFull, JournalDamaged, NoWorld, WorldError
from splittally.journal import disk
from splittally.journal.disk import SPARE_BYTES


def test_only_want_of_room_is_a_full_disk():
    full = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
    for number in sorted({*full, errno.EIO, errno.EMFILE, errno.ENOMEM, errno.EACCES, errno.ELOOP}):
        error = disk.refusal("it", OSError(number, os.strerror(number)))
        assert isinstance(error, DiskFull) == (number in full)
        assert isinstance(error, WorldError) and str(error) == f"it: {os.strerror(number)}"


@pytest.mark.parametrize("size", [0, 3, 4, 1000])
def test_a_writer_leaves_a_quarter_and_some_room_on_the_disk(tmp_path, monkeypatch, size):
    for more in (-1, 0, 1):
        room = size + size // 4 + SPARE_BYTES + more
        answer = SimpleNamespace(f_bavail=room, f_frsize=1, f_bfree=10**18)
        monkeypatch.setattr(disk.os, "statvfs", lambda _, answer=answer: answer)
        assert disk.has_room(tmp_path, size) == (more >= 0)


@pytest.mark.parametrize("has", [0, 700])
def test_the_largest_file_that_may_be_written_is_never_met_within_a_commit(tmp_path, monkeypatch, has):
    path = tmp_path / "f"
    path.write_bytes(bytes(has))
    with path.open("rb") as file:
        for limit in (SPARE_BYTES, SPARE_BYTES + 50 + has):
            for more in (-1, 0, 1):
                monkeypatch.setattr(disk.resource, "getrlimit", lambda _, most=limit + more: (most, most))
                assert disk.is_at_limit(file.fileno(), 50) == (has + 50 + SPARE_BYTES > limit + more)
        monkeypatch.setattr(disk.resource, "getrlimit", lambda _: (disk.resource.RLIM_INFINITY,) * 2)
        assert not disk.is_at_limit(file.fileno(), 50)


@pytest.fixture
def things(tmp_path):
    """A name of each kind of thing."""
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "lost").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


@pytest.mark.parametrize("name", ["link", "lost", "folder", "pipe", "file"])
def test_only_a_file_itself_is_opened_and_nothing_is_waited_for(things, name):
    before = os.listdir("/proc/self/fd")
    fd = disk.open_if_regular(things / name)
    assert (fd >= 0) == (name == "file")
    if name == "file":
        disk.close(fd)
    else:
        with pytest.raises(JournalDamaged, match="not a regular file"):
            disk.open_regular(things / name)
        with pytest.raises(JournalDamaged, match="not a regular file"):
            disk.open_journal(things / name)
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_a_folder_without_the_file_is_damage_and_no_folder_is_no_world(tmp_path):
    for name in ("journal/data", "other/journal/data"):
        with pytest.raises(NoWorld):
            disk.open_journal(tmp_path / name)
    (tmp_path / "journal").mkdir()
    with pytest.raises(JournalDamaged):
        disk.open_journal(tmp_path / "journal" / "data")


def test_a_file_that_another_took_the_name_of_has_no_name(tmp_path):
    path, other = tmp_path / "f", tmp_path / "g"
    path.write_bytes(b"abc")
    with path.open("rb") as file:
        assert disk.size_if_named(file.fileno(), path) == 3
        other.write_bytes(b"abcd")
        os.replace(other, path)
        assert disk.size_if_named(file.fileno(), path) == -1
        path.unlink()
        assert disk.size_if_named(file.fileno(), path) == -1


def test_what_is_made_is_for_its_owner_alone(tmp_path):
    mask = os.umask(0)
    try:
        disk.make_folder(tmp_path / "a" / "b")
        disk.write_file(tmp_path / "a" / "f", [b"x", b"y"])
    finally:
        os.umask(mask)
    modes = {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a", "a/b", "a/f")}
    assert modes == {"a": 0o700, "a/b": 0o700, "a/f": 0o600}
    assert (tmp_path / "a" / "f").read_bytes() == b"xy"


def test_a_file_that_cannot_be_written_whole_is_as_it_was_and_leaves_nothing_beside(tmp_path):
    def parts():
        yield b"new"
        raise OSError(errno.ENOSPC, "no space")

    path = tmp_path / "f"
    path.write_bytes(b"old")
    with pytest.raises(DiskFull):
        disk.write_file(path, parts())
    assert (path.read_bytes(), os.listdir(tmp_path)) == (b"old", ["f"])
