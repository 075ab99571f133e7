"""What a face is compared with: the same server, loop, parser and encoder, and one answer to everything.

It reads each document with the product's own strict reader and encodes the answer anew; it asks nobody,
looks at nothing and decides nothing.

Rule 1. The shape is that of the face: raw ASGI, lines answered batch by batch, what came in one piece of
        frames written in one piece.
"""

import asyncio
import socket
from pathlib import Path
from typing import Any, cast

import msgspec
import uvicorn
import uvloop
from splittally.core.limits import GROUP_MAX
from splittally.edge.json_values import parse_json
from starlette.types import Receive, Scope, Send

from splittally_tools.bench.face_load import HEAD, ID_BYTES

BACKLOG = 512
HTTP, FRAMES = "echo-http.sock", "echo-frames.sock"
_encode = msgspec.json.Encoder().encode
_JSON, _NDJSON = (b"content-type", b"application/json"), (b"content-type", b"application/x-ndjson")


def serve_echo(folder: Path, answer: dict[str, Any]) -> None:
    """Answer everything with `answer`, at two sockets in `folder`, until a signal ends it."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(folder, answer))


async def _serve(folder: Path, answer: dict[str, Any]) -> None:
    app = _Echo(answer)
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
    )
    frames = await asyncio.get_running_loop().create_unix_server(
        lambda: _EchoFrames(answer), str(folder / FRAMES)
    )
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(str(folder / HTTP))
    listening.listen(BACKLOG)
    async with frames:
        await uvicorn.Server(config).serve([listening])


class _Echo:
    def __init__(self, answer: dict[str, Any]) -> None:
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/v1/run":
            await self._lines(receive, send)
        else:
            await self._one(receive, send)

    async def _one(self, receive: Receive, send: Send) -> None:
        parts, more = [], True
        while more:
            message = await receive()
            parts.append(message.get("body", b""))
            more = message.get("more_body", False)
        parse_json(b"".join(parts))
        body = _encode(self._answer)
        headers = [_JSON, (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _lines(self, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [_NDJSON]})
        rest, more = b"", True
        while more:
            message = await receive()
            more = message.get("more_body", False)
            *lines, rest = (rest + message.get("body", b"")).split(b"\n")
            for at in range(0, len(lines), GROUP_MAX):
                body = b"".join(self._line(line) for line in lines[at : at + GROUP_MAX])
                await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    def _line(self, line: bytes) -> bytes:
        parse_json(line)
        return _encode(self._answer) + b"\n"


class _EchoFrames(asyncio.Protocol):
    def __init__(self, answer: dict[str, Any]) -> None:
        self._answer = answer
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # that of uvloop is no subclass

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        at, buffer, out = 0, self._buffer, bytearray()
        while len(buffer) - at >= HEAD.size:
            length, number = HEAD.unpack_from(buffer, at)
            end = at + ID_BYTES + length
            if end > len(buffer):
                break
            parse_json(bytes(buffer[at + HEAD.size : end]))
            answer = _encode(self._answer)
            out += HEAD.pack(len(answer) + ID_BYTES, number)
            out += answer
            at = end
        del buffer[:at]
        if out:
            self._transport.write(bytes(out))
