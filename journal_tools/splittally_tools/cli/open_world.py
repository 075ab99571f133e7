"""The world of a session, opened for reading or for writing, and never made by accident.

Rule 1. A command that only reads loads no writer.
Rule 2. What narrows a command's list is checked here (`filters.py`), before anything is read for it.
"""

import click
from splittally import runtime
from splittally.edge.json_values import printable
from splittally.runtime.reader import Reader, open_reader

from splittally_tools.cli.filters import require_filters
from splittally_tools.cli.session import Session


def writer_of(session: Session) -> "runtime.Kernel":
    """The world opened for writing, for the session's principal; a context manager.

    What opening had to rebuild is said on standard error.
    """
    kernel = runtime.open_world(session.folder, create=False, lock_seconds=session.wait_seconds)
    session.is_writing = True
    try:
        for repair in kernel.repairs:
            click.echo(f"tally: note: {printable(repair)}", err=True)
        return kernel.as_principal(session.principal)
    except BaseException:
        kernel.close()
        raise


def reader_of(session: Session) -> Reader:
    """The world opened for reading, beside whoever writes it; a context manager."""
    reader = open_reader(session.folder)
    try:
        require_filters(reader)
    except BaseException:
        reader.close()
        raise
    return reader
