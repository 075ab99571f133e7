"""One call of an effect: what was decided of it, what the host says was used, and how it ended.

Rule 1. What the host says is looked at when it says it. What cannot be read is `InvalidInput` there, and
        the call ends as `misreported` unless it is said again in a readable way: a receipt that had to
        leave it out could be cheaper than the truth.
Rule 2. What is not said at all is left out: an enforcer that misses its usage charges the reserve.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

from splittally.client.endings import Pauses
from splittally.core.errors import InvalidInput
from splittally.core.limits import NATURAL_MAX
from splittally.edge.host_values import plain
from splittally.edge.records import Decision, HoldChange, Settlement
from splittally.edge.sizes import require_name

T = TypeVar("T")


class Asked(NamedTuple):
    """All that is asked for with one call; `resumes` is the attempt that started it before a pause."""

    kind: str
    params: Any
    grant: str
    key: bytes
    attempt: bytes
    labels: Mapping[str, str]
    adapter_id: str
    approval_timeout_s: float | None
    dispatch: bool
    pauses: Pauses
    origin: Any = None
    expires_ns: int | None = None
    resumes: bytes | None = None


class Call:
    """A call that may act: its body runs between the decision and the receipt.

    `decision` is the kernel's, `attempt` names who started it, `key` is what asks for the same intent again.
    Afterwards `ending` names the row of the table of endings, and `settlement` is the kernel's answer.
    """

    def __init__(self, asked: Asked, decision: Decision, attempt: bytes) -> None:
        self.asked = asked
        self.decision = decision
        self.attempt = attempt
        self.ending = ""
        self.settlement: Settlement | HoldChange | None = None
        self.is_started = True
        self.is_unknown = False
        self.is_misreported = False
        self._payload: dict[str, Any] | None = None
        self._cost_cents: int | None = None
        self._pays_to: str | None = None

    @property
    def intent_hash(self) -> bytes:
        """The intent; `tally explain` and `outcome` take it."""
        assert self.decision.intent_hash is not None
        return self.decision.intent_hash

    @property
    def key(self) -> bytes:
        """The key of the intent, 32 bytes."""
        return self.asked.key

    @property
    def payload(self) -> dict[str, Any] | None:
        """What the receipt will say was used; None while nothing was said."""
        return self._payload

    @payload.setter
    def payload(self, payload: Mapping[str, Any] | None) -> None:
        self._payload = self._read(lambda: None if payload is None else _map_of(payload))

    @property
    def cost_cents(self) -> int | None:
        """What it cost, in whole cents; None while nothing was said."""
        return self._cost_cents

    @cost_cents.setter
    def cost_cents(self, cost_cents: int | None) -> None:
        self._cost_cents = self._read(lambda: _cents(cost_cents))

    @property
    def pays_to(self) -> str | None:
        """Who is paid, where the grant lists several; None for the first."""
        return self._pays_to

    @pays_to.setter
    def pays_to(self, pays_to: str | None) -> None:
        self._pays_to = self._read(lambda: None if pays_to is None else require_name("pays_to", pays_to))

    def used(self, usage: Mapping[str, Any], cost_cents: int | None = None) -> None:
        """Say what was used, by name, and what it cost; said twice, the later word counts for each name."""
        self.payload = {**(self._payload or {}), **self._read(lambda: _map_of(usage))}
        if cost_cents is not None:
            self.cost_cents = cost_cents

    def result(self, value: T, cost_cents: int | None = None) -> T:
        """Take a record that came back, such as a provider's answer, as the payload, and give it back.

        What is no record, or cannot be read as one, says nothing of the usage.
        """
        try:
            self._payload = _map_of(value)
        except Exception:
            self._payload = None
        if cost_cents is not None:
            self.cost_cents = cost_cents
        return value

    def unknown(self) -> None:
        """Say that nobody can tell whether it happened: the reserve stays held until somebody can."""
        self.is_unknown = True

    def _read(self, what: Any) -> Any:
        self.is_misreported = True
        try:
            found = what()
        except InvalidInput:
            raise
        except Exception as error:  # a host's own object that breaks when it is looked at
            raise InvalidInput(
                f"what was used cannot be read: {type(error).__name__}", field="payload"
            ) from error
        self.is_misreported = False
        return found


def _map_of(value: Any) -> dict[str, Any]:
    found = plain(value, "payload")
    if not isinstance(found, dict):
        raise InvalidInput(f"`payload` is a map, not {type(value).__name__}", field="payload")
    return dict(found)


def _cents(cost_cents: Any) -> int | None:
    if cost_cents is None:
        return None
    if type(cost_cents) is not int or not 0 <= cost_cents <= NATURAL_MAX:
        raise InvalidInput("`cost_cents` is a natural below 2^64", field="cost_cents")
    return cost_cents
