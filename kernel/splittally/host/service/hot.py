"""The routes that carry requests, as plain ASGI: what a framework adds costs as much again as they do.

    POST /v1/intents    one intent or group, or an array of them   {"kind": "mail.send", "grant": "mail", ...}
    POST /v1/receipts   one receipt, or an array of them           {"intent_hash": "c3...", "status": "ok"}
    POST /v1/run        requests of any kind, a line each (NDJSON), answered line by line in order

Rule 1. A body has at most `BODY_BYTES_MAX` bytes, which is seen before more of it is kept. The lines of
        `/v1/run` have no end: they are answered batch by batch, and no more is read meanwhile.
        A problem amid them, such as a deadline, is the last line: `{"problem": {...}}`.
Rule 2. `Idempotency-Key` is the key of an intent that states none.
"""

from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

from splittally.core.errors import SplittallyError
from splittally.core.limits import GROUP_MAX, LINE_BYTES_MAX
from splittally.host.service.bulk import LONG_BYTES, read_json
from splittally.host.service.problems import Problem
from splittally.host.service.service import MANY_MAX, Service
from splittally.runtime.callers import Caller

BODY_BYTES_MAX = LINE_BYTES_MAX
JSON, NDJSON = b"application/json", b"application/x-ndjson"
PEER_UID = "splittally.peer_uid"  # in the scope of a request that came by the Unix socket
RETRY_AFTER_SECONDS = b"1"
Headers = dict[bytes, bytes]
encode = msgspec.json.Encoder().encode


async def one_or_many(service: Service, scope: Scope, receive: Receive, send: Send) -> None:
    """One request or an array of them, and the answer in the same shape."""
    headers: Headers = dict(scope["headers"])
    caller = caller_of(service, scope, headers)
    asked = await document_of(service, caller, await body_of(headers, receive))
    if type(asked) is list:
        if len(asked) > MANY_MAX:
            text = f"an array has at most {MANY_MAX} requests; `/v1/run` takes any number"
            raise Problem(413, "too_many", text)
        answer: Any = await service.run(caller, [_fitting(scope["path"], each) for each in asked])
    else:
        key = headers.get(b"idempotency-key")
        if key is not None and type(asked) is dict and "kind" in asked:
            asked = _keyed(asked, key)
        answer = await service.one(caller, _fitting(scope["path"], asked))
    await respond(send, 200, encode(answer), JSON)


def _fitting(path: str, asked: Any) -> Any:
    """The document, where its path takes such requests."""
    is_receipt = type(asked) is dict and "intent_hash" in asked
    if type(asked) is dict and is_receipt != (path == "/v1/receipts"):
        other = "/v1/receipts" if is_receipt else "/v1/intents"
        raise Problem(400, "invalid_input", f"this is a request for `{other}`, or for `/v1/run`")
    return asked


def _keyed(asked: dict[str, Any], key: bytes) -> dict[str, Any]:
    """An intent with the key of the header, unless it has one of its own."""
    if "key" in asked or "idempotency_key" in asked:
        return asked
    return {**asked, "key": key.decode("latin-1")}


async def run_lines(service: Service, scope: Scope, receive: Receive, send: Send) -> None:
    """Lines in, lines out: batch by batch, so that neither side waits for the other's end."""
    headers: Headers = dict(scope["headers"])
    caller = caller_of(service, scope, headers)
    service.asking(caller)  # before the first line is promised an answer
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", NDJSON)]})
    try:
        async for lines in _batches(receive):
            answers = await service.run(caller, await _read_lines(service, caller, lines))
            body = b"".join(encode(answer) + b"\n" for answer in answers)
            await send({"type": "http.response.body", "body": body, "more_body": True})
        last = b""
    except Problem as problem:  # the answer has begun: it is its last line
        last = encode({"problem": problem.document()}) + b"\n"
    await send({"type": "http.response.body", "body": last})


async def _read_lines(service: Service, caller: Caller, lines: list[bytes | None]) -> list[Any]:
    """What lines say, an error in the place of one that cannot be read."""
    if sum(len(line or b"") for line in lines) <= LONG_BYTES:
        return [_read_line(line) for line in lines]
    return await service.beside(caller, lambda: [_read_line(line) for line in lines])


async def document_of(service: Service, caller: Caller, raw: bytes) -> Any:
    """What JSON text says; `InvalidInput` where it is none."""
    if len(raw) <= LONG_BYTES:
        return read_json(raw)
    return await service.beside(caller, partial(read_json, raw))


def _read_line(line: bytes | None) -> Any:
    """What a line says; an error in its place where it cannot be read."""
    try:
        return read_json(line if line is not None else b" " * (LINE_BYTES_MAX + 1))
    except SplittallyError as error:
        return error


async def _batches(receive: Receive) -> AsyncIterator[list[bytes | None]]:
    """The lines of a body, at most `GROUP_MAX` at a time; None for one that is too long."""
    rest, is_long, more = b"", False, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        more = message.get("more_body", False)
        *whole, rest = (rest + message.get("body", b"")).split(b"\n")
        lines: list[bytes | None] = [line for line in whole if line.strip()]
        if is_long and whole:
            lines, is_long = [None, *lines[bool(whole[0].strip()) :]], False
        if len(rest) > LINE_BYTES_MAX or is_long:
            rest, is_long = b"", True
        if not more and (rest.strip() or is_long):
            lines.append(None if is_long else rest)
        for at in range(0, len(lines), GROUP_MAX):
            yield lines[at : at + GROUP_MAX]


async def body_of(headers: Headers, receive: Receive) -> bytes:
    """The whole body; `Problem` 413 where it is too large, before it is kept."""
    said = headers.get(b"content-length", b"0")
    if said.isdigit() and int(said) > BODY_BYTES_MAX:
        raise _too_large()
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Problem(400, "disconnected", "the body ended early")
        part = message.get("body", b"")
        size += len(part)
        if size > BODY_BYTES_MAX:
            raise _too_large()
        parts.append(part)
        more = message.get("more_body", False)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large() -> Problem:
    text = f"a body has at most {BODY_BYTES_MAX} bytes; keep long texts outside and send their digests"
    return Problem(413, "input.too_large", text, {"bytes_max": BODY_BYTES_MAX})


async def respond(send: Send, status: int, body: bytes, media: bytes) -> None:
    """A whole response of a route that takes POST."""
    headers = [(b"content-type", media), (b"content-length", b"%d" % len(body))]
    if status == 405:
        headers.append((b"allow", b"POST"))
    if status in (429, 503):
        headers.append((b"retry-after", RETRY_AFTER_SECONDS))
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def caller_of(service: Service, scope: Scope, headers: Mapping[bytes, bytes]) -> Caller:
    """Who asks by HTTP."""
    secret = None
    authorization = headers.get(b"authorization")
    if authorization is not None:
        scheme, _, rest = authorization.decode("latin-1").partition(" ")
        if scheme.lower() != "bearer":
            raise Problem(401, "unauthenticated", "say `Authorization: Bearer TOKEN`")
        secret = rest.strip()
    named = headers.get(b"splittally-principal")
    return service.caller_of(scope.get(PEER_UID), secret, None if named is None else named.decode("latin-1"))
