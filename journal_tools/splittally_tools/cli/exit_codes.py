"""How a command ends: its exit code, and one line that says why and what to do.

Rule 1. 0 done, 1 refused or damage found, 2 usage, 3 environment. Interrupted is 130, a reader that
        went away 141, as from any other tool; neither says anything.
Rule 2. With `--json` an error is also the JSON document that was asked for, on standard output.
Rule 3. Nobody who uses the command line ever sees a traceback of ours, unless it is our fault.
"""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
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

from splittally_tools.cli.session import Session

DONE, REFUSED, USAGE, ENVIRONMENT = 0, 1, 2, 3
INTERRUPTED, READER_GONE = 130, 141
_TELLING = "splittally_tools.cli.telling"


def ended(session: Session, command: Callable[[], Any]) -> NoReturn:
    """Runs a command and ends the process with its code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _run(session, command)
        sys.stdout.flush()
    except BrokenPipeError:
        code = READER_GONE
        _silence_output()
    sys.exit(code)


def _run(session: Session, command: Callable[[], Any]) -> int:
    try:
        code = command()
        return code if isinstance(code, int) else DONE
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.ClickException as error:
        return _told(session, USAGE, "usage", error.format_message(), {}, usage=_usage_of(error))
    except click.Abort:
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except SplittallyError as error:
        return _told(session, code_of(error), error.code, str(error), error.facts)
    except OSError as error:
        text = f"{error.strerror}: `{error.filename}`" if error.filename else str(error)
        return _told(session, ENVIRONMENT, "environment", text, {})


def code_of(error: SplittallyError) -> int:
    """The exit code of an error: what the world refuses, what is damaged, what was said wrongly."""
    match error:
        case WorldError():
            return ENVIRONMENT
        case JournalDamaged() | InvalidManifest() | NotAdmitted():
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


def _silence_output() -> None:
    """Lets the interpreter flush what is left into nothing."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
