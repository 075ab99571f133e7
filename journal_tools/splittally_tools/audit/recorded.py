"""Every call of a module that a journal records: the question byte for byte, and what was answered.

Rule 1. Questions are made again as they were asked, in the state before their frame; the hash that is
        recorded beside an answer says which question it answers.
Rule 2. A question whose answer is not found where one must stand is counted, never passed over silently.
Rule 3. Nothing is asked here, and memory does not grow with the journal.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from splittally.core.ask import Recall, ask
from splittally.core.commands import Judged, Known, Member, Settle, Submit
from splittally.core.errors import JournalDamaged
from splittally.core.events import Decided
from splittally.core.evolve import evolve
from splittally.core.frames import Body
from splittally.core.native import NATIVE
from splittally.core.questions import Question
from splittally.core.state import State
from splittally.core.types import Leg
from splittally.core.verdict import CheckVerdict, Fault, SettleVerdict, read_check, read_settle
from splittally.journal.index import Index
from splittally.runtime.reading import Reader, Record
from splittally.runtime.recall import Recaller
from splittally.runtime.recover import apply_events

CHECK, SETTLE = "Check", "Settle"
KEPT_FRAMES = 4_096  # between two clearings of what the recaller keeps
PROGRESS_FRAMES = 256
Verdict = CheckVerdict | SettleVerdict | Fault
Progress = Callable[[int], None]  # told how many frames more are done
Wanted = Callable[[str, bytes], bool]  # whether a call under this cap, of this module, is looked for


class Call(NamedTuple):
    """One recorded call; `reserve` is what the leg of a Settle held, `engine` what it was made under."""

    seq: int
    variant: str
    intent_hash: bytes
    kind: str
    grant: str
    cap: str
    question: Question
    answer: bytes | Fault
    reserve: dict[str, int]
    engine: str


class Recording:
    """The calls of a journal, oldest first; `unmatched` counts the questions whose answer was not found."""

    def __init__(self, reader: Reader, wanted: Wanted) -> None:
        self.unmatched = 0
        self._reader = reader
        self._wanted = wanted
        self._recaller = Recaller(reader.store, Index(None))

    def calls(self, progress: Progress | None = None) -> Iterator[Call]:
        """Every wanted call of the journal."""
        state = State()
        for record in self._reader.records():
            body, seq = record.body, record.seq
            yield from self.calls_of(state, record)
            apply_events(state, body.at_ns, body.by, body.out, seq)
            self._recaller.keep_held(body.at_ns, body.command, body.out)
            if seq % KEPT_FRAMES == 0:
                self._recaller.settle_pending()
            if progress is not None and seq % PROGRESS_FRAMES == 0:
                progress(PROGRESS_FRAMES)

    def calls_of(self, state: State, record: Record) -> list[Call]:
        """The wanted calls of one frame, in the state before it."""
        body = record.body
        try:
            match body.command:
                case Submit():
                    return list(self._checks(state, record, body.command))
                case Settle():
                    return list(self._settles(state, record, body.command))
            return []
        except (KeyError, AssertionError, ValueError) as error:
            text = f"what frame {record.seq} asks cannot be made again; run `tally verify`"
            raise JournalDamaged(text, seq=record.seq) from error

    def _checks(self, state: State, record: Record, command: Submit) -> Iterator[Call]:
        body = record.body
        answers = _answers(body)
        for member, now in _judged_in(state, body, command) if answers else ():
            links = now.caps.chain(member.grant, member.kind).asked
            if not any(self._wanted(link.cap.name, link.cap.enforcer) for link in links):
                continue
            needs = ask(now, body.at_ns, body.by, Submit(command.mode, [member]), None, None)
            for link, question in zip(links, needs.questions, strict=False):  # none where the chain refuses
                found = self._answer(answers, question, link.cap.name)
                if found is not None:
                    yield Call(
                        record.seq, CHECK, member.intent_hash, member.kind, link.grant.name, link.cap.name,
                        question, found, {}, now.engine,
                    )  # fmt: skip

    def _settles(self, state: State, record: Record, command: Settle) -> Iterator[Call]:
        body, digest = record.body, command.intent_hash
        known = next((seen for seen in body.seen if isinstance(seen, Known)), None)
        hold = state.ledger.holds.get(digest)
        held: list[Leg] = list(hold.legs) if hold else [x.leg for x in known.legs] if known else []
        legs = [leg for leg in held if leg.enforcer_ref]
        if not any(self._wanted(leg.cap, leg.enforcer_ref) for leg in legs):
            return
        recall = self._recaller.recall(digest, hold)
        if recall is None and known is not None:
            recall = self._recall_at(known.seq, digest)
        needs = ask(state, body.at_ns, body.by, command, known, recall)
        answers = _answers(body)
        for leg, question in zip(legs, needs.questions, strict=False):  # none for a payload that was dropped
            found = self._answer(answers, question, leg.cap)
            if found is not None:
                assert recall is not None
                yield Call(
                    record.seq, SETTLE, digest, recall.kind, leg.grant, leg.cap, question, found,
                    leg.reserve, state.engine,
                )  # fmt: skip

    def _answer(self, answers: dict[bytes, Judged], question: Question, cap: str) -> bytes | Fault | None:
        if not self._wanted(cap, question.module):
            return None
        judged = answers.get(question.hash)
        if judged is None:
            self.unmatched += 1
            return None
        return Fault(judged.fault) if judged.fault else judged.answer

    def _recall_at(self, seq: int, intent_hash: bytes) -> Recall:
        """The intent as the frame that decided it has it."""
        body = self._reader.record(seq).body
        assert isinstance(body.command, Submit)
        member = next(each for each in body.command.members if each.intent_hash == intent_hash)
        return Recall(member.kind, member.params, member.origin_kind, member.origin_name, body.at_ns)


def verdict_of(variant: str, answer: bytes | Fault) -> Verdict:
    """What an answer says, read as the kernel reads it."""
    if isinstance(answer, Fault):
        return answer
    return read_check(answer) if variant == CHECK else read_settle(answer)


def _answers(body: Body) -> dict[bytes, Judged]:
    return {seen.question: seen for seen in body.seen if isinstance(seen, Judged)}


def _judged_in(state: State, body: Body, command: Submit) -> Iterator[tuple[Member, State]]:
    """Each intent with the state that it was judged in.

    Those of a group that was allowed whole are judged one after the other, and native effects among them
    change what the later ones are asked.
    """
    members = command.members
    if command.mode != "all" or not any(member.kind in NATIVE for member in members):
        for member in members:
            yield member, state
        return
    fork = state.fork()
    fork.now_ns = body.at_ns
    events = iter(body.out)
    event = next(events, None)
    for at, member in enumerate(members):
        yield member, fork
        while event is not None and not _begins_another(event, member):
            evolve(fork, event, body.by, at)
            event = next(events, None)


def _begins_another(event: object, member: Member) -> bool:
    return isinstance(event, Decided) and event.intent_hash != member.intent_hash
