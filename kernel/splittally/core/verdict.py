"""What an enforcer answered, read strictly from its output bytes (spec/03-abi.md).

Rule 1. The output is decoded by the canonical decoder; anything that is not exactly one of the two
        messages is the fault `bad_output`, never an answer.
Rule 2. A fault is a class out of a closed list. Engine text never enters a record.
"""

from typing import Any

from msgspec import Struct

from splittally.core.canonical import decode
from splittally.core.errors import CanonicalError
from splittally.core.limits import (
    DENY_CODE_BYTES_MAX,
    DENY_MESSAGE_BYTES_MAX,
    NAME_BYTES_MAX,
    NATURAL_MAX,
    OUTPUT_DIMS_MAX,
)

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
_SHORT = NAME_BYTES_MAX // 4  # a character has at most four bytes


def read_check(answer: bytes) -> CheckVerdict | Fault:
    """The Check verdict in `answer`; the fault `bad_output` when it is anything else."""
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


def read_settle(answer: bytes) -> SettleVerdict | Fault:
    """The Settle verdict in `answer`; the fault `bad_output` when it is anything else."""
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
        if type(amount) is not int or not 0 <= amount <= NATURAL_MAX:
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
