"""Where a service listens, and how it starts and ends.

Rule 1. `DIR/serve.sock` speaks HTTP and frames: the first byte of a frame is below the first letter of any
        method. A TCP port speaks HTTP alone.
Rule 2. Only who has the world's lock makes the socket; one that a dead process left is removed.
Rule 3. A connection that says nothing whole for `SILENCE_SECONDS` is closed; so are those beyond
        `CONNECTIONS_MAX`. Neither delays another.
Rule 4. On SIGTERM or SIGINT nothing new is taken, what was decided is answered, and the world is closed.
"""

import asyncio
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from splittally.host.service.frames import Frames
from splittally.host.service.hot import PEER_UID
from splittally.host.service.http import app_of
from splittally.host.service.service import Service
from splittally.host.service.writing import Joining
from splittally.runtime import open_world
from splittally.runtime.served import SOCKET, address_of

CONNECTIONS_MAX = 1_000
SILENCE_SECONDS = 30.0
SHUTDOWN_SECONDS = 20
BACKLOG = 512
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid


class Door(HttpToolsProtocol):
    """HTTP on one connection, or frames where its first byte says so."""

    service: Service

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._peer_uid: int | None = None
        self._frames: Frames | None = None
        self._silence: asyncio.TimerHandle | None = None
        self._is_begun = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Whose it is, and whether there is room for it."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self.service.connections = len(self.connections)
        self._peer_uid = _peer_uid(transport.get_extra_info("socket"))
        if len(self.connections) > CONNECTIONS_MAX:
            self.transport.close()
            return
        self.transport = cast(asyncio.Transport, Joining(self.transport, self.loop))
        self._listen_for()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of it."""
        self._hush()
        super().connection_lost(exc)
        self.service.connections = len(self.connections)

    def data_received(self, data: bytes) -> None:
        """HTTP, unless the first byte is that of a frame."""
        if not self._is_begun:
            self._is_begun = True
            if data[0] < 0x20 and self._peer_uid is not None:
                self._become_frames(data)
                return
        super().data_received(data)

    def _become_frames(self, data: bytes) -> None:
        self._hush()
        self.connections.discard(self)
        frames = Frames(self.service, self._peer_uid, self.connections.discard)
        self.connections.add(frames)  # type: ignore[arg-type]
        self.transport.set_protocol(frames)
        frames.connection_made(self.transport)
        frames.data_received(data)

    def on_message_begin(self) -> None:
        """A request begins: it is to be whole in time."""
        super().on_message_begin()
        self.scope[PEER_UID] = self._peer_uid  # type: ignore[literal-required]
        self._listen_for()

    def on_message_complete(self) -> None:
        """It is whole."""
        self._hush()
        super().on_message_complete()

    def _listen_for(self) -> None:
        self._hush()
        self._silence = self.loop.call_later(SILENCE_SECONDS, self.transport.close)

    def _hush(self) -> None:
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None


def _peer_uid(connection: socket.socket | None) -> int | None:
    """The uid at the other end of a Unix socket; None where it is none."""
    if connection is None or connection.family != socket.AF_UNIX:
        return None
    said = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(said)[1])


def serve(
    path: Path, http: tuple[str, int] | None = None, on_ready: Callable[[list[str]], None] | None = None
) -> None:
    """Serve the world at `path` until a signal ends it; `on_ready` hears where it listens.

    Raises `WorldLocked` where somebody writes it, `NoWorld`, `JournalDamaged`, and `OSError` where an address
    is taken.
    """
    kernel = open_world(path, create=False)
    try:
        service = Service(kernel, os.stat(path).st_uid)
        sockets = [_bound(path / SOCKET)]
        try:
            if http is not None:
                sockets.append(_bound_tcp(*http))
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_serve(service, sockets, on_ready))
        finally:
            (path / SOCKET).unlink(missing_ok=True)
            for each in sockets:
                each.close()
    finally:
        kernel.close()


async def _serve(
    service: Service, sockets: list[socket.socket], on_ready: Callable[[list[str]], None] | None
) -> None:
    door = type("Door", (Door,), {"service": service})
    config = uvicorn.Config(
        app_of(service),
        http=door,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    server = uvicorn.Server(config)
    service.start()
    telling = asyncio.get_running_loop().create_task(_tell(server, service, sockets, on_ready))
    try:
        await server.serve(sockets)
    finally:
        telling.cancel()
        await service.close()


async def _tell(
    server: uvicorn.Server,
    service: Service,
    sockets: list[socket.socket],
    on_ready: Callable[[list[str]], None] | None,
) -> None:
    """Say where it listens, once it does; and that it is closing, so that those who follow end."""
    while not server.started:
        await asyncio.sleep(0.01)
    if on_ready is not None:
        on_ready([_named(each) for each in sockets])
    while not server.should_exit:
        await asyncio.sleep(0.1)
    service.is_closing = True


def _named(listening: socket.socket) -> str:
    name = listening.getsockname()
    return f"unix:{name}" if isinstance(name, str) else f"http://{name[0]}:{name[1]}"


def _bound(path: Path) -> socket.socket:
    """The Unix socket of a world; who may reach it is said by the folder, who may ask by the service."""
    path.unlink(missing_ok=True)
    local = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with address_of(path) as address:
        local.bind(address)
    path.chmod(0o666)
    local.listen(BACKLOG)
    return local


def _bound_tcp(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)
