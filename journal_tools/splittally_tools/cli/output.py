"""What commands print: one JSON document for programs; tables, words and colour for people.

Rule 1. With `--json` nothing but data reaches standard output, in ASCII, one document a line.
Rule 2. Text of the world is shown as `printable` shows it: it can neither colour a terminal nor turn a line.
Rule 3. No row is cut: a hash that is shown is whole. Without a terminal nothing is wrapped either.
"""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text
from splittally.edge.json_values import printable
from splittally.edge.records import readable

from splittally_tools.cli.session import Session

PIPE_WIDTH = 10_000  # no line of ours is longer, so nothing is wrapped
GOOD = {"allow", "settled", "released", "extended", "sound", "yes"}
BAD = {"deny", "damaged", "drift", "not_found", "refused", "invalid", "revoked"}


def to_line(value: Any) -> str:
    """One line of ASCII JSON; bytes as hex, integers beyond 2^53 as text."""
    return json.dumps(readable(value), separators=(",", ":"), allow_nan=False)


def emit(session: Session, document: Any, show: Callable[[Console], None]) -> None:
    """Prints a result: the document with `--json`, else what `show` writes for people."""
    if session.as_json:
        sys.stdout.write(to_line(document) + "\n")
    else:
        show(console())


def for_people(session: Session) -> bool:
    """Whether a stream is read by a person: a terminal, and no `--json`."""
    return not session.as_json and sys.stdout.isatty()


def console() -> Console:
    """Standard output for people."""
    width = None if sys.stdout.isatty() else PIPE_WIDTH
    return Console(file=sys.stdout, width=width, highlight=False, soft_wrap=True)


def table(columns: Sequence[str], rows: Iterable[Iterable[object]]) -> Table:
    """A table whose numbers stand right; every cell is text of the world."""
    made = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    cells = [list(row) for row in rows]
    for at, name in enumerate(columns):
        is_number = bool(cells) and all(type(row[at]) in (int, type(None)) for row in cells)
        made.add_column(name, justify="right" if is_number else "left", overflow="fold")
    for row in cells:
        made.add_row(*(cell(value) for value in row))
    return made


def cell(value: object) -> Text:
    """A value as it stands in a table."""
    text = word(value)
    style = "green" if text in GOOD else "red" if text in BAD else ""
    return Text(text, style=style)


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
            return value.hex()
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


def say(out: Console, text: str, style: str = "") -> None:
    """One line for people; nothing in it is markup."""
    out.print(Text(text, style=style))


def progress(session: Session) -> Progress:
    """A bar on standard error for people at a terminal; nothing for anybody else."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    is_shown = sys.stderr.isatty() and not session.as_json
    return Progress(
        *columns, console=Console(file=sys.stderr, stderr=True), disable=not is_shown, transient=True
    )


def age(nanoseconds: int) -> str:
    """A span such as `2h 5m`, in its two largest units, rounded down."""
    units = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))
    seconds = nanoseconds // 10**9
    parts: list[str] = []
    for name, size in units:
        if seconds >= size and len(parts) < 2:
            parts.append(f"{seconds // size}{name}")
            seconds %= size
        elif parts:
            break
    return " ".join(parts) or f"{nanoseconds} ns"
