"""One connection to a served world: HTTP, or frames where its first byte says so.

Rule 1. The first byte of a frame is below the first letter of any method. Frames come by the Unix socket.
Rule 2. A connection that says nothing whole for `SILENCE_SECONDS` is closed, and one that takes no answers
        for `TAKING_SECONDS`. With more than `CONNECTIONS_MAX` the one that has been silent longest goes.
Rule 3. A head has at most `HEAD_BYTES_MAX` bytes and `HEADERS_MAX` headers, and `PIPELINE_MAX` requests wait
        behind the first of a connection: what is more is not kept.
Rule 4. A request whose connection is gone is given up: nothing is decided for it, or what it holds is
        released.
"""

import asyncio
import socket
import struct
from functools import partial
from typing import Any, cast

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from splittally.host.service.frames import ENDING_SECONDS, TAKING_SECONDS, Frames
from splittally.host.service.hot import PEER_UID, encode
from splittally.host.service.problems import MEDIA_TYPE, Problem
from splittally.host.service.service import Service
from splittally.host.service.writing import Joining

CONNECTIONS_MAX = 1_000
SILENCE_SECONDS = 30.0
HEAD_BYTES_MAX = 64 * 1024
HEADERS_MAX = 128
PIPELINE_MAX = 64
FRAME_BYTE_BELOW = 0x0A  # no method begins so, nor an empty line before one
LINES_PATH = "/v1/run"
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid
_NO_HTTP = Problem(400, "invalid_input", "this is no HTTP request")
_LARGE_HEAD = Problem(
    431, "input.too_large", f"a head has at most {HEAD_BYTES_MAX} bytes and {HEADERS_MAX} headers"
)


class Flow(FlowControl):
    """Reads no further while requests of its connection wait for their turn."""

    def __init__(self, door: "Door") -> None:
        super().__init__(door.transport)
        self._door = door

    def resume_reading(self) -> None:
        """Read on, unless there is enough to do."""
        if not self._door.pipeline:
            super().resume_reading()


class Door(HttpToolsProtocol):
    """HTTP on one connection, or frames where its first byte says so."""

    service: Service
    silent: "dict[Door, None]"  # those whose request is not whole yet, the longest first

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._peer_uid: int | None = None
        self._silence: asyncio.TimerHandle | None = None
        self._taking: asyncio.TimerHandle | None = None
        self._answering: asyncio.Task[None] | None = None
        self._head_bytes = 0  # of a head that is not whole
        self._is_begun = self._is_in_head = False

    # --- its life ------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Whose it is; where there is no room for it, the one that has been silent longest goes."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self.transport = cast(asyncio.Transport, Joining(self.transport, self.loop))
        self.flow = Flow(self)
        self._peer_uid = _peer_uid(transport.get_extra_info("socket"))
        if len(self.connections) > CONNECTIONS_MAX:
            (next(iter(self.silent)) if self.silent else self).transport.abort()
        self.service.connections = len(self.connections)
        self._listen_for(SILENCE_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of it; nobody hears an answer, so what is asked is given up."""
        self._hush()
        if self._taking is not None:
            self._taking.cancel()
        super().connection_lost(exc)
        self.pipeline.clear()
        if self._answering is not None:
            self._answering.cancel()
        self.service.connections = len(self.connections)

    def shutdown(self) -> None:
        """Answer what is asked, then end; who takes no answers is not waited for."""
        super().shutdown()
        if self.flow.write_paused:
            self.loop.call_later(ENDING_SECONDS, self.transport.abort)

    def timeout_keep_alive_handler(self) -> None:
        """Nothing more is asked."""
        self._let_go()

    def pause_writing(self) -> None:
        """Answers are not taken."""
        super().pause_writing()
        self._taking = self.loop.call_later(TAKING_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """They are taken again."""
        super().resume_writing()
        if self._taking is not None:
            self._taking.cancel()

    # --- what comes ----------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """HTTP, unless the first byte is that of a frame; a head that is too large is not kept."""
        if not self._is_begun:
            self._is_begun = True
            if data[0] < FRAME_BYTE_BELOW and self._peer_uid is not None:
                self._become_frames(data)
                return
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self._is_in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX:
                self.send_400_response("")

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
        self._is_in_head, self._head_bytes = True, 0
        self._listen_for(SILENCE_SECONDS)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One more, within bounds; those after a body count, too."""
        if len(self.headers) >= HEADERS_MAX:
            self._head_bytes = HEAD_BYTES_MAX + 1
            raise ValueError("too many headers")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole: its request is answered in its turn."""
        self._is_in_head, self._head_bytes = False, 0
        if len(self.pipeline) >= PIPELINE_MAX:
            raise ValueError("too many requests wait for the answer to the first")
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of it; lines may come as long as they come."""
        super().on_body(body)
        if b"\n" in body and self.cycle.scope["path"] == LINES_PATH:
            self._listen_for(SILENCE_SECONDS)

    def on_message_complete(self) -> None:
        """It is whole."""
        self._hush()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP is told so, unless an answer is on its way, and the connection ends."""
        if self.cycle is None or self.cycle.response_complete:
            problem = _NO_HTTP if self._head_bytes <= HEAD_BYTES_MAX else _LARGE_HEAD
            body = encode(problem.document())
            head = b"content-type: %s\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
            said = head % (MEDIA_TYPE.encode(), len(body))
            self.transport.write(STATUS_LINE[problem.status] + said + body)
        self._let_go()

    # --- answers -------------------------------------------------------------------------------

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        super_app = partial(self._answer, cycle, app)
        self._answering = self.loop.create_task(cycle.run_asgi(super_app))
        self._answering.add_done_callback(self.tasks.discard)
        self.tasks.add(self._answering)

    async def _answer(self, cycle: Any, app: Any, *asgi: Any) -> None:
        try:
            await app(*asgi)
        except asyncio.CancelledError:  # nobody hears it any more
            cycle.disconnected = True
            self.transport.abort()

    def on_response_complete(self) -> None:
        """The next one; where it was the last, it is to be taken in time.

        The rest of a body that nobody reads is passed over, so that its sender hears why.
        """
        super().on_response_complete()
        if self.transport.is_closing():
            self.loop.call_later(TAKING_SECONDS, self.transport.abort)
        elif not self.pipeline and self._silence is None:
            self.silent[self] = None
        elif not self.pipeline and self.expect_100_continue:  # whether it still sends it, nobody knows
            self._let_go()

    def _let_go(self) -> None:
        """End, with a little time for what was written to be taken."""
        self.transport.close()
        self.loop.call_later(ENDING_SECONDS, self.transport.abort)

    def _listen_for(self, seconds: float) -> None:
        self._hush()
        self.silent[self] = None
        self._silence = self.loop.call_later(seconds, self._let_go)

    def _hush(self) -> None:
        self.silent.pop(self, None)
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None


def _peer_uid(connection: socket.socket | None) -> int | None:
    """The uid at the other end of a Unix socket; None where it is none."""
    if connection is None or connection.family != socket.AF_UNIX:
        return None
    said = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(said)[1])
