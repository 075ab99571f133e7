"""The questions of a journal, asked again from its frames alone: what an auditor does before judging.

Only the pure core is used: a state that is folded frame by frame, and the decided intents read so far.
"""

from collections.abc import Iterable
from typing import NamedTuple

from splittally.core.ask import Recall, ask
from splittally.core.commands import Command, Judged, Known, Member, Settle, Submit
from splittally.core.evolve import remember
from splittally.core.frames import Body, read_body
from splittally.core.state import State
from splittally.journal.frame import open_frame


class Asked(NamedTuple):
    """A question that the journal holds the answer of."""

    seq: int
    command: Command
    module: bytes
    data: bytes
    answer: bytes
    fault: str


def bodies_of(frames: Iterable[bytes]) -> list[Body]:
    """The bodies of frames, in order."""
    return [read_body(open_frame(data)[2], seq) for seq, data in enumerate(frames)]


def questions_of(bodies: list[Body]) -> list[Asked]:
    """Every question whose answer stands in the frames' evidence."""
    state = State()
    decided: dict[bytes, tuple[Member, int]] = {}
    asked: list[Asked] = []
    for seq, body in enumerate(bodies):
        answers = {x.question: x for x in body.seen if isinstance(x, Judged)}
        known = next((x for x in body.seen if isinstance(x, Known)), None)
        recall = _recall(decided, body.command)
        for question in ask(state, body.at_ns, body.by, body.command, known, recall, body.seen).questions:
            judged = answers[question.hash]
            asked.append(
                Asked(seq, body.command, question.module, question.data, judged.answer, judged.fault)
            )
        if isinstance(body.command, Submit):
            for member in body.command.members:
                decided[member.intent_hash] = (member, body.at_ns)
        remember(state, body.at_ns, body.by, body.out)
    return asked


def _recall(decided: dict[bytes, tuple[Member, int]], command: Command) -> Recall | None:
    if not isinstance(command, Settle):
        return None
    member, at_ns = decided[command.intent_hash]
    return Recall(member.kind, member.params, member.origin_kind, member.origin_name, at_ns)
