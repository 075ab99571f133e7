"""Where a service listens, and how it starts and ends.

Rule 1. `DIR/serve.sock` speaks HTTP and frames (`door.py`). A TCP port speaks HTTP alone.
Rule 2. Only who has the world's lock makes the socket; one that a dead process left is removed. It is removed
        before the lock is let go.
Rule 3. On SIGTERM or SIGINT nothing new is taken, what was decided is answered, and the world is closed. It
        ends by itself, too, where the world stopped: opened again it goes on.
"""

import asyncio
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import uvicorn
import uvloop

from splittally.core.errors import KernelStopped, WorldError
from splittally.host.service import head
from splittally.host.service.door import Door
from splittally.host.service.http import app_of
from splittally.host.service.service import Service
from splittally.journal.frame import Head
from splittally.runtime import open_world
from splittally.runtime.served import SOCKET, address_of

SHUTDOWN_SECONDS = 20
KEEP_ALIVE_SECONDS = 75
BACKLOG = 512
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def serve(
    path: Path, http: tuple[str, int] | None = None, on_ready: Callable[[list[str]], None] | None = None
) -> None:
    """Serve the world at `path` until a signal ends it; `on_ready` hears where it listens.

    Raises `WorldLocked` where somebody writes it, `NoWorld`, `JournalDamaged`, `JournalOlder` where what was
    served is missing, `KernelStopped` where the world stopped while it was served, and `WorldError` where an
    address cannot be taken.
    """
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # what clients do wrong is not ours to tell
    with _signals_as_before():
        _serve_locked(path, http, on_ready)


def _serve_locked(
    path: Path, http: tuple[str, int] | None, on_ready: Callable[[list[str]], None] | None
) -> None:
    head.refuse_behind(path)
    kernel = open_world(path, create=False)
    try:
        service = Service(kernel, os.stat(path).st_uid)
        with (
            _listening(path / SOCKET, http) as sockets,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            runner.run(run(path, service, server_of(service), sockets, on_ready))
        if kernel._world.stopped:
            raise KernelStopped(f"{kernel._world.stopped}; serve the world again")
    finally:
        kernel.close()


def server_of(service: Service) -> "Server":
    """What speaks for a service on its sockets; it ends once it `should_exit`."""
    door = type("Door", (Door,), {"service": service, "silent": {}})
    config = uvicorn.Config(
        app_of(service),
        http=door,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    return Server(config)


async def run(
    path: Path,
    service: Service,
    server: "Server",
    sockets: list[socket.socket],
    on_ready: Callable[[list[str]], None] | None,
) -> None:
    """Serve the world in the folder `path` on these sockets until the server ends, and close it."""
    service.start()
    names = [_named(each) for each in sockets]
    beside = [
        asyncio.create_task(_tell(server, partial(on_ready, names) if on_ready is not None else None)),
        asyncio.create_task(_end(server, service)),
        asyncio.create_task(_keep_head(path, service)),
    ]
    try:
        await server.serve(sockets)
    finally:
        for task in beside:
            task.cancel()
        (path / SOCKET).unlink(missing_ok=True)  # while the world is ours: the next one makes its own
        await service.close()
        await _keep(path, service.head)


class Server(uvicorn.Server):
    """One that ends as a process that was asked to, and not as one that was killed."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals end it, and go on to be heard until its world is closed."""
        if threading.current_thread() is threading.main_thread():
            for each in SIGNALS:
                signal.signal(each, self.handle_exit)
        yield


@contextmanager
def _signals_as_before() -> Iterator[None]:
    before = {each: signal.getsignal(each) for each in SIGNALS}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for each, handler in before.items():
                signal.signal(each, handler)


async def _tell(server: uvicorn.Server, on_ready: Callable[[], None] | None) -> None:
    """Say that it listens, once it does."""
    while not server.started:
        await asyncio.sleep(0.01)
    if on_ready is not None:
        on_ready()


async def _end(server: uvicorn.Server, service: Service) -> None:
    """End with the world; and say that it is ending, so that those who follow and wait end."""
    while not server.should_exit:
        await asyncio.sleep(0.1)
        server.should_exit |= bool(service.kernel._world.stopped)
    service.end()


async def _keep_head(path: Path, service: Service) -> None:
    """Say now and then how far the world is, where it went on."""
    kept = 0
    while True:
        if service.head.size > kept:
            kept = service.head.size
            await _keep(path, service.head)
        await asyncio.sleep(head.HEAD_SECONDS)


async def _keep(path: Path, found: Head) -> None:
    with suppress(WorldError):  # a full disk: what is answered is in the journal
        await asyncio.to_thread(head.keep, path, found)


def _named(listening: socket.socket) -> str:
    name = listening.getsockname()
    return f"unix:{name}" if isinstance(name, str) else f"http://{name[0]}:{name[1]}"


@contextmanager
def _listening(path: Path, http: tuple[str, int] | None) -> Iterator[list[socket.socket]]:
    """The sockets of a world; `WorldError` where one cannot be had."""
    sockets: list[socket.socket] = []
    try:
        sockets.append(_bound(path))
        if http is not None:
            sockets.append(_bound_tcp(*http))
    except OSError as error:
        where = f"`{path}`" if not sockets else "`{}:{}`".format(*http or ())
        for each in sockets:
            each.close()
            path.unlink(missing_ok=True)
        raise WorldError(f"{where} cannot be listened at: {error.strerror}") from None
    try:
        yield sockets
    finally:
        for each in sockets:
            each.close()


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
