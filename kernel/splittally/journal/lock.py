"""One writer: a lock file that names its holder, and a lock on the journal itself (spec/07-journal.md).

Rule 1. The lock is `flock`: it belongs to the open file, so it goes with the process that holds it,
        however that process ends, and closing another descriptor of the same file does not drop it.
Rule 2. Waiting has a time limit, and whoever gives up learns who holds the lock and since when.
Rule 3. A forked child does not hold its parent's locks: its copies of the descriptors are closed at once.
Rule 4. What the file says is for people. It is never what decides who holds the lock.
Rule 5. Who waits longest is next (`turns.py`): whoever gives the lock back and asks again stands behind all
        that wait. A waiter that is stopped keeps nobody waiting: once in `PASS_SECONDS` the others try, too.
"""

import fcntl
import json
import os
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from splittally.core.errors import NoWorld, WorldLocked
from splittally.core.limits import WRITER_LOCK_SECONDS_MAX
from splittally.journal import disk
from splittally.journal.turns import Ticket, is_wanted

POLL_SECONDS = 0.005
PASS_SECONDS = 1.0
HOLDER_BYTES_MAX = 1_024
_SIGNED = b'{"pid": '  # how what `_sign` writes begins; a write may have been cut short


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
        except OSError as error:
            disk.close(fd)
            raise disk.refusal(f"the lock `{self.path}` cannot be taken", error) from error
        except BaseException:
            disk.close(fd)
            raise
        self._fd = fd
        drop_in_forks(self)

    def release(self) -> None:
        """Gives the lock back; does nothing when it is not held."""
        if self._fd >= 0:
            with suppress(OSError):  # what the file says is for people; closing it gives the lock back
                os.ftruncate(self._fd, 0)
            let_go(self._fd)
            self.forget()

    def forget(self) -> None:
        """Lets go of the descriptor alone, which in a forked child leaves the lock with the parent."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            disk.close(fd)
        released(self)

    def __enter__(self) -> "WriterLock":
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _wait(self, fd: int) -> None:
        ticket = Ticket(fd)
        ticket.take()
        try:
            now = time.monotonic()
            deadline, passes = now + self._seconds, now + PASS_SECONDS
            while not ((ticket.is_next or now >= passes) and _try_lock(fd)):
                if now >= deadline:
                    raise _locked(self.path, fd)
                passes = now + PASS_SECONDS if now >= passes else passes
                time.sleep(POLL_SECONDS)
                now = time.monotonic()
        finally:
            ticket.give_back()


def is_waited_for(path: str | os.PathLike[str]) -> bool:
    """Whether anybody waits for the lock file at `path`, which this process holds."""
    fd = _open(Path(path))
    try:
        return is_wanted(fd)
    except OSError as error:
        raise disk.refusal(f"the lock `{path}` cannot be read", error) from error
    finally:
        disk.close(fd)


def _open(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, flags, 0o600)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NoWorld(f"there is no world at `{path.parent}`") from error
    except OSError as error:
        raise disk.refusal(f"the lock `{path}` cannot be opened", error) from error


def _sign(fd: int) -> None:
    since = datetime.now(UTC).replace(microsecond=0).isoformat()
    os.ftruncate(fd, 0)
    os.pwrite(fd, json.dumps({"pid": os.getpid(), "since": since}).encode(), 0)


def _locked(path: Path, fd: int) -> WorldLocked:
    try:
        holder = json.loads(os.pread(fd, HOLDER_BYTES_MAX, 0))
        pid, since = int(holder["pid"]), str(holder["since"])
    except (OSError, ValueError, KeyError, TypeError):
        return WorldLocked(f"the world at `{path.parent}` is being written by another process")
    text = f"the world at `{path.parent}` is being written by process {pid} since {since}; stop it or wait"
    return WorldLocked(text, pid=pid, since=since)


def is_lock_text(path: Path) -> bool:
    """Whether the file at `path` is a lock that was given back, or says who holds it as `_sign` does."""
    try:
        fd = disk.open_if_regular(path)
        if fd < 0:
            return False
        try:
            text = os.pread(fd, HOLDER_BYTES_MAX + 1, 0)
        finally:
            disk.close(fd)
    except FileNotFoundError:
        return True
    except OSError as error:
        raise disk.refusal(f"the lock `{path}` cannot be read", error) from error
    return len(text) <= HOLDER_BYTES_MAX and text[: len(_SIGNED)] == _SIGNED[: len(text)]


def hold_file(fd: int, path: Path) -> None:
    """Locks an open file against every other writer, also one of this process; `WorldLocked` if it is."""
    if not _try_lock(fd):
        raise WorldLocked(f"the journal at `{path.parent}` is already open for writing")


def let_go(fd: int) -> None:
    """Gives the lock of an open file back, also for a fork that has not let go yet."""
    with suppress(OSError):  # closing gives it back as well, but for a fork that holds it, too
        fcntl.flock(fd, fcntl.LOCK_UN)


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise disk.refusal("the file system gives no lock", error) from error
    return True


class Holder(Protocol):
    """What holds a lock through a descriptor; `forget` closes the descriptor and leaves the lock alone."""

    def forget(self) -> None: ...


_holders: set[Holder] = set()


def drop_in_forks(holder: Holder) -> None:
    """A fork shares the locks of its parent and would keep them alive, so it forgets them at once."""
    _holders.add(holder)


def released(holder: Holder) -> None:
    """The holder holds nothing any more."""
    _holders.discard(holder)


def _forget_in_child() -> None:
    for holder in list(_holders):
        holder.forget()


os.register_at_fork(after_in_child=_forget_in_child)
