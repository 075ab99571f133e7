"""Frames on the Unix socket: requests and answers with ids, many on their way at once (`wire/frames.py`).

Rule 1. The first frame is a hello, in JSON: {"hello": "splittally/1", "encoding": "json" or "cbor",
        "principal"?, "token"?}. It is answered with its id; what is wrong in it is a problem, and the
        connection ends.
Rule 2. Every frame after it is a request document (spec/02), an array of them, or {"call": NAME, ...fields}
        of the table of operations. Each gets one frame with its id, in whatever order they are done: an
        answer, an array of answers, or {"problem": ...}.
Rule 3. A length is looked at before the bytes are kept. At most `ON_THE_WAY_MAX` requests are on their way;
        then, and while answers are not taken, no more is read. Nobody else waits for that.
Rule 4. What came in one piece is decided together; receipts, releases, extensions and dispatches before
        intents.
Rule 5. A connection that ends gives up what it asked: intents are not decided, or released.
Rule 6. Who sends half a frame has `HALF_SECONDS` for the rest, and who takes no answer `TAKING_SECONDS`; then
        the connection ends.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from splittally.core.errors import SplittallyError
from splittally.host.service.bulk import LONG_BYTES, read_cbor, read_json
from splittally.host.service.operations import OPERATIONS, called
from splittally.host.service.problems import Problem, problem_of
from splittally.host.service.service import Service
from splittally.runtime.callers import Caller
from splittally.wire.frames import (
    CODECS,
    FRAME_BYTES_MAX,
    HELLO,
    HELLO_BYTES_MAX,
    Document,
    Frame,
    WrongLength,
    pack,
    take,
)

ON_THE_WAY_MAX = 256
HELLO_SECONDS = 10.0
HALF_SECONDS = 30.0
TAKING_SECONDS = 60.0
ENDING_SECONDS = 5.0
LISTING = {operation.name for operation in OPERATIONS if operation.answer in ("Page", "Rows")}
GUARDED = {  # what strangers send is measured before it is read
    "json": CODECS["json"]._replace(read=read_json),
    "cbor": CODECS["cbor"]._replace(read=read_cbor),
}


class Frames(asyncio.Protocol):
    """One connection."""

    def __init__(self, service: Service, peer_uid: int | None, on_end: Callable[["Frames"], None]) -> None:
        self._service = service
        self._peer_uid = peer_uid
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._codec = GUARDED["json"]
        self._caller: Caller | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._on_the_way = 0
        self._is_paused = self._is_ending = self._is_stuck = False
        self._patience: asyncio.TimerHandle | None = None  # for a hello, or for the rest of a frame
        self._taking: asyncio.TimerHandle | None = None
        self._can_write = asyncio.Event()
        self._can_write.set()
        self._listing = asyncio.Lock()

    # --- what asyncio calls ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a hello, for a while."""
        self._transport = transport
        self._patience = self._loop.call_later(HELLO_SECONDS, self._hang_up)

    def connection_lost(self, error: Exception | None) -> None:
        """Give up what nobody hears of any more."""
        self._be_patient(None)
        if self._taking is not None:
            self._taking.cancel()
        for task in self._tasks:
            task.cancel()
        self._buffer.clear()
        self._on_end(self)

    def pause_writing(self) -> None:
        """Answers are not taken: read no more."""
        self._is_stuck = True
        self._can_write.clear()
        self._taking = self._loop.call_later(TAKING_SECONDS, self._cut_off)
        self._flow()

    def resume_writing(self) -> None:
        """They are taken again."""
        self._is_stuck = False
        self._can_write.set()
        if self._taking is not None:
            self._taking.cancel()
        self._take()

    def data_received(self, data: bytes) -> None:
        """Take what is whole; keep what is not."""
        self._buffer += data
        self._take()

    def shutdown(self) -> None:
        """Answer what is on its way, then end; who takes no answers is not waited for."""
        self._is_ending = True
        self._can_write.set()
        self._flow()
        if self._is_stuck:
            self._loop.call_later(ENDING_SECONDS, self._cut_off)
        self._end_if_done()

    # --- frames in -------------------------------------------------------------------------------

    def _take(self) -> None:
        """Take the frames that are whole and find room; then it is seen whether more may be read."""
        if self._transport is None or self._transport.is_closing():
            return
        is_known, room = self._caller is not None, self._room()
        whole = self._whole(room if is_known else 1, FRAME_BYTES_MAX if is_known else HELLO_BYTES_MAX)
        if whole is None:
            return
        if is_known and whole:
            self._be_patient(None)
            self._ask(whole)
            if len(whole) == room:  # the rest has its turn after what others sent
                self._loop.call_soon(self._take)
        elif whole:
            self._greet(*whole[0])
        if is_known and self._room():
            self._be_patient(HALF_SECONDS if self._buffer else None)
        self._flow()

    def _room(self) -> int:
        return 0 if self._is_stuck or self._is_ending else ON_THE_WAY_MAX - self._on_the_way

    def _whole(self, room: int, bytes_max: int) -> list[Frame] | None:
        """At most so many frames, taken from the buffer; None where one is too long."""
        try:
            return take(self._buffer, bytes_max, room)
        except WrongLength as error:
            self._refuse(error.number, Problem(413, "input.too_large", str(error)))
            return None

    def _be_patient(self, seconds: float | None) -> None:
        """Hang up in so many seconds; never where it is None. Time that runs already runs on."""
        if seconds is None and self._patience is not None:
            self._patience.cancel()
            self._patience = None
        elif seconds is not None and self._patience is None:
            self._patience = self._loop.call_later(seconds, self._hang_up)

    def _greet(self, number: int, data: bytes) -> None:
        try:
            hello = read_json(data)
            if type(hello) is not dict or hello.get("hello") != HELLO:
                raise Problem(400, "invalid_input", f'say {{"hello": "{HELLO}", "encoding": "json"}} first')
            codec = GUARDED.get(_text(hello, "encoding") or "json")
            if codec is None:
                raise Problem(400, "invalid_input", "`encoding` is json or cbor")
            named, secret = (_text(hello, name) for name in ("principal", "token"))
            self._caller = self._service.caller_of(self._peer_uid, secret, named)
        except (SplittallyError, Problem) as error:
            self._refuse(number, error if isinstance(error, Problem) else problem_of(error))
            return
        self._be_patient(None)
        answer = {"hello": HELLO, "principal": self._caller.principal, "world": self._service.world_id}
        self._write([(number, answer)])
        self._codec = codec
        self._take()

    def _ask(self, whole: list[Frame]) -> None:
        """Start what was asked: calls and arrays each alone, receipts together, the rest together."""
        first: list[tuple[int, Document]] = []
        then: list[tuple[int, Document]] = []
        refused: list[tuple[int, Document]] = []
        for number, data in whole:
            if len(data) > LONG_BYTES:
                self._start(self._answer_long(number, data), 1)
                continue
            try:
                document = self._codec.read(data)
            except SplittallyError as error:
                refused.append((number, {"problem": problem_of(error).document()}))
                continue
            if _stands_alone(document):
                self._start(self._answer_alone(number, document), 1)
            else:
                (first if _goes_first(document) else then).append((number, document))
        self._write(refused)
        for group in (first, then):
            if group:
                self._start(self._answer(group), len(group))

    def _start(self, asked: Any, count: int) -> None:
        self._on_the_way += count
        task = self._loop.create_task(asked)
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._done(done, count))

    def _done(self, task: "asyncio.Task[None]", count: int) -> None:
        self._tasks.discard(task)
        self._on_the_way -= count
        if not task.cancelled() and (error := task.exception()) is not None:
            self._loop.call_exception_handler(
                {"message": "a frame could not be answered", "exception": error}
            )
            self._hang_up()
            return
        if self._is_paused:
            self._take()
        self._end_if_done()

    # --- answers out -----------------------------------------------------------------------------

    async def _answer(self, group: list[tuple[int, Document]]) -> None:
        assert self._caller is not None
        try:
            answers: list[Any] = await self._service.run(
                self._caller, [document for _, document in group], self._codec.say
            )
            self._service.count("frames", "answered")
        except Problem as problem:
            answers = [{"problem": problem.document()}] * len(group)
            self._service.count("frames", problem.code)
        self._write([(number, answer) for (number, _), answer in zip(group, answers, strict=True)])

    async def _answer_long(self, number: int, data: bytes) -> None:
        """The same of a document that takes its time to be read: the loop serves others meanwhile."""
        assert self._caller is not None
        try:
            document = await self._service.beside(self._caller, partial(self._codec.read, data))
        except SplittallyError as error:
            self._write([(number, {"problem": problem_of(error).document()})])
            return
        if _stands_alone(document):
            await self._answer_alone(number, document)
        else:
            await self._answer([(number, document)])

    async def _answer_alone(self, number: int, document: Document) -> None:
        assert self._caller is not None
        try:
            if type(document) is list:
                answer: Any = await self._service.run(self._caller, document, self._codec.say)
            elif str(document["call"]) in LISTING:
                await self._answer_list(number, document)
                return
            else:
                answer = await called(self._service, self._caller, document, self._codec.say)
        except Problem as problem:
            answer = {"problem": problem.document()}
        self._write([(number, answer)])

    async def _answer_list(self, number: int, document: dict[str, Any]) -> None:
        """A page: one after the other, each once the one before was taken, so that none piles up here."""
        assert self._caller is not None
        async with self._listing:
            await self._can_write.wait()
            answer = await called(self._service, self._caller, document, self._codec.say)
            packing = partial(self._pack, [(number, answer)])
            self._write_bytes(await self._service.beside(self._caller, packing))

    def _write(self, answers: list[tuple[int, Document]]) -> None:
        if answers:
            self._write_bytes(self._pack(answers))

    def _pack(self, answers: list[tuple[int, Document]]) -> bytes:
        out = bytearray()
        for number, answer in answers:
            out += pack(number, self._codec.write(answer))
        return bytes(out)

    def _write_bytes(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    # --- its end ---------------------------------------------------------------------------------

    def _flow(self) -> None:
        """Read no more while too much is on its way, answers are not taken, or it is ending."""
        should_pause = not self._room()
        if self._transport is None or self._transport.is_closing() or should_pause == self._is_paused:
            return
        self._is_paused = should_pause
        (self._transport.pause_reading if should_pause else self._transport.resume_reading)()

    def _end_if_done(self) -> None:
        if self._is_ending and not self._on_the_way:
            self._hang_up()

    def _refuse(self, number: int, problem: Problem) -> None:
        self._buffer.clear()
        self._write([(number, {"problem": problem.document()})])
        self._hang_up()

    def _hang_up(self) -> None:
        """End, with a little time for what was written to be taken."""
        if self._transport is not None:
            self._transport.close()
            self._loop.call_later(ENDING_SECONDS, self._cut_off)

    def _cut_off(self) -> None:
        """End at once: what was written and is not taken is dropped."""
        if self._transport is not None:
            self._transport.abort()


def _stands_alone(document: Document) -> bool:
    return type(document) is list or (type(document) is dict and "call" in document)


def _goes_first(document: Document) -> bool:
    """Whether this ends, keeps or starts what is held; what cannot be read is told so with these."""
    return type(document) is dict and document.keys().isdisjoint(("kind", "all", "first"))


def _text(hello: dict[str, Any], name: str) -> str | None:
    value = hello.get(name)
    if value is not None and not isinstance(value, str):
        raise Problem(400, "invalid_input", f"`{name}` is a text")
    return value
