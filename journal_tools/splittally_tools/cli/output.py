"""What commands print: one JSON document for programs; tables, words and colour for people.

Rule 1. With `--json` nothing but data reaches standard output, in ASCII, one document a line.
Rule 2. Text of the world is shown as `printable` shows it: it can neither colour a terminal nor turn a line.
Rule 3. Nothing is cut but hashes, which people see by their first digits, and no cell is broken: a table that
        is wider than the terminal is shown row by row. Without a terminal nothing is wrapped either.
Rule 4. What draws for people (`people`) is loaded when something is shown to people.
"""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import Any, Protocol

from splittally.core.errors import SplittallyError
from splittally.edge.answer_lines import readable
from splittally.edge.json_values import printable
from splittally.edge.wording import short_hash

from splittally_tools.cli.exit_codes import REFUSED
from splittally_tools.cli.session import Session

_PEOPLE = "splittally_tools.cli.people"


class Figure(str):
    """A number as text, which stands right in its column."""


class Page(Protocol):
    """Where a result is shown to people: a console of `rich`."""

    def print(self, *objects: Any, soft_wrap: bool | None = None) -> None:
        """Shows texts, tables and trees."""


class Bar:
    """How far a command has come, as `rich` shows it to people at a terminal; this one nobody sees."""

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, *ending: object) -> None:
        """Nothing is held."""

    def add_task(self, description: str, total: float | None = None) -> Any:
        """Something to be done, in `total` steps."""

    def advance(self, task: Any, advance: float = 1) -> None:
        """So many steps more are done."""

    def update(self, task: Any, *, completed: float | None = None, description: str | None = None) -> None:
        """So many steps are done in all, or it is about something else now."""


def to_line(value: Any) -> str:
    """One line of ASCII JSON; bytes as hex, integers beyond 2^53 as text."""
    return json.dumps(readable(value), separators=(",", ":"), allow_nan=False)


def emit(session: Session, document: Any, show: Callable[[Page], None]) -> None:
    """Prints a result: the document with `--json`, else what `show` writes for people."""
    if session.as_json:
        sys.stdout.write(to_line(document) + "\n")
    else:
        show(console())


def emit_refusal(session: Session, error: SplittallyError) -> int:
    """Says what there is nothing of; the exit code."""
    message = str(error)
    document = {"error": {"code": error.code, "message": message, "facts": error.facts}}
    emit(session, document, lambda out: say(out, message, "red"))
    return REFUSED


def for_people(session: Session) -> bool:
    """Whether a stream is read by a person: a terminal, and no `--json`."""
    return not session.as_json and sys.stdout.isatty()


def console() -> Page:
    """Standard output for people."""
    page: Page = import_module(_PEOPLE).console()
    return page


def table(columns: Sequence[str], rows: Iterable[Iterable[object]]) -> Any:
    """A table to print, whose numbers stand right; every cell is text of the world."""
    cells = [[(word(value), type(value) in (int, type(None), Figure)) for value in row] for row in rows]
    return import_module(_PEOPLE).table(columns, cells)


def say(out: Page, text: str, style: str = "") -> None:
    """One line for people; nothing in it is markup."""
    import_module(_PEOPLE).say(out, text, style)


def progress(session: Session) -> Bar:
    """A bar on standard error for people at a terminal; nothing for anybody else."""
    if session.as_json or not sys.stderr.isatty():
        return Bar()
    bar: Bar = import_module(_PEOPLE).progress()
    return bar


def word(value: object) -> str:
    """A value as text for people."""
    match value:
        case None | "":
            return "-"
        case True:
            return "yes"
        case False:
            return "no"
        case bytes():
            return short_hash(value)
        case dict():
            return " ".join(f"{word(key)}={_inner(item)}" for key, item in sorted(value.items())) or "-"
        case list() | tuple():
            return " ".join(map(_inner, value)) or "-"
        case _:
            return printable(str(value))


def _inner(value: object) -> str:
    """A value inside another, in brackets where it has parts of its own."""
    if isinstance(value, dict) and value:
        return f"{{{word(value)}}}"
    if isinstance(value, list | tuple) and len(value) > 1:
        return f"[{word(value)}]"
    return word(value)
