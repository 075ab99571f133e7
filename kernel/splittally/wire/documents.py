"""Requests and answers as documents, from the side of whoever asks: the inverses of what a service does.

Rule 1. `request_of(document_of(item)) == item` (edge/request_lines.py), but for what the edge reads alike.
Rule 2. `answer_of(told(answer)) == answer` (edge/answer_lines.py), and its `reason` is the service's.
Rule 3. Values are as the encoding has them: in CBOR hashes are bytes and integers whole. In JSON, where they
        are text, those of the answer itself come back; those in the facts of findings stay text.
"""

from collections.abc import Mapping
from typing import Any

from splittally.core.canonical import encode
from splittally.core.errors import CanonicalError, InvalidInput, SplittallyError
from splittally.core.findings import Finding
from splittally.edge.answer_lines import INVALID
from splittally.edge.host_values import plain
from splittally.edge.records import (
    At,
    Decision,
    Dispatch,
    Extend,
    Findings,
    Group,
    HoldChange,
    Intent,
    Origin,
    Receipt,
    Release,
    Settlement,
)

Document = dict[str, Any]
Answered = Decision | Settlement | HoldChange | SplittallyError | list[Decision]
_UNSAID = ("message", "next")  # of the finding that an error was told as


# --- requests -------------------------------------------------------------------------------------


def data_of(item: At) -> bytes:
    """A request as the bytes of its document; `InvalidInput` where it has none."""
    document = document_of(item)
    try:
        return encode(document)
    except CanonicalError:
        return encode(plain(document, "request"))


def document_of(item: At) -> Document:
    """A request as its document."""
    request = item.request
    match request:
        case Intent():
            document = _intent(request)
        case Group():
            document = {request.mode: [_intent(each) for each in request.intents]}
        case Receipt():
            document = _receipt(request)
        case Dispatch():
            document = {"dispatch": request.intent_hash, "attempt": request.attempt}
        case Extend():
            document = {"extend": request.intent_hash, "expires_ns": request.expires_ns}
        case Release():
            document = _said(
                release=request.intent_hash,
                cause=request.cause,
                order=request.order,
                attempt=request.attempt,
            )
        case _:
            raise InvalidInput(
                "an Intent, Receipt, Dispatch, Release, Extend or Group is expected", field="request"
            )
    return document if item.now_ns is None else {**document, "now_ns": item.now_ns}


def _intent(intent: Intent) -> Document:
    if type(intent) is not Intent:
        raise InvalidInput("a group has intents and nothing else", field="intents")
    key = intent.idempotency_key
    origin = intent.origin
    if isinstance(origin, Origin):
        origin = {"kind": origin.kind, "name": origin.name}
    elif isinstance(origin, tuple) and len(origin) == 2:
        origin = {"kind": origin[0], "name": origin[1]}
    return {
        "kind": intent.kind,
        "params": intent.params,
        "grant": intent.grant,
        **_said(
            origin=origin,
            key=key if isinstance(key, str) else None,
            idempotency_key=None if isinstance(key, str) else key,
            expires_ns=intent.expires_ns,
            labels=None if intent.labels is None else dict(intent.labels),
            attempt=intent.attempt,
        ),
    }


def _receipt(receipt: Receipt) -> Document:
    is_sealed = isinstance(receipt.payload, bytes)
    return _said(
        intent_hash=receipt.intent_hash,
        status=receipt.status,
        adapter_id=receipt.adapter_id,
        payload=None if is_sealed else receipt.payload,
        payload_cbor=receipt.payload if is_sealed else None,
        cost_cents=receipt.cost_cents,
        pays_to=receipt.pays_to,
        signature=receipt.signature,
    )


def _said(**fields: Any) -> Document:
    return {name: value for name, value in fields.items() if value is not None}


def may_be_repeated(item: At) -> bool:
    """Whether asking twice does no more than asking once, and is answered so that this caller may act on it:
    of intents that have a key and an attempt."""
    request = item.request
    intents = request.intents if isinstance(request, Group) else [request]
    return all(type(x) is Intent and bool(x.idempotency_key) and bool(x.attempt) for x in intents)


# --- answers --------------------------------------------------------------------------------------


def answer_of(document: Mapping[str, Any]) -> Answered:
    """The answer that a document tells of: a record, a list of them, or the error of what was not asked."""
    if "all" in document:
        return [_decision(each) for each in document["all"]]
    if document.get("status") == INVALID:
        return _error(document)
    if "outcome" in document:
        return _decision(document)
    if "usage" in document:
        return _settlement(document)
    return HoldChange(
        seq=document["seq"],
        intent_hash=_bytes(document["intent_hash"]),
        status=document["status"],
        due_ns=None if document["due_ns"] is None else int(document["due_ns"]),
    )


def _decision(document: Mapping[str, Any]) -> Decision:
    digest, attempt = document["intent_hash"], document.get("attempt")
    is_again = document["duplicate"]
    return Decision(
        seq=document["seq"],
        intent_hash=None if digest is None else _bytes(digest),
        outcome=document["outcome"],
        findings=_findings(document["findings"], document),
        reserve=_amounts(document["reserve"]),
        duplicate=is_again,
        attempt=None if attempt is None else _bytes(attempt),
        may_act=document["allowed"] if is_again else None,
    )


def _settlement(document: Mapping[str, Any]) -> Settlement:
    violation = document["violation"]
    return Settlement(
        seq=document["seq"],
        intent_hash=_bytes(document["intent_hash"]),
        status=document["status"],
        usage=_amounts(document["usage"]),
        violation=None if violation is None else _finding(violation),
        violations=_findings(document["violations"], document),
        findings=_findings(document.get("findings", ()), document),
    )


def _error(document: Mapping[str, Any]) -> InvalidInput:
    (finding,) = map(_finding, document["findings"])
    facts = {name: fact for name, fact in finding.facts.items() if name not in _UNSAID}
    code = {} if finding.code == "input.invalid" or "bytes_max" in facts else {"code": finding.code}
    return InvalidInput(str(document.get("reason", finding.facts.get("message", ""))), **code, **facts)


def _findings(documents: Any, document: Mapping[str, Any]) -> tuple[Finding, ...]:
    if not documents:
        return ()
    return Findings.told(map(_finding, documents), str(document.get("reason", "")))


def _finding(document: Mapping[str, Any]) -> Finding:
    return Finding(document["stage"], document["code"], dict(document["facts"]))


def _amounts(amounts: Mapping[str, int | str]) -> dict[str, int]:
    return {unit: int(amount) for unit, amount in amounts.items()}


def _bytes(value: bytes | str) -> bytes:
    return value if isinstance(value, bytes) else bytes.fromhex(value)
