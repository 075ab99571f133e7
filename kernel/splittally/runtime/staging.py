"""Runs of intents, and of receipts, taken stage by stage: sealed, asked and judged together.

Rule 1. A run is of one type, and only what its earlier members cannot change runs ahead. Sealing rests on
        definitions, which only native effects change, and they are never staged. Check rests on the
        chain of grants and the time, Settle on the hold: where one of them is another in its turn, the
        enforcers are asked in its turn.
Rule 2. Frames are byte for byte those of one request at a time; staging is for the processor's caches.
Rule 3. What fails ahead fails again in its turn, after everything before it was answered.
"""

from collections.abc import Callable, Sequence

from msgspec import Struct

from splittally.core import commands as core
from splittally.core.ask import ask
from splittally.core.caps.state import Chain
from splittally.core.errors import InvalidInput, SplittallyError
from splittally.core.findings import Finding
from splittally.core.ledger.state import Hold
from splittally.core.limits import GROUP_MAX
from splittally.core.native import NATIVE
from splittally.core.questions import Question
from splittally.edge.records import Intent, Receipt
from splittally.edge.seal import Refused
from splittally.runtime.clock import HOST
from splittally.runtime.world import World

Asked = tuple[object, int | None]  # a request and the time that its host says


class StagedIntent(Struct, gc=False):
    """An intent that is sealed, or was refused, and what its enforcers answered for `now_ns`.

    Its logical time is `said_ns` or the state's, whichever is later. `seen` is None where nobody was
    asked, because the intent is known already or stands twice.
    """

    said_ns: int
    now_ns: int
    command: core.Submit | None
    chain: Chain | None
    refused: Finding | None
    seen: list[core.Evidence] | None


class StagedReceipt(Struct):
    """A receipt that is sealed, or cannot be read, and what its enforcers answered for `hold`."""

    said_ns: int
    command: core.Settle | None
    error: InvalidInput | None
    hold: Hold | None
    seen: list[core.Evidence] | None


Staged = StagedIntent | StagedReceipt


def stage(
    world: World, by: str, asked: Sequence[Asked], is_known: Callable[[core.Member], bool]
) -> Sequence[Staged]:
    """The requests at the head of `asked`, at most a group's worth, ready to be answered in order.

    It ends before what cannot be staged or is of another type, and before a time that cannot be read.
    """
    first = asked[0][0]
    if type(first) is Receipt:
        return _stage_receipts(world, by, asked[:GROUP_MAX])
    if _can_stage(first):
        return _stage_intents(world, by, asked[:GROUP_MAX], is_known)
    return ()


def _can_stage(request: object) -> bool:
    """Whether a request is an intent that changes neither definitions nor grants."""
    return type(request) is Intent and type(request.kind) is str and request.kind not in NATIVE


def _said_ns(world: World, now_ns: int, given_ns: int | None) -> int:
    """What a host's clock, or the caller, said: logical time but for what is remembered until then."""
    return now_ns if world.clock.kind == HOST else given_ns or 0


# --- intents -----------------------------------------------------------------------------------


def _stage_intents(
    world: World, by: str, asked: Sequence[Asked], is_known: Callable[[core.Member], bool]
) -> list[StagedIntent]:
    state, judge, clock = world.state, world.writer.judge, world.clock
    staged: list[StagedIntent] = []
    keyed: set[bytes] = set()
    now_ns = state.now_ns
    for intent, given_ns in asked:
        if not _can_stage(intent):
            break
        assert isinstance(intent, Intent)
        try:
            now_ns = clock.read(now_ns, given_ns)
        except InvalidInput:
            break
        said_ns = _said_ns(world, now_ns, given_ns)
        try:
            member = world.sealer.seal_intent(state, by, intent)
        except Refused as refused:
            staged.append(StagedIntent(said_ns, now_ns, None, None, refused.finding, None))
            continue
        is_new = not member.keyed or not (member.intent_hash in keyed or is_known(member))
        keyed.add(member.intent_hash)
        command = core.Submit("each", [member])
        chain = state.caps.chain(member.grant, member.kind)
        staged.append(StagedIntent(said_ns, now_ns, command, chain, None, [] if is_new else None))
    needs = [_check_questions(world, by, each) for each in staged]
    for each, questions in zip(staged, needs, strict=True):
        if each.seen is not None:
            each.seen = [judge.answer(state, question) for question in questions]
    return staged


def _check_questions(world: World, by: str, staged: StagedIntent) -> list[Question]:
    if staged.command is None or staged.seen is None:
        return []
    return ask(world.state, staged.now_ns, by, staged.command, None, None).questions


# --- receipts ----------------------------------------------------------------------------------


def _stage_receipts(world: World, by: str, asked: Sequence[Asked]) -> list[StagedReceipt]:
    state, judge = world.state, world.writer.judge
    staged: list[StagedReceipt] = []
    named: set[bytes] = set()
    now_ns = state.now_ns
    for receipt, given_ns in asked:
        if type(receipt) is not Receipt:
            break
        try:
            now_ns = world.clock.read(now_ns, given_ns)
            each = _sealed(world, _said_ns(world, now_ns, given_ns), receipt)
        except SplittallyError:
            break
        if each.command is not None and each.command.intent_hash not in named:
            named.add(each.command.intent_hash)
            each.hold = state.ledger.holds.get(each.command.intent_hash)
        staged.append(each)
    needs = [_settle_questions(world, by, now_ns, each) for each in staged]
    for each, questions in zip(staged, needs, strict=True):
        if questions is not None:
            each.seen = [judge.answer(state, question) for question in questions]
    return staged


def _sealed(world: World, said_ns: int, receipt: Receipt) -> StagedReceipt:
    try:
        command = world.sealer.seal_receipt(world.state, receipt, world.writer.kind_of)
    except InvalidInput as error:
        return StagedReceipt(said_ns, None, error, None, None)
    return StagedReceipt(said_ns, command, None, None, None)


def _settle_questions(world: World, by: str, now_ns: int, staged: StagedReceipt) -> list[Question] | None:
    """None where nobody is asked ahead: nothing is held, or an earlier receipt of the run may end it."""
    command, hold = staged.command, staged.hold
    if command is None or hold is None:
        return None
    try:
        recall = world.writer.recaller.recall(command.intent_hash, hold)
    except SplittallyError:
        return None
    return ask(world.state, now_ns, by, command, None, recall).questions
