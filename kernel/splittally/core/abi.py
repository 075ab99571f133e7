"""What an enforcer is asked and what it answered, as canonical bytes (spec/03-abi.md).

Rule 1. A question is spliced from parts that are canonical themselves; tests compare it with the encoder's
        own bytes. A Settle repeats the seven fields of its Check byte for byte and adds three.
Rule 2. An answer is decoded by the canonical decoder; anything that is not exactly one of the two messages
        is the fault `bad_output`, never a verdict.
Rule 3. Where cap params hold price snapshots, a question has one row in their place (`prices.py`).
Rule 4. A fault is a class out of a closed list. Engine text never enters a record.

Example. Grant `team` of cap `sys/cost@1` with params `{max_cost_cents: 20}` is asked about an `http.request`:

    {"Check": {origin: {kind: "plan", name: "host/ann@1"}, cap_def: "sys/cost@1", cap_params: h'a1...',
               grant_name: "team", effect_kind: "http.request", effect_params: h'a1...', logical_now_ns: 7}}

and answers `{"Check": {constraints_ok: true, reserve_estimate: {cost_cents: 20}}}`.
"""

from functools import lru_cache
from typing import Any

from msgspec import Struct

from splittally.core.amounts import is_natural
from splittally.core.canonical import bytes_head, decode, encode_record, natural_head
from splittally.core.errors import CanonicalError
from splittally.core.hashing import hash_question
from splittally.core.limits import (
    DENY_CODE_BYTES_MAX,
    DENY_MESSAGE_BYTES_MAX,
    NAME_BYTES_MAX,
    OUTPUT_DIMS_MAX,
    PRICED_TEMPLATES_KEPT_MAX,
)
from splittally.core.prices import PriceTable, read_book
from splittally.core.types import Leg

# --- questions ----------------------------------------------------------------------------------

_CHECK = b"\xa1eCheck\xa7"
_SETTLE = b"\xa1fSettle\xaa"


class Question(Struct, frozen=True, gc=False):
    """What to ask whom: a module by hash and the input bytes, of which intent, for a grant of this cap.

    `hash` is recorded with the answer.
    """

    module: bytes
    data: bytes
    intent_hash: bytes
    grant: str
    cap: str

    @property
    def hash(self) -> bytes:
        return hash_question(self.module + self.data)


class CheckTemplate:
    """The fixed parts of the questions of one grant and kind, ready to be spliced.

    `book` is there where the params hold price snapshots: what is asked then is `priced`, with the row of a
    table in place of the snapshots.
    """

    __slots__ = ("_made", "_terms", "book", "cap_def", "head", "rest")

    def __init__(self, cap: str, params: bytes, grant: str, kind: str) -> None:
        self.book = read_book(params)
        self._terms = (cap, grant, kind)
        self._made: dict[tuple[bytes, str], CheckTemplate] = {}
        self.cap_def = b"gcap_def" + encode_record(cap)
        self.rest = (
            b"jcap_params" + bytes_head(params) + params + b"jgrant_name" + encode_record(grant)
            + b"keffect_kind" + encode_record(kind)
        )  # fmt: skip
        self.head = self.cap_def + self.rest + b"meffect_params"

    def priced(self, table: PriceTable, model: object) -> "CheckTemplate":
        """The template with the row of this model in `table`; made once for each row."""
        assert self.book is not None
        key = (table.digest, table.key_of(model))
        found = self._made.get(key)
        if found is None:
            if len(self._made) >= PRICED_TEMPLATES_KEPT_MAX:
                self._made.clear()
            cap, grant, kind = self._terms
            found = self._made[key] = CheckTemplate(cap, self.book.asked_with(table, key[1]), grant, kind)
        return found


@lru_cache(maxsize=1024)
def check_template(cap: str, params: bytes, grant: str, kind: str) -> CheckTemplate:
    """The template of these terms; made once, because settling asks with the terms of old holds."""
    return CheckTemplate(cap, params, grant, kind)


def check_input(template: CheckTemplate, origin: bytes, params: bytes, now_ns: int) -> bytes:
    """CapCheckInput in its union: `{Check: {7 keys}}`. `origin` comes from `origin_part`."""
    return b"".join(
        (_CHECK, origin, template.head, bytes_head(params), params, b"nlogical_now_ns", natural_head(now_ns))
    )


def settle_input(
    template: CheckTemplate,
    origin: bytes,
    params: bytes,
    now_ns: int,
    leg: Leg,
    receipt: bytes,
    intent: bytes,
) -> bytes:
    """CapSettleInput in its union: the seven fields of the Check and three more."""
    return b"".join(
        (
            _SETTLE, origin, template.cap_def, b"greceipt", receipt, template.rest,
            b"kintent_hash\x58\x20", intent, b"meffect_params", bytes_head(params), params,
            b"nlogical_now_ns", natural_head(now_ns), b"preserve_estimate", encode_record(leg.reserve),
        )
    )  # fmt: skip


@lru_cache(maxsize=4096)
def origin_part(kind: str, name: str) -> bytes:
    """The `origin` entry of a question."""
    return b"forigin" + encode_record({"kind": kind, "name": name})


def receipt_part(status: str, adapter: str, payload: bytes, cost_cents: int) -> bytes:
    """The receipt of a Settle; `cost_cents` is -1 where there is none."""
    receipt: dict[str, object] = {"status": status, "adapter_id": adapter, "payload": payload}
    if cost_cents >= 0:
        receipt["cost_cents"] = cost_cents
    return encode_record(receipt)


# --- answers ------------------------------------------------------------------------------------

FAULT_CLASSES = ("out_of_fuel", "trap", "stack_overflow", "bad_output", "over_limit")


class Fault(Struct, frozen=True, gc=False):
    """A call that gave no answer; `cls` is one of `FAULT_CLASSES`."""

    cls: str


class CheckVerdict(Struct, frozen=True, gc=False):
    """An answer to Check: `deny_code` is empty exactly when the constraints hold.

    `reserve` maps a dimension to a natural below 2^64; it is empty when denied.
    """

    reserve: dict[str, int]
    deny_code: str = ""
    deny_message: str = ""


class SettleVerdict(Struct, frozen=True, gc=False):
    """An answer to Settle: what was used, and the violation the enforcer saw, if any."""

    usage: dict[str, int]
    violation_code: str = ""
    violation_message: str = ""


BAD_OUTPUT = Fault("bad_output")
KEPT_BYTES_MAX = 256  # of an answer whose verdict is kept
_SHORT = NAME_BYTES_MAX // 4  # a character has at most four bytes


def read_check(answer: bytes) -> CheckVerdict | Fault:
    """The Check verdict in `answer`; the fault `bad_output` when it is anything else.

    Verdicts repeat, with the model and the ceiling that are asked for, so short ones are kept. Nobody may
    change a map in one.
    """
    return _kept_check(answer) if len(answer) <= KEPT_BYTES_MAX else _read_check(answer)


def read_settle(answer: bytes) -> SettleVerdict | Fault:
    """The Settle verdict in `answer`; the fault `bad_output` when it is anything else. Kept likewise."""
    return _kept_settle(answer) if len(answer) <= KEPT_BYTES_MAX else _read_settle(answer)


def _read_check(answer: bytes) -> CheckVerdict | Fault:
    body = _variant(answer, "Check")
    if body is None:
        return BAD_OUTPUT
    ok, deny = body.get("constraints_ok"), body.get("deny")
    reserve: Any = body.get("reserve_estimate")
    if type(ok) is not bool or not _is_amounts(reserve):
        return BAD_OUTPUT
    if ok:
        return CheckVerdict(reserve) if len(body) == 2 else BAD_OUTPUT
    if len(body) != 3 or deny is None or not _is_reason(deny):
        return BAD_OUTPUT
    return CheckVerdict({}, deny["code"], deny["message"])


def _read_settle(answer: bytes) -> SettleVerdict | Fault:
    body = _variant(answer, "Settle")
    usage: Any = body.get("usage") if body is not None else None
    if body is None or not _is_amounts(usage):
        return BAD_OUTPUT
    if len(body) == 1:
        return SettleVerdict(usage)
    violation = body.get("violation")
    if len(body) != 2 or violation is None or not _is_reason(violation):
        return BAD_OUTPUT
    return SettleVerdict(usage, violation["code"], violation["message"])


_kept_check = lru_cache(maxsize=1024)(_read_check)
_kept_settle = lru_cache(maxsize=1024)(_read_settle)


def _variant(answer: bytes, tag: str) -> dict[str, Any] | None:
    try:
        message = decode(answer)
    except CanonicalError:
        return None
    if type(message) is not dict or len(message) != 1:
        return None
    body = message.get(tag)
    return body if type(body) is dict else None


def _is_amounts(amounts: Any) -> bool:
    if type(amounts) is not dict or len(amounts) > OUTPUT_DIMS_MAX:
        return False
    for dim, amount in amounts.items():
        if not is_natural(amount):
            return False
        if len(dim) > _SHORT and len(dim.encode()) > NAME_BYTES_MAX:
            return False
    return True


def _is_reason(reason: Any) -> bool:
    return (
        type(reason) is dict
        and len(reason) == 2
        and _is_text(reason.get("code"), DENY_CODE_BYTES_MAX)
        and bool(reason["code"])
        and _is_text(reason.get("message"), DENY_MESSAGE_BYTES_MAX)
    )


def _is_text(text: Any, bytes_max: int) -> bool:
    return type(text) is str and len(text.encode()) <= bytes_max
