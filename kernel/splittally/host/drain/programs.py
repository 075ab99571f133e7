"""A program of the operator's: whether it can be started, and what is kept of how it ended.

Rule 1. A program that cannot be started has done nothing: no job has failed by it.
Rule 2. Of what it wrote to standard error the last lines are kept, bounded in bytes and in lines; all of it
        also goes where the drain's own errors go, as it comes.
Rule 3. What a queue tells of an ending is read with care: whoever writes a result may write anything.
"""

import os
import shutil
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO, Any

from splittally.core.errors import WorldError

STDERR_BYTES_MAX = 4_096  # of the end of standard error: a traceback's last frames
STDERR_LINES_MAX = 20
EXIT_CODE, STDERR = "exit_code", "stderr"


class NoProgram(WorldError):
    """The program that runs jobs cannot be started; nothing ran."""

    code = "no_program"


def require_program(command: Sequence[str]) -> None:
    """Raises `NoProgram` where the first word of `command` names nothing that can be started here."""
    if shutil.which(command[0]) is not None:
        return
    why = "it is there and not executable" if os.path.exists(command[0]) else "there is no such program"
    raise NoProgram(f"the runner `{command[0]}` cannot be started: {why}", program=command[0])


class Listening:
    """What comes out of standard error: passed on, and its end kept. `lines` after the program has ended."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._kept = stream, b""
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def lines(self, seconds: float) -> list[str]:
        """The last lines; what a program that was left behind may still write is waited for so long."""
        self._thread.join(seconds)
        return self._kept.decode("utf-8", "replace").splitlines()[-STDERR_LINES_MAX:]

    def _listen(self) -> None:
        with suppress(OSError, ValueError):  # it was closed while somebody still held it
            while piece := os.read(self._stream.fileno(), STDERR_BYTES_MAX):
                self._kept = (self._kept + piece)[-STDERR_BYTES_MAX:]
                with suppress(OSError, ValueError):  # nobody listens to us: the program must not wait for it
                    sys.stderr.write(piece.decode("utf-8", "replace"))


def ending_told(result: Mapping[str, Any]) -> dict[str, Any]:
    """`exit_code` and `stderr` out of what was kept of a run; None and nothing where it tells none."""
    code, lines = result.get(EXIT_CODE), result.get(STDERR)
    said = lines if isinstance(lines, list) else []
    return {
        EXIT_CODE: code if type(code) is int else None,
        STDERR: [line for line in said[-STDERR_LINES_MAX:] if isinstance(line, str)],
    }


def exit_text(code: int) -> str:
    """How a program ended, for people: `exit code 3`, or `signal 9` for one that was ended by it."""
    return f"signal {-code}" if code < 0 else f"exit code {code}"
