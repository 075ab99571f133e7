"""A journal in an LMDB file: liblmdb writes it, `Tree` reads it (spec/07-journal.md, "LMDB").

Rule 1. liblmdb is let at a file only after everything that it may follow has been checked.
Rule 2. Every commit is synced (`sync`, `metasync`, no `writemap`); there is no other mode.
Rule 3. A full map grows and the commit is tried again. A disk without room is refused before anything
        is written. Any other failure stops the store: a later sync may succeed without the data.
Rule 4. One writer: the data file is locked for as long as it is open for writing. There is no
        `lock.mdb`, no reader table and no stale reader, because readers do not go through liblmdb.
Rule 5. A value is the hash that was sealed with the frame, then the frame.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import lmdb

from splittally.core.errors import DiskFull, JournalDamaged, KernelStopped
from splittally.core.limits import HASH_BYTES, MAP_BYTES_FIRST, MAP_BYTES_MAX
from splittally.journal import disk
from splittally.journal.environment import FILE, create_journal, open_environment
from splittally.journal.frame import EMPTY, Frame, Head, extend
from splittally.journal.freelist import check_free_pages, check_length
from splittally.journal.pages import BadPage, key_of
from splittally.journal.salvage import first_bad, is_frame
from splittally.journal.store import Conflict, Store, Unknown, absent
from splittally.journal.tree import LOAD_TRIES_MAX, Tree

FRESH_FRAMES_MAX = 1_024  # frames of this process kept until the tree is read again
FRESH_BYTES_MAX = 4 * 1024 * 1024


class LmdbStore(Store):
    """The journal in the folder `path`, made there when it is to be written and there is none.

    A reader sees what was committed when it opened or refreshed. Raises `NoWorld`, `WorldLocked`,
    `DiskFull` or `JournalDamaged`, which names the first bad frame.
    """

    def __init__(
        self, path: str | os.PathLike[str], writable: bool, map_bytes: int = MAP_BYTES_FIRST
    ) -> None:
        self.file = Path(path) / FILE
        if writable and not self.file.parent.exists():
            create_journal(self.file.parent)
        self._fd = disk.open_file(self.file)
        self._env: lmdb.Environment | None = None
        self._pid = os.getpid()
        self._stopped = ""
        self._fresh: dict[int, Frame] = {}
        self._fresh_bytes = self._file_bytes = 0
        try:
            if writable:
                disk.hold_file(self._fd, self.file)
            self._tree, self.head = _load(self._fd, writable)
            if writable:
                self._env = self._open_env(map_bytes)
        except BaseException:
            os.close(self._fd)
            raise
        if writable:
            _held.add(self)

    def append(self, expected: Head, frames: Sequence[Frame]) -> Head | Conflict | Unknown:
        env = self._writer()
        if expected != self.head:
            return Conflict(self.head)
        head = extend(expected, frames)
        if not frames:
            return head
        rows = [(key_of(seq), hash_ + data) for seq, hash_, data in frames]
        size = sum([len(value) for _, value in rows])
        file_bytes = disk.size_if_named(self._fd, self.file)
        if file_bytes < self._file_bytes:
            return self._stop("the journal file was moved, replaced or cut short while in use")
        self._file_bytes = file_bytes
        disk.refuse_full(self.file, size)
        failure = self._commit(env, rows)
        if failure is not None:
            return self._judge(failure, size)
        self.head = head
        self._remember(frames, size)
        return head

    def entry(self, seq: int) -> tuple[bytes, bytes]:
        frame = self._fresh.get(seq)
        if frame is not None:
            return frame.hash, frame.data
        if not 0 <= seq < self.head.size:
            raise absent(seq)
        tree = self._tree
        try:
            value = (tree if seq < tree.size else self._covering(seq + 1)).read(seq)
        except BadPage as bad:
            raise _damaged(bad, seq) from bad
        return value[:HASH_BYTES], value[HASH_BYTES:]

    def entries(self, start: int, stop: int) -> Iterator[tuple[bytes, bytes]]:
        if not 0 <= start <= stop <= self.head.size:
            raise absent(self.head.size)
        try:
            for value in self._covering(stop).scan(start, stop):
                yield value[:HASH_BYTES], value[HASH_BYTES:]
        except BadPage as bad:
            self._open_fd()
            raise _damaged(bad, start) from bad

    def refresh(self) -> Head:
        if self._env is None:
            size, last = self.head
            if disk.size_if_named(self._open_fd(), self.file) < 0:
                raise KernelStopped("the journal file was moved or replaced; open the world again")
            tree, head = _load(self._fd, writable=False)
            if head.size < size:
                raise JournalDamaged(f"the journal lost its frames from {head.size} on", seq=head.size)
            if size and tree.read(size - 1)[:HASH_BYTES] != last:
                raise JournalDamaged(f"frame {size - 1} is not the one that was there", seq=size - 1)
            self._tree, self.head = tree, head
        return self.head

    def verify_pages(self) -> None:
        """Refuses a file in which the next writer would write over frames, as opening for writing does."""
        fd = self._open_fd()
        for _ in range(LOAD_TRIES_MAX):
            tree = Tree.load(fd)
            try:
                check_length(fd, tree)
                check_free_pages(fd, tree)
                return
            except BadPage as bad:
                if Tree.load(fd).meta == tree.meta:  # no writer has been here in between
                    raise _damaged(bad, first_bad(fd)) from bad

    def close(self) -> None:
        if self._fd >= 0:
            if self._env is not None and os.getpid() == self._pid:
                self._env.close()
                disk.let_go(self._fd)  # also for a fork that has not let go yet
            self.forget()

    def forget(self) -> None:
        """Lets go of the descriptors alone, which in a forked child leaves the lock with the parent."""
        self._tree.close()
        os.close(self._fd)
        self._fd = -1
        self._fresh.clear()
        _held.discard(self)

    def _open_fd(self) -> int:
        if self._fd < 0:
            is_fork = os.getpid() != self._pid
            why = "belongs to the process that opened it" if is_fork else "is closed"
            raise KernelStopped(f"the journal {why}; open the world again")
        return self._fd

    def _covering(self, stop: int) -> Tree:
        """A tree that holds every frame before `stop`, which is at most the head."""
        fd = self._open_fd()
        if stop > self._tree.size:
            self._tree = Tree.load(fd)
        return self._tree

    def _remember(self, frames: Sequence[Frame], size: int) -> None:
        """Keeps what was just appended, so that reading it back asks no disk."""
        self._fresh_bytes += size
        if len(self._fresh) + len(frames) > FRESH_FRAMES_MAX or self._fresh_bytes > FRESH_BYTES_MAX:
            self._fresh.clear()
            self._fresh_bytes = size
        if size <= FRESH_BYTES_MAX:
            for frame in frames:
                self._fresh[frame.seq] = frame

    def _open_env(self, map_bytes: int) -> "lmdb.Environment":
        disk.refuse_full(self.file, 0)
        while map_bytes < min(2 * os.fstat(self._fd).st_size, MAP_BYTES_MAX):
            map_bytes *= 2
        return open_environment(self.file.parent, map_bytes)

    def _writer(self) -> "lmdb.Environment":
        self._open_fd()
        if self._env is None:
            raise KernelStopped("the journal is open for reading only")
        if self._stopped:
            raise KernelStopped(f"the journal stopped: {self._stopped}; open the world again")
        return self._env

    def _commit(self, env: "lmdb.Environment", rows: list[tuple[bytes, bytes]]) -> Exception | None:
        """Nothing once the rows are durable, else why they may not be."""
        while True:
            try:
                with env.begin(write=True) as txn:
                    cursor = txn.cursor()
                    self._refuse_other_end(cursor)
                    if cursor.putmulti(rows, append=True) != (len(rows), len(rows)):
                        raise _OtherEnd("the file holds frames that this process did not append")
                return None
            except lmdb.MapFullError:
                failure = self._grow(env)
                if failure is not None:
                    return failure
            except (lmdb.Error, _OtherEnd) as error:
                return error

    def _refuse_other_end(self, cursor: "lmdb.Cursor[bytes]") -> None:
        size, last = self.head
        found = cursor.last()
        if found != bool(size) or (size and cursor.key() != key_of(size - 1)):
            raise _OtherEnd("the file does not end with the frame that was appended last")
        if size and cursor.value()[:HASH_BYTES] != last:
            raise _OtherEnd("the file does not end with the frame that was appended last")

    def _grow(self, env: "lmdb.Environment") -> Exception | None:
        map_bytes = 2 * env.info()["map_size"]
        if map_bytes > MAP_BYTES_MAX:
            raise DiskFull("the journal has reached its largest size", bytes_max=MAP_BYTES_MAX)
        try:
            env.set_mapsize(map_bytes)
        except lmdb.Error as error:
            return error
        return None

    def _judge(self, failure: Exception, size: int) -> Unknown:
        """Ends all appending; raises `DiskFull` when that was the reason and nothing was written."""
        unknown = self._stop(f"a commit failed ({failure})")
        is_full = not disk.has_room(self.file, size) or disk.is_at_limit(self._fd, size)
        if is_full and _committed(self._fd) == self.head.size:
            raise DiskFull("the disk is full; make room and open the world again") from failure
        return unknown

    def _stop(self, reason: str) -> Unknown:
        self._stopped = reason
        return Unknown(reason)


class _OtherEnd(Exception):
    """The file does not end where this process left it."""


_held: set[LmdbStore] = set()


def _forget_in_child() -> None:
    """A fork shares the lock of its parent and would keep it alive, so it lets go at once."""
    for store in list(_held):
        store.forget()


os.register_at_fork(after_in_child=_forget_in_child)


def _load(fd: int, writable: bool) -> tuple[Tree, Head]:
    """The committed tree and its head, checked as far as opening rests on it."""
    try:
        tree = Tree.load(fd)
        check_length(fd, tree)
        if writable:
            check_free_pages(fd, tree)
        if not tree.size:
            return tree, EMPTY
        value = tree.read(tree.size - 1)
    except BadPage as bad:
        raise _damaged(bad, first_bad(fd)) from bad
    if not is_frame(value, tree.size - 1):
        raise _damaged(BadPage("its bytes are not those that were sealed"), first_bad(fd))
    return tree, Head(tree.size, value[:HASH_BYTES])


def _committed(fd: int) -> int:
    """How many frames the file holds now; -1 when it cannot be read."""
    try:
        return Tree.load(fd).size
    except BadPage:
        return -1


def _damaged(bad: BadPage, seq: int) -> JournalDamaged:
    return JournalDamaged(f"the journal is damaged from frame {seq} on: {bad.reason}", seq=seq)
