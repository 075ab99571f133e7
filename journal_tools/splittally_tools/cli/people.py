"""What people see: words and colour in tables, and a bar while they wait.

Rule 1. Only this file, `trace`'s tree and the reports of runs know `rich`; `output` loads it when a result
        is shown to people, so a program that asks for JSON never does.
Rule 2. Every cell is text of the world: nothing in it is markup, and no cell is cut or broken.
"""

import sys
import textwrap
from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

PIPE_WIDTH = 10_000  # no line of ours is longer, so nothing is wrapped
MEASURED_MAX = 10 * PIPE_WIDTH
INSET = 4  # of the further lines of what is said
NOTHING = ("-", "")
GOOD = {"allow", "settled", "released", "extended", "sound", "yes"}
BAD = {"deny", "damaged", "drift", "not_found", "refused", "invalid", "revoked"}


def console() -> Console:
    """Standard output for people."""
    width = None if sys.stdout.isatty() else PIPE_WIDTH
    return Console(file=sys.stdout, width=width, highlight=False, soft_wrap=True)


def say(out: Console, text: str, style: str = "") -> None:
    """A line in one style, nothing of which is markup; at a terminal it is broken at spaces alone."""
    inset = " " * (len(text) - len(text.lstrip()) + INSET)
    lines = textwrap.wrap(
        text, out.width, subsequent_indent=inset, break_long_words=False, break_on_hyphens=False,
        expand_tabs=False, replace_whitespace=False,
    )  # fmt: skip
    out.print(Text("\n".join(lines), style=style))


def table(columns: Sequence[str], rows: Iterable[Sequence[tuple[str, bool]]]) -> "Fitted":
    """A table of cells, each a text and whether it is a number; columns of numbers stand right."""
    return Fitted(columns, list(rows))


class Fitted:
    """A table where it fits into the page, else each row by itself with a line for each of its cells."""

    def __init__(self, columns: Sequence[str], rows: list[Sequence[tuple[str, bool]]]) -> None:
        self._columns = columns
        self._rows = rows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        made = self._table()
        if (
            Measurement.get(console, options.update(max_width=MEASURED_MAX), made).maximum
            <= options.max_width
        ):
            yield made
            return
        width = max(map(len, self._columns))
        for row in self._rows:
            yield Text(f"{self._columns[0]} {row[0][0]}", style="bold", overflow="ignore")
            for name, (text, _) in zip(self._columns[1:], row[1:], strict=True):
                if text not in NOTHING:
                    yield Text(f"  {name:<{width}}  ", overflow="ignore").append_text(_cell(text))

    def _table(self) -> Table:
        made = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
        for at, name in enumerate(self._columns):
            is_number = bool(self._rows) and all(row[at][1] for row in self._rows)
            made.add_column(name, justify="right" if is_number else "left", no_wrap=True, overflow="ignore")
        for row in self._rows:
            made.add_row(*(_cell(text) for text, _ in row))
        return made


def _cell(text: str) -> Text:
    return Text(text, style="green" if text in GOOD else "red" if text in BAD else "")


def progress() -> Progress:
    """A bar on standard error, gone when it is done."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(file=sys.stderr, stderr=True), transient=True)
