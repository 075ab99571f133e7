"""Where a world is served: the Unix socket in its folder, whatever the length of its path.

Rule 1. A socket's address has at most 107 bytes. A longer one is named by way of the open folder.
Rule 2. That there is a socket means nothing; that somebody answers there does.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SOCKET = "serve.sock"
LOOK_SECONDS = 5.0
_ADDRESS_BYTES_MAX = 107


@contextmanager
def address_of(path: Path) -> Iterator[str]:
    """The address of a socket file, good for as long as this lasts."""
    if len(os.fsencode(path)) <= _ADDRESS_BYTES_MAX:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def socket_of(world: Path) -> Path:
    """The socket file of the world in this folder; a socket file is its own."""
    return world if world.suffix == ".sock" else world / SOCKET


def is_served(folder: Path) -> bool:
    """Whether somebody serves the world in this folder."""
    connection = connected(folder / SOCKET, LOOK_SECONDS)
    if connection is not None:
        connection.close()
    return connection is not None


def connected(path: Path, timeout_s: float | None = None) -> socket.socket | None:
    """A connection to the socket file at `path`; None where nobody serves there."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout_s)
    try:
        with address_of(path) as address:
            connection.connect(address)
    except OSError:
        connection.close()
        return None
    return connection
