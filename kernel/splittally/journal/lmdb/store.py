"""The journal as a `Store` in an LMDB file: liblmdb appends, `LmdbFile` reads (spec/07-journal.md).

Rule 1. liblmdb is let at a file only after everything that it may follow has been checked.
Rule 2. Every commit is synced (`sync`, `metasync`, no `writemap`); there is no other mode.
Rule 3. A full map grows and the commit is tried again. A disk without room is refused before anything
        is written. Any other failure stops the store: a later sync may succeed without the data.
Rule 4. One writer: the data file is locked for as long as it is open for writing. There is no
        `lock.mdb`, no reader table and no stale reader, because readers do not go through liblmdb.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import lmdb

from splittally.core.errors import DiskFull, JournalDamaged, KernelStopped, WorldError
from splittally.core.limits import HASH_BYTES, MAP_BYTES_FIRST, MAP_BYTES_MAX
from splittally.journal import disk, lock
from splittally.journal.frame import Frame, Head, extend
from splittally.journal.lmdb.environment import FILE, create_journal, mend_meta, open_environment
from splittally.journal.lmdb.file import LmdbFile, newest
from splittally.journal.lmdb.pages import BadPage, key_bytes
from splittally.journal.lmdb.salvage import damaged, hash_at, load
from splittally.journal.store import Conflict, Store, Unknown, absent

FRESH_BYTES_MAX = 4 * 1024 * 1024  # of frames that were appended last, and are not read from the file


class LmdbStore(Store):
    """The journal in the folder `path`, made there when it is to be written and there is none.

    A reader sees what was committed when it opened or refreshed. Raises `JournalDamaged`, which names the
    first bad frame, `WorldError` for what the system refuses, `NoWorld`, `WorldLocked` or `DiskFull`.
    """

    def __init__(
        self, path: str | os.PathLike[str], writable: bool, map_bytes: int = MAP_BYTES_FIRST
    ) -> None:
        self.file = Path(path) / FILE
        if writable and not disk.is_folder(self.file.parent):
            create_journal(self.file.parent)
        self._fd = disk.open_journal(self.file)
        self._env: lmdb.Environment | None = None
        self._stopped = ""
        self._fresh: dict[int, Frame] = {}
        self._fresh_bytes = self._file_bytes = 0
        try:
            if writable:
                lock.hold_file(self._fd, self.file)
            self._file, self.head, found = load(self._fd, writable)
            if writable:
                disk.refuse_full(self.file, 0)
                if self._file.meta.in_doubt:
                    mend_meta(self.file, self._fd, self._file.meta)
                self._env = open_environment(self.file.parent, map_bytes)
            self._take(found)
        except BaseException:
            if self._env is not None:
                self._env.close()
            disk.close(self._fd)
            raise
        if writable:
            lock.drop_in_forks(self)

    def append(self, expected: Head, frames: Sequence[Frame]) -> Head | Conflict | Unknown:
        env = self._writer()
        if expected != self.head:
            return Conflict(self.head)
        head = extend(expected, frames)
        if not frames:
            return head
        rows = [(key_bytes(seq), hash_ + data) for seq, hash_, data in frames]
        size = sum([len(value) for _, value in rows])
        file_bytes = disk.size_if_named(self._fd, self.file)
        if file_bytes < self._file_bytes:
            return self._stop("the journal file was moved, replaced or cut short while in use")
        self._file_bytes = file_bytes
        disk.refuse_full(self.file, size)
        try:
            self._commit(env, rows)
        except lmdb.Error as failure:
            return self._judge(failure, size)
        self.head = head
        self._fresh.update((frame.seq, frame) for frame in frames)
        self._fresh_bytes += size
        if self._fresh_bytes > FRESH_BYTES_MAX:
            self._fresh.clear()
            self._fresh_bytes = 0
        return head

    def entry(self, seq: int) -> tuple[bytes, bytes]:
        frame = self._fresh.get(seq)
        if frame is not None:
            return frame.hash, frame.data
        if not 0 <= seq < self.head.size:
            raise absent(seq)
        file = self._file
        try:
            value = (file if seq < file.size else self._covering(seq + 1)).get(seq)
        except BadPage as bad:
            raise damaged(bad, seq) from bad
        return value[:HASH_BYTES], value[HASH_BYTES:]

    def entries(self, start: int, stop: int) -> Iterator[tuple[bytes, bytes]]:
        if not 0 <= start <= stop <= self.head.size:
            raise absent(self.head.size)
        at = start
        try:
            file = self._covering(stop)
            for value in file.range(start, min(stop, file.size)):
                yield value[:HASH_BYTES], value[HASH_BYTES:]
                at += 1
        except BadPage as bad:
            self._open_fd()  # says so if the store was closed meanwhile
            raise damaged(bad, at) from bad
        for seq in range(at, stop):  # what a reader found beyond the tree
            yield self.entry(seq)

    def refresh(self) -> Head:
        if self._env is None:
            size, last = self.head
            if disk.size_if_named(self._open_fd(), self.file) < 0:
                raise KernelStopped("the journal file was moved or replaced; open the world again")
            file, head, found = load(self._fd, writable=False)
            end = extend(head, found)
            if end.size < size:
                raise JournalDamaged(f"the journal lost its frames from {end.size} on", seq=end.size)
            if size and hash_at(size - 1, file, found) != last:
                raise JournalDamaged(f"frame {size - 1} is not the one that was there", seq=size - 1)
            self._file, self.head = file, head
            self._take(found)
        return self.head

    def verify_pages(self) -> None:
        """Refuses a file in which the next writer would write over frames, as opening for writing does."""
        load(self._open_fd(), writable=True)

    def close(self) -> None:
        if self._fd >= 0:
            if self._env is not None:
                self._env.close()
                lock.let_go(self._fd)
            self.forget()

    def forget(self) -> None:
        """Lets go of the descriptors alone, which in a forked child leaves the lock with the parent."""
        self._file.close()
        disk.close(self._fd)
        self._fd = -1
        self._fresh.clear()
        lock.released(self)

    def _open_fd(self) -> int:
        if self._fd < 0:
            raise KernelStopped("the journal was closed, or opened before a fork; open the world again")
        return self._fd

    def _covering(self, stop: int) -> LmdbFile:
        """The file with every frame before `stop`, which is at most the head, as far as it has them."""
        fd = self._open_fd()
        if stop > self._file.size and self._env is not None:
            self._file = LmdbFile.load(fd)
        return self._file

    def _take(self, found: list[Frame]) -> None:
        """Frames that only a lost meta page told of: a writer appends them again, a reader keeps them."""
        if self._file.meta.in_doubt:
            text = "a meta page of the journal is lost"
            self.repairs = [f"{text}; {len(found)} frames that it told of were found on other pages"]
        if self._env is None:
            self._fresh = {frame.seq: frame for frame in found}
            self.head = extend(self.head, found)
        elif found and not isinstance(self.append(self.head, found), Head):
            raise KernelStopped(f"the journal cannot be mended: {self._stopped}")

    def _writer(self) -> "lmdb.Environment":
        self._open_fd()
        if self._env is None:
            raise KernelStopped("the journal is open for reading only")
        if self._stopped:
            raise KernelStopped(f"the journal stopped: {self._stopped}; open the world again")
        return self._env

    def _commit(self, env: "lmdb.Environment", rows: list[tuple[bytes, bytes]]) -> None:
        """Makes the rows durable; what it raises leaves open whether they are."""
        while True:
            try:
                with env.begin(write=True) as txn:
                    cursor = txn.cursor()
                    if not self._is_at_head(cursor):
                        raise lmdb.Error("the file does not end with the frame that was appended last")
                    if cursor.putmulti(rows, append=True) != (len(rows), len(rows)):
                        raise lmdb.Error("the file holds frames that this process did not append")
                return
            except lmdb.MapFullError:
                map_bytes = 2 * env.info()["map_size"]
                if map_bytes > MAP_BYTES_MAX:
                    raise DiskFull(
                        "the journal has reached its largest size", bytes_max=MAP_BYTES_MAX
                    ) from None
                env.set_mapsize(map_bytes)

    def _is_at_head(self, cursor: "lmdb.Cursor[bytes]") -> bool:
        """Whether the file ends with the frame that this process appended last."""
        size, last = self.head
        if not cursor.last():
            return not size
        return size > 0 and cursor.key() == key_bytes(size - 1) and cursor.value()[:HASH_BYTES] == last

    def _judge(self, failure: Exception, size: int) -> Unknown:
        """Ends all appending; raises `DiskFull` when that was the reason and nothing was written."""
        unknown = self._stop(f"a commit failed ({failure})")
        if not disk.has_room(self.file, size) or disk.is_at_limit(self._fd, size):
            committed = -1
            with suppress(BadPage, WorldError):
                committed = newest(self._fd).main.rows
            if committed == self.head.size:
                raise DiskFull("the disk is full; make room and open the world again") from failure
        return unknown

    def _stop(self, reason: str) -> Unknown:
        self._stopped = reason
        return Unknown(reason)
