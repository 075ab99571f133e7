"""Documents of JSON or CBOR to what the kernel is asked: requests of any kind (spec/02-records.md).

    {"kind": "mail.send", "params": {...}, "grant": "mail"}       an intent
    {"all": [intent, ...]}   {"first": [intent, ...]}             a group
    {"intent_hash": "c3...", "status": "ok", "payload": {...}}    a receipt
    {"dispatch": "c3...", "attempt": "67..."}                     so `release` and `extend`

Rule 1. A key that is not known is refused by name; nothing is guessed.
Rule 2. A document that cannot be read is an `InvalidInput`; the rest of a stream goes on.
Rule 3. Hashes, keys and attempts are hex text, or bytes where the encoding has them.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from splittally.core.errors import InvalidInput
from splittally.core.limits import MEMBERS_MAX, TIME_NS_MAX
from splittally.edge.json_values import parse_json
from splittally.edge.offers import key_places
from splittally.edge.records import At, Dispatch, Extend, Group, Intent, Origin, Receipt, Release
from splittally.edge.sizes import require_size

KeyOf = Callable[[int], bytes | None]  # for a member that has no key, by its place; None: one is drawn
INTENT_KEYS = (
    "kind", "params", "grant", "origin", "idempotency_key", "key", "expires_ns", "attempt", "labels",
    "now_ns",
)  # fmt: skip
RECEIPT_KEYS = (
    "intent_hash", "status", "adapter_id", "payload", "payload_cbor", "cost_cents", "pays_to", "signature",
    "now_ns",
)  # fmt: skip
CHANGE_KEYS = {
    "release": ("release", "cause", "order", "attempt", "now_ns"),
    "extend": ("extend", "expires_ns", "now_ns"),
    "dispatch": ("dispatch", "attempt", "now_ns"),
}
_HEX = re.compile(r"(?:[0-9a-fA-F]{2})*")


def draw(place: int) -> bytes | None:
    """A member without a key gets a fresh one from the kernel."""
    return None


def request_of(value: Any, now_ns: int | None = None) -> At:
    """The request of any kind in a document, at the time that it says, or else at this one."""
    document = _mapping(value, "a request is a map: an intent, a group, a receipt, a dispatch, ...")
    if "kind" in document or "all" in document or "first" in document:
        return intents_of(document, now_ns, draw)
    if "intent_hash" in document:
        return receipt_of(document, now_ns)
    for verb, known in CHANGE_KEYS.items():
        if verb in document:
            _refuse_unknown(document, known)
            return At(_time(document, now_ns), _CHANGES[verb](document))
    raise InvalidInput("say `kind`, `all`, `first`, `intent_hash`, `release`, `extend` or `dispatch`")


def _release(document: Mapping[str, Any]) -> Release:
    cause = document.get("cause", "cancel")
    return Release(_hash(document, "release"), cause, document.get("order"), _hex(document, "attempt"))


def _extend(document: Mapping[str, Any]) -> Extend:
    _require(document, ("expires_ns",))
    return Extend(_hash(document, "extend"), document["expires_ns"])


def _dispatch(document: Mapping[str, Any]) -> Dispatch:
    _require(document, ("attempt",))
    return Dispatch(_hash(document, "dispatch"), _hex(document, "attempt") or b"")


_CHANGES: dict[str, Callable[[Mapping[str, Any]], Release | Extend | Dispatch]] = {
    "release": _release,
    "extend": _extend,
    "dispatch": _dispatch,
}


def read_intents(text: str | bytes, now_ns: int | None, key_of: KeyOf) -> At:
    """The intent or group on a line, at the time that it or the command line says."""
    document = _mapping(parse_json(text), 'a line is an intent, `{"all": [...]}` or `{"first": [...]}`')
    return intents_of(document, now_ns, key_of)


def intents_of(document: Mapping[str, Any], now_ns: int | None, key_of: KeyOf) -> At:
    """The intent or group in a document; `key_of` gives the keys of members that say none."""
    for mode in ("all", "first"):
        if mode in document:
            return _group(document, mode, now_ns, key_of)
    return At(_time(document, now_ns), _intent(document, key_of(0)))


def read_receipt(text: str | bytes, now_ns: int | None) -> At:
    """The receipt on a line."""
    return receipt_of(_mapping(parse_json(text), "a line is a receipt"), now_ns)


def receipt_of(document: Mapping[str, Any], now_ns: int | None) -> At:
    """The receipt in a document."""
    _refuse_unknown(document, RECEIPT_KEYS)
    _require(document, ("intent_hash", "status"))
    if "payload" in document and "payload_cbor" in document:
        raise InvalidInput("give `payload` or `payload_cbor`, not both", field="payload_cbor")
    payload = document.get("payload")
    if "payload_cbor" in document:
        payload = _hex(document, "payload_cbor")
    receipt = Receipt(
        intent_hash=_hash(document, "intent_hash"),
        status=document["status"],
        adapter_id=document.get("adapter_id", ""),
        payload=payload,
        cost_cents=document.get("cost_cents"),
        pays_to=document.get("pays_to"),
        signature=_hex(document, "signature"),
    )
    return At(_time(document, now_ns), receipt)


def _group(document: Mapping[str, Any], mode: str, now_ns: int | None, key_of: KeyOf) -> At:
    _refuse_unknown(document, (mode, "now_ns"))
    members = document[mode]
    if not isinstance(members, list):
        raise InvalidInput(f"`{mode}` is an array of intents", field=mode)
    require_size("intents", len(members), MEMBERS_MAX, "intents")
    intents = []
    places = key_places([x.get("grant") if isinstance(x, Mapping) else None for x in members])
    for at, member in enumerate(members):
        member = _mapping(member, f"`{mode}` is an array of intents")
        if "now_ns" in member:
            raise InvalidInput("a group has one time: write `now_ns` beside it", field="now_ns")
        intents.append(_intent(member, key_of(places[at] if mode == "first" else at)))
    return At(_time(document, now_ns), Group(mode, tuple(intents)))


def _intent(document: Mapping[str, Any], key: bytes | None) -> Intent:
    _refuse_unknown(document, INTENT_KEYS)
    _require(document, ("kind", "grant"))
    given = _key(document)
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


def _key(document: Mapping[str, Any]) -> bytes | str | None:
    """The idempotency key: 32 bytes in hex, or as `key` any text."""
    text = document.get("key")
    if text is None:
        return _hex(document, "idempotency_key")
    if not isinstance(text, str) or document.get("idempotency_key") is not None:
        raise InvalidInput("give `key`, a text, or `idempotency_key`, not both", field="key")
    return text


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


def _hash(document: Mapping[str, Any], field: str) -> bytes:
    return _hex(document, field) or b""


def _mapping(value: Any, expected: str) -> Mapping[str, Any]:
    if type(value) is not dict and not isinstance(value, Mapping):  # the first is asked of every request
        raise InvalidInput(expected)
    found: Mapping[str, Any] = value
    return found


def _require(document: Mapping[str, Any], fields: tuple[str, ...]) -> None:
    for field in fields:
        if field not in document:
            raise InvalidInput(f"`{field}` is missing", field=field)


def _refuse_unknown(document: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for field in document:
        if field not in known:
            raise InvalidInput(f"there is no `{field}`; there are {', '.join(known)}", field=field)
