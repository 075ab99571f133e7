"""The road of every request, from what a host sends to an answer that is durable.

    seal     what was sent becomes a command, or has its answer already     edge/seal.py
    tick     what fell due comes first, in frames of its own                core/agenda.py
    known?   an intent that was decided before gets that answer again       runtime/answers.py
    ask      which questions must be answered                               core/ask.py
    judge    the pinned modules answer them                                 sandbox
    step     the stages decide                                              core/step.py, core/pipeline.py
    record   the frame is sealed, remembered and indexed                    journal, core/evolve.py
    commit   the group is durable; only then its answers are handed out     journal

Rule 1. Every request goes this way: one or many, intent, native effect, group, receipt, release or extension.
        Audit decides recorded commands again by the same `decide`.
Rule 2. A list is cut into batches, whose questions are answered ahead (`prefetch.py`). That saves time and
        changes no answer and no frame: what a prefetched answer rests on is compared before it is used.
Rule 3. Nothing is answered before its commit. A failed commit stops the kernel: its state is ahead of its
        journal. So does an interruption while a frame is remembered or a group is appended. Anywhere else an
        interruption leaves frames that are whole and wait; whoever uses the kernel next commits them first.
Rule 4. What cannot be recorded is refused before anything of it is remembered: no state is ever ahead of what
        its frames can say.
"""

from collections.abc import Iterator
from typing import Any

from msgspec.structs import replace

from splittally.core.ask import Needs, ask, wants_known, wants_params, wants_recall, wants_verified
from splittally.core.canonical import UNENCODABLE
from splittally.core.commands import Command, Evidence, Settle, Submit, Tick
from splittally.core.errors import InvalidInput
from splittally.core.events import MAPPED, Event
from splittally.core.evolve import remember
from splittally.core.frames import body_rows, read_events
from splittally.core.limits import (
    FRAME_BYTES_MAX,
    GROUP_MAX,
    INDEX_FLUSH_ROWS,
    SNAPSHOT_FRAMES,
    TICK_ITEMS_MAX,
)
from splittally.core.outcome import Step, Unanswered
from splittally.core.state import State
from splittally.core.step import step
from splittally.core.types import KERNEL
from splittally.core.well_formed import fault_of
from splittally.edge.records import At, Request, worded
from splittally.edge.seal import Refused
from splittally.journal.frame import Frame, Head, open_frame, seal
from splittally.journal.store import Conflict, Unknown
from splittally.runtime.answers import answer_known, answer_refused, answer_reply
from splittally.runtime.clock import SourceFault
from splittally.runtime.history import History
from splittally.runtime.judge import Judge
from splittally.runtime.prefetch import Sealed, prefetch
from splittally.runtime.room import refuse_long
from splittally.runtime.standing import heed_acceptance, why_time_stands, with_reading
from splittally.runtime.world import World


class FrameTooLarge(InvalidInput):
    """A record that no journal could read again; nothing of it was remembered."""

    def __init__(self, size: int) -> None:
        super().__init__(
            f"the record would have {size} bytes; a frame has at most {FRAME_BYTES_MAX}",
            code="input.too_large",
            field="record",
            needed=size,
            available=FRAME_BYTES_MAX,
        )


class Unrecordable(InvalidInput):
    """A record that no bytes are defined for: a number beyond 64 bits; nothing of it was remembered."""

    def __init__(self) -> None:
        super().__init__(
            "the record would hold a number beyond 64 bits", code="amount_overflow", field="record"
        )


def answer_batch(world: World, principal: str, batch: list[Request | At]) -> Iterator[Any]:
    """The answers to a batch in order, none durable by itself; the caller holds the lock until the last."""
    sealed = [_seal(world, principal, batch[0])]
    if len(batch) > 1:
        sealed += _sealed_ahead(world, principal, batch[1:])
        prefetch(world, principal, sealed)
    for each in sealed:
        yield worded(_answer(world, principal, each), world.wording)


def _seal(world: World, principal: str, item: Request | At) -> Sealed:
    given_ns, request = (item.now_ns, item.request) if isinstance(item, At) else (None, item)
    try:
        said_ns, jumped_ns = world.clock.said(given_ns, world.state.clock_jump_ns), world.clock.jumped_ns
        if jumped_ns:
            request = with_reading(request, jumped_ns)
        command = world.sealer.seal(world.state, principal, request, world.kind_of)
    except SourceFault:
        raise  # it is not the request that is wrong
    except (Refused, InvalidInput) as error:
        return Sealed(request=request, said_ns=0, command=None, answer=answer_refused(request, error))
    return Sealed(request=request, said_ns=said_ns, command=command, jumped_ns=jumped_ns)


def _sealed_ahead(world: World, principal: str, items: list[Request | At]) -> list[Sealed]:
    """These requests, up to the first that fails for another reason than itself."""
    sealed: list[Sealed] = []
    try:
        for item in items:
            sealed.append(_seal(world, principal, item))
    except Exception:
        pass  # it fails again in its turn, and answers nobody else
    return sealed


def _answer(world: World, principal: str, sealed: Sealed) -> Any:
    command = sealed.command
    if command is None:
        return sealed.answer
    now_ns = max(sealed.said_ns, world.state.now_ns)
    try:
        tick(world, now_ns)
        if type(command) is Submit:
            known, command = answer_known(world, principal, command)
            if known is not None:
                return known
            if sealed.jumped_ns and (refusal := why_time_stands(world, command)):
                return answer_refused(sealed.request, refusal)
        seq, decided = carry_out(world, principal, command, now_ns, sealed)
        if sealed.jumped_ns:
            heed_acceptance(world, command, decided)
    except InvalidInput as error:
        return answer_refused(sealed.request, error)
    return answer_reply(world, principal, command, seq, decided.replies)


def carry_out(
    world: World, principal: str, command: Command, now_ns: int, sealed: Sealed | None = None
) -> tuple[int | None, Step]:
    """Decide a command and record it; the sequence of its frame, None where nothing is recorded."""
    seen, decided = decide(world.state, world.judge, world.history, principal, command, now_ns, sealed)
    if type(command) is Submit:
        refuse_long(world, command, now_ns, seen, decided.replies[0])
    if not decided.events:
        return None, decided
    seq = record(world, principal, command, now_ns, seen, decided.events)
    if world.state.ledger.appointments:
        tick(world, now_ns)  # a rule that this record made due acts before anybody looks
    return seq, decided


def decide(
    state: State,
    judge: Judge,
    history: History,
    principal: str,
    command: Command,
    now_ns: int,
    sealed: Sealed | None = None,
) -> tuple[list[Evidence], Step]:
    """Ask, judge and step: the evidence to record, and what it decides. Nothing is changed.

    Audit calls it, too, with a judge that asks again or one that reads what was recorded. A command that the
    edge did not seal just now is asked first whether it is well formed: `InvalidInput` where it is not.
    """
    if sealed is None and (fault := fault_of(state, now_ns, principal, command)):
        raise InvalidInput(fault, field="command")
    seen = sealed.evidence(state, now_ns) if sealed is not None and sealed.seen is not None else None
    if seen is None:
        seen = _gather(state, judge, history, principal, command, now_ns)
    while True:
        try:
            return seen, step(state, now_ns, principal, command, seen)
        except Unanswered as missing:
            seen += [judge.answer(state, question) for question in missing.questions]


def _gather(
    state: State, judge: Judge, history: History, principal: str, command: Command, now_ns: int
) -> list[Evidence]:
    """Ask and judge: what the journal knows, what is admitted, what the modules answer."""
    target = wants_known(state, command)
    known = history.known(target) if target else None
    target = wants_recall(command)
    recall = history.recall(target, state.ledger.holds.get(target)) if target else None
    if recall is not None and known is not None and (forgotten := wants_params(state, known)):
        recall = replace(recall, params_of=history.params_of(forgotten))
    seen: list[Evidence] = [known] if known is not None else []
    if state.caps.adapters and (key := wants_verified(state, principal, command, known)):
        assert type(command) is Settle
        seen.append(judge.verify(key, command))
    needs: Needs = ask(state, now_ns, principal, command, known, recall, seen)
    seen += [judge.admit(wasm) for wasm in needs.modules]
    seen += [judge.answer(state, question) for question in needs.questions]
    return seen


def tick(world: World, now_ns: int) -> int:
    """Work through what is due at `now_ns`; how many frames that took."""
    ledger = world.state.ledger
    if not ledger.agenda or ledger.agenda[0].due_ns > now_ns:  # the first is the earliest, standing or not
        return 0
    frames, items = 0, TICK_ITEMS_MAX
    while (due := ledger.next_due()) is not None and due.due_ns <= now_ns:
        command = Tick(items)
        decided = step(world.state, now_ns, KERNEL, command, [])
        assert decided.events
        try:
            record(world, KERNEL, command, now_ns, [], decided.events)
        except FrameTooLarge:
            items //= 2
            assert items
            continue
        frames += 1
    return frames


def record(
    world: World, principal: str, command: Command, now_ns: int, seen: list[Evidence], out: list[Event]
) -> int:
    """Seal the frame of a decision, remember its events, index it; the group is committed when it is full."""
    if world.stopped:
        world.refuse_stopped()
    state = world.state
    seq = state.size
    try:
        frame = seal(seq, world.tip.hash, body_rows(now_ns, principal, command, seen, out))
    except UNENCODABLE as error:
        raise Unrecordable from error
    if len(frame.data) > FRAME_BYTES_MAX:
        raise FrameTooLarge(len(frame.data))
    try:
        remember(state, now_ns, principal, out if MAPPED.isdisjoint(map(type, out)) else _as_recorded(frame))
        world.history.keep(frame, now_ns, command, out, state.ledger.holds)
        world.tip = Head(seq + 1, frame.hash)
        world.group.append(frame)
    except BaseException:
        world.stopped = f"the events of frame {seq} could not be applied"
        raise
    if len(world.group) >= GROUP_MAX:
        commit(world)
    return seq


def _as_recorded(frame: Frame) -> list[Event]:
    """The events as their frame gives them back.

    A map comes back in canonical key order, whatever order it was made in. Where a map is remembered and the
    kernel made it, the frame's own bytes are read; the maps of holds and charges are answers and params,
    which were decoded in that order already.
    """
    return read_events(open_frame(frame.data)[2], frame.seq)[2]


def commit(world: World) -> None:
    """Make every frame that was decided durable; no answer leaves the kernel before."""
    if world.stopped:
        world.refuse_stopped()
    if world.group:
        try:
            result = world.store.append(world.store.head, world.group)
            if type(result) is Head:
                _appended(world)
        except BaseException as error:
            world.stopped = f"the journal could not be written: {error}"
            raise
        if isinstance(result, Conflict | Unknown):
            world.stopped = f"the commit did not succeed: {result}"
            world.refuse_stopped()


def _appended(world: World) -> None:
    """The group is durable; an interruption in here stops the kernel like a failed append."""
    world.group = []
    world.commits += 1
    world.history.clear_pending()
    world.signals.committed(world.state.ledger.holds)
    if world.state.size - world.snapshot_size >= SNAPSHOT_FRAMES:
        world.save_projections()
    elif world.index.size_in_memory >= INDEX_FLUSH_ROWS:
        world.flush_index()


def commit_if_running(world: World) -> None:
    """After a caller's failure: what was decided becomes durable, because every query shows it."""
    if not world.stopped:
        commit(world)
