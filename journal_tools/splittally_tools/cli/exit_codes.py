"""How a command ends: its exit code, and one line that says why and what to do.

Rule 1. 0 done, 1 refused or damage found, 2 usage, 3 environment. Interrupted is 130, a reader that
        went away 141, as from any other tool; neither says anything.
Rule 2. With `--json` an error is also the JSON document that was asked for, on standard output.
Rule 3. Output that cannot be written, as on a full disk, ends in 3 and in words on standard error, which
        also say up to which sequence the world was written meanwhile.
Rule 4. Nobody who uses the command line ever sees a traceback of ours, unless it is our fault.
"""

import os
import sys
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from importlib import import_module
from typing import Any, NoReturn

import click
from splittally.core.errors import (
    InvalidManifest,
    JournalDamaged,
    NotAdmitted,
    SplittallyError,
    WorldError,
)
from splittally.wire.errors import RefusedByService

from splittally_tools.cli.session import Session
from splittally_tools.cli.watched import Watched, silence

DONE, REFUSED, USAGE, ENVIRONMENT = 0, 1, 2, 3
INTERRUPTED, READER_GONE = 130, 141
_READING = "splittally_tools.cli.open_world"
_TELLING = "splittally_tools.cli.telling"
_MISTAKES = "splittally_tools.cli.mistakes"


def ended(session: Session, command: Callable[[], Any]) -> NoReturn:
    """Runs a command and ends the process with its code."""
    _open_streams()
    out, refused = sys.stdout, list[OSError]()
    code = READER_GONE
    try:
        with redirect_stdout(Watched(out, refused)):
            code = _run(session, command, refused)
            if not refused:
                sys.stdout.flush()
    except BrokenPipeError:
        silence(sys.stderr)
    except (OSError, SystemExit):  # who prints may end the process where that is refused: click and rich do
        if not refused:
            raise
    if refused:
        silence(out)
        is_gone = isinstance(refused[0], BrokenPipeError)
        code = READER_GONE if is_gone else _told_without_output(session, refused[0])
    sys.exit(code)


def _run(session: Session, command: Callable[[], Any], refused: list[OSError]) -> int:
    try:
        code = command()
        return code if isinstance(code, int) else DONE
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.ClickException as error:
        words = import_module(_MISTAKES).words_of(error)
        return _told(session, USAGE, "usage", words, {}, usage=_usage_of(error))
    except click.Abort:
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except SplittallyError as error:
        return _told(session, code_of(error), error.code, str(error), error.facts)
    except OSError as error:
        if refused:
            raise
        text = f"{error.strerror or error}: `{error.filename}`" if error.filename else str(error)
        return _told(session, ENVIRONMENT, "environment", text, {})


def code_of(error: SplittallyError) -> int:
    """The exit code of an error: what the world refuses, what is damaged, what was said wrongly."""
    match error:
        case WorldError():
            return ENVIRONMENT
        case JournalDamaged() | InvalidManifest() | NotAdmitted() | RefusedByService():
            return REFUSED
        case _:
            return USAGE


def _usage_of(error: click.ClickException) -> str:
    ctx = error.ctx if isinstance(error, click.UsageError) else None
    return f"try `{ctx.command_path} --help`" if ctx is not None else ""


def _told(session: Session, code: int, *told: Any, usage: str = "") -> int:
    """Says an error by its code, message and facts; the exit code. What says it is loaded for it."""
    import_module(_TELLING).tell_error(session, *told, usage)
    return code


def _told_without_output(session: Session, error: OSError) -> int:
    """Says that the output was not written, and what the world holds in spite of that."""
    text = f"the output cannot be written: {error.strerror or error}"
    if session.is_writing:
        with suppress(SplittallyError), import_module(_READING).reader_of(session) as reader:
            text += f"; the world is written up to sequence {reader.head.size - 1}, see `tally log`"
    session.as_json = False
    return _told(session, ENVIRONMENT, "output", text, {})


def _open_streams() -> None:
    """Gives a stream that was closed before we began a file that takes nothing, for output, or everything."""
    if sys.stdout is None:
        sys.stdout = open(os.open(os.devnull, os.O_RDONLY), "w")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
