"""Why an intent waits for approval: reasons, and who has answered each.

Rule 1. Each reason is answered for itself, and nobody answers one twice.
Rule 2. A reason that names approvers is answered by nobody else, root included; any other by whoever may
        answer approvals at all.
Rule 3. A reject by one who may answer any of the reasons ends the waiting.

Example. A rule asks two of bob, carol and dave, a limit anybody. Carol approves: the limit is answered, and
the rule misses one. Carol again: `already_answered`. Bob: both are answered, and the intent may go.
"""

from msgspec import Struct


class Ask(Struct, frozen=True, array_like=True, gc=False):
    """A reason why an intent waits: how many must approve, and who may; `by` are those who have.

    `reason` is `policy/RULE`, or grant, dimension and period of a limit.
    """

    reason: str
    approvers: list[str]
    approvals: int
    by: list[str] = []

    @property
    def missing(self) -> int:
        """How many more must approve."""
        return max(0, self.approvals - len(self.by))

    @property
    def row(self) -> dict[str, object]:
        """It for people and programs: how many are missing, and who may still answer, where only some may."""
        left = [name for name in self.approvers if name not in self.by]
        return {"reason": self.reason, "missing": self.missing, "approvers": left, "by": self.by}

    def may_be_answered(self, principal: str) -> bool:
        """Whether it is for this principal to answer."""
        return not self.approvers or principal in self.approvers


ANYBODY = Ask(reason="", approvers=[], approvals=1)  # where none are recorded: one answer of anybody


def are_plain(asks: list[Ask]) -> bool:
    """Whether one answer of anybody is all that is asked for, so that nothing of it need be remembered."""
    return len(asks) == 1 and not asks[0].approvers and asks[0].approvals == 1
