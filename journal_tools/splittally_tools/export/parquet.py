"""Tables as Parquet, by DuckDB (the extra `parquet`); `files` loads this where Parquet is asked for.

Rule 1. Every column has the type that its table says; nothing is guessed from its text.
Rule 2. Rows go through a file beside the target: none is held in memory.
"""

import tempfile
from pathlib import Path
from typing import Any

import duckdb
from splittally.core.errors import WorldError

from splittally_tools.export.columns import Table, plain_csv_of

# It fetches nothing.
_CLOSED: dict[str, Any] = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
_FORM = "header=true, delim=',', quote='\"', escape='\"', nullstr='', auto_detect=false"


def write_parquet(table: Table, target: Path) -> None:
    """Writes the table to `target`; `WorldError` where that cannot be done."""
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{table.name}.", suffix=".csv") as raw:
        for piece in plain_csv_of(table):
            raw.write(piece)
        raw.flush()
        columns = ", ".join(f"{_quoted(x.name)}: {_quoted(x.type)}" for x in table.columns)
        read = f"read_csv({_quoted(raw.name)}, columns={{{columns}}}, {_FORM})"
        copy = f"COPY (SELECT * FROM {read}) TO {_quoted(str(target))} (FORMAT parquet, USE_TMP_FILE false)"
        try:
            with duckdb.connect(config=_CLOSED) as db:
                db.execute("SET TimeZone = 'UTC'")
                db.execute(copy)
        except duckdb.Error as error:
            raise WorldError(f"the Parquet of `{table.name}` cannot be written: {error}") from error


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
