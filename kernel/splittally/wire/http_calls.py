"""A service asked over HTTP, from wherever it is: what `calls.py` asks, one thread at a time.

Rule 1. Each request is one exchange; many requests go as lines (NDJSON).
Rule 2. A connection that was kept and was ended meanwhile is made anew; one that breaks once something was
        sent raises `AnswerLost`.
"""

import http.client
import ssl
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from splittally.core.errors import InvalidInput
from splittally.edge.hashes import require_hash
from splittally.edge.json_values import json_form, parse_json
from splittally.edge.records import At, Decision
from splittally.runtime.rows import Row
from splittally.wire.documents import Answered, Document, answer_of, document_of
from splittally.wire.errors import ConnectionLost, error_of
from splittally.wire.exchanges import (
    ANSWER_SECONDS,
    WAIT_SLICE_SECONDS,
    encoded,
    is_awaited,
    is_gone,
    itself,
    lost,
    nothing_where_missing,
    row_of,
    slices,
)

LINE_TYPE, JSON_TYPE = "application/x-ndjson", "application/json"


class HttpCalls:
    """A service at an address, for one principal and one thread at a time."""

    def __init__(self, address: str, principal: str | None = None, token: str | None = None) -> None:
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidInput(f"`{address}` is no address: say http://HOST:PORT", field="target")
        self._host, self._port, self._root = parts.hostname, parts.port, parts.path.rstrip("/")
        self._is_secure = parts.scheme == "https"
        self._headers = {"Accept": JSON_TYPE}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        if principal is not None:
            self._headers["Splittally-Principal"] = principal
        self._connection: http.client.HTTPConnection | None = None
        self.principal = str(self._get("/v1/me")["principal"])

    def close(self) -> None:
        """Hang up."""
        made, self._connection = self._connection, None
        if made is not None:
            made.close()

    # --- asking ----------------------------------------------------------------------------------

    def run(self, requests: Sequence[At]) -> list[Answered]:
        """The answers to requests of any kind, in order; an error where one could not be asked."""
        answers, lines = encoded(
            requests, lambda item: msgspec.json.encode(_in_json(document_of(item))), itself
        )
        if lines:
            body = b"\n".join(line for _, line in lines)
            told = self._exchange("POST", "/v1/run", body, LINE_TYPE).splitlines()
            if len(told) < len(lines):
                raise lost(hung_up=True)
            for (place, _), line in zip(lines, told, strict=True):
                answers[place] = answer_of(parse_json(line))
        return answers

    def outcome(self, intent_hash: bytes | str) -> Row | None:
        """What happened to an intent; None where there is none, or none that this principal may see."""
        return row_of(self._look(f"/v1/intents/{require_hash(intent_hash).hex()}"))

    def wait(
        self, intent_hash: bytes | str, timeout_s: float | None = None, *, ended: bool = False
    ) -> Row | None:
        """The same once it no longer waits for an approval, or with `ended` once it has ended."""
        path = f"/v1/intents/{require_hash(intent_hash).hex()}/wait"
        for slice_s in slices(timeout_s):
            asked = urlencode({"timeout_s": slice_s, "ended": str(ended).lower()})
            row = row_of(self._look(f"{path}?{asked}"))
            if row is None or not is_awaited(row, ended):
                break
        return row

    def approve(self, intent_hash: bytes | str, reasons: Sequence[str] | None = None) -> Decision:
        """Approve an intent that waits."""
        return self._answer(intent_hash, "approve", {} if reasons is None else {"reasons": list(reasons)})

    def reject(self, intent_hash: bytes | str) -> Decision:
        """Reject an intent that waits."""
        return self._answer(intent_hash, "reject", {})

    def _answer(self, intent_hash: bytes | str, verb: str, fields: Mapping[str, Any]) -> Decision:
        path = f"/v1/intents/{quote(require_hash(intent_hash).hex())}/{verb}"
        answer = answer_of(parse_json(self._exchange("POST", path, msgspec.json.encode(fields), JSON_TYPE)))
        assert isinstance(answer, Decision)
        return answer

    def _look(self, path: str) -> Document | None:
        with nothing_where_missing():
            found: Document = self._get(path)
            return found
        return None

    def _get(self, path: str) -> Document:
        document: Document = parse_json(self._exchange("GET", path, None, None))
        return document

    # --- one exchange ----------------------------------------------------------------------------

    def _exchange(self, method: str, path: str, body: bytes | None, media: str | None) -> bytes:
        headers = self._headers if media is None else {**self._headers, "Content-Type": media}
        kept = self._connection
        if kept is not None and kept.sock is not None and is_gone(kept.sock):
            self.close()
        try:
            return self._answered(method, path, body, headers)
        except (http.client.HTTPException, OSError) as error:
            self.close()
            if isinstance(error, ConnectionRefusedError):
                raise ConnectionLost(f"nobody answers at {self._host}; nothing was asked") from error
            raise lost(hung_up=not isinstance(error, TimeoutError)) from error
        except BaseException:
            self.close()
            raise

    def _answered(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> bytes:
        if self._connection is None:
            self._connection = self._made()
        self._connection.request(method, self._root + path, body, dict(headers))
        response = self._connection.getresponse()
        data = response.read()
        if response.status >= 400:
            raise error_of(parse_json(data))  # the connection goes with it
        return data

    def _made(self) -> http.client.HTTPConnection:
        timeout_s = ANSWER_SECONDS + WAIT_SLICE_SECONDS
        if self._is_secure:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(self._host, self._port, timeout=timeout_s, context=context)
        return http.client.HTTPConnection(self._host, self._port, timeout=timeout_s)


def _in_json(document: Document) -> Document:
    """A request in JSON: its own hashes and keys as hex, bytes in params as the edge reads them."""
    said: Document = {}
    for name, value in document.items():
        if name in ("all", "first"):
            said[name] = [_in_json(each) for each in value]
        else:
            said[name] = value.hex() if type(value) is bytes else json_form(value)
    return said
