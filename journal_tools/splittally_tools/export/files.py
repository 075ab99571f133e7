"""Exports as files: streams of frames, tables as CSV or Parquet.

Rule 1. A file is written aside and renamed when it is whole; an export that is cut off leaves nothing.
        A device or a pipe is written to and stays what it is.
Rule 2. A file that is there is not replaced unless that is asked for.
"""

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from splittally.core.errors import InvalidInput, WorldError
from splittally.journal import disk
from splittally.runtime.frame_documents import frame_json
from splittally.runtime.reader import Reader

from splittally_tools.export.columns import Table, csv_of

NDJSON, CBORSEQ, CSV, PARQUET = "ndjson", "cborseq", "csv", "parquet"
_PARQUET = "splittally_tools.export.parquet"
Seen = Callable[[int], None]


class NoParquet(WorldError):
    """What writes Parquet is not installed."""

    code = "no_parquet"


def write_stream(
    reader: Reader, kind: str, target: Path | None, start: int, stop: int | None, seen: Seen = lambda _: None
) -> int:
    """Writes the frames `start` to before `stop` and says how many."""
    pieces = STREAMS[kind](reader, start, stop)
    if target is None:
        return _write(pieces, sys.stdout.buffer, seen)
    with _aside(target) as out:
        return _write(pieces, out, seen)


def write_table(table: Table, kind: str, target: Path | None) -> int:
    """Writes a table as CSV, or as Parquet into a file, and says how many rows."""
    counted = _Counted(table)
    if kind == PARQUET:
        assert target is not None
        write_parquet = parquet_writer()
        with _aside(target) as out:
            write_parquet(counted.table, Path(out.name))
    elif target is None:
        _write(csv_of(counted.table), sys.stdout.buffer)
    else:
        with _aside(target) as out:
            _write(csv_of(counted.table), out)
    return counted.rows


class _Counted:
    """A table whose rows are counted as they go by."""

    def __init__(self, table: Table) -> None:
        self.rows = 0
        self.table = table._replace(rows=self._through(table.rows))

    def _through(self, rows: Iterable[Sequence[Any]]) -> Iterator[Sequence[Any]]:
        for row in rows:
            self.rows += 1
            yield row


def parquet_writer() -> Callable[[Table, Path], None]:
    """What writes a table as Parquet; `NoParquet` where it is not installed."""
    try:
        writer: Callable[[Table, Path], None] = import_module(_PARQUET).write_parquet
    except ImportError as error:
        text = "Parquet needs one more package: `pip install 'splittally[parquet]'`"
        raise NoParquet(text) from error
    return writer


def refuse_existing(targets: Iterable[Path]) -> None:
    """Refuses the first target that is a file already."""
    for target in targets:
        if target.is_file():
            raise InvalidInput(f"`{target}` is there already; say `--force` to replace it", field="out")


def write_file(target: Path, data: bytes) -> None:
    """Writes a whole file, or nothing."""
    with _aside(target) as out:
        out.write(data)


@contextmanager
def _aside(target: Path) -> Iterator[IO[bytes]]:
    """A file that takes its name when the block ends well, and is gone otherwise; a device stays one."""
    try:
        if target.exists() and not target.is_file():
            with open(target, "wb") as out:
                yield out
            return
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as out:
            try:
                yield out
                out.flush()
                os.fsync(out.fileno())
                os.replace(out.name, target)
            except BaseException:
                os.unlink(out.name)
                raise
    except OSError as error:
        raise disk.refusal(f"`{target}` cannot be written", error) from error


def _write(pieces: Iterator[bytes], out: IO[bytes], seen: Seen = lambda _: None) -> int:
    """How many pieces were written; `seen` hears of each."""
    count = 0
    for piece in pieces:
        out.write(piece)
        count += 1
        seen(1)
    out.flush()
    return count


def _ndjson(reader: Reader, start: int, stop: int | None) -> Iterator[bytes]:
    for record in reader.records(start, stop):
        shown = frame_json(record, brief=False, with_evidence=True)
        yield json.dumps(shown, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _cborseq(reader: Reader, start: int, stop: int | None) -> Iterator[bytes]:
    for _, _, data in reader.entries(start, stop):
        yield data


STREAMS: dict[str, Callable[[Reader, int, int | None], Iterator[bytes]]] = {
    NDJSON: _ndjson,
    CBORSEQ: _cborseq,
}
FORMATS = (NDJSON, CBORSEQ, CSV, PARQUET)
