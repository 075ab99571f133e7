"""A run of the index: an immutable sorted file of rows (spec/07-journal.md, "Index").

Rule 1. A row is key (32 bytes) and sequence (8 bytes, big-endian), so rows sort by key, then sequence.
Rule 2. A run covers the frames `first` ... `stop` - 1 without a gap and names the hash of the last.
Rule 3. Its own BLAKE3 stands at the end. A run is written aside, synced and renamed; it never changes.
Rule 4. After the rows stands a table: for every value of the first `bits` bits of a key, where its rows
        begin. A key that is not there is mostly told from two entries of the table.
"""

import mmap
import os
import sys
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import accumulate, repeat
from pathlib import Path
from struct import Struct
from typing import NamedTuple

from blake3 import blake3

from splittally.core.errors import JournalDamaged
from splittally.core.limits import HASH_BYTES, KEY_BYTES
from splittally.journal import disk

ROW_BYTES = KEY_BYTES + 8
BITS_MIN, BITS_MAX = 8, 28  # a merge goes through the rows by their first byte
CONTEXT = "splittally 1 index"
PIECE_BYTES = 1 << 20
_MAGIC = b"splittally run 1"
_HEADER = Struct("=16sQQQQ32s")
seq_bytes = Struct(">Q").pack


class Cover(NamedTuple):
    """The frames of a run: `first` ... `stop` - 1, and the hash of the last."""

    first: int
    stop: int
    hash: bytes


class Run:
    """An open run; `JournalDamaged` when the file is not whole or not what its name says.

    `FileNotFoundError` when it is not there, `WorldError` when the system refuses to read it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        fd = disk.open_regular(path)
        try:
            self.cover, self.rows, bits, self.digest = _check(fd, path)
            self._map = mmap.mmap(fd, 0, prot=mmap.PROT_READ)
        except OSError as error:
            raise disk.refusal(
                f"`{path}` cannot be read; without it the index is made anew", error
            ) from error
        finally:
            disk.close(fd)
        table = _HEADER.size + self.rows * ROW_BYTES
        self._view = memoryview(self._map)
        self.starts = self._view[table : table + 4 * ((1 << bits) + 1)].cast("I")
        self.shift = 32 - bits

    def find(self, key: bytes, low: int, high: int) -> tuple[int, ...]:
        """The sequences of `key` among the rows `low` ... `high` - 1."""
        at, end = _HEADER.size + low * ROW_BYTES, _HEADER.size + high * ROW_BYTES
        while (at := self._map.find(key, at, end)) >= 0:
            if (at - _HEADER.size) % ROW_BYTES == 0:
                return self._seqs_at(key, at, end)
            at += 1  # these bytes straddle two rows
        return ()

    def rows_of(self, first_byte: int) -> list[bytes]:
        """The rows whose keys begin with this byte, in order."""
        spread = 24 - self.shift
        low, high = self.starts[first_byte << spread], self.starts[(first_byte + 1) << spread]
        at, end = _HEADER.size + low * ROW_BYTES, _HEADER.size + high * ROW_BYTES
        return [self._map[row : row + ROW_BYTES] for row in range(at, end, ROW_BYTES)]

    def close(self) -> None:
        self.starts.release()
        self._view.release()
        self._map.close()

    def _seqs_at(self, key: bytes, at: int, end: int) -> tuple[int, ...]:
        seqs = []
        while at < end and self._map[at : at + KEY_BYTES] == key:
            seqs.append(int.from_bytes(self._map[at + KEY_BYTES : at + ROW_BYTES]))
            at += ROW_BYTES
        return tuple(seqs)


def name_of(cover: Cover) -> str:
    return f"{cover.first:016x}-{cover.stop:016x}.run"


def bounds_of(path: Path) -> tuple[int, int] | None:
    """First frame and stop that a file name claims; None for a name that is not a run's."""
    first, _, stop = path.stem.partition("-")
    try:
        bounds = int(first, 16), int(stop, 16)
    except ValueError:
        return None
    return bounds if path.name == name_of(Cover(*bounds, b"")) else None


def write_run(folder: Path, cover: Cover, count: int, groups: Iterable[list[bytes]]) -> Run:
    """The run of `count` rows, given as 256 sorted groups, one for each first byte of a key."""
    bits = min(max(count.bit_length(), BITS_MIN), BITS_MAX)
    header = _HEADER.pack(_MAGIC, cover.first, cover.stop, count, bits, cover.hash)
    path = folder / name_of(cover)
    disk.write_file(path, _parts(header, bits, groups))
    return Run(path)


def _parts(header: bytes, bits: int, groups: Iterable[list[bytes]]) -> Iterator[bytes]:
    digest = blake3(header, derive_key_context=CONTEXT)
    yield header
    starts = array("I", [0])
    for first_byte, rows in enumerate(groups):
        body = b"".join(rows)
        digest.update(body)
        yield body
        starts.extend(_starts(body, first_byte, bits, starts[-1]))
    table = starts.tobytes()
    digest.update(table)
    yield table
    yield digest.digest()


def _starts(body: bytes, first_byte: int, bits: int, start: int) -> Iterator[int]:
    """Where the rows of each bucket of this first byte end, which is where those of the next begin."""
    words = array("I", body)[:: ROW_BYTES // 4]
    if sys.byteorder == "little":
        words.byteswap()
    counts = Counter(map((32 - bits).__rrshift__, words))
    buckets = range(first_byte << (bits - 8), (first_byte + 1) << (bits - 8))
    ends = accumulate(map(counts.get, buckets, repeat(0)), initial=start)
    next(ends)
    return ends


def _check(fd: int, path: Path) -> tuple[Cover, int, int, bytes]:
    """Cover, number of rows, table bits and digest of a whole run file."""
    size = os.fstat(fd).st_size
    header = os.pread(fd, _HEADER.size, 0)
    if size < _HEADER.size + HASH_BYTES:
        raise JournalDamaged("the file is cut short")
    magic, first, stop, count, bits, last = _HEADER.unpack(header)
    digest, at = blake3(derive_key_context=CONTEXT), 0
    while piece := os.pread(fd, min(PIECE_BYTES, size - HASH_BYTES - at), at):
        digest.update(piece)
        at += len(piece)
    if magic != _MAGIC or os.pread(fd, HASH_BYTES, at) != digest.digest():
        raise JournalDamaged("its bytes are not those that were written")
    if (first, stop) != bounds_of(path) or size != (
        _HEADER.size + count * ROW_BYTES + 4 * ((1 << bits) + 1) + HASH_BYTES
    ):
        raise JournalDamaged("it is not the run that its name says")
    return Cover(first, stop, last), count, bits, digest.digest()
