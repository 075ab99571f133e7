"""What people see: words and colour in tables, and a bar while they wait.

Rule 1. Only this file, `trace`'s tree and the reports of runs know `rich`; `output` loads it when a result
        is shown to people, so a program that asks for JSON never does.
Rule 2. Every cell is text of the world: nothing in it is markup, and no row is cut.
"""

import sys
from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

PIPE_WIDTH = 10_000  # no line of ours is longer, so nothing is wrapped
GOOD = {"allow", "settled", "released", "extended", "sound", "yes"}
BAD = {"deny", "damaged", "drift", "not_found", "refused", "invalid", "revoked"}


def console() -> Console:
    """Standard output for people."""
    width = None if sys.stdout.isatty() else PIPE_WIDTH
    return Console(file=sys.stdout, width=width, highlight=False, soft_wrap=True)


def styled(text: str, style: str = "") -> Text:
    """A text in one style; nothing in it is markup."""
    return Text(text, style=style)


def table(columns: Sequence[str], rows: Iterable[Sequence[tuple[str, bool]]]) -> Table:
    """A table of cells, each a text and whether it is a number; columns of numbers stand right."""
    made = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    cells = list(rows)
    for at, name in enumerate(columns):
        is_number = bool(cells) and all(row[at][1] for row in cells)
        made.add_column(name, justify="right" if is_number else "left", overflow="fold")
    for row in cells:
        made.add_row(*(_cell(text) for text, _ in row))
    return made


def _cell(text: str) -> Text:
    return Text(text, style="green" if text in GOOD else "red" if text in BAD else "")


def progress() -> Progress:
    """A bar on standard error, gone when it is done."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(file=sys.stderr, stderr=True), transient=True)
