"""What a host gets instead of an act, or beside one: each row of the table of endings that raises has a
class.

Rule 1. The body ran only where `SettleFailed` is raised, or what the body raised itself.
Rule 2. Each carries what it takes to go on: the intent's hash, and what is recorded of it.
"""

from collections.abc import Mapping
from typing import Any

from splittally.core.errors import SplittallyError, WorldError
from splittally.edge.records import Decision, Receipt, Refused, Release


class NotDone(SplittallyError):
    """For a host to raise in the body: nothing happened. What is held is released as `not_dispatched`.

    It speaks of one call, the innermost that it leaves; what passes on through another is an exception there.
    """

    code = "not_done"

    def __init__(self, message: str = "nothing happened", /, **facts: object) -> None:
        super().__init__(message, **facts)
        self.is_told = False


class Stopped(SplittallyError):
    """The body did not run and nothing was told: `decision` is what the kernel answered, `row` what is
    recorded of the intent, `key` the key that asks for the same intent again."""

    code = "stopped_before"
    told = "the intent stays as it is recorded"

    def __init__(self, decision: Decision, row: Mapping[str, Any] | None = None, key: bytes = b"") -> None:
        why = "; ".join(text for text in (decision.reason, self.told) if text)
        super().__init__(f"not begun: {why}", outcome=decision.outcome)
        self.decision = decision
        self.row = row
        self.key = key

    @property
    def intent_hash(self) -> bytes:
        """The intent, for `wait`, `outcome` and `approve`."""
        return self.decision.intent_hash or b""

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.decision, self.row, self.key)


class Waiting(Stopped):
    """It is held and waits for an approval. Ask again with the same key once it is given."""

    code = "waiting"
    told = "it waits for an approval"


class AlreadyDone(Stopped):
    """The intent has ended before: `row` says how. It is never done twice."""

    code = "already_done"
    told = "it has ended before"


class NotYours(Stopped):
    """Another attempt has started it, or nobody knows whether one did: `row` says what is known."""

    code = "not_yours"
    told = "it was started by another attempt, which alone tells how it ends"


class NotApproved(Refused):
    """What waited for an approval was released: `row` says by whom and why."""

    code = "not_approved"

    def __init__(self, decision: Decision, row: Mapping[str, Any] | None = None) -> None:
        super().__init__(decision)
        self.row = row

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.decision, self.row)


class SettleFailed(SplittallyError):
    """The effect ended and the kernel could not be told so. `request` is what it was to be told.

    `is_kept` says whether the client tells it again by itself; else nobody will. `value` is what a decorated
    function returned.
    """

    code = "settle_failed"

    def __init__(self, request: Receipt | Release, why: str, is_kept: bool, value: Any = None) -> None:
        after = "it is kept and told again" if is_kept else "tell it yourself"
        super().__init__(f"the effect ended and the kernel could not be told: {why}; {after}")
        self.request = request
        self.why = why
        self.is_kept = is_kept
        self.value = value

    @property
    def intent_hash(self) -> bytes:
        """The intent whose ending is not recorded."""
        return self.request.intent_hash

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.request, self.why, self.is_kept, self.value)


class Unreachable(WorldError):
    """There is no way to the kernel that was named, or it is lost; nothing is known of what was asked."""

    code = "unreachable"


class NoClient(SplittallyError):
    """An effect without a client was begun, and none is current."""

    code = "no_client"
