"""Was every receipt signed that had to be, and is every signature what its frame says of it?

Rule 1. The signature is verified again from the record, under the key that stood in the state before the
        frame. No module is asked, so it takes no engine to say it.
Rule 2. A receipt that had to be refused changed nothing, and none was refused that need not be.
Rule 3. Where the schema of the kind changes and cuts nothing of a payload, what is recorded is what was
        signed. Of one that was cut or normalized the whole is elsewhere, and only its hash is compared.
"""

from typing import TypeGuard

from splittally.core.ask import wants_verified
from splittally.core.canonical import decode
from splittally.core.commands import FITS, Evidence, Known, Settle, Verified
from splittally.core.events import Noted
from splittally.core.frames import Body
from splittally.core.hashing import hash_payload
from splittally.core.receipts import spoken_of
from splittally.core.signatures import message_of, refusal_of
from splittally.core.state import State
from splittally.core.types import REFUSED_RECEIPT
from splittally.edge.receipt_signatures import is_signature
from splittally.edge.schema.params import ANY_PARAMS, ParamsSchema
from splittally.edge.signed_parts import whole_payload


class Signatures:
    """Frames in order, each in the state before it."""

    def __init__(self) -> None:
        self._schemas: dict[bytes, ParamsSchema] = {b"": ANY_PARAMS}

    def fault_of(self, state: State, body: Body) -> str:
        """What a frame says of a signature and is not so; empty where all is."""
        command = body.command
        if not isinstance(command, Settle):
            return "it verifies a signature of what is no receipt" if _verified(body) else ""
        known = next((seen for seen in body.seen if isinstance(seen, Known)), None)
        again: list[Evidence] = []
        if key := wants_verified(state, body.by, command, known):
            again.append(Verified(key, is_signature(key, command.signature, message_of(command))))
        if _verified(body) != again:
            return "what it says of the signature is not what the signature shows"
        ended = spoken_of(state, body.by, command.intent_hash, known)
        refusal = refusal_of(state.caps, ended.kind, command, again) if ended is not None else None
        told = [event.facts.get("code") for event in body.out if _is_refusal(event)]
        if told != ([] if refusal is None else [refusal.code]):
            return "a receipt is taken that must be refused, or refused otherwise than it must be"
        if refusal is not None:
            return "" if len(body.out) == 1 else "a refused receipt changes something"
        if ended is not None and again and not self._is_as_signed(state, ended.kind, command):
            return "what it holds of the payload is not what was signed"
        return ""

    def _is_as_signed(self, state: State, kind: str, command: Settle) -> bool:
        """Whether the recorded payload is the signed one, or may be what the edge left of it."""
        digest = state.caps.effects[kind].receipt_schema
        if digest not in self._schemas:
            self._schemas[digest] = ParamsSchema.load(decode(state.caps.blobs[digest]))
        if command.fits != FITS or not self._schemas[digest].keeps(command.sent_bytes):
            return True
        whole = whole_payload(command.payload)
        return (hash_payload(whole), len(whole)) == (command.sent, command.sent_bytes)


def _verified(body: Body) -> list[Evidence]:
    return [seen for seen in body.seen if isinstance(seen, Verified)]


def _is_refusal(event: object) -> TypeGuard[Noted]:
    return isinstance(event, Noted) and event.subject == REFUSED_RECEIPT
