"""The screen of `top`, as `rich` draws it: another one than the terminal's, which comes back at the end."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.live import Live
from rich.text import Text

from splittally_tools.cli.people import console
from splittally_tools.cli.top_frame import Line


@contextmanager
def screen() -> Iterator[Callable[[list[Line]], None]]:
    """A function that shows lines in place of those before."""
    with Live(console=console(), screen=True, auto_refresh=False) as live:
        yield lambda lines: live.update(drawn(lines), refresh=True)


def drawn(lines: list[Line]) -> Text:
    """The lines in their styles; nothing in them is markup."""
    return Text("\n").join(Text(text, style=style) for style, text in lines)
