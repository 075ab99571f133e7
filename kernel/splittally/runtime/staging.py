"""A run of intents taken stage by stage: sealed together, asked together, judged together.

Rule 1. Only what no earlier member can change runs ahead: sealing and judging read definitions and
        grants, and only native effects, which are never staged, change those.
Rule 2. Frames are byte for byte those of one intent at a time; staging is for the processor's caches.
"""

from collections.abc import Callable

from msgspec import Struct

from splittally.core import commands as core
from splittally.core.ask import ask
from splittally.core.errors import InvalidInput
from splittally.core.limits import GROUP_MAX
from splittally.core.native import NATIVE
from splittally.core.questions import Question
from splittally.core.state import State
from splittally.edge.records import Intent
from splittally.edge.seal import Refused, Sealer
from splittally.runtime.clock import WorldClock
from splittally.runtime.writer import Judge


class Staged(Struct, gc=False):
    """An intent that is sealed, or was refused, and what its enforcers answered at `now_ns`.

    `seen` is None where nobody was asked, because the intent is known already or stands twice.
    """

    now_ns: int
    member: core.Member | None
    refused: Refused | None
    seen: list[core.Evidence] | None


def can_stage(request: object) -> bool:
    """Whether a request is an intent that changes neither definitions nor grants."""
    return type(request) is Intent and type(request.kind) is str and request.kind not in NATIVE


def stage(
    state: State,
    sealer: Sealer,
    judge: Judge,
    clock: WorldClock,
    by: str,
    asked: list[tuple[object, int | None]],
    is_known: Callable[[core.Member], bool],
) -> list[Staged]:
    """The intents at the head of `asked`, at most a group's worth, ready to be decided in order.

    It ends before what cannot be staged, and before a time that cannot be read.
    """
    staged: list[Staged] = []
    keyed: set[bytes] = set()
    for intent, given_ns in asked[:GROUP_MAX]:
        if not can_stage(intent):
            break
        assert isinstance(intent, Intent)
        latest_ns = staged[-1].now_ns if staged else state.now_ns
        try:
            now_ns = clock.read(latest_ns, given_ns)
        except InvalidInput:
            break
        try:
            member = sealer.seal_intent(state, by, intent)
        except Refused as refused:
            staged.append(Staged(now_ns, None, refused, None))
            continue
        is_new = not member.keyed or not (member.intent_hash in keyed or is_known(member))
        keyed.add(member.intent_hash)
        staged.append(Staged(now_ns, member, None, [] if is_new else None))
    needs = [_questions(state, by, each) for each in staged]
    for each, questions in zip(staged, needs, strict=True):
        if each.seen is not None:
            each.seen = [judge.answer(state, question) for question in questions]
    return staged


def _questions(state: State, by: str, staged: Staged) -> list[Question]:
    if staged.member is None or staged.seen is None:
        return []
    return ask(state, staged.now_ns, by, core.Submit("each", [staged.member]), None, None).questions
