"""A state as bytes: its tables, its root, and a snapshot written and read row by row.

Rule 1. The root is over the canonical map table -> array of [key, row] in key order; it is computed for
        snapshots, checkpoints and verification, never per record.
Rule 2. A snapshot is `[size, tables]`. It is read row by row, so that its values never stand in memory all at
        once. What is not in the form that dumping writes is refused: heads, the order of names and of rows,
        and records that would be written otherwise. So the root of the bytes is that of the state.
Rule 3. Equal parts of records become one object: names, hashes and legs of holds are mostly the same.
Rule 4. A hold stands here without its frame's hash, which is in no root.
"""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from splittally.core.canonical import decode_record_at, encode_record
from splittally.core.caps.callers import rebuild_callers
from splittally.core.caps.names import require_names
from splittally.core.caps.state import GRANTS
from splittally.core.errors import CanonicalError
from splittally.core.governor import evolve as governor
from splittally.core.hashing import hash_state
from splittally.core.ledger.keyed import rebuild_keys
from splittally.core.ledger.state import Hold
from splittally.core.rows import WINDOW_FIELDS, budget_row, effect_row, grant_row, leave_out, rules_row
from splittally.core.state import TABLES, WORLD_FIELDS, WORLD_LATER, State, Table
from splittally.core.types import Draw, Leg

WORLD = "world"
FORGOTTEN = "forgotten"
_BY_NAME = {table.name: table for table in TABLES}
Rows = Iterator[tuple[Any, Any, bytes]]  # key, value, and the bytes of the two as a row
_LIST, _MAP = 4, 5  # major types of CBOR
# What reading and counting the rows of a state raises where they are not those of one.
_NO_STATE = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)
_SHARED_MAX = 4_096  # records that are looked for; with more different ones there is little to share


def tables(state: State) -> dict[str, list[list[Any]]]:
    """Every table that stands in the root, as an array of [key, row] in the order of the keys' bytes."""
    found = {table.name: _rows(table.name, state.table(table)) for table in TABLES if _stands(state, table)}
    world = {name: getattr(state, name) for name in (*WORLD_FIELDS, *WORLD_LATER)}
    stands = {name: value for name, value in world.items() if value != WORLD_LATER.get(name)}
    found[WORLD] = _rows(WORLD, stands)
    return found


def state_root(state: State) -> bytes:
    """The hash of all tables."""
    return hash_state(encode_record(tables(state)))


def dump_state(state: State) -> bytes:
    """The state as bytes, for a snapshot."""
    return encode_record([state.size, tables(state)])


def dumped_root(data: bytes) -> bytes:
    """The root of the state in these bytes, which is that of its tables if it can be loaded."""
    return hash_state(data[_size_of(data)[1] :])


def load_state(data: bytes, *, is_dumped: bool = False) -> State:
    """The state that `dump_state` wrote, with the root that `dumped_root` gives.

    `CanonicalError`, and no other, where the state would be dumped otherwise than it is here. Who knows that
    a kernel dumped these bytes says so: then no record is written once more to be compared.
    """
    try:
        return _load_state(data, is_dumped)
    except CanonicalError:
        raise
    except _NO_STATE as error:
        raise CanonicalError(f"these bytes are no dumped state: {error}") from error


def _load_state(data: bytes, is_dumped: bool) -> State:
    state, shared, names = State(), Shared(is_dumped), []
    state.size = _size_of(data)[0]
    for name, rows in _tables_in(data):
        names.append(name)
        if name == WORLD:
            _load_world(state, rows)
        elif name not in _BY_NAME:
            raise ValueError(f"`{name}` is no table of this release")
        else:
            _load_table(name, state.table(_BY_NAME[name]), rows, shared)
    expected = [WORLD, *(table.name for table in TABLES if _stands(state, table))]
    if names != sorted(expected, key=encode_record):
        raise ValueError("it does not have the tables of this release")
    state.ledger.rebuild_agenda()
    state.ledger.rebuild_sums()
    rebuild_keys(state.ledger)
    rebuild_callers(state.caps)
    for hold in state.ledger.holds.values():
        governor.reserve(state.governed, hold.legs[0].reserve, 1)
    return state


# --- bytes ----------------------------------------------------------------------------------------


def _tables_in(data: bytes) -> Iterator[tuple[str, Rows]]:
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
    """Equal parts of records, each once; what is known to be dumped is not written again to be compared."""

    def __init__(self, is_dumped: bool = False) -> None:
        self.is_dumped = is_dumped
        self._atoms: dict[str | bytes, str | bytes] = {}
        self._records: dict[bytes, Any] = {}

    def record(self, row: Any, kind: Any) -> Any:
        """The record of this kind in `row`, the same object for an equal row."""
        data = encode_record(row)
        found = self._records.get(data)
        if found is None:
            found = msgspec.convert(self.part(row), kind)
            if not self.is_dumped:
                again = msgspec.to_builtins(found, builtin_types=(bytes,))
                if kind is Leg:
                    _shorten_leg(again)
                _require(encode_record(again) == data)
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
        """The rows of a table, in the order of their keys' bytes.

        No key's bytes are the beginning of another's, so rows of different keys are ordered as their keys.
        """
        last, before = b"", None
        for _ in range(self.head(_LIST)):
            row, found = self.value()
            _require(type(row) is list and len(row) == 2 and last < found and row[0] != before)
            last, before = found, row[0]
            yield before, row[1], found


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


# --- rows -----------------------------------------------------------------------------------------


def _stands(state: State, table: Table) -> bool:
    """Whether a table stands in the root."""
    return not table.is_later or bool(state.table(table))


def _rows(name: str, table: dict[Any, Any]) -> list[list[Any]]:
    as_row = _AS_ROW.get(name, _as_row)
    rows = [[list(key) if type(key) is tuple else key, as_row(value)] for key, value in table.items()]
    rows.sort(key=lambda row: encode_record(row[0]))
    return rows


def _as_row(value: Any) -> Any:
    """A row as lists and atoms."""
    return list(value) if type(value) is tuple else msgspec.to_builtins(value, builtin_types=(bytes,))


def _hold_as_row(hold: Hold) -> list[Any]:
    *atoms, legs, draws = _as_row(hold)
    for leg in legs:
        _shorten_leg(leg)
    return [*atoms, list(legs), list(draws)]


def _shorten_leg(row: list[Any]) -> None:
    """Leave out of the windows of a leg what came later and says nothing."""
    for window in row[_LEG_WINDOWS]:
        leave_out(window, WINDOW_FIELDS)


_LEG_WINDOWS = Leg.__struct_fields__.index("windows")
_AS_ROW: dict[str, Callable[[Any], Any]] = {
    "budgets": budget_row,
    "effects": effect_row,
    "grants": grant_row,
    "holds": _hold_as_row,
    "rules": rules_row,
}


def _load_world(state: State, rows: Rows) -> None:
    world = {name: value for name, value, _ in rows}
    later = world.keys() - set(WORLD_FIELDS)
    if not later <= WORLD_LATER.keys() or any(world[name] == WORLD_LATER[name] for name in later):
        raise ValueError("it says of the world what this release does not, or what goes without saying")
    if world.keys() - later != set(WORLD_FIELDS):
        raise ValueError("it does not say of the world what this release does")
    for name, value in world.items():
        setattr(state, name, value)


def _load_table(name: str, table: dict[Any, Any], rows: Rows, shared: Shared) -> None:
    """Read the rows of a table; `ValueError` where one would be written otherwise."""
    of = _BY_NAME[name]
    if name == "holds":
        for key, value, _ in rows:
            table[key] = _read_hold(value, shared)
        return
    for key, value, found in rows:
        record = msgspec.convert(value, of.row)
        if not shared.is_dumped and encode_record([key, _AS_ROW.get(name, _as_row)(record)]) != found:
            raise ValueError(f"a row of `{name}` is not in the form of this release")
        table[tuple(key) if type(key) is list else key] = record
    if name == FORGOTTEN:
        _require([*table] == [GRANTS])
        require_names(table[GRANTS])


def _read_hold(row: list[Any], shared: Shared) -> Hold:
    _require(type(row) is list and len(row) == len(Hold.__struct_fields__))
    *atoms, legs, draws = row
    _require(type(legs) is list and type(draws) is list)
    fields = [
        *[shared.part(atom) if type(atom) is str else atom for atom in atoms],
        [shared.record(leg, Leg) for leg in legs],
        [shared.record(draw, Draw) for draw in draws],
    ]
    return msgspec.convert(fields, Hold)
