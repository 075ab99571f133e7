"""The world of a stream of requests, held for writing only while there is something to write.

Rule 1. The world is opened when a line comes and given back when the lines pause, so that others write
        meanwhile. What was answered is durable before that.
Rule 2. Where somebody waits for the world, a stream that does not pause gives it back, too, after
        `TURN_SECONDS`, and stands behind who waits.
Rule 3. A world that is served nobody has to give back: it is asked through its service.
"""

import time
from pathlib import Path
from typing import Any, Self

from splittally import runtime
from splittally.edge.wording import Wording
from splittally.journal.lock import is_waited_for
from splittally.runtime.folder import require_world

from splittally_tools.cli.interrupts import whole
from splittally_tools.cli.open_world import writer_of
from splittally_tools.cli.session import Session
from splittally_tools.cli.writing import Writing

TURN_SECONDS = 0.5


class Turns:
    """What asks the world of a session, in turns with other writers; a context manager."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._folder: Path = session.folder
        self._kernel: Writing | None = None
        self._since = 0.0
        require_world(self._folder)

    def begin(self) -> None:
        """Open the world, where it is not open; `WorldLocked` when others keep it for too long."""
        if self._kernel is not None and self._is_over():
            self.end()
        if self._kernel is None:
            self._kernel = writer_of(self._session)
            self._since = time.monotonic()

    @property
    def kernel(self) -> Writing:
        """The world that `begin` opened."""
        assert self._kernel is not None
        return self._kernel

    def run(self, requests: "list[runtime.At]") -> list[Any]:
        """The answers of the world that `begin` opened."""
        return self.kernel.run(requests)

    def wording(self) -> Wording:
        """How the values of that world are said."""
        return self.kernel.state.wording

    def end(self) -> None:
        """Give the world back; does nothing when it is not open."""
        kernel, self._kernel = self._kernel, None
        if kernel is not None:
            with whole():
                kernel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def _is_over(self) -> bool:
        if not isinstance(self._kernel, runtime.Kernel):
            return False
        has_had = time.monotonic() - self._since
        return has_had >= TURN_SECONDS and is_waited_for(self._folder / "lock")
