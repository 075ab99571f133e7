"""A connection of many tasks of asyncio to the service of a world: what they ask is on its way together.

Rule 1. Each request has an id, and whoever asked gets the answer with it, in whatever order answers come.
Rule 2. A task that gives up leaves its request on the way: the answer comes, and nobody takes it.
Rule 3. A connection that breaks fails what is on its way with `AnswerLost`; the next request makes it anew.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from splittally.edge.hashes import require_hash
from splittally.edge.json_values import parse_json
from splittally.edge.records import At, Decision
from splittally.runtime.rows import Row
from splittally.runtime.served import connected, socket_of
from splittally.wire.documents import Answered, Document, answer_of, data_of
from splittally.wire.errors import ConnectionLost, NotServed
from splittally.wire.exchanges import (
    ANSWER_BYTES_MAX,
    ANSWER_SECONDS,
    PIECE_BYTES,
    arrays,
    encoded,
    is_awaited,
    itself,
    lost,
    nothing_where_missing,
    or_raise,
    row_of,
    slices,
    within_a_frame,
)
from splittally.wire.frames import CODECS, ID_MAX, WrongLength, hello, pack, take

_CBOR = CODECS["cbor"]
_HELLO_ID = 0


class _Line:
    """One connection: a task reads what comes, and lets go of it when it ends, or its loop does."""

    def __init__(self, made: socket.socket) -> None:
        made.setblocking(False)
        self.is_lost = False
        self._socket = made
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._sending = asyncio.Lock()
        self._reading = self._loop.create_task(self._read())

    async def ask(self, number: int, data: bytes) -> bytes:
        """The answer to one frame."""
        if self.is_lost:
            raise ConnectionLost("the service is gone; nothing was asked")
        answer: asyncio.Future[bytes] = self._loop.create_future()
        self._waiting[number] = answer
        await asyncio.shield(self._send(pack(number, data)))  # a frame goes out whole, whoever gives up
        return await answer

    def hang_up(self) -> None:
        """End the connection."""
        self._reading.cancel()

    async def _send(self, data: bytes) -> None:
        async with self._sending:
            with suppress(OSError):  # the reader hears of it, too, and tells everybody
                await self._loop.sock_sendall(self._socket, data)

    async def _read(self) -> None:
        buffer = bytearray()
        try:
            while piece := await self._loop.sock_recv(self._socket, PIECE_BYTES):
                buffer += piece
                for frame in take(buffer, ANSWER_BYTES_MAX, ID_MAX):
                    answer = self._waiting.pop(frame.number, None)
                    if answer is not None and not answer.done():
                        answer.set_result(frame.data)
        except (OSError, WrongLength):
            pass  # whatever ended it, it is at its end
        finally:
            self.is_lost = True
            self._socket.close()
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(lost(hung_up=True))


class TaskCalls:
    """A connection for one principal, for the tasks of one loop, made with the first request."""

    def __init__(self, connect: Callable[[], socket.socket | None], said: bytes) -> None:
        self._connect = connect
        self._said = said
        self._line: _Line | None = None
        self._greeting = asyncio.Lock()
        self._number = 0
        self.principal = ""

    def close(self) -> None:
        """Hang up."""
        if self._line is not None:
            self._line.hang_up()

    # --- asking ----------------------------------------------------------------------------------

    async def run(self, requests: Sequence[At]) -> list[Answered]:
        """The answers to requests of any kind, in order; an error where one could not be asked."""
        answers, sendable = encoded(requests, lambda item: within_a_frame(data_of(item)), itself)
        for several in arrays(sendable):
            told = await self.ask(_CBOR.array([data for _, data in several]))
            for (place, _), document in zip(several, told, strict=True):
                answers[place] = answer_of(document)
        return answers

    async def ask(self, data: bytes) -> Any:
        """The document that answers one."""
        line = await self._greeted()
        self._number = self._number % ID_MAX + 1
        return or_raise(_CBOR.read(await _in_time(line.ask(self._number, data))))

    async def call(self, name: str, **fields: Any) -> Any:
        """The document that an operation of the service answers; fields that are None are not said."""
        said = {field: value for field, value in fields.items() if value is not None}
        return await self.ask(within_a_frame(_CBOR.write({"call": name, **said})))

    # --- of one intent ---------------------------------------------------------------------------

    async def outcome(self, intent_hash: bytes | str) -> Row | None:
        """What happened to an intent; None where there is none, or none that this principal may see."""
        return row_of(await self._look("outcome", intent_hash=require_hash(intent_hash).hex()))

    async def wait(
        self, intent_hash: bytes | str, timeout_s: float | None = None, *, ended: bool = False
    ) -> Row | None:
        """The same once it no longer waits for an approval, or with `ended` once it has ended."""
        digest = require_hash(intent_hash).hex()
        for slice_s in slices(timeout_s):
            row = row_of(await self._look("wait", intent_hash=digest, timeout_s=slice_s, ended=ended))
            if row is None or not is_awaited(row, ended):
                break
        return row

    async def approve(self, intent_hash: bytes | str, reasons: Sequence[str] | None = None) -> Decision:
        """Approve an intent that waits."""
        said = None if reasons is None else list(reasons)
        return await self._change("approve", intent_hash=require_hash(intent_hash).hex(), reasons=said)

    async def reject(self, intent_hash: bytes | str) -> Decision:
        """Reject an intent that waits."""
        return await self._change("reject", intent_hash=require_hash(intent_hash).hex())

    async def _change(self, name: str, **fields: Any) -> Decision:
        decision = answer_of(await self.call(name, **fields))
        assert isinstance(decision, Decision)
        return decision

    async def _look(self, name: str, **fields: Any) -> Document | None:
        with nothing_where_missing():
            found: Document = await self.call(name, **fields)
            return found
        return None

    async def _greeted(self) -> _Line:
        async with self._greeting:
            if self._line is None or self._line.is_lost:
                self._line = await self._greet()
            return self._line

    async def _greet(self) -> _Line:
        made = await asyncio.to_thread(self._connect)
        if made is None:
            raise NotServed("nobody serves the world any more; `tally serve` does")
        line = _Line(made)
        try:
            answer = or_raise(parse_json(await _in_time(line.ask(_HELLO_ID, self._said))))
        except BaseException:
            line.hang_up()
            raise
        self.principal = str(answer["principal"])
        return line


async def _in_time(answer: Awaitable[bytes]) -> bytes:
    """An answer; `AnswerLost` where it does not come."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS * 2):
            return await answer
    except TimeoutError:
        raise lost(hung_up=False) from None


def task_calls_to(world: Path, principal: str | None = None, token: str | None = None) -> TaskCalls:
    """A connection to the service of the world in this folder, or at this socket file."""
    path = socket_of(world)
    return TaskCalls(lambda: connected(path, ANSWER_SECONDS), hello("cbor", principal, token))
