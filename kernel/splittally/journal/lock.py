"""One writer of a world: a lock file that names its holder (spec/07-journal.md, "Locks").

Rule 1. The lock is `flock`: it belongs to the open file, so it goes with the process that holds it,
        however that process ends, and closing another descriptor of the same file does not drop it.
Rule 2. Waiting has a time limit, and whoever gives up learns who holds the lock and since when.
Rule 3. A forked child does not hold its parent's lock: its copy of the descriptor is closed at once.
Rule 4. What the file says is for people. It is never what decides who holds the lock.
"""

import fcntl
import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path

from splittally.core.errors import NoWorld, WorldLocked
from splittally.core.limits import WRITER_LOCK_SECONDS_MAX
from splittally.journal.disk import refusal

POLL_SECONDS = 0.02
HOLDER_BYTES_MAX = 1_024


class WriterLock:
    """The right to write a world, through the lock file at `path`; waits at most `seconds`."""

    def __init__(self, path: str | os.PathLike[str], seconds: float = WRITER_LOCK_SECONDS_MAX) -> None:
        self.path = Path(path)
        self._seconds = seconds
        self._fd = -1

    @property
    def is_held(self) -> bool:
        """Whether this process holds the lock; false after `release` and in a forked child."""
        return self._fd >= 0

    def acquire(self) -> None:
        """Takes the lock or raises `WorldLocked` naming the holder."""
        assert self._fd < 0
        fd = _open(self.path)
        try:
            self._wait(fd)
            _sign(fd)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        _held.add(self)

    def release(self) -> None:
        """Gives the lock back; does nothing when it is not held."""
        if self._fd >= 0:
            os.ftruncate(self._fd, 0)
            fcntl.flock(self._fd, fcntl.LOCK_UN)  # also for a fork that has not let go yet
            self.forget()

    def forget(self) -> None:
        """Lets go of the descriptor alone, which in a forked child leaves the lock with the parent."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
        _held.discard(self)

    def __enter__(self) -> "WriterLock":
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _wait(self, fd: int) -> None:
        deadline = time.monotonic() + self._seconds
        while not _try_lock(fd):
            if time.monotonic() >= deadline:
                raise _locked(self.path, fd)
            time.sleep(POLL_SECONDS)


def _open(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, flags, 0o600)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NoWorld(f"there is no world at `{path.parent}`") from error
    except OSError as error:
        raise refusal(f"the lock `{path}` cannot be opened", error) from error


def _sign(fd: int) -> None:
    since = datetime.now(UTC).replace(microsecond=0).isoformat()
    os.ftruncate(fd, 0)
    os.pwrite(fd, json.dumps({"pid": os.getpid(), "since": since}).encode(), 0)


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _locked(path: Path, fd: int) -> WorldLocked:
    try:
        holder = json.loads(os.pread(fd, HOLDER_BYTES_MAX, 0))
        pid, since = int(holder["pid"]), str(holder["since"])
    except (ValueError, KeyError, TypeError):
        return WorldLocked(f"the world at `{path.parent}` is being written by another process")
    text = f"the world at `{path.parent}` is being written by process {pid} since {since}; stop it or wait"
    return WorldLocked(text, pid=pid, since=since)


_held: set[WriterLock] = set()


def _drop_in_child() -> None:
    for lock in list(_held):
        lock.forget()


os.register_at_fork(after_in_child=_drop_in_child)
