"""Params that are too long for the module that would judge them: refused before a record, with both numbers.

Rule 1. Only what nothing else stopped, and only where the question itself is longer than the module takes. A
        fault of another kind is recorded as one, and so is that of a module that takes no params at all.
Rule 2. An intent that is offered under several grants (`first`) is refused by its record, which says of every
        grant why.
"""

from splittally.core.ask import member_questions
from splittally.core.canonical import decode
from splittally.core.commands import Evidence, Judged, Submit
from splittally.core.outcome import MemberReply, Reply
from splittally.core.types import DENY
from splittally.edge.sizes import require_params_size
from splittally.runtime.world import World

OVER_LIMIT = "over_limit"


def refuse_long(world: World, command: Submit, now_ns: int, seen: list[Evidence], reply: Reply) -> None:
    """`InvalidInput` where a member of a command that is denied has params that its module does not take."""
    if type(reply) is not MemberReply or reply.outcome != DENY:
        return
    is_over = any(type(each) is Judged and each.fault == OVER_LIMIT for each in seen)
    if command.mode == "first" or not is_over:
        return
    for member in command.members:
        for question in member_questions(world.state.caps, now_ns, member):
            room = world.judge.sandbox.room(question.module)
            size = len(member.params)
            around = len(question.data) - size
            if around < room:
                require_params_size(member.kind, decode(member.params), size, room - around)
