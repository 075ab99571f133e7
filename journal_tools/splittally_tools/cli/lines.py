"""Lines of a stream, in batches that end where the input pauses.

Rule 1. A line longer than `LINE_BYTES_MAX` is never held in memory: it is passed over to its end and
        handed out as too long, with its number.
Rule 2. A batch is what can be had without waiting, at least one line and at most `most`: whoever types
        gets an answer at once, whoever sends a file shares commits.
Rule 3. When nothing has come for `PAUSE_SECONDS`, that is told once, and then it is waited on.
"""

import io
import os
import select
from collections.abc import Callable, Iterator
from typing import IO, NamedTuple

from splittally.core.limits import LINE_BYTES_MAX

PIECE_BYTES = 256 * 1024
PAUSE_SECONDS = 0.2


class Line(NamedTuple):
    """A line by number, from 1; `text` is None for one that is too long."""

    number: int
    text: bytes | None


class Lines:
    """The lines of an open binary file; blank ones are counted and passed over.

    `on_pause` is called when nothing comes.
    """

    def __init__(self, stream: IO[bytes], on_pause: Callable[[], None] | None = None) -> None:
        self._on_pause = on_pause
        self._read, self._is_ready = _sources(stream)
        self._piece, self._at = b"", 0  # what was read last, and how far it is used up
        self._parts: list[bytes] = []  # of a line whose end has not come
        self._size = 0
        self._number = 0
        self._ended = False

    def batches(self, most: int) -> Iterator[list[Line]]:
        """Every line, at most `most` at a time."""
        batch: list[Line] = []
        while True:
            line = self._next()
            if line is not None:
                if line.text is None or line.text.strip():
                    batch.append(line)
                if len(batch) < most:
                    continue
            elif not self._ended and (not batch or self._is_ready(0)):
                if not batch and self._on_pause is not None and not self._is_ready(PAUSE_SECONDS):
                    self._on_pause()
                self._fill()
                continue
            if batch:
                yield batch
                batch = []
            elif self._ended:
                return

    def _next(self) -> Line | None:
        """The next line that is here whole; at the end also one without a line end."""
        end = self._piece.find(b"\n", self._at)
        if end < 0:
            self._keep(self._piece[self._at :])
            self._piece, self._at = b"", 0
            if not self._ended or not self._size:
                return None
        else:
            self._keep(self._piece[self._at : end])
            self._at = end + 1
        text = b"".join(self._parts) if self._size <= LINE_BYTES_MAX else None
        self._parts, self._size = [], 0
        self._number += 1
        return Line(self._number, text)

    def _keep(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > LINE_BYTES_MAX:
            self._parts = []
        elif part:
            self._parts.append(part)

    def _fill(self) -> None:
        self._piece, self._at = self._read(PIECE_BYTES), 0
        self._ended = not self._piece


def _sources(stream: IO[bytes]) -> tuple[Callable[[int], bytes], Callable[[float], bool]]:
    """How to read what is there, and whether that would have to wait for no more than some seconds."""
    try:
        fd = stream.fileno()
    except (OSError, io.UnsupportedOperation, AttributeError):
        return stream.read, lambda _: True
    return (lambda size: os.read(fd, size)), (lambda seconds: bool(select.select([fd], [], [], seconds)[0]))
