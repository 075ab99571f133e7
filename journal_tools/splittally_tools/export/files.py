"""The export formats: NDJSON, CBOR sequence, CSV.

Rule 1. A file is written aside and renamed when it is whole; an export that is cut off leaves nothing.
        A device or a pipe is written to and stays what it is.
Rule 2. A CSV cell can start no formula: what begins like one gets an apostrophe in front (OWASP).
"""

import csv
import io
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from splittally.core.commands import Submit
from splittally.core.events import Decided, Held, Released, Settled
from splittally.edge.json_values import printable
from splittally.edge.records import readable
from splittally.journal import disk
from splittally.runtime.reader import Reader, Record

from splittally_tools.export.frames import frame_json

Range = tuple[int, int | None]
COLUMNS = (
    "seq", "frame_hash", "at_ns", "principal", "event", "intent_hash", "kind", "grant", "outcome", "codes",
    "reserve", "usage", "charged",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_export(reader: Reader, kind: str, target: Path | None, start: int, stop: int | None) -> int:
    """Writes the frames `start` to before `stop` and says how many."""
    pieces = FORMATS[kind](reader, start, stop)
    if target is None:
        return _write(pieces, sys.stdout.buffer)
    with _aside(target) as out:
        return _write(pieces, out)


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


def _write(pieces: Iterator[bytes], out: IO[bytes]) -> int:
    """The number of frames: every piece but a heading is one frame."""
    frames = 0
    for piece in pieces:
        out.write(piece)
        frames += 1
    out.flush()
    return frames


def _ndjson(reader: Reader, start: int, stop: int | None) -> Iterator[bytes]:
    for record in reader.records(start, stop):
        shown = frame_json(record, brief=False, with_evidence=True)
        yield json.dumps(shown, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _cborseq(reader: Reader, start: int, stop: int | None) -> Iterator[bytes]:
    for _, _, data in reader.entries(start, stop):
        yield data


def _csv(reader: Reader, start: int, stop: int | None) -> Iterator[bytes]:
    heading = _csv_rows([list(COLUMNS)])
    for record in reader.records(start, stop):
        yield heading + _csv_rows(_rows(record))
        heading = b""


FORMATS: dict[str, Callable[[Reader, int, int | None], Iterator[bytes]]] = {
    "ndjson": _ndjson,
    "cborseq": _cborseq,
    "csv": _csv,
}


def _rows(record: Record) -> Iterator[list[Any]]:
    """A row for each decision, settlement and release of a frame."""
    body = record.body
    common = [record.seq, record.hash.hex(), body.at_ns, body.by]
    members = {x.intent_hash: x for x in body.command.members} if isinstance(body.command, Submit) else {}
    reserves = {event.intent_hash: event.legs[0].reserve for event in body.out if isinstance(event, Held)}
    for event in body.out:
        match event:
            case Decided():
                member = members[event.intent_hash]
                codes = " ".join(finding.code for finding in event.findings)
                reserve = reserves.get(event.intent_hash, {})
                row = [member.kind, member.grant, event.outcome, codes, reserve, {}, {}]
                yield [*common, "decided", event.intent_hash.hex(), *row]
            case Settled():
                leaf = event.legs[0] if event.legs else None
                usage, charged = (leaf.usage, leaf.charged) if leaf is not None else ({}, {})
                codes = " ".join(finding.code for finding in event.violations)
                row = ["", leaf.grant if leaf is not None else "", event.how, codes, {}, usage, charged]
                yield [*common, "settled", event.intent_hash.hex(), *row]
            case Released():
                grant = event.authority[0].grant if event.authority else ""
                codes = " ".join(finding.code for finding in event.findings)
                yield [
                    *common,
                    "released",
                    event.intent_hash.hex(),
                    "",
                    grant,
                    event.cause,
                    codes,
                    {},
                    {},
                    {},
                ]


def _csv_rows(rows: Any) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue().encode()


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return json.dumps(readable(value), sort_keys=True) if value else ""
    text = printable(str(value))
    return f"'{text}" if text.startswith(_FORMULA) else text
