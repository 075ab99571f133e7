"""The world of a session, opened for reading or for writing, and never made by accident.

Rule 1. A command that only reads loads no writer.
Rule 2. What narrows a command's list is checked here (`filters.py`), before anything is read for it.
Rule 3. A world that a service has open is asked through it (`served_world.py`), else it is opened here.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import click
from splittally import runtime
from splittally.core.errors import WorldLocked
from splittally.core.limits import WRITER_LOCK_SECONDS_MAX
from splittally.edge.json_values import printable
from splittally.runtime.reader import Reader, open_reader, read_store
from splittally.runtime.served import SOCKET

from splittally_tools.cli.filters import require_filters
from splittally_tools.cli.session import Session
from splittally_tools.cli.writing import Writing

BEGIN_SECONDS = 1.0  # in which a service that has the lock gets ready to be asked
_SERVED = "splittally_tools.cli.served_world"


def writer_of(session: Session) -> Writing:
    """The world opened for writing, for the session's principal, or its service; a context manager.

    What opening had to rebuild is said on standard error.
    """
    served = service_of(session)
    if served is None:
        wait_s = WRITER_LOCK_SECONDS_MAX if session.wait_seconds is None else session.wait_seconds
        first_s = min(wait_s, BEGIN_SECONDS)
        for seconds in (first_s, wait_s - first_s):
            try:
                return _opened(session, seconds)
            except WorldLocked as error:
                locked = error
            served = service_of(session)
            if served is not None:
                break
        else:
            text = f"{locked}, or have it served by `tally serve`, beside which every command works"
            raise WorldLocked(text, **locked.facts) from locked
    session.is_writing = True
    return served


def service_of(session: Session) -> Writing | None:
    """The service of the session's world; None where nobody serves it."""
    if not (session.folder / SOCKET).exists():
        return None
    served: Writing | None = import_module(_SERVED).served_world(
        session.folder, session.principal, session.wait_seconds
    )
    return served


def _opened(session: Session, lock_seconds: float) -> "runtime.Kernel":
    kernel = runtime.open_world(session.folder, create=False, lock_seconds=lock_seconds)
    session.is_writing = True
    try:
        for repair in kernel.repairs:
            click.echo(f"tally: note: {printable(repair)}", err=True)
        return kernel.as_principal(session.principal)
    except BaseException:
        kernel.close()
        raise


@contextmanager
def frames_of(kernel: Any) -> Iterator[Reader]:
    """The frames of a world that was written here or by its service."""
    if isinstance(kernel, runtime.Kernel):
        with read_store(kernel) as reader:
            yield reader
    else:
        yield kernel.reader


def reader_of(session: Session) -> Reader:
    """The world opened for reading, beside whoever writes it; a context manager."""
    reader = open_reader(session.folder)
    try:
        require_filters(reader)
    except BaseException:
        reader.close()
        raise
    return reader
