"""Rows of a large table at rest: kept as the canonical bytes of a dump, made records when they are asked for.

Rule 1. It answers as a dict of the same rows in the order of their keys' bytes would. It is never written:
        an `Overlay` over it takes what changes until the next dump.
Rule 2. Equal bytes, equal rows: nothing that is decided and no root shows which rows rest.
"""

from array import array
from bisect import bisect_left
from collections.abc import ItemsView, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from splittally.core.canonical import UNENCODABLE, decode_record_at, encode_record
from splittally.core.overlay import Overlay

ROWS_AT_REST_MIN = 10_000  # a smaller table is quicker as a dict, and light enough
READ_ROWS_MAX = 4_096  # records that were read last; with more all are let go
_ABSENT: Any = object()


class Packed(Mapping[Any, Any]):
    """Rows `[key, value]` one after the other in `data`, each from one of `starts` on; `kind` is a value's.

    A row of 100 bytes costs 108; as an entry of a dict it costs 300 to 1,500.
    """

    def __init__(self, data: bytes, starts: "array[int]", kind: Any) -> None:
        self._data = data
        self._starts = starts
        self._kind = kind
        self._read: dict[Any, Any] = {}

    def __len__(self) -> int:
        return len(self._starts)

    def __iter__(self) -> Iterator[Any]:
        for start in self._starts:
            yield _as_key(decode_record_at(self._data, start + 1)[0])

    def __contains__(self, key: object) -> bool:
        return key in self._read or self._start_of(key) >= 0

    def __getitem__(self, key: Any) -> Any:
        found = self._read.get(key, _ABSENT)
        if found is _ABSENT:
            start = self._start_of(key)
            if start < 0:
                raise KeyError(key)
            if len(self._read) >= READ_ROWS_MAX:
                self._read = {}  # a new one, since another thread may read the old
            found = self._read[key] = self._row_at(start)[1]
        return found

    def items(self) -> ItemsView[Any, Any]:
        """A view of `rows`."""
        return _Items(self)

    def rows(self) -> Iterator[tuple[Any, Any]]:
        """Each key and value, in order."""
        return map(self._row_at, self._starts)

    def _row_at(self, start: int) -> tuple[Any, Any]:
        (key, value), _ = decode_record_at(self._data, start)
        return _as_key(key), msgspec.convert(value, self._kind)

    def _start_of(self, key: Any) -> int:
        """Where the row of a key begins; negative where there is none.

        No key's bytes are the beginning of another's, so as many bytes as the key has tell the order.
        """
        try:
            wanted = encode_record(list(key) if type(key) is tuple else key)
        except UNENCODABLE:
            return -1
        data, size = self._data, len(wanted) + 1
        found = bisect_left(self._starts, wanted, key=lambda start: data[start + 1 : start + size])
        if found == len(self._starts):
            return -1
        start = self._starts[found]
        return start if data[start + 1 : start + size] == wanted else -1


def at_rest(rows: Iterable[bytes], kind: Any) -> dict[Any, Any]:
    """A table of these rows, each the bytes of `[key, value]`, in the order of their keys' bytes."""
    data, starts = bytearray(), array("Q")
    for row in rows:
        starts.append(len(data))
        data += row
    packed: Any = Packed(bytes(data), starts, kind)
    return Overlay(packed)


def copied(table: dict[Any, Any]) -> dict[Any, Any]:
    """A table of its own with the same rows; those that rest are shared."""
    if type(table) is not Overlay or not isinstance(table.base, Packed):
        return dict(table.items())
    copy = Overlay(table.base)
    copy.gone = set(table.gone)
    for key in dict.__iter__(table):
        copy[key] = table[key]
    return copy


class _Items(ItemsView[Any, Any]):
    _mapping: Packed

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return self._mapping.rows()


def _as_key(key: Any) -> Any:
    return tuple(key) if type(key) is list else key
