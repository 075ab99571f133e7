"""From what a host sends to what the core decides: every request becomes a command, sealed once.

Rule 1. Everything is parsed here into types that cannot hold the wrong thing. The core asks the bounds of a
        command once more, because audit asks them of frames that nobody sealed (`core/well_formed.py`).
Rule 2. What cannot be understood is a finding (intents) or `InvalidInput` (all others), never a record.
Rule 3. Params are canonical bytes from here on; the hash of the schema that accepted them goes along.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from splittally.core.canonical import decode, encode
from splittally.core.commands import FITS, MISFIT, TOO_LARGE, WITHHELD, Command, Member, Settle, Submit
from splittally.core.commands import Dispatch as DispatchCommand
from splittally.core.commands import Extend as ExtendCommand
from splittally.core.commands import Release as ReleaseCommand
from splittally.core.errors import CanonicalError, InvalidInput, InvalidSchema, SplittallyError
from splittally.core.findings import Finding, find
from splittally.core.intent import intent_hash
from splittally.core.limits import (
    ATTEMPT_BYTES,
    KEY_BYTES,
    MEMBERS_MAX,
    NATIVE_PARAMS_BYTES_MAX,
    NATURAL_MAX,
    PAYLOAD_BYTES_MAX,
    TEXT_BYTES_MAX,
    TIME_NS_MAX,
)
from splittally.core.native import NATIVE
from splittally.core.state import State
from splittally.core.types import (
    ASKED_CAUSES,
    CAP_SPEND_TYPE,
    ORIGIN_KINDS,
    RECEIPT_STATUSES,
    STATUS_UNKNOWN,
    EffectDef,
    is_id,
    is_name,
)
from splittally.core.well_formed import TWO_PAYLOADS, group_fault
from splittally.edge.amounts import amounts_by_resource
from splittally.edge.hashes import require_hash
from splittally.edge.native_params import scales_of, seal_native
from splittally.edge.offers import keyed_offers
from splittally.edge.records import Dispatch, Extend, Group, Intent, Origin, Receipt, Release, Request
from splittally.edge.schema import ANY_PARAMS, ParamsSchema

Entropy = Callable[[int], bytes]
KindOf = Callable[[bytes], str]  # the kind of an intent by its hash, empty where there is none


class Refused(Exception):
    """An intent that is answered without a record."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.code)
        self.finding = finding


class Sealer:
    """Seals intents and receipts for one world; compiled schemas are kept by hash."""

    def __init__(self, entropy: Entropy) -> None:
        self._entropy = entropy
        self._schemas: dict[bytes, ParamsSchema] = {}

    def with_entropy(self, entropy: Entropy) -> "Sealer":
        """The same sealer with keys and ids from elsewhere: compiled schemas are shared."""
        twin = Sealer(entropy)
        twin._schemas = self._schemas
        return twin

    def seal(self, state: State, principal: str, request: Request, kind_of: KindOf) -> Command:
        """The command that a request is; `Refused` or `InvalidInput` when it cannot be understood."""
        match request:
            case Intent():
                return Submit("each", [self.seal_intent(state, principal, request)])
            case Receipt():
                return self.seal_receipt(state, request, kind_of)
            case Group():
                return Submit(request.mode, self._seal_group(state, principal, request))
            case Release():
                return _seal_release(request)
            case Extend():
                return _seal_extend(request)
            case Dispatch():
                digest = require_hash(request.intent_hash)
                return DispatchCommand(digest, _attempt_of(request.attempt))
        text = "an Intent, Receipt, Dispatch, Release, Extend or Group is expected"
        raise InvalidInput(text, field="request")

    def seal_intent(self, state: State, principal: str, intent: Intent) -> Member:
        """The sealed intent of a principal; `Refused` with the finding when it cannot be understood."""
        if type(intent) is not Intent:
            raise Refused(find("input.invalid", field="intent", message="an Intent is expected"))
        kind, grant = intent.kind, intent.grant
        effect = state.caps.effects.get(kind) if type(kind) is str else None
        if effect is None:
            raise Refused(find("unknown_kind", kind=_shown(kind)))
        if type(grant) is not str or grant not in state.caps.grants:
            raise Refused(find("unknown_grant", grant=_shown(grant)))
        key, attempt = intent.idempotency_key, intent.attempt
        if key is not None and (type(key) is not bytes or len(key) != KEY_BYTES):
            raise Refused(find("idempotency.invalid", field="idempotency_key", needed=KEY_BYTES))
        if attempt is not None and (type(attempt) is not bytes or len(attempt) != ATTEMPT_BYTES):
            raise Refused(find("input.invalid", field="attempt", message=f"{ATTEMPT_BYTES} bytes"))
        origin_kind, origin_name = _origin(principal, intent.origin)
        expires_ns = 0 if intent.expires_ns is None else intent.expires_ns
        if type(expires_ns) is not int or not 0 <= expires_ns <= TIME_NS_MAX:
            raise Refused(find("input.invalid", field="expires_ns", message="nanoseconds below 2^63"))
        params = self._seal_params(state, effect, intent.params)
        sealed_key = self._entropy(KEY_BYTES) if key is None else key
        return Member(
            kind=kind,
            params=params,
            grant=grant,
            key=sealed_key,
            origin_kind=origin_kind,
            origin_name=origin_name,
            expires_ns=expires_ns,
            attempt=self._entropy(ATTEMPT_BYTES) if attempt is None else attempt,
            schema=effect.params_schema,
            keyed=key is not None,
            intent_hash=intent_hash(kind, params, grant, sealed_key),
        )

    def _seal_group(self, state: State, principal: str, group: Group) -> list[Member]:
        if type(group.mode) is not str or group.mode not in ("all", "first"):
            raise InvalidInput("the `mode` of a group is all or first", field="mode")
        if not isinstance(group.intents, tuple | list):
            raise InvalidInput("a group has a tuple of intents", field="intents")
        intents = list(group.intents)
        if not 0 < len(intents) <= MEMBERS_MAX:
            raise InvalidInput(f"a group has 1 to {MEMBERS_MAX} intents", field="intents")
        if any(type(intent) is not Intent for intent in intents):
            raise _refused_group("every member is an Intent")
        if group.mode == "first":
            intents = keyed_offers(intents, self._entropy)
        members = [self.seal_intent(state, principal, intent) for intent in intents]
        fault = group_fault(group.mode, members)
        if fault == TWO_PAYLOADS:
            raise Refused(find("idempotency.conflict", message=fault))
        if fault:
            raise _refused_group(fault)
        return members

    def seal_receipt(self, state: State, receipt: Receipt, kind_of: KindOf) -> Settle:
        """The sealed receipt; `InvalidInput` names the field that cannot be understood.

        `kind_of` gives the kind of an intent by its hash, empty where there is none.
        """
        if type(receipt) is not Receipt:
            raise InvalidInput("a Receipt is expected", field="receipt")
        digest = require_hash(receipt.intent_hash)
        if type(receipt.status) is not str or receipt.status not in (*RECEIPT_STATUSES, STATUS_UNKNOWN):
            raise InvalidInput(
                "`status` is ok, error, timeout, or unknown when you cannot tell", field="status"
            )
        if receipt.adapter_id != "" and not is_id(receipt.adapter_id):
            raise InvalidInput("`adapter_id` is a printable name", field="adapter_id")
        cost = receipt.cost_cents
        if cost is not None and (type(cost) is not int or not 0 <= cost <= NATURAL_MAX):
            raise InvalidInput("`cost_cents` is a natural below 2^64", field="cost_cents")
        pays_to = receipt.pays_to
        if pays_to is not None and not is_id(pays_to):
            raise InvalidInput("`pays_to` is an account's name", field="pays_to")
        payload, fits = self._seal_payload(state, kind_of(digest), receipt.payload)
        return Settle(
            intent_hash=digest,
            status=receipt.status,
            adapter=receipt.adapter_id,
            payload=payload,
            cost_cents=-1 if cost is None else cost,
            pays_to=pays_to or "",
            fits=fits,
        )

    def _seal_params(self, state: State, effect: EffectDef, params: Any) -> bytes:
        try:
            if effect.kind in NATIVE:
                data = seal_native(state, effect.kind, params, self.schema)
                most = NATIVE_PARAMS_BYTES_MAX
            else:
                if effect.cap_type == CAP_SPEND_TYPE:
                    params = spelled_task(state, params)
                data = self.schema(state, effect.params_schema).seal(params)
                most = effect.params_bytes_max
        except SplittallyError as error:
            facts = _plain(error.facts)
            code = str(facts.pop("code", "params.invalid"))
            raise Refused(find(code, message=str(error), **facts)) from error
        if len(data) > most:
            raise Refused(find("input.too_large", field="params", needed=len(data), available=most))
        return data

    def _seal_payload(self, state: State, kind: str, payload: Any) -> tuple[bytes, str]:
        """Canonical bytes of a payload and how it fits; never an error, because receipts always settle.

        Bytes are canonical CBOR, with a schema or without; what is recorded is their normal form. Empty
        bytes are no payload. What does not fit a schema with secrets is dropped: it may hold one.
        """
        effect = state.caps.effects.get(kind)
        if type(payload) is bytes and len(payload) > PAYLOAD_BYTES_MAX:
            return b"", TOO_LARGE
        try:
            schema = self.schema(state, effect.receipt_schema if effect else b"")
        except InvalidSchema:  # one that this release does not read, so nobody knows where it has secrets
            return b"", WITHHELD
        if payload == b"" and not schema.data:
            return b"", FITS
        try:
            value = decode(payload) if type(payload) is bytes else {} if payload is None else payload
            data, fits = schema.seal(value), FITS
        except SplittallyError:
            if schema.has_secrets:
                return b"", WITHHELD
            data, fits = payload if type(payload) is bytes else _forced(payload), MISFIT
        return (b"", TOO_LARGE) if len(data) > PAYLOAD_BYTES_MAX else (data, fits)

    def schema(self, state: State, digest: bytes) -> ParamsSchema:
        """The compiled schema with this hash; the one that accepts everything for the empty hash."""
        if not digest:
            return ANY_PARAMS
        schema = self._schemas.get(digest)
        if schema is None:
            schema = self._schemas[digest] = ParamsSchema.load(decode(state.caps.blobs[digest]))
        return schema


def _refused_group(message: str) -> Refused:
    return Refused(find("input.invalid", field="intents", message=message))


def _seal_release(request: Release) -> ReleaseCommand:
    if type(request.cause) is not str or request.cause not in ASKED_CAUSES:
        raise InvalidInput("`cause` is cancel or not_dispatched; governance needs an order", field="cause")
    order = "" if request.order is None else request.order
    if not _is_text(order, TEXT_BYTES_MAX):
        raise InvalidInput(f"`order` is text of at most {TEXT_BYTES_MAX} bytes", field="order")
    attempt = b"" if request.attempt is None else _attempt_of(request.attempt)
    return ReleaseCommand(require_hash(request.intent_hash), request.cause, order, attempt)


def _attempt_of(attempt: object) -> bytes:
    if type(attempt) is not bytes or len(attempt) != ATTEMPT_BYTES:
        raise InvalidInput(f"`attempt` has {ATTEMPT_BYTES} bytes", field="attempt")
    return attempt


def _seal_extend(request: Extend) -> ExtendCommand:
    expires_ns = request.expires_ns
    if type(expires_ns) is not int or not 0 < expires_ns <= TIME_NS_MAX:
        raise InvalidInput("`expires_ns` is a time below 2^63", field="expires_ns")
    return ExtendCommand(require_hash(request.intent_hash), expires_ns)


def _is_text(text: object, bytes_max: int) -> bool:
    try:
        return type(text) is str and len(text.encode()) <= bytes_max
    except UnicodeEncodeError:  # half of a surrogate pair
        return False


def spelled_task(state: State, params: Any) -> Any:
    """The params of a spending intent with its amounts in minor units."""
    if not isinstance(params, Mapping):
        return params
    scales = scales_of(state)
    named = {x: amounts_by_resource(params[x], scales) for x in ("amounts", "compute") if x in params}
    return {**params, **named}


def _forced(payload: Any) -> bytes:
    try:
        return encode(payload)
    except CanonicalError:
        return b""


def _origin(principal: str, origin: Any) -> tuple[str, str]:
    if origin is None:
        return "plan", f"host/{principal}@1"
    if isinstance(origin, Origin):
        kind, name = origin.kind, origin.name
    elif isinstance(origin, Mapping) and set(origin) == {"kind", "name"}:
        kind, name = origin["kind"], origin["name"]
    elif isinstance(origin, tuple | list) and len(origin) == 2:
        kind, name = origin
    else:
        raise Refused(find("input.invalid", field="origin", message="`{kind, name}` is expected"))
    if type(kind) is not str or kind not in ORIGIN_KINDS:
        raise Refused(find("input.invalid", field="origin.kind", message="plan or reducer"))
    if not is_name(name):
        raise Refused(find("input.invalid", field="origin.name", message="a name such as com.acme/p@1"))
    return kind, name


def _shown(value: object) -> str:
    """A value out of a message that names it: bounded and printable."""
    text = value if type(value) is str else type(value).__name__
    return "".join(char if char.isprintable() else "?" for char in text[:128])


def _plain(facts: Mapping[str, object]) -> dict[str, Any]:
    """Facts that are values of the data model."""
    keep = {name: value for name, value in facts.items() if name not in ("message", "next")}
    try:
        encode(msgspec.to_builtins(keep, builtin_types=(bytes,)))
    except (CanonicalError, TypeError):
        return {}
    return keep
