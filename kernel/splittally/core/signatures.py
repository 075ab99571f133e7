"""Signed receipts: what a signature covers, who may give it, and which receipts are refused for it.

Rule 1. Where adapters are registered for a kind, a receipt for an intent of that kind must be signed by one
        of them and name it. Receipts of other kinds are as they are without any adapter. Who may bring a
        receipt is another question, asked before.
Rule 2. The signature covers all of a receipt that decides anything: the intent, the status, the adapter, the
        hash of the whole payload, the cost and the payee. So what was signed for one intent says nothing of
        another, and who carries a receipt can change nothing of it.
Rule 3. Nothing is verified here. This module says under which key a signature must hold; whether it does is
        evidence (`Verified`), which stands in the frame. No evidence is no signature.
Rule 4. A receipt is judged by the adapters that stand when it comes, whichever stood when its intent was
        decided.
Rule 5. A refused receipt changes nothing but that it is told. It is recorded once for each code of an intent,
        so whoever floods the kernel adds three frames to what they may speak of.

Example. `mailer@1` is registered for `mail.send`. A receipt without a signature is `receipt_unsigned`; one
that names `other@1` is `receipt_foreign`; one of `mailer@1` whose status was made `ok` on the way is
`receipt_forged`.
"""

from collections.abc import Sequence

from splittally.core.canonical import encode
from splittally.core.caps.adapters import key_of
from splittally.core.caps.state import Caps
from splittally.core.commands import Evidence, Known, Settle, Verified
from splittally.core.events import Noted
from splittally.core.findings import Facts, Finding, find
from splittally.core.ledger.state import Hold
from splittally.core.outcome import SettleReply, Step
from splittally.core.state import State
from splittally.core.types import REFUSED_RECEIPT

CONTEXT = "splittally 1 receipt"
REFUSED = "refused"
NO_KEY = b""


def signed_message(
    intent_hash: bytes,
    status: str,
    adapter: str,
    payload_hash: bytes,
    cost_cents: int | None,
    pays_to: str | None,
) -> bytes:
    """The bytes that an adapter signs (`schemas/receipt.cddl`)."""
    return encode([CONTEXT, intent_hash, status, adapter, payload_hash, cost_cents, pays_to])


def message_of(command: Settle) -> bytes:
    """The message of a sealed receipt; `sent` is the hash of the whole payload, whatever is left of it."""
    return signed_message(
        command.intent_hash,
        command.status,
        command.adapter,
        command.sent,
        None if command.cost_cents < 0 else command.cost_cents,
        command.pays_to or None,
    )


def key_wanted(caps: Caps, kind: str, command: Settle) -> bytes:
    """The key under which the signature of a receipt must hold; none where that decides nothing."""
    return key_of(caps, command.adapter, kind) if command.signature else NO_KEY


def refusal_of(caps: Caps, kind: str, command: Settle, seen: Sequence[Evidence]) -> Finding | None:
    """Why a receipt for an intent of this kind is refused; None where it is taken."""
    if not any(kind in adapter.kinds for adapter in caps.adapters.values()):
        return None
    if not command.signature:
        return find("receipt_unsigned", kind=kind, adapter=command.adapter)
    key = key_wanted(caps, kind, command)
    if not key:
        return find("receipt_foreign", kind=kind, adapter=command.adapter)
    if Verified(key, True) not in seen:
        return find("receipt_forged", kind=kind, adapter=command.adapter)
    return None


def refuse(state: State, command: Settle, ended: Hold | Known, finding: Finding) -> Step:
    """What becomes of a refused receipt: the answer, and a record where it is the first of its code."""
    reply = SettleReply(intent_hash=command.intent_hash, status=REFUSED, usage={}, violations=[finding])
    told = ended.refused if isinstance(ended, Known) else state.ledger.refused.get(command.intent_hash, ())
    if finding.code in told:
        return Step([], [reply])
    facts = {"code": finding.code, **finding.facts}
    return Step([Noted(command.intent_hash, REFUSED_RECEIPT, facts)], [reply])


def refusal_in(facts: Facts) -> Finding:
    """The finding that the facts of a noted refusal hold."""
    return find(str(facts["code"]), **{name: fact for name, fact in facts.items() if name != "code"})
