"""What a step gives back: the events to record, and the replies to give.

Rule 1. No events means no record: the reply is given without one and can be asked for again.
"""

from msgspec import Struct

from splittally.core.abi import Question
from splittally.core.events import Event
from splittally.core.findings import Finding


class MemberReply(Struct, frozen=True, gc=False):
    """How one intent was decided."""

    intent_hash: bytes
    outcome: str
    findings: list[Finding]
    reserve: dict[str, int]


class SettleReply(Struct, frozen=True, gc=False):
    """What became of a receipt: settled, held, late, duplicate, not_found or refused.

    `findings` are the limits that it reached and that only tell.
    """

    intent_hash: bytes
    status: str
    usage: dict[str, int]
    violations: list[Finding]
    findings: list[Finding] = []


class HoldReply(Struct, frozen=True, gc=False):
    """What became of a hold: `released`, `extended` or `dispatched`, or why nothing did.

    Then it is `not_reserved`, `not_approved`, `already_dispatched` or `refused`.
    """

    intent_hash: bytes
    status: str
    due_ns: int


Reply = MemberReply | SettleReply | HoldReply


class Step(Struct, frozen=True, gc=False):
    """The events to record and the replies to give, one for each intent of a Submit."""

    events: list[Event]
    replies: list[Reply]


class Unanswered(Exception):
    """A question that an earlier member of the group changed and that must be asked again."""

    def __init__(self, questions: list[Question]) -> None:
        super().__init__("a question must be asked again")
        self.questions = questions
