"""Tables as Parquet, by DuckDB (the extra `parquet`); `files` loads this where Parquet is asked for.

Rule 1. Every column has the type that its table says; nothing is guessed from its text.
Rule 2. Rows go through a file beside the target: none is held in memory.
"""

import tempfile
from pathlib import Path
from typing import Any

import duckdb

from splittally_tools.export.columns import Table, plain_csv_of

# It fetches nothing.
_CLOSED: dict[str, Any] = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
_FORM = "header=true, delim=',', quote='\"', escape='\"', nullstr='', auto_detect=false"


def write_parquet(table: Table, target: Path) -> int:
    """Writes the table to `target` and says how many rows."""
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{table.name}.", suffix=".csv") as raw:
        for piece in plain_csv_of(table):
            raw.write(piece)
        raw.flush()
        columns = ", ".join(f"{_quoted(x.name)}: {_quoted(x.type)}" for x in table.columns)
        read = f"read_csv({_quoted(raw.name)}, columns={{{columns}}}, {_FORM})"
        written = _quoted(str(target))
        with duckdb.connect(config=_CLOSED) as db:
            db.execute("SET TimeZone = 'UTC'")
            db.execute(f"COPY (SELECT * FROM {read}) TO {written} (FORMAT parquet, USE_TMP_FILE false)")
            found = db.execute(f"SELECT count(*) FROM read_parquet({written})").fetchone()
    assert found is not None
    return int(found[0])


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
