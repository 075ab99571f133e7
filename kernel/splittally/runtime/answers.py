"""From what the core replies and what the frames tell to the answers that a host gets.

Rule 1. What could not be decided is still an answer: a denial without a record, or an error to raise.
"""

from typing import Any

from splittally.core.errors import InvalidInput, SplittallyError
from splittally.core.findings import Finding, find
from splittally.core.history import Trace
from splittally.core.step import MemberReply
from splittally.core.types import DENY
from splittally.edge.records import Decision


def decision_of(seq: int | None, reply: Any, attempt: bytes) -> Decision:
    """The decision that was recorded in frame `seq`."""
    assert isinstance(reply, MemberReply)
    return Decision(
        seq, reply.intent_hash, reply.outcome, tuple(reply.findings), reply.reserve, False, attempt
    )


def duplicate_of(found: Trace) -> Decision:
    """The first answer to an intent, once more."""
    decided = found.decided
    return Decision(
        found.seq,
        decided.intent_hash,
        decided.outcome,
        tuple(decided.findings),
        found.reserve,
        True,
        found.member.attempt,
    )


def unrecorded(finding: Finding, intent_hash: bytes | None = None) -> Decision:
    """A refusal without a record; the same key may be tried again."""
    return Decision(None, intent_hash, DENY, (finding,))


def not_decided(error: InvalidInput) -> Decision:
    """The answer to an intent that could not be decided."""
    facts = {name: error.facts[name] for name in ("field", "needed", "available") if name in error.facts}
    return unrecorded(find(str(error.facts.get("code", "input.invalid")), **facts, message=str(error)))


def or_raise(answer: Any) -> Any:
    """The answer, unless it is an error."""
    if isinstance(answer, SplittallyError):
        raise answer
    return answer
