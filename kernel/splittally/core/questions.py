"""The questions an enforcer is asked, as canonical bytes (spec/03-abi.md).

Rule 1. The bytes are spliced from parts that are canonical themselves; `test_questions` compares them
        with the encoder's own.
Rule 2. A Settle repeats the seven fields of its Check byte for byte and adds three.
"""

from functools import lru_cache

from msgspec import Struct

from splittally.core.canonical import encode_record
from splittally.core.hashing import hash_question
from splittally.core.types import Leg

_CHECK = b"\xa1eCheck\xa7"
_SETTLE = b"\xa1fSettle\xaa"


class Question(Struct, frozen=True, gc=False):
    """What to ask whom: a module by hash and the input bytes. `hash` is recorded with the answer."""

    module: bytes
    data: bytes

    @property
    def hash(self) -> bytes:
        return hash_question(self.module + self.data)


class CheckTemplate:
    """The fixed parts of the questions of one grant and kind, ready to be spliced."""

    __slots__ = ("cap_def", "head", "rest")

    def __init__(self, cap: str, params: bytes, grant: str, kind: str) -> None:
        self.cap_def = b"gcap_def" + encode_record(cap)
        self.rest = (
            b"jcap_params" + bytes_head(params) + params + b"jgrant_name" + encode_record(grant)
            + b"keffect_kind" + encode_record(kind)
        )  # fmt: skip
        self.head = self.cap_def + self.rest + b"meffect_params"


@lru_cache(maxsize=1024)
def check_template(cap: str, params: bytes, grant: str, kind: str) -> CheckTemplate:
    """The template of these terms; made once, because settling asks with the terms of old holds."""
    return CheckTemplate(cap, params, grant, kind)


def check_input(template: CheckTemplate, origin: bytes, params: bytes, now_ns: int) -> bytes:
    """CapCheckInput in its union: `{Check: {7 keys}}`. `origin` comes from `origin_part`."""
    return b"".join(
        (_CHECK, origin, template.head, bytes_head(params), params, b"nlogical_now_ns", natural(now_ns))
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
            b"nlogical_now_ns", natural(now_ns), b"preserve_estimate", encode_record(leg.reserve),
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


def bytes_head(data: bytes) -> bytes:
    """The CBOR head of a byte string of this length."""
    return _head(0x40, len(data))


def natural(value: int) -> bytes:
    """A natural below 2^64 in CBOR."""
    return _head(0x00, value)


def _head(major: int, value: int) -> bytes:
    if value < 24:
        return bytes((major | value,))
    if value < 0x100:
        return bytes((major | 24, value))
    if value < 0x10000:
        return bytes((major | 25,)) + value.to_bytes(2)
    if value < 0x1_0000_0000:
        return bytes((major | 26,)) + value.to_bytes(4)
    return bytes((major | 27,)) + value.to_bytes(8)
