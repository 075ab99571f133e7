"""What is done while a host's clock has jumped and logical time stands.

Rule 1. Receipts, releases, dispatches and extensions go on, at the time that stands; nothing falls due.
Rule 2. A new intent is answered `clock_jump`, without a record. What was answered before is answered again.
Rule 3. `clock.accept` under the root grant lets time go on from the next record. Beside it the native effects
        are decided that end a hold.
"""

from typing import Any

from msgspec.structs import replace

from splittally.core.commands import Command, Submit
from splittally.core.findings import find
from splittally.core.native.clocks import CLOCK_ACCEPT, WHILE_TIME_STANDS
from splittally.core.outcome import MemberReply, Step
from splittally.core.types import ALLOW
from splittally.edge.records import Intent
from splittally.edge.seal import Refused
from splittally.runtime.world import World


def with_reading(request: Any, jumped_ns: int) -> Any:
    """The request, which accepts what the clock reads where it is a `clock.accept` that states no time."""
    if type(request) is Intent and request.kind == CLOCK_ACCEPT and request.params == {}:
        return replace(request, params={"up_to_ns": jumped_ns})
    return request


def why_time_stands(world: World, command: Submit) -> Refused | None:
    """The refusal of a new intent; None for what is decided all the same."""
    if all(member.kind in WHILE_TIME_STANDS for member in command.members):
        return None
    now_ns, clock_ns = world.state.now_ns, world.clock.jumped_ns
    return Refused(find("clock_jump", now_ns=now_ns, clock_ns=clock_ns, ahead_ns=clock_ns - now_ns))


def heed_acceptance(world: World, command: Command, decided: Step) -> None:
    """Believe the clock up to what was accepted, once it was."""
    if type(command) is not Submit:
        return
    pairs = zip(command.members, decided.replies, strict=False)  # `first` has one reply
    if any(
        member.kind == CLOCK_ACCEPT and isinstance(reply, MemberReply) and reply.outcome == ALLOW
        for member, reply in pairs
    ):
        world.clock.accept(world.state.accepted_ns)
