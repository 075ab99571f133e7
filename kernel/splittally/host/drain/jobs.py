"""A job as it stands in the queue, and the amounts of dollars that it names.

Rule 1. An amount is a decimal text. What is no finite natural decimal is refused, never read as zero.
Rule 2. A job reads as a record and as a mapping, so that whoever judges it needs nothing of ours.
"""

import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from msgspec import Struct

from splittally.core.errors import InvalidInput, WorldError

QUEUED, CLAIMED, DISPATCHED = "queued", "claimed", "dispatched"
DONE, FAILED, PARKED, UNKNOWN = "done", "failed", "parked", "unknown"
STATUSES = (QUEUED, CLAIMED, DISPATCHED, DONE, FAILED, PARKED, UNKNOWN)
DENIED = "denied"  # the class of a job that a kernel refused
DECIMAL_TEXT_MAX = 40  # no bill is longer, and a sum stays exact
WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/@+-]{0,127}")  # lanes, classes, reasons: never prose


class QueueError(WorldError):
    """The queue cannot be read or written: no such file, no queue, of a later release, locked."""

    code = "queue"


class StaleClaim(QueueError):
    """The job is no longer this drain's: another one took it over."""

    code = "stale_claim"


class Job(Struct, frozen=True, kw_only=True):
    """A row of `jobs`. `payload` is None where `payload_json` is no JSON object.

    `claims` counts how often it was claimed; `intent_hash` is hex, where a kernel was asked.
    """

    id: int
    lane_id: str | None
    priority: int
    created_at: str
    status: str
    payload_json: str
    payload: dict[str, Any] | None
    est_cost_usd: Decimal | None
    failure_class: str | None
    dispatched_at: str | None
    finished_at: str | None
    result_json: str | None
    cost_usd: str | None
    priced: bool | None
    price_snapshot: str | None
    claimed_by: str | None
    claims: int
    intent_hash: str | None
    receipt_json: str | None

    @property
    def estimate_text(self) -> str | None:
        """The estimate as plain decimal text, for JSON."""
        return None if self.est_cost_usd is None else usd_text(self.est_cost_usd)

    @property
    def told(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """What was written when it ended, and what its runner brought back; an operator may have neither."""
        told = json.loads(self.result_json or "{}")
        return told, told.get("result", {})

    def __getitem__(self, name: str) -> Any:
        if name not in self.__struct_fields__:
            raise KeyError(name)
        return getattr(self, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.__struct_fields__)

    def __len__(self) -> int:
        return len(self.__struct_fields__)

    def keys(self) -> tuple[str, ...]:
        """The names of the fields."""
        return self.__struct_fields__

    def get(self, name: str, default: Any = None) -> Any:
        """A field by name."""
        return getattr(self, name) if name in self.__struct_fields__ else default


Mapping.register(Job)


def usd(value: object, field: str) -> Decimal:
    """Dollars as an exact decimal; `InvalidInput` for what is negative, not finite or no number."""
    amount = decimal_or_none(value)
    if amount is None:
        raise InvalidInput(f"`{field}` must be dollars such as `1.25`, not `{str(value)[:60]}`", field=field)
    return amount


def decimal_or_none(value: object) -> Decimal | None:
    """An exact decimal of at least 0; None for what is negative, not finite, too long or no number."""
    text = str(value)
    is_number = isinstance(value, int | float | str | Decimal) and not isinstance(value, bool)
    try:
        amount = Decimal(text) if is_number and len(text) <= DECIMAL_TEXT_MAX else None
    except InvalidOperation:
        return None
    if amount is None or not amount.is_finite() or amount < 0:
        return None
    return amount if abs(amount.adjusted()) <= DECIMAL_TEXT_MAX // 2 else None


def usd_text(amount: Decimal) -> str:
    """Dollars as plain text without trailing zeros."""
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") or "0" if "." in text else text


def usd_shown(amount: object) -> str:
    """Dollars for people, with at least two decimals: `$0.50`, `$0.045`."""
    whole, _, parts = usd_text(Decimal(str(amount))).partition(".")
    return f"${whole}.{parts.ljust(2, '0')}"


def word_or(value: object, otherwise: str) -> str:
    """A text that is one word; anything else, which might be a prompt, is `otherwise`."""
    return value if isinstance(value, str) and WORD.fullmatch(value) else otherwise
