"""What a world's governor is told: caps on spend, memory, give-up classes, and where params say which.

Rule 1. Everything is an integer: amounts in minor units, memory in MiB. 0 is a real cap.
Rule 2. A manifest's terms are judged by `require_valid`; recorded ones are read back as they are.
Rule 3. Lane and failure class are read from an effect's params at the JSON pointers that its kind names.
"""

from msgspec import Struct, field

from splittally.core.amounts import fits
from splittally.core.types import is_id, is_kind

# The failures after which a local model has given up. On the measured workload it solved 8 of 12 tasks and a
# frontier model 12 of 12; a third of it, the ceiling of 33 %, needs the frontier. What failed in one of these
# ways lies beyond the boundary: trying again locally gives the same failure. A world may add its own.
BOUNDARY = "local models of the 30B-A3B class: 8 of 12 tasks solved locally, 12 of 12 by a frontier model"
GIVE_UP = {
    "context_overflow": "what must be read at once is larger than the local model's context",
    "kv_cache_derivation": "the local model could not derive the layout of a key-value cache",
    "local_low_confidence": "the local model doubts its own answer",
    "multi_step_planning": "the local model lost the thread of a plan of several steps",
}

CAP_WINDOWS = ("day", "week")
CLASSES = sorted(GIVE_UP)
ITEMS_MAX = 256


class CapOnSpend(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """At most so much of a resource in a calendar window."""

    resource: str
    per: str
    amount: int

    def require_valid(self) -> None:
        """Raises `ValueError` naming the first term that may not be."""
        _require(is_id(self.resource), "a cap's `resource` is a name")
        _require(self.per in CAP_WINDOWS, f"a cap's `per` is {' or '.join(CAP_WINDOWS)}")
        _require(fits(self.amount), "a cap's `amount` is a natural below 2^64")


class Envelope(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Memory in MiB: all there is, what is always taken, and what a lane takes."""

    total: int
    reserved: int = 0
    default_lane: int = 0
    lanes: dict[str, int] = {}

    def require_valid(self) -> None:
        """Raises `ValueError` naming the first term that may not be."""
        sizes = [self.total, self.reserved, self.default_lane, *self.lanes.values()]
        _require(all(0 <= size < 2**53 for size in sizes), "the envelope is in whole MiB")
        _require(len(self.lanes) <= ITEMS_MAX, f"at most {ITEMS_MAX} lanes")


class Fields(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the params of a kind say lane and failure class: JSON pointers, empty for nowhere."""

    lane: str = ""
    failure_class: str = ""

    def require_valid(self) -> None:
        """Raises `ValueError` naming the first term that may not be."""
        for pointer in (self.lane, self.failure_class):
            _require(pointer == "" or pointer.startswith("/"), "a JSON pointer begins with `/`")


class GovernorTerms(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A governor as stated in a manifest. `classes` are the failures that the local model gives up on."""

    caps: list[CapOnSpend] = []
    envelope: Envelope | None = None
    classes: list[str] = field(default_factory=lambda: list(CLASSES))
    fields: dict[str, Fields] = {}

    def require_valid(self) -> None:
        """Raises `ValueError` naming the first term that may not be."""
        parts: list[CapOnSpend | Fields | Envelope] = [
            *self.caps,
            *self.fields.values(),
            *([self.envelope] if self.envelope else []),
        ]
        for part in parts:
            part.require_valid()
        named = [(cap.resource, cap.per) for cap in self.caps]
        _require(len(named) == len(set(named)), "one resource has two caps for one window")
        for items in (self.caps, self.classes, self.fields):
            _require(len(items) <= ITEMS_MAX, f"at most {ITEMS_MAX} of each")
        _require(all(map(is_kind, self.fields)), "`fields` are by kind, such as llm.generate")
        _require(all(map(is_id, self.classes)), "a failure class is a name")


def at_pointer(params: object, pointer: str) -> str:
    """The text at a JSON pointer (RFC 6901); empty where there is none."""
    value = params
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(value, dict):
            return ""
        value = value.get(key)
    return value if pointer and isinstance(value, str) else ""


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ValueError(message)
