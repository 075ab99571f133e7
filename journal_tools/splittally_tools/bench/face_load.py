"""Who asks a served world, or its echo: connections that stay open and keep so many requests on their way.

Rule 1. Single posts and bodies of lines go one at a time on each of their connections; frames many at once.
        What an answer makes room for is asked in one piece, as a pipelining client does.
Rule 2. Every answer is counted, and every one of them must allow: a refusal costs less.
"""

import asyncio
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import cast

import msgspec
from splittally.wire.frames import HELLO

from splittally_tools.bench.workload import KIND, params

HTTP_CONNECTIONS = 64
NDJSON_CONNECTIONS = 4
FRAME_CONNECTIONS, FRAME_DEPTH = 8, 32
ALLOWED = b'"allowed":true'
HEAD = struct.Struct(">II")
ID_BYTES = 4
_encode = msgspec.json.Encoder().encode
_LENGTH = re.compile(rb"content-length: (\d+)\r\n")
_END_OF_HEADERS, _END_OF_CHUNKS = b"\r\n\r\n", b"\r\n0\r\n\r\n"
Ends = Callable[[bytearray], list[int]]  # where each whole answer in a buffer ends


class Connection(asyncio.Protocol):
    """One connection of a client."""

    def __init__(self, ends: Ends) -> None:
        self._ends = ends
        self._buffer = bytearray()
        self._rest: Iterator[bytes] = iter(())
        self._waiting = 0
        self._allowed = 0
        self._transport: asyncio.Transport | None = None
        self._done: asyncio.Future[int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # that of uvloop is no subclass

    def connection_lost(self, error: Exception | None) -> None:
        """Nobody answers what is left: who waits must hear of it."""
        if self._done is not None and not self._done.done():
            self._done.set_exception(ConnectionError("the connection ended before all was answered"))

    def data_received(self, data: bytes) -> None:
        """Count what is answered, and ask as many again."""
        self._buffer += data
        ends = self._ends(self._buffer)
        if not ends:
            return
        self._allowed += self._buffer.count(ALLOWED, 0, ends[-1])
        del self._buffer[: ends[-1]]
        self._waiting -= len(ends)
        self._ask(len(ends))

    async def ask(self, requests: Sequence[bytes], depth: int) -> int:
        """Ask all of these, so many at once; how many answers allowed."""
        self._rest, self._allowed = iter(requests), 0
        self._done = asyncio.get_running_loop().create_future()
        self._ask(depth)
        return await self._done

    def close(self) -> None:
        """End it, once nothing is asked any more."""
        assert self._transport is not None
        self._transport.close()

    def _ask(self, count: int) -> None:
        assert self._transport is not None and self._done is not None
        some = list(islice(self._rest, count))
        self._waiting += len(some)
        if some:
            self._transport.write(b"".join(some))
        elif not self._waiting:
            self._done.set_result(self._allowed)


async def connect(socket: Path, ends: Ends) -> Connection:
    """A connection to a Unix socket."""
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_unix_connection(lambda: Connection(ends), str(socket))
    return connection


# --- where answers end ----------------------------------------------------------------------------


def ends_of_posts(buffer: bytearray) -> list[int]:
    """Responses with a length."""
    headers = buffer.find(_END_OF_HEADERS)
    said = _LENGTH.search(buffer) if headers >= 0 else None
    if said is None:
        return []
    end = headers + len(_END_OF_HEADERS) + int(said[1])
    return [end] if len(buffer) >= end else []


def ends_of_lines(buffer: bytearray) -> list[int]:
    """Responses in chunks."""
    return [len(buffer)] if buffer.endswith(_END_OF_CHUNKS) else []


def ends_of_frames(buffer: bytearray) -> list[int]:
    """Frames, one after the other."""
    found: list[int] = []
    at = 0
    while len(buffer) - at >= HEAD.size:
        at += ID_BYTES + HEAD.unpack_from(buffer, at)[0]
        if at > len(buffer):
            break
        found.append(at)
    return found


# --- what is asked --------------------------------------------------------------------------------


def document(at: int) -> bytes:
    """One intent."""
    return _encode({"kind": KIND, "params": params(at), "grant": "leaf"})


def posts(count: int) -> list[bytes]:
    """So many requests of one intent each."""
    return [_request(b"/v1/intents", document(at)) for at in range(count)]


def bodies(count: int, lines: int) -> list[bytes]:
    """So many requests of `lines` intents each."""
    body = b"".join(document(at) + b"\n" for at in range(lines))
    return [_request(b"/v1/run", body)] * count


def frames(count: int) -> list[bytes]:
    """So many frames of one intent each."""
    return [_frame(1 + at, document(at)) for at in range(count)]


def hello() -> bytes:
    """The frame that a connection begins with."""
    return _frame(0, _encode({"hello": HELLO}))


def _request(path: bytes, body: bytes) -> bytes:
    return b"POST %s HTTP/1.1\r\nhost: bench\r\ncontent-length: %d\r\n\r\n%s" % (path, len(body), body)


def _frame(number: int, data: bytes) -> bytes:
    return HEAD.pack(len(data) + ID_BYTES, number) + data
