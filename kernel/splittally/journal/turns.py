"""Whoever waits for the writer's lock longest gets it next (spec/07-journal.md, 7.5).

Rule 1. A ticket is one locked byte of the lock file, its number the byte's place. Whoever comes takes the
        first place after all that are taken; it is their turn when no place before theirs is taken.
Rule 2. A place is an open file description lock (`F_OFD_SETLK`): it goes with the process that took it,
        however that ends, and is independent of the `flock` that decides who writes.
Rule 3. Where the system has no such locks there are no places: it is everybody's turn.

Three writers A, B and C want the lock, A has it:

    A holds, B took place 0, C took place 1      A gives back and asks again: place 2
    B holds, its place is given back             C is next, A after it
    C is killed: place 1 is free                 A is next
"""

import errno
import fcntl
import struct

_FLOCK = "hhqqi0q"  # l_type, l_whence, l_start, l_len, l_pid of `struct flock` with 64 bits
_GET, _SET = getattr(fcntl, "F_OFD_GETLK", 36), getattr(fcntl, "F_OFD_SETLK", 37)  # of <linux/fcntl.h>
_NO_SUCH_LOCKS = (errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
TO_THE_END = 0  # a length: every byte that a file may ever have


class Ticket:
    """A place in the row of those who wait, through the open lock file `fd`."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._place = -1

    @property
    def is_next(self) -> bool:
        """Whether nobody came before; true also without a place, where the system gives none."""
        return self._place <= 0 or _taken(self._fd, 0, self._place) < 0

    def take(self) -> None:
        """Takes the first place after all that are taken."""
        try:
            place = _last_taken(self._fd) + 1
            while not _is_taken_now(self._fd, place):
                place = _last_taken(self._fd) + 1
        except OSError as error:
            if error.errno not in _NO_SUCH_LOCKS:
                raise
            return
        self._place = place

    def give_back(self) -> None:
        """Lets the next one come; does nothing without a place."""
        if self._place >= 0:
            _ask(self._fd, _SET, fcntl.F_UNLCK, self._place, 1)
            self._place = -1


def is_wanted(fd: int) -> bool:
    """Whether anybody waits for the lock whose file is open as `fd`."""
    try:
        return _taken(fd, 0, TO_THE_END) >= 0
    except OSError as error:
        if error.errno not in _NO_SUCH_LOCKS:
            raise
        return False


def _is_taken_now(fd: int, place: int) -> bool:
    """Takes a place, where nobody has it."""
    try:
        _ask(fd, _SET, fcntl.F_WRLCK, place, 1)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _last_taken(fd: int) -> int:
    """The last place that somebody else has; -1 where there is none."""
    last = -1
    while (found := _taken(fd, last + 1, TO_THE_END)) >= 0:
        last = found
    return last


def _taken(fd: int, start: int, length: int) -> int:
    """Some place that somebody else has among `length` from `start` on; -1 where there is none."""
    kind, _, place, _, _ = _ask(fd, _GET, fcntl.F_WRLCK, start, length)
    return -1 if kind == fcntl.F_UNLCK else place


def _ask(fd: int, command: int, kind: int, start: int, length: int) -> tuple[int, int, int, int, int]:
    answer = fcntl.fcntl(fd, command, struct.pack(_FLOCK, kind, 0, start, length, 0))
    kind, whence, place, size, process = struct.unpack(_FLOCK, answer)
    return kind, whence, place, size, process
