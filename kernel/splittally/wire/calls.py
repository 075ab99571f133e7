"""A connection of one thread at a time to the service of a world: requests, and calls of its operations.

Rule 1. Each request waits for its answer; threads that share a connection take turns.
Rule 2. A connection that the service gave up while nothing was asked is made anew. One that breaks once
        something was sent raises `AnswerLost`, unless the service hung up and everything in it may be asked
        twice: then it is, once. Whose time is up does not ask again, for its first request is given up.
Rule 3. Whoever is interrupted while an answer is on its way hangs up, so that the service gives up what was
        asked.
Rule 4. Many requests go as arrays, in order, as many as fit into a frame; what has no bytes has its error in
        its place.
"""

import socket
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from splittally.edge.answer_lines import told
from splittally.edge.hashes import require_hash
from splittally.edge.json_values import parse_json
from splittally.edge.records import At, Decision
from splittally.runtime.rows import Row
from splittally.runtime.served import connected, socket_of
from splittally.wire.documents import Answered, Document, answer_of, data_of, may_be_repeated
from splittally.wire.errors import AnswerLost, ConnectionLost, NotServed, error_of
from splittally.wire.exchanges import (
    ANSWER_BYTES_MAX,
    ANSWER_SECONDS,
    PIECE_BYTES,
    arrays,
    encoded,
    is_awaited,
    is_gone,
    itself,
    lost,
    nothing_where_missing,
    or_raise,
    row_of,
    slices,
    within_a_frame,
)
from splittally.wire.frames import (
    CODECS,
    ID_MAX,
    Codec,
    Frame,
    WrongLength,
    hello,
    pack,
    take,
)


class Calls:
    """A connection for one principal; a context manager. Made by `calls_to`."""

    def __init__(
        self, connect: Callable[[], socket.socket | None], said: bytes, codec: Codec, answer_s: float
    ) -> None:
        self._connect = connect
        self._said = said
        self._codec = codec
        self._answer_s = answer_s
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._buffer = bytearray()
        self._number = 0
        self.principal = ""
        with self._lock:
            self._greet()

    def __enter__(self) -> "Calls":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trail: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        with self._lock:
            self._hang_up()

    # --- asking ----------------------------------------------------------------------------------

    def run(self, requests: Sequence[At]) -> list[Answered]:
        """The answers to requests of any kind, in order; an error where one could not be asked. In CBOR."""
        answers, sendable = encoded(requests, lambda item: within_a_frame(data_of(item)), itself)
        for several in arrays(sendable):
            asked = [requests[place] for place, _ in several]
            data = self._codec.array([data for _, data in several])
            found = or_raise(self._told(data, None, all(map(may_be_repeated, asked))))
            for (place, _), document in zip(several, found, strict=True):
                answers[place] = answer_of(document)
        return answers

    def ask(self, document: Any, answer_s: float | None = None) -> Any:
        """The answer to one document: a request, an array of them, or a call; its problem as an error."""
        return or_raise(self.told(document, answer_s))

    def told(self, document: Any, answer_s: float | None = None) -> Any:
        """The same, and `{"problem": ...}` where there is one."""
        return self._told(within_a_frame(self._codec.write(document)), answer_s, False)

    def told_each(self, documents: list[Document]) -> list[Document]:
        """The answers to documents of requests, in order; for each its problem where there is none."""
        answers, sendable = encoded(documents, lambda each: within_a_frame(self._codec.write(each)), told)
        for several in arrays(sendable):
            data = self._codec.array([data for _, data in several])
            found = self._told(data, None, False)
            each = found if isinstance(found, list) else [found] * len(several)
            for (place, _), answer in zip(several, each, strict=True):
                answers[place] = answer
        return answers

    def call(self, name: str, answer_s: float | None = None, **fields: Any) -> Any:
        """The document that an operation of the service answers; fields that are None are not said."""
        said = {field: value for field, value in fields.items() if value is not None}
        return self.ask({"call": name, **said}, answer_s)

    def change(self, name: str, **fields: Any) -> Any:
        """The record that an operation answers: a decision, a changed hold."""
        return answer_of(self.call(name, **fields))

    # --- of one intent ---------------------------------------------------------------------------

    def outcome(self, intent_hash: bytes | str) -> Row | None:
        """What happened to an intent; None where there is none, or none that this principal may see."""
        return row_of(self._look("outcome", intent_hash=require_hash(intent_hash).hex()))

    def wait(
        self, intent_hash: bytes | str, timeout_s: float | None = None, *, ended: bool = False
    ) -> Row | None:
        """The same once it no longer waits for an approval, or with `ended` once it has ended."""
        digest = require_hash(intent_hash).hex()
        for slice_s in slices(timeout_s):
            row = row_of(self._look("wait", intent_hash=digest, timeout_s=slice_s, ended=ended))
            if row is None or not is_awaited(row, ended):
                break
        return row

    def approve(self, intent_hash: bytes | str, reasons: Sequence[str] | None = None) -> Decision:
        """Approve an intent that waits."""
        said = None if reasons is None else list(reasons)
        decision: Decision = self.change("approve", intent_hash=require_hash(intent_hash).hex(), reasons=said)
        return decision

    def reject(self, intent_hash: bytes | str) -> Decision:
        """Reject an intent that waits."""
        decision: Decision = self.change("reject", intent_hash=require_hash(intent_hash).hex())
        return decision

    def _look(self, name: str, **fields: Any) -> Document | None:
        with nothing_where_missing():
            found: Document = self.call(name, **fields)
            return found
        return None

    # --- one exchange ----------------------------------------------------------------------------

    def _told(self, data: bytes, answer_s: float | None, is_repeatable: bool) -> Any:
        with self._lock:
            if self._socket is None or is_gone(self._socket):
                self._hang_up()
                self._greet()
            try:
                answer = self._exchange(data, self._answer_s if answer_s is None else answer_s)
            except AnswerLost as lost:
                if not is_repeatable or not lost.facts["hung_up"]:
                    raise
                try:
                    self._greet()
                except (ConnectionLost, NotServed) as gone:
                    raise lost from gone
                answer = self._exchange(data, self._answer_s)
        return self._codec.read(answer)

    def _greet(self) -> None:
        made = self._connect()
        if made is None:
            raise NotServed("nobody serves the world any more; `tally serve` does")
        self._socket = made
        self._buffer.clear()
        try:
            answer = parse_json(self._exchange(self._said, self._answer_s))
        except AnswerLost as error:
            raise ConnectionLost("the service ended before anything was asked; ask again") from error
        if "problem" in answer:
            self._hang_up()
            raise error_of(answer["problem"])
        self.principal = str(answer["principal"])

    def _exchange(self, data: bytes, answer_s: float) -> bytes:
        """Send one frame, and wait for the one that answers it."""
        assert self._socket is not None
        self._number = self._number % ID_MAX + 1
        try:
            self._socket.settimeout(answer_s)
            self._socket.sendall(pack(self._number, data))
            return self._received(self._number)
        except OSError as error:
            self._hang_up()
            raise lost(not isinstance(error, TimeoutError)) from error
        except BaseException:
            self._hang_up()
            raise

    def _received(self, number: int) -> bytes:
        assert self._socket is not None
        while True:
            try:
                found: list[Frame] = take(self._buffer, ANSWER_BYTES_MAX, 1)
            except WrongLength as error:
                raise OSError("what answers speaks no frames") from error
            if found:
                if found[0].number != number:
                    raise OSError("an answer to nothing that was asked")
                return found[0].data
            piece = self._socket.recv(PIECE_BYTES)
            if not piece:
                raise OSError("the service hung up")
            self._buffer += piece

    def _hang_up(self) -> None:
        made, self._socket = self._socket, None
        self._buffer.clear()
        if made is not None:
            made.close()


def calls_to(
    world: Path,
    principal: str | None = None,
    token: str | None = None,
    answer_s: float = ANSWER_SECONDS,
    encoding: str = "cbor",
) -> Calls:
    """A connection to the service of the world in this folder, or at this socket file.

    `principal` is for whom it asks, which the owner of the world may choose; `token` says who it is.
    Documents are in CBOR, in which hashes are bytes and records whole, or in JSON for who hands them on.
    Raises `NotServed` where nobody serves there, and what the service says to whom it does not know.
    """
    path, said = socket_of(world), hello(encoding, principal, token)
    return Calls(lambda: connected(path, answer_s), said, CODECS[encoding], answer_s)
