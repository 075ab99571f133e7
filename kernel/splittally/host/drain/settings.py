"""Settings of a drain: from a file, else the environment, else the default, each with its source.

Rule 1. A file or value that cannot be used is passed over and said in `problems`; it never stops a drain.
Rule 2. Nothing falls back to a looser bound than the default by being broken: it falls to the next source.
"""

import os
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from splittally.core.errors import InvalidInput
from splittally.host.drain.jobs import usd, usd_text
from splittally.host.drain.watchdog import FLOOR_GB, PERIOD_SECONDS, SAMPLES

FILE, ENVIRONMENT, DEFAULT = "file", "environment", "default"
TABLE, PREFIX = "drain", "TALLY_DRAIN_"


class Setting(Struct, frozen=True):
    """A value and where it came from: `file`, `environment` or `default`."""

    value: Any
    source: str


class Settings(Struct, frozen=True):
    """Every setting by name, and what could not be used."""

    rows: dict[str, Setting]
    problems: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Any:
        return self.rows[name].value

    def as_dict(self) -> dict[str, Any]:
        """The settings as plain values for JSON."""
        shown = {name: {"value": row.value, "source": row.source} for name, row in self.rows.items()}
        return {"settings": shown, "problems": list(self.problems)}


def _natural(value: object) -> int:
    number = int(str(value)) if isinstance(value, int | str) and not isinstance(value, bool) else -1
    if number < 0:
        raise InvalidInput("a natural number is needed")
    return number


def _counted(value: object) -> int:
    if _natural(value) < 1:
        raise InvalidInput("a number above 0 is needed")
    return _natural(value)


def _dollars(value: object) -> str:
    return usd_text(usd(value, "value"))


def _positive(value: object) -> float:
    number = float(usd(value, "value"))
    if number <= 0:
        raise InvalidInput("a number above 0 is needed")
    return number


KNOWN: dict[str, tuple[Callable[[object], Any], Any]] = {
    "limit": (_natural, None),
    "cost_cap_usd": (_dollars, None),
    "memory_floor_gb": (_positive, FLOOR_GB),
    "memory_samples": (_counted, SAMPLES),
    "memory_period_s": (_positive, PERIOD_SECONDS),
}


def resolve_settings(file: str | Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """The settings: the table `[drain]` of a TOML `file`, then `TALLY_DRAIN_NAME`, then the defaults."""
    problems: list[str] = []
    table = {} if file is None else _table(Path(file), problems)
    variables = os.environ if environ is None else environ
    problems += [f"there is no setting `{name}`" for name in table if name not in KNOWN]
    rows = {}
    for name, (read, default) in KNOWN.items():
        rows[name] = Setting(default, DEFAULT)
        for source, given in ((FILE, table.get(name)), (ENVIRONMENT, variables.get(PREFIX + name.upper()))):
            if given is None:
                continue
            try:
                rows[name] = Setting(read(given), source)
                break
            except (ValueError, InvalidInput):
                problems.append(f"`{name}` from the {source} cannot be used; the next source is")
    return Settings(rows, tuple(problems))


def _table(file: Path, problems: list[str]) -> dict[str, Any]:
    try:
        table = tomllib.loads(file.read_text("utf-8")).get(TABLE, {})
        if isinstance(table, dict):
            return table
        problems.append(f"`{TABLE}` in the file is no table")
    except (OSError, ValueError) as error:
        problems.append(f"the file `{file.name}` cannot be read: {type(error).__name__}")
    return {}
