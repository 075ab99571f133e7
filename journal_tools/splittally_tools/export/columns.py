"""Tables that spreadsheets and databases read as they are: typed columns, and cells as text.

Rule 1. A column has one SQL type, which Parquet keeps; in CSV a cell is the text of that type: times are
        ISO 8601 in UTC to the microsecond, days are of the world's calendar, amounts are decimals in units.
        Nothing is an empty cell.
Rule 2. No cell of text can start a formula: what begins like one gets an apostrophe in front, in CSV (OWASP).
        What is not printable is an escape, so a row is a line.
Rule 3. No two columns are called alike, capitals aside: databases do not tell them apart.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from splittally.core.state import State
from splittally.edge.amounts import decimal_text
from splittally.edge.json_values import printable
from splittally.edge.wording import Wording, wording_of

TEXT, INTEGER, TIME, DAY, FLAG = "VARCHAR", "BIGINT", "TIMESTAMPTZ", "DATE", "BOOLEAN"
DIGITS_MAX = 38  # of a decimal: 20 are those of 2^64, so that sums of 10^18 rows still fit
ROWS_AT_ONCE = 256
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_EPOCH = datetime(1970, 1, 1)


class Column(NamedTuple):
    """A column by name, with its SQL type."""

    name: str
    type: str = TEXT


class Table(NamedTuple):
    """A table: rows as long as there are columns; their values are text, integers, flags, bytes or None."""

    name: str
    columns: Sequence[Column]
    rows: Iterable[Sequence[Any]]


class Cells(NamedTuple):
    """How a world's times and amounts stand in a cell."""

    wording: Wording

    def time(self, at_ns: int | None) -> str | None:
        """`2026-11-30T14:05:09.000000Z`."""
        if at_ns is None:
            return None
        moment = _EPOCH + timedelta(microseconds=at_ns // 1_000)
        return f"{moment.isoformat(timespec='microseconds')}Z"

    def day(self, at_ns: int | None) -> str | None:
        """`2026-11-30`, by the world's calendar."""
        return None if at_ns is None else self.wording.day(at_ns)

    def amount(self, minor: int | None, unit: str) -> str | None:
        """`12.50` for 1250 minor units of a resource with scale 2."""
        return None if minor is None else decimal_text(minor, self.wording.scale(unit))

    def decimal(self, *units: str) -> str:
        """The type of a column that holds amounts of these units."""
        return f"DECIMAL({DIGITS_MAX},{max(map(self.wording.scale, units), default=0)})"


def cells_of(state: State) -> Cells:
    """How the cells of a world read, as its state stands."""
    return Cells(wording_of(state))


def named_apart(columns: Iterable[Column]) -> list[Column]:
    """The columns, those whose name stood before with a number behind."""
    found: list[Column] = []
    used: set[str] = set()
    for column in columns:
        name, count = column.name, 1
        while name.casefold() in used:
            count += 1
            name = f"{column.name}_{count}"
        used.add(name.casefold())
        found.append(column._replace(name=name))
    return found


def csv_of(table: Table) -> Iterator[bytes]:
    """A table as CSV (RFC 4180) for spreadsheets."""
    return _csv(table, _spreadsheet_cell)


def plain_csv_of(table: Table) -> Iterator[bytes]:
    """The same for a program that takes the columns' types as they are said: nothing stands before a text."""
    return _csv(table, lambda text: text)


def _csv(table: Table, shown: Callable[[str], str]) -> Iterator[bytes]:
    is_text = [column.type == TEXT for column in table.columns]
    lines: list[list[str]] = [[shown(printable(column.name)) for column in table.columns]]
    for row in table.rows:
        cells = zip(map(_text, row), is_text, strict=True)
        lines.append([shown(text) if is_one else text for text, is_one in cells])
        if len(lines) >= ROWS_AT_ONCE:
            yield _lines(lines)
            lines = []
    yield _lines(lines)


def _lines(lines: list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(lines)
    return text.getvalue().encode()


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case bytes():
            return value.hex()
    return printable(str(value))


def _spreadsheet_cell(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
