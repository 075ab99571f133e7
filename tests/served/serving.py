"""What the tests of a served world share: a service in a process of its own, and small clients of it."""

import asyncio
import http.client
import json
import os
import select
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import splittally
import uvloop
from splittally import Kernel
from splittally.core.canonical import decode, encode
from splittally.edge.answer_lines import readable
from splittally.host.service import listening
from splittally.host.service.service import Service
from splittally.runtime.reader import open_reader
from splittally.runtime.served import SOCKET, connected

from tests.cli_tools import command, environment

LIMIT = 1_000_000
MANIFEST = {
    "resources": {"USD": 2},
    "accounts": {"accounts/alice": {}, "accounts/bob": {}},
    "grants": {
        "alice/llm": {"cap": "sys/llm.basic@1", "budget": {"tokens": LIMIT}, "holder": "alice"},
        "bob/llm": {"cap": "sys/llm.basic@1", "budget": {"tokens": LIMIT}, "holder": "bob"},
        "own": {"cap": "sys/llm.basic@1", "budget": {"tokens": LIMIT}},
    },
}
HEAD = struct.Struct(">II")
CODECS = {
    "json": (json.loads, lambda value: json.dumps(value).encode()),
    "cbor": (lambda data: readable(decode(data)), encode),  # hashes are bytes there
}
READY_SECONDS = 60


class Told(NamedTuple):
    """A response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class _OverUnix(http.client.HTTPConnection):
    """The standard library's client, over a Unix socket."""

    def __init__(self, path: Path, timeout: float = 30) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = unix(self._path, self.timeout or 30)


def unix(path: Path, timeout: float = 30) -> socket.socket:
    """A connection to a socket file; `ConnectionRefusedError` where nobody serves there."""
    made = connected(path, timeout)
    if made is None:
        raise ConnectionRefusedError(path)
    return made


def asking(connection: http.client.HTTPConnection, method: str, path: str, body: Any = None,
           headers: Mapping[str, str] | None = None) -> Told:  # fmt: skip
    """One request on a connection that is kept."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    connection.request(method, path, data, dict(headers or {}))
    with connection.getresponse() as response:
        said = response.read()
        return Told(response.status, {k.lower(): v for k, v in response.getheaders()}, said)


class FrameClient:
    """Frames over the Unix socket, as plainly as can be."""

    def __init__(self, path: Path, encoding: str = "json", timeout: float = 30, **hello: Any) -> None:
        self.socket = unix(path, timeout)
        self._read, self._write = CODECS["json"]
        self._rest = b""
        try:
            self.send(0, {"hello": "splittally/1", "encoding": encoding, **hello})
            self.greeting = self.take()[1]
        except BaseException:
            self.close()
            raise
        self._read, self._write = CODECS[encoding]

    def send(self, number: int, document: Any) -> None:
        self.socket.sendall(self.packed(number, document))

    def packed(self, number: int, document: Any) -> bytes:
        data = self._write(document)
        return HEAD.pack(len(data) + 4, number) + data

    def take(self) -> tuple[int, Any]:
        """The next frame; `EOFError` where the connection ended."""
        length, number = HEAD.unpack(self._exactly(HEAD.size))
        return number, self._read(self._exactly(length - 4))

    def ask(self, document: Any, number: int = 1) -> Any:
        self.send(number, document)
        got, answer = self.take()
        assert got == number
        return answer

    def _exactly(self, size: int) -> bytes:
        while len(self._rest) < size:
            more = self.socket.recv(1 << 16)
            if not more:
                raise EOFError
            self._rest += more
        found, self._rest = self._rest[:size], self._rest[size:]
        return found

    def close(self) -> None:
        self.socket.close()


class Running:
    """A service of an open world in a thread of this process, on a Unix socket in a folder."""

    def __init__(self, kernel: Kernel, folder: Path, **options: Any) -> None:
        self.service = Service(kernel, os.getuid(), **options)
        self._server = listening.server_of(self.service)
        self._clients = Clients(folder / SOCKET)
        is_ready = threading.Event()

        def serve() -> None:
            with (
                listening._listening(folder / SOCKET, None) as sockets,
                asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
            ):
                self.loop = runner.get_loop()
                said = listening.run(folder, self.service, self._server, sockets, lambda _: is_ready.set())
                runner.run(said)

        self._thread = threading.Thread(target=serve)
        self._thread.start()
        assert is_ready.wait(READY_SECONDS)

    def __enter__(self) -> "Clients":
        return self._clients

    def end_soon(self) -> None:
        self._clients.hang_up()
        self._server.should_exit = True

    def __exit__(self, *_: object) -> None:
        self.end_soon()
        self._thread.join(60)
        assert not self._thread.is_alive()


class Clients:
    """Clients of a service, which `hang_up` closes."""

    def __init__(self, path: Path, port: int = 0) -> None:
        self.path, self.port = path, port
        self._opened: list[Any] = []

    def connection(self, timeout: float = 30) -> http.client.HTTPConnection:
        made = _OverUnix(self.path, timeout)
        self._opened.append(made)
        return made

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Told:
        """One request on a connection of its own; `_` in a header's name stands for `-`."""
        connection = self.connection()
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return asking(connection, method, path, body, named)
        finally:
            connection.close()
            self._opened.remove(connection)

    def as_(self, principal: str, method: str, path: str, body: Any = None) -> Told:
        return self.ask(method, path, body, splittally_principal=principal)

    def frames(self, encoding: str = "json", **hello: Any) -> FrameClient:
        made = FrameClient(self.path, encoding, **hello)
        self._opened.append(made)
        return made

    def hang_up(self) -> None:
        """Close what clients of it left open."""
        while self._opened:
            self._opened.pop().close()

    def raw(self, data: bytes, timeout: float = 10, over_tcp: bool = False) -> bytes:
        """What is answered to these bytes until the connection ends or time is up."""
        with self.opened(timeout, over_tcp) as connection, suppress(OSError):
            connection.sendall(data)
            return b"".join(iter(lambda: connection.recv(1 << 16), b""))
        return b""

    @contextmanager
    def opened(self, timeout: float = 10, over_tcp: bool = False) -> Iterator[socket.socket]:
        where = ("127.0.0.1", self.port)
        with socket.create_connection(where, timeout) if over_tcp else unix(self.path, timeout) as made:
            yield made


class Served(Clients):
    """`tally serve` on a folder, and what is told by it."""

    def __init__(self, folder: Path, *options: str, **environ: str) -> None:
        super().__init__(folder / SOCKET)
        self.folder = folder
        self._errors = folder.parent / f"{folder.name}.stderr"
        words = command("-w", folder, "serve", "--http", "127.0.0.1:0", "--json", *options)
        with self._errors.open("ab") as errors:
            self.process = subprocess.Popen(
                words, env=environment(**environ), stdout=subprocess.PIPE, stderr=errors
            )
        out = self.process.stdout
        assert out is not None
        ready = select.select([out], [], [], READY_SECONDS)[0]
        line = out.readline() if ready else b""
        if not line:
            self.end()
            raise RuntimeError(f"it does not serve: {self.stderr}")
        self.addresses = json.loads(line)["serving"]
        self.port = int(self.addresses[1].rsplit(":", 1)[1])

    @property
    def rss_bytes(self) -> int:
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    @property
    def stderr(self) -> str:
        return self._errors.read_text(errors="replace")

    def end(self, number: int = signal.SIGTERM, timeout: float = 60) -> int:
        """Its exit code after a signal."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            if self.process.stdout is not None:
                self.process.stdout.close()
        return code

    def __enter__(self) -> "Served":
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()
        self.end()


def make_world(folder: Path, manifest: Mapping[str, Any] = MANIFEST) -> Path:
    """A world with a given clock and the manifest above."""
    with splittally.open(folder, clock="given") as kernel:
        assert kernel.apply(dict(manifest)).allowed
    return folder


def intent(grant: str = "own", tokens: int = 10, **fields: Any) -> dict[str, Any]:
    params = {"model": "m", "max_tokens": tokens}
    return {"kind": "llm.generate", "params": params, "grant": grant, **fields}


def receipt(intent_hash: str, **fields: Any) -> dict[str, Any]:
    used = {"prompt_tokens": 1, "completion_tokens": 2}
    return {"intent_hash": intent_hash, "status": "ok", "adapter_id": "t", "payload": used, **fields}


def frames_of(folder: Path) -> list[Any]:
    """Every frame of a journal that nobody writes."""
    with open_reader(folder) as reader:
        return list(reader.records())


def until(claim: Any, seconds: float = 20) -> None:
    """Wait for a claim to hold; it fails where it does not in time."""
    end = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < end, "it did not come to be in time"
        time.sleep(0.02)


def lines(documents: Sequence[Any]) -> bytes:
    return b"".join(json.dumps(document).encode() + b"\n" for document in documents)
