"""A dumped state, read row by row, so that its values never stand in memory all at once.

Rule 1. What is not in the form that dumping writes is refused: heads, the order of names and of rows,
        and records that would be written otherwise. So the root of the bytes is that of the state.
Rule 2. Equal parts of records become one object: names, hashes and legs of holds are mostly the same.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from splittally.core.canonical import decode_record_at, encode_record
from splittally.core.errors import CanonicalError
from splittally.core.hashing import hash_state

Rows = Iterator[tuple[Any, Any, bytes]]  # key, value, and the bytes of the two as a row
_LIST, _MAP = 4, 5  # major types of CBOR
_SHARED_MAX = 4_096  # records that are looked for; with more different ones there is little to share


def dumped_size(data: bytes) -> int:
    """The size of the state in these bytes."""
    return _size_of(data)[0]


def dumped_root(data: bytes) -> bytes:
    """The root of the state in these bytes, which is that of its tables if it can be loaded."""
    return hash_state(data[_size_of(data)[1] :])


def dumped_tables(data: bytes) -> Iterator[tuple[str, Rows]]:
    """Each table's name and its rows, which must be read before the next; `CanonicalError` otherwise."""
    cursor = _Cursor(data, _size_of(data)[1])
    last = b""
    for _ in range(cursor.head(_MAP)):
        name, key = cursor.value()
        _require(type(name) is str and last < key)
        last = key
        yield name, cursor.rows()
    _require(cursor.at == len(data))


class Shared:
    """Equal parts of records, each once."""

    def __init__(self) -> None:
        self._atoms: dict[str | bytes, str | bytes] = {}
        self._records: dict[bytes, Any] = {}

    def record(self, row: Any, kind: Any) -> Any:
        """The record of this kind in `row`, the same object for an equal row."""
        data = encode_record(row)
        found = self._records.get(data)
        if found is None:
            found = msgspec.convert(self.part(row), kind)
            _require(encode_record(msgspec.to_builtins(found, builtin_types=(bytes,))) == data)
            if len(self._records) >= _SHARED_MAX:
                self._records.clear()
            self._records[data] = found
        return found

    def part(self, value: Any) -> Any:
        """A value with its text and bytes shared."""
        kind = type(value)
        if kind is str or kind is bytes:
            return self._atoms.setdefault(value, value)
        if kind is list:
            return [self.part(item) for item in value]
        if kind is dict:
            return {self.part(key): self.part(item) for key, item in value.items()}
        return value


class _Cursor:
    """Where in the bytes the reading is."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data = data
        self.at = at

    def value(self) -> tuple[Any, bytes]:
        """The value that begins here, and its bytes."""
        start = self.at
        value, self.at = decode_record_at(self.data, start)
        return value, self.data[start : self.at]

    def head(self, major: int) -> int:
        """The number of items in a list, or of entries in a map, that begins here."""
        count, self.at = _head(self.data, self.at, major)
        return count

    def rows(self) -> Rows:
        """The rows of a table, in the order of their keys' bytes."""
        last = b""
        for _ in range(self.head(_LIST)):
            row, found = self.value()
            _require(type(row) is list and len(row) == 2)
            key = encode_record(row[0])
            _require(last < key)
            last = key
            yield row[0], row[1], found


def _size_of(data: bytes) -> tuple[int, int]:
    """The size of a dumped state, and where its tables begin."""
    count, at = _head(data, 0, _LIST)
    size, at = decode_record_at(data, at)
    _require(count == 2 and type(size) is int and size >= 0)
    return size, at


def _head(data: bytes, at: int, major: int) -> tuple[int, int]:
    """The argument of the head at `at`, in its shortest form, and where the head ends."""
    _require(at < len(data) and data[at] >> 5 == major and data[at] & 31 < 28)
    info = data[at] & 31
    if info < 24:
        return info, at + 1
    width = 1 << info - 24
    count = int.from_bytes(data[at + 1 : at + 1 + width])
    _require(at + 1 + width <= len(data) and count >= (24 if width == 1 else 1 << 4 * width))
    return count, at + 1 + width


def _require(is_so: bool) -> None:
    if not is_so:
        raise CanonicalError("these bytes are no dumped state")
