"""What moved value in a frame, caused by what, and with whose permission.

Rule 1. A posting of an intent that the frame decides has that intent's kind. Any other has the word for the
        event before it that says why: settle, late, release, refund, rule.
Rule 2. The permission is the grant that the intent was asked under, the leaf of its chain; the grant of a
        posting is the one of that chain that pays. A rule has the grant under which its plan was adopted.
"""

from collections.abc import Iterator
from typing import NamedTuple

from splittally.core.commands import Submit
from splittally.core.events import Decided, Held, Posted, Refunded, Released, RuleFired, Settled
from splittally.core.frames import Body
from splittally.runtime.lineage.sources import RULE

SETTLE, LATE, RELEASE, REFUND = "settle", "late", "release", "refund"


class Moved(NamedTuple):
    """A posting at its place in the frame."""

    position: int
    kind: str
    permission: str
    posted: Posted


def postings_of(body: Body) -> Iterator[Moved]:
    """Everything in a frame that moves value, in order."""
    kinds: dict[bytes, str] = {}
    if isinstance(body.command, Submit):
        kinds = {member.intent_hash: member.kind for member in body.command.members}
    leaves: dict[bytes, str] = {}
    cause = ""
    for position, event in enumerate(body.out):
        if isinstance(event, Posted):
            digest = event.intent_hash
            yield Moved(
                position=position,
                kind=kinds.get(digest, cause),
                permission=leaves.get(digest, event.grant),
                posted=event,
            )
            continue
        cause = _cause(event) or cause
        match event:
            case Decided() | Released() if event.authority:
                leaves[event.intent_hash] = event.authority[0].grant
            case Held() | Settled() | Refunded() if event.legs:
                leaves[event.intent_hash] = event.legs[0].grant


def _cause(event: object) -> str:
    """The word for an event that says why value moves; empty for any other."""
    match event:
        case Settled():
            return LATE if event.how == LATE else SETTLE
        case Released():
            return RELEASE
        case Refunded():
            return REFUND
        case RuleFired():
            return RULE
        case _:
            return ""
