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
from splittally.core.commands import Command, Member, Settle, Submit
from splittally.core.errors import CanonicalError, InvalidInput, InvalidSchema, SplittallyError
from splittally.core.findings import Finding, find
from splittally.core.intent import intent_hash
from splittally.core.limits import (
    ATTEMPT_BYTES,
    KEY_BYTES,
    MEMBERS_MAX,
    NATIVE_PARAMS_BYTES_MAX,
    NATURAL_MAX,
)
from splittally.core.native import NATIVE
from splittally.core.state import State
from splittally.core.types import CAP_SPEND_TYPE, RECEIPT_STATUSES, STATUS_UNKNOWN, EffectDef
from splittally.core.well_formed import TWO_PAYLOADS, group_fault
from splittally.edge.amounts import Amounts, scales_of
from splittally.edge.hashes import require_hash
from splittally.edge.hold_requests import seal_dispatch, seal_extend, seal_release
from splittally.edge.host_values import plain
from splittally.edge.identity import sealed_attempt, sealed_expiry, sealed_key, sealed_origin
from splittally.edge.labels import NO_LABELS, sealed_labels
from splittally.edge.native_params import seal_native
from splittally.edge.offers import keyed_offers
from splittally.edge.payloads import DROPPED, Payload, seal_payload, with_whole
from splittally.edge.records import Dispatch, Extend, Group, Intent, Receipt, Release, Request
from splittally.edge.schema.params import ANY_PARAMS, ParamsSchema
from splittally.edge.signed_parts import sealed_signature
from splittally.edge.sizes import require_name, require_params_size, require_size

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
                return seal_release(request)
            case Extend():
                return seal_extend(request)
            case Dispatch():
                return seal_dispatch(request)
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
        if type(grant) is not str or not (grant in state.caps.grants or state.caps.is_forgotten(grant)):
            raise Refused(find("unknown_grant", grant=_shown(grant)))
        key = None if intent.idempotency_key is None else sealed_key(intent.idempotency_key)
        attempt = None if intent.attempt is None else sealed_attempt(intent.attempt)
        origin_kind, origin_name = sealed_origin(principal, intent.origin)
        expires_ns = sealed_expiry(intent.expires_ns)
        labels = NO_LABELS if intent.labels is None else sealed_labels(intent.labels)
        params = self._seal_params(state, effect, intent.params)
        sealed_by = self._entropy(KEY_BYTES) if key is None else key
        return Member(
            kind=kind,
            params=params,
            grant=grant,
            key=sealed_by,
            origin_kind=origin_kind,
            origin_name=origin_name,
            expires_ns=expires_ns,
            attempt=self._entropy(ATTEMPT_BYTES) if attempt is None else attempt,
            schema=effect.params_schema,
            keyed=key is not None,
            intent_hash=intent_hash(kind, params, grant, sealed_by),
            labels=labels,
        )

    def _seal_group(self, state: State, principal: str, group: Group) -> list[Member]:
        if type(group.mode) is not str or group.mode not in ("all", "first"):
            raise InvalidInput("the `mode` of a group is all or first", field="mode")
        if not isinstance(group.intents, tuple | list):
            raise InvalidInput("a group has a tuple of intents", field="intents")
        intents = list(group.intents)
        require_size("intents", len(intents), MEMBERS_MAX, "intents")
        if not intents:
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
        if receipt.adapter_id != "":
            require_name("adapter_id", receipt.adapter_id)
        cost = receipt.cost_cents
        if cost is not None and (type(cost) is not int or not 0 <= cost <= NATURAL_MAX):
            raise InvalidInput("`cost_cents` is a natural below 2^64", field="cost_cents")
        pays_to = receipt.pays_to
        if pays_to is not None:
            require_name("pays_to", pays_to)
        signature = sealed_signature(receipt)
        payload = self._seal_payload(state, kind_of(digest), receipt.payload)
        if signature:
            payload = with_whole(payload, receipt.payload)
        return Settle(
            intent_hash=digest,
            status=receipt.status,
            adapter=receipt.adapter_id,
            payload=payload.data,
            cost_cents=-1 if cost is None else cost,
            pays_to=pays_to or "",
            fits=payload.fits,
            sent=payload.sent,
            sent_bytes=payload.sent_bytes,
            signature=signature,
        )

    def _seal_params(self, state: State, effect: EffectDef, params: Any) -> bytes:
        most = NATIVE_PARAMS_BYTES_MAX if effect.kind in NATIVE else effect.params_bytes_max
        try:
            data = self._canonical_params(state, effect, params)
        except SplittallyError as error:
            facts = _plain(error.facts)
            code = str(facts.pop("code", "params.invalid"))
            raise Refused(find(code, message=str(error), **facts)) from error
        if len(data) > most:
            require_params_size(effect.kind, decode(data), len(data), most)
        return data

    def _canonical_params(self, state: State, effect: EffectDef, params: Any) -> bytes:
        """The params as they are, else what a host's own values in them stand for."""
        try:
            return self._params_as_given(state, effect, params)
        except SplittallyError as error:
            if "code" in error.facts:
                raise  # what is wrong is known better than that it is no plain value
            schema = self.schema(state, effect.params_schema)
            normal = plain(params, "params", schema.root)
            if normal is params:
                raise
        return self._params_as_given(state, effect, normal)

    def _params_as_given(self, state: State, effect: EffectDef, params: Any) -> bytes:
        if effect.kind in NATIVE:
            return seal_native(state, effect.kind, params, self.schema)
        if effect.cap_type == CAP_SPEND_TYPE:
            params = spelled_task(state, params)
        return self.schema(state, effect.params_schema).seal(params)

    def _seal_payload(self, state: State, kind: str, payload: Any) -> Payload:
        effect = state.caps.effects.get(kind)
        try:
            schema = self.schema(state, effect.receipt_schema if effect else b"")
        except InvalidSchema:  # one that this release does not read, so nobody knows where it has secrets
            return DROPPED
        return seal_payload(schema, payload)

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


def spelled_task(state: State, params: Any) -> Any:
    """The params of a spending intent with its amounts in minor units."""
    if not isinstance(params, Mapping):
        return params
    amounts = Amounts(scales_of(state))
    named = {x: amounts.each(params[x]) for x in ("amounts", "compute") if x in params}
    return {**params, **named}


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
