"""`export`: the journal for other tools, as a stream of its frames or as tables.

Rule 1. A file that is there is replaced only with --force.
Rule 2. What is written is of one moment: the end of the range.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from splittally.edge.moments import Moment
from splittally.runtime.named import GRANTS, KINDS, PRINCIPALS
from splittally.runtime.reader import Reader

from splittally_tools.cli.exit_codes import DONE
from splittally_tools.cli.filters import by_name, by_outcome, by_word
from splittally_tools.cli.labelled import Labels, by_label
from splittally_tools.cli.moments import since_option, until_option
from splittally_tools.cli.open_world import reader_of
from splittally_tools.cli.output import Bar, emit, progress, say
from splittally_tools.cli.session import Session, shared
from splittally_tools.export.columns import Table, cells_of
from splittally_tools.export.files import (
    CSV,
    FORMATS,
    NDJSON,
    PARQUET,
    STREAMS,
    parquet_writer,
    refuse_existing,
    write_stream,
    write_table,
)
from splittally_tools.export.focus import focus
from splittally_tools.export.intents import Range, Source, intents_table
from splittally_tools.export.star import star

FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)
Narrowed = dict[str, Any]


@click.command()
@shared
@by_word("--format", FORMATS, "ndjson (the default), cborseq, csv or parquet.")
@click.option("--out", "target", type=FILE, help="A file (standard output).")
@click.option("--tables", "folder", type=FOLDER, help="Every table of the star schema, into this folder.")
@click.option("--focus", "is_focus", is_flag=True, help="Charges in the columns of FOCUS instead.")
@click.option("--force", is_flag=True, help="Replace files that are there.")
@since_option()
@until_option()
@by_name("--kind", KINDS, "csv, parquet: only effects of this kind.")
@by_name("--grant", GRANTS, "csv, parquet: only intents under this grant.")
@by_name("--principal", PRINCIPALS, "csv, parquet: only what this principal asked for.")
@by_outcome
@by_label
@click.pass_obj
def export(
    session: Session,
    format: str | None,
    target: Path | None,
    folder: Path | None,
    is_focus: bool,
    force: bool,
    since: Moment | None,
    until: Moment | None,
    kind: str | None,
    grant: str | None,
    principal: str | None,
    outcome: str | None,
    labels: Labels,
) -> int:
    """Write the journal for other tools.

    \b
    ndjson   one frame a line, nothing left out
    cborseq  the canonical bytes of the frames, one after the other (RFC 8742)
    csv      one row an intent, for spreadsheets
    parquet  the same for databases; needs the extra `parquet`
    """
    form = format or (CSV if folder or is_focus else NDJSON)
    said = {"kind": kind, "grant": grant, "principal": principal, "outcome": outcome, "labels": labels}
    asked: Narrowed = {name: value for name, value in said.items() if value}
    _require_combination(form, target, folder, is_focus, asked)
    if target is not None and not force:
        refuse_existing([target])
    with reader_of(session) as reader, progress(session) as bar:
        start, stop = reader.frames_between(since, until)
        size = reader.head.size if stop is None else min(stop, reader.head.size)
        seen = _told(bar, max(size - start, 0))
        if form in STREAMS:
            written = {"frames": write_stream(reader, form, target, start, stop, seen)}
        else:
            source = _source(reader, Range(min(start, size), size, **asked), seen)
            if folder is not None:
                written = _write_star(source, form, folder, force)
            else:
                table = focus(source) if is_focus else intents_table(source)
                written = {"rows": write_table(table, form, target)}
    if target is not None or folder is not None:
        place = str(target or folder)
        text = ", ".join(f"{count} {name}" for name, count in written.items())
        document = {"format": form, **written, "out": place}
        emit(session, document, lambda out: say(out, f"{text} written to {place}"))
    return DONE


def _require_combination(
    form: str, target: Path | None, folder: Path | None, is_focus: bool, narrowed: Narrowed
) -> None:
    """Refuses what does not go together."""
    if form in STREAMS and (narrowed or folder is not None or is_focus):
        names = ", ".join(f"--{name.removesuffix('s')}" for name in narrowed) or "--tables and --focus"
        raise click.UsageError(f"{names} go with --format csv or parquet; a stream has every frame")
    if folder is not None and (is_focus or target is not None):
        raise click.UsageError("say one of --tables DIR, --out FILE and --focus [--out FILE]")
    if narrowed and (folder is not None or is_focus):
        raise click.UsageError("a star schema and FOCUS have every intent; narrow them where they are read")
    if form == PARQUET:
        if target is None and folder is None:
            raise click.UsageError("Parquet is written to a file: say --out FILE or --tables DIR")
        parquet_writer()


def _told(bar: Bar, frames: int) -> Callable[[int], None]:
    """Moves the bar by frames that were read; they are read again for every table, so it begins anew."""
    task = bar.add_task("reading the journal", total=frames)
    done = 0

    def seen(more: int) -> None:
        nonlocal done
        done = done % frames + more if frames else 0
        bar.update(task, completed=done)

    return seen


def _source(reader: Reader, range_: Range, seen: Callable[[int], None]) -> Source:
    state = reader.state_before(range_.stop)
    return Source(book=reader.book(), state=state, range=range_, cells=cells_of(state), seen=seen)


def _write_star(source: Source, form: str, folder: Path, force: bool) -> dict[str, int]:
    """Writes every table and says how many rows each has."""
    tables: dict[Path, Table] = {folder / f"{table.name}.{form}": table for table in star(source)}
    if not force:
        refuse_existing(tables)
    folder.mkdir(parents=True, exist_ok=True)
    return {table.name: write_table(table, form, path) for path, table in tables.items()}
