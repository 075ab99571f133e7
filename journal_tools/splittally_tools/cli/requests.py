"""Lines of JSON to what the kernel is asked: intents, groups and receipts (spec/09-command-line.md).

Rule 1. A key that is not known is refused by name; nothing is guessed.
Rule 2. A line that cannot be read is an `InvalidInput`; the rest of the stream goes on.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from splittally import runtime
from splittally.core.errors import InvalidInput
from splittally.core.limits import TIME_NS_MAX
from splittally.edge.json_values import parse_json
from splittally.edge.offers import key_places
from splittally.edge.records import Group, Intent, Origin, Receipt

KeyOf = Callable[[int], bytes | None]  # for a member that has no key, by its place; None: one is drawn
INTENT_KEYS = (
    "kind", "params", "grant", "origin", "idempotency_key", "expires_ns", "attempt", "labels", "now_ns",
)  # fmt: skip
RECEIPT_KEYS = (
    "intent_hash", "status", "adapter_id", "payload", "payload_cbor", "cost_cents", "pays_to", "now_ns",
)  # fmt: skip
_HEX = re.compile(r"(?:[0-9a-fA-F]{2})*")


def read_intents(text: str | bytes, now_ns: int | None, key_of: KeyOf) -> "runtime.At":
    """The intent or group on a line, at the time that it or the command line says."""
    document = _mapping(parse_json(text), 'a line is an intent, `{"all": [...]}` or `{"first": [...]}`')
    for mode in ("all", "first"):
        if mode in document:
            return _group(document, mode, now_ns, key_of)
    return runtime.At(_time(document, now_ns), _intent(document, key_of(0)))


def read_receipt(text: str | bytes, now_ns: int | None) -> "runtime.At":
    """The receipt on a line."""
    document = _mapping(parse_json(text), "a line is a receipt")
    _refuse_unknown(document, RECEIPT_KEYS)
    _require(document, ("intent_hash", "status"))
    if "payload" in document and "payload_cbor" in document:
        raise InvalidInput("give `payload` or `payload_cbor`, not both", field="payload_cbor")
    payload = document.get("payload")
    if "payload_cbor" in document:
        payload = _hex(document, "payload_cbor")
    receipt = Receipt(
        intent_hash=_hex(document, "intent_hash") or b"",
        status=document["status"],
        adapter_id=document.get("adapter_id", ""),
        payload=payload,
        cost_cents=document.get("cost_cents"),
        pays_to=document.get("pays_to"),
    )
    return runtime.At(_time(document, now_ns), receipt)


def _group(document: Mapping[str, Any], mode: str, now_ns: int | None, key_of: KeyOf) -> "runtime.At":
    _refuse_unknown(document, (mode, "now_ns"))
    members = document[mode]
    if not isinstance(members, list):
        raise InvalidInput(f"`{mode}` is an array of intents", field=mode)
    intents = []
    places = key_places([x.get("grant") if isinstance(x, Mapping) else None for x in members])
    for at, member in enumerate(members):
        member = _mapping(member, f"`{mode}` is an array of intents")
        if "now_ns" in member:
            raise InvalidInput("a group has one time: write `now_ns` beside it", field="now_ns")
        intents.append(_intent(member, key_of(places[at] if mode == "first" else at)))
    return runtime.At(_time(document, now_ns), Group(mode, tuple(intents)))


def _intent(document: Mapping[str, Any], key: bytes | None) -> Intent:
    _refuse_unknown(document, INTENT_KEYS)
    _require(document, ("kind", "grant"))
    given = _hex(document, "idempotency_key")
    return Intent(
        kind=document["kind"],
        params=document.get("params", {}),
        grant=document["grant"],
        origin=_origin(document.get("origin")),
        idempotency_key=key if given is None else given,
        expires_ns=document.get("expires_ns"),
        labels=document.get("labels"),
        attempt=_hex(document, "attempt"),
    )


def _origin(origin: Any) -> Origin | None:
    if origin is None:
        return None
    if not isinstance(origin, Mapping) or set(origin) != {"kind", "name"}:
        raise InvalidInput("`origin` is `{kind, name}`", field="origin")
    return Origin(origin["kind"], origin["name"])


def _time(document: Mapping[str, Any], now_ns: int | None) -> int | None:
    said = document.get("now_ns", now_ns)
    if said is not None and (type(said) is not int or not 0 <= said <= TIME_NS_MAX):
        raise InvalidInput("`now_ns` is a natural below 2^63", field="now_ns")
    return said


def _hex(document: Mapping[str, Any], field: str) -> bytes | None:
    text = document.get(field)
    if text is None or isinstance(text, bytes):
        return text
    if not isinstance(text, str) or _HEX.fullmatch(text) is None:
        raise InvalidInput(f"`{field}` is hex text", field=field)
    return bytes.fromhex(text)


def _mapping(value: Any, expected: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidInput(expected)
    return value


def _require(document: Mapping[str, Any], fields: tuple[str, ...]) -> None:
    for field in fields:
        if field not in document:
            raise InvalidInput(f"`{field}` is missing", field=field)


def _refuse_unknown(document: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for field in document:
        if field not in known:
            raise InvalidInput(f"there is no `{field}`; there are {', '.join(known)}", field=field)
