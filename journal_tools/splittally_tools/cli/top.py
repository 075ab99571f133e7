"""`top`: a world as it is used, in the terminal, until `q` or Ctrl-C.

Rule 1. It only reads, beside whoever writes: every frame opens the world anew.
Rule 2. Without a terminal, and with `--once`, it is one frame; with `--json` one document.
"""

import select
import shutil
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

import click

from splittally_tools.cli.exit_codes import DONE
from splittally_tools.cli.open_world import reader_of
from splittally_tools.cli.output import Page, emit, for_people, say
from splittally_tools.cli.session import Session, shared
from splittally_tools.cli.top_frame import Line, frame_of, lines_of

_SCREEN = "splittally_tools.cli.top_screen"
PIPE_COLUMNS, PIPE_LINES = 120, 48


@click.command()
@shared
@click.option("--interval", type=click.FloatRange(0.1, 3600), default=2.0, help="Seconds between frames (2).")
@click.option("--once", is_flag=True, help="One frame.")
@click.pass_obj
def top(session: Session, interval: float, once: bool) -> int:
    """Spend rate, open holds, approvals, last decisions, limits and accounts, as they change; q ends it."""
    if once or not for_people(session) or not sys.stdin.isatty():
        return _frame(session)
    with import_module(_SCREEN).screen() as show, _single_keys(), suppress(KeyboardInterrupt):
        while True:
            show(_lines(session, *shutil.get_terminal_size())[1])
            if select.select([sys.stdin], [], [], interval)[0] and sys.stdin.read(1) in ("q", "Q", ""):
                break
    return DONE


def _frame(session: Session) -> int:
    size = shutil.get_terminal_size() if for_people(session) else (PIPE_COLUMNS, PIPE_LINES)
    document, lines = _lines(session, *size)

    def show(out: Page) -> None:
        for style, text in lines:
            say(out, text, style)

    emit(session, document, show)
    return DONE


def _lines(session: Session, width: int, height: int) -> tuple[dict[str, Any], list[Line]]:
    with reader_of(session) as reader:
        frame = frame_of(reader)
        return frame, lines_of(frame, reader.state.wording, width, height)


@contextmanager
def _single_keys() -> Iterator[None]:
    """Keys arrive as they are typed; the terminal is as it was afterwards, however this ends."""
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
