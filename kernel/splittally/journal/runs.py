"""A run of the index: an immutable sorted file of rows (spec/07-journal.md, "Index").

Rule 1. A row is key (32 bytes) and sequence (8 bytes, big-endian), so rows sort by key, then sequence.
Rule 2. A run covers the frames `first` ... `stop` - 1 without a gap and names the hash of the last.
Rule 3. Its own BLAKE3 stands at the end. A run is written aside, synced and renamed; it never changes.
Rule 4. After the rows stands a table: for every value of the first `bits` bits of a key, where its rows
        begin. A key that is not there is mostly told from two entries of the table.
Rule 5. Nothing is read through a memory map: a page that cannot be read, or a file that was cut short,
        is then an error of this one look-up and never a signal.
"""

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

from splittally.core.errors import JournalDamaged, WorldError
from splittally.core.limits import HASH_BYTES, KEY_BYTES
from splittally.journal import disk

ROW_BYTES = KEY_BYTES + 8
BITS_MIN, BITS_MAX = 8, 28  # a merge goes through the rows by their first byte
CONTEXT = "splittally 1 index"
PIECE_BYTES = 1 << 20
_MAGIC = b"splittally run 2"
_OLDER_MAGIC = b"splittally run 1"  # of releases that entered intents and keys alone
_HEADER = Struct("=16sQQQQ32s")
_ROWS_AT = _HEADER.size
_pair_from = Struct("=II").unpack_from
seq_bytes = Struct(">Q").pack


class Cover(NamedTuple):
    """The frames of a run: `first` ... `stop` - 1, and the hash of the last."""

    first: int
    stop: int
    hash: bytes


class Run:
    """An open run; `JournalDamaged` when the file is not whole or not what its name says.

    `FileNotFoundError` when it is not there, `WorldError` when the system refuses to read it, then or later.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held = b""
        self._fd = disk.open_regular(path)
        try:
            self.size = os.fstat(self._fd).st_size
            self.cover, self.rows, bits, self.digest = _check(self._fd, path, self.size)
            self.is_older = os.pread(self._fd, len(_OLDER_MAGIC), 0) == _OLDER_MAGIC
        except OSError as error:
            self.close()
            raise self._refusal(error) from error
        except BaseException:
            self.close()
            raise
        self._table = _ROWS_AT + self.rows * ROW_BYTES
        self.shift = 32 - bits

    def hold(self) -> None:
        """Keeps the whole file in memory, where a look-up costs no call of the system."""
        self._held = self._held or self._read(0, self.size)

    def let_go(self) -> None:
        """Reads from the file again."""
        self._held = b""

    def find(self, key: bytes, prefix: int) -> tuple[int, ...]:
        """The sequences of `key`, whose first 32 bits are `prefix`."""
        low, high = _pair_from(self._read(self._table + 4 * (prefix >> self.shift), 8))
        if low == high:
            return ()
        return _seqs_in(self._body(low, high), key, 0, (high - low) * ROW_BYTES)

    @property
    def starts(self) -> memoryview:
        """Of a run in memory, where the rows of each bucket begin."""
        table = self._table, self._table + 4 * ((1 << (32 - self.shift)) + 1)
        return memoryview(self._held)[slice(*table)].cast("I")

    def find_held(self, key: bytes, low: int, high: int) -> tuple[int, ...]:
        """The same, of a run in memory and its rows `low` ... `high` - 1."""
        return _seqs_in(self._held, key, _ROWS_AT + low * ROW_BYTES, _ROWS_AT + high * ROW_BYTES)

    def rows_of(self, first_byte: int) -> list[bytes]:
        """The rows whose keys begin with this byte, in order."""
        at, spread = self._table + 4 * (first_byte << (24 - self.shift)), 4 << (24 - self.shift)
        body = self._body(*_pair_from(self._read(at, 4) + self._read(at + spread, 4)))
        return [body[row : row + ROW_BYTES] for row in range(0, len(body), ROW_BYTES)]

    def close(self) -> None:
        disk.close(self._fd)
        self._fd, self._held = -1, b""

    def _body(self, low: int, high: int) -> bytes:
        """The rows `low` ... `high` - 1 as they stand in the file."""
        if not low <= high <= self.rows:
            raise WorldError(f"`{self.path}` was changed by somebody else; open the world again")
        return self._read(_ROWS_AT + low * ROW_BYTES, (high - low) * ROW_BYTES)

    def _read(self, at: int, size: int) -> bytes:
        if self._held:
            return self._held[at : at + size]
        try:
            data = os.pread(self._fd, size, at)
        except OSError as error:
            raise self._refusal(error) from error
        if len(data) != size:
            raise WorldError(f"`{self.path}` was cut short by somebody else; open the world again")
        return data

    def _refusal(self, error: OSError) -> WorldError:
        return disk.refusal(f"`{self.path}` cannot be read; without it the index is made anew", error)


def _seqs_in(data: bytes, key: bytes, start: int, end: int) -> tuple[int, ...]:
    """The sequences of `key` in the rows that stand in `data` from `start` to `end`."""
    at = start
    while (at := data.find(key, at, end)) >= 0:
        if (at - start) % ROW_BYTES == 0:
            seqs = []
            while at < end and data.startswith(key, at):
                seqs.append(int.from_bytes(data[at + KEY_BYTES : at + ROW_BYTES]))
                at += ROW_BYTES
            return tuple(seqs)
        at += 1  # these bytes straddle two rows
    return ()


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


def _check(fd: int, path: Path, size: int) -> tuple[Cover, int, int, bytes]:
    """Cover, number of rows, table bits and digest of a whole run file."""
    header = os.pread(fd, _HEADER.size, 0)
    if size < _HEADER.size + HASH_BYTES:
        raise JournalDamaged("the file is cut short")
    magic, first, stop, count, bits, last = _HEADER.unpack(header)
    digest, at = blake3(derive_key_context=CONTEXT), 0
    while piece := os.pread(fd, min(PIECE_BYTES, size - HASH_BYTES - at), at):
        digest.update(piece)
        at += len(piece)
    if magic not in (_MAGIC, _OLDER_MAGIC) or os.pread(fd, HASH_BYTES, at) != digest.digest():
        raise JournalDamaged("its bytes are not those that were written")
    if (first, stop) != bounds_of(path) or size != (
        _HEADER.size + count * ROW_BYTES + 4 * ((1 << bits) + 1) + HASH_BYTES
    ):
        raise JournalDamaged("it is not the run that its name says")
    return Cover(first, stop, last), count, bits, digest.digest()
