"""What the journal asks of the file system: private files, room, names that last.

Rule 1. Folders are 0700 and files 0600. A name that is a link, a pipe or a device is not opened.
Rule 2. A new name lasts only when the folder that holds it has been synced.
Rule 3. What the system refuses (EIO, EMFILE, ENOMEM, ...) is a `WorldError` and no damage.
"""

import errno
import os
import resource
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from splittally.core.errors import DiskFull, JournalDamaged, NoWorld, WorldError

SPARE_BYTES = 256 * 1024  # left free, so that no writer ever meets the end of the disk inside a commit


_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_FILE = (errno.ELOOP, errno.ENXIO)  # a link or a socket in the place of a file


def refusal(what: str, error: OSError) -> WorldError:
    """The error for people when the system refuses: `DiskFull` for want of room, else `WorldError`."""
    kind = DiskFull if error.errno in _FULL else WorldError
    return kind(f"{what}: {error.strerror}")


def open_regular(path: Path) -> int:
    """A descriptor for reading, without ever waiting; `FileNotFoundError` or `NotADirectoryError` without it.

    `JournalDamaged` for a link, a pipe, a folder or a device, `WorldError` when the system refuses.
    """
    try:
        fd = open_if_regular(path)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise refusal(f"`{path}` cannot be opened", error) from error
    if fd < 0:
        raise JournalDamaged("it is not a regular file")
    return fd


def open_if_regular(path: Path) -> int:
    """A descriptor for reading, without ever waiting; -1 for a link, a pipe, a folder or a device.

    `OSError` when there is nothing, or the system refuses.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in _NO_FILE:
            return -1
        raise
    is_regular = False
    try:
        is_regular = stat.S_ISREG(os.fstat(fd).st_mode)
    finally:
        if not is_regular:
            close(fd)
    return fd if is_regular else -1


def open_journal(path: Path) -> int:
    """A descriptor for reading; `NoWorld` without its folder, `JournalDamaged` without the file itself."""
    try:
        return open_regular(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        if not is_folder(path.parent):
            raise NoWorld(f"there is no world at `{path.parent.parent}`") from error
        raise JournalDamaged("the journal file is not there", seq=0) from error
    except JournalDamaged as error:
        raise JournalDamaged("the journal file is not a regular file", seq=0) from error


def size_if_named(fd: int, path: Path) -> int:
    """The size of the open file; -1 when `path` is no longer its name."""
    try:
        held, named = os.fstat(fd), os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return -1
    except OSError as error:
        raise refusal("the journal file cannot be looked at", error) from error
    return held.st_size if (named.st_ino, named.st_dev) == (held.st_ino, held.st_dev) else -1


def has_room(path: Path, size: int) -> bool:
    """Whether `size` bytes more fit on the disk of `path` and some are left over; yes if nobody can say."""
    try:
        disk = os.statvfs(path)
    except OSError:
        return True
    return disk.f_bavail * disk.f_frsize >= size + size // 4 + SPARE_BYTES


def is_at_limit(fd: int, size: int) -> bool:
    """Whether `size` bytes more would pass the largest file that this process may write."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    return limit != resource.RLIM_INFINITY and size_of(fd) + size + SPARE_BYTES > limit


def size_of(fd: int) -> int:
    """The bytes of an open file; `WorldError` when the system does not say."""
    try:
        return os.fstat(fd).st_size
    except OSError as error:
        raise refusal("the size of a file of the world cannot be read", error) from error


def is_folder(path: Path) -> bool:
    """Whether there is a folder of this name, or a link to one; `WorldError` when the system does not say."""
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise refusal(f"`{path}` cannot be looked at", error) from error


def names_in(folder: Path) -> list[str]:
    """The names in a folder, sorted; none where it is not there."""
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise refusal(f"`{folder}` cannot be read", error) from error


def make_folder(folder: Path) -> None:
    """A private folder of this name, made with those above it where it is not there; the name lasts."""
    if is_folder(folder):
        return
    if folder.parent != folder:
        make_folder(folder.parent)
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        with suppress(PermissionError):  # a folder above may be one that we may not read
            sync(folder.parent)
    except OSError as error:
        raise refusal(f"the folder `{folder}` cannot be made", error) from error


def refuse_full(path: Path, size: int) -> None:
    if not has_room(path, size):
        raise DiskFull(f"there is no room for {size} more bytes at `{path}`; make room and try again")


def sync(path: Path) -> None:
    """Makes the contents of a file, or the names in a folder, last."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        close(fd)


def rename(path: Path, to: Path) -> None:
    """Gives a file or folder another name, which lasts."""
    try:
        path.rename(to)
        sync(to.parent)
    except OSError as error:
        raise refusal(f"`{path}` cannot be renamed to `{to}`", error) from error


def close(fd: int) -> None:
    """Lets go of a descriptor, which is gone whatever the system says."""
    with suppress(OSError):
        os.close(fd)


def keep_names(folder: Path) -> None:
    """Makes the names in a folder last; `WorldError` when the system refuses."""
    try:
        sync(folder)
    except OSError as error:
        raise refusal(f"the names in `{folder}` cannot be made to last", error) from error


def remove(path: Path) -> None:
    """Removes a file that nobody needs; a folder in its place is left alone."""
    try:
        path.unlink(missing_ok=True)
    except IsADirectoryError:
        return
    except OSError as error:
        raise refusal(f"`{path}` cannot be removed", error) from error


def write_file(path: Path, parts: Iterable[bytes]) -> None:
    """A whole new file under its name, or nothing: written aside, synced, renamed, the folder synced."""
    aside = path.with_name(f"{path.name}.new")
    try:
        fd = os.open(aside, _NEW_FILE, 0o600)
        with open(fd, "wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        aside.rename(path)
        sync(path.parent)
    except OSError as error:
        remove(aside)
        raise refusal(f"`{path}` cannot be written", error) from error
