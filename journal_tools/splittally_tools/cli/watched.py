"""Standard output that remembers whether what was printed could be written.

Rule 1. An error of the output is told from any other by having happened here: buffered, it comes when the
        buffer is emptied, unbuffered with the write, and then never again.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from typing import Any


class Watched:
    """A stream, and `errors`: what refused to take what was printed, the first first."""

    def __init__(self, stream: Any, errors: list[OSError]) -> None:
        self.stream = stream
        self.errors = errors

    def write(self, piece: Any) -> int:
        return int(self._kept(self.stream.write, piece))

    def writelines(self, pieces: Iterable[Any]) -> None:
        for piece in pieces:
            self.write(piece)

    def flush(self) -> None:
        self._kept(self.stream.flush)

    @property
    def buffer(self) -> "Watched":
        """The bytes below a stream of text."""
        return Watched(self.stream.buffer, self.errors)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def _kept(self, act: Any, *what: Any) -> Any:
        try:
            return act(*what)
        except OSError as error:
            self.errors.append(error)
            raise


def silence(stream: Any) -> None:
    """Lets what is left of a stream go into nothing, so that the interpreter can end with our exit code."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
