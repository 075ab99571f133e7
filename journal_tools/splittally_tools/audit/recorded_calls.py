"""Every call of a module that a journal records: the question byte for byte, and what was answered.

Rule 1. Each command is decided again, in the state before its frame, by a judge that reads the record: a
        question is made as it was asked, and its hash says which recorded answer belongs to it.
Rule 2. A question whose answer is not found where one must stand is counted, never passed over silently.
Rule 3. No module is asked here, and memory does not grow with the journal.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from splittally.core.abi import CheckVerdict, Fault, Question, SettleVerdict, read_check, read_settle
from splittally.core.ask import Recall
from splittally.core.canonical import decode
from splittally.core.commands import Admitted, Judged, Known, Settle, Verified
from splittally.core.errors import InvalidInput, JournalDamaged
from splittally.core.frames import Body
from splittally.core.hashing import hash_module
from splittally.core.ledger.state import Hold
from splittally.core.state import State
from splittally.journal.index import Index
from splittally.runtime.history import History
from splittally.runtime.judge import Judge
from splittally.runtime.pipeline import decide
from splittally.runtime.reader import Reader
from splittally.runtime.record import Record
from splittally.runtime.recover import NOT_RECORDED, apply_events
from splittally.sandbox import Sandbox

from splittally_tools.audit.rejudge import KEPT_FRAMES, PROGRESS_FRAMES, Progress

CHECK, SETTLE = "Check", "Settle"
NOT_FOUND = "bad_output"  # stands where an answer was not found, so that deciding goes on
Verdict = CheckVerdict | SettleVerdict | Fault
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


class RecordedJudge(Judge):
    """Answers from what a frame recorded.

    `asked` has, by intent and grant, the last question and its recorded answer, None where there is none: an
    earlier member of a group may change what a later one is asked.
    """

    def __init__(self) -> None:
        super().__init__(Sandbox())
        self.asked: dict[tuple[bytes, str], tuple[Question, Judged | None]] = {}
        self._answers: dict[bytes, Judged] = {}
        self._admitted: dict[bytes, Admitted] = {}
        self._verified: dict[bytes, Verified] = {}

    def read(self, body: Body) -> None:
        """Take the evidence of this frame in the place of that of the one before."""
        self.asked = {}
        self._answers = {seen.question: seen for seen in body.seen if isinstance(seen, Judged)}
        self._admitted = {seen.module: seen for seen in body.seen if isinstance(seen, Admitted)}
        self._verified = {seen.key: seen for seen in body.seen if isinstance(seen, Verified)}

    def answer(self, state: State, question: Question) -> Judged:
        found = self._answers.get(question.hash)
        self.asked[question.intent_hash, question.grant] = (question, found)
        return found if found is not None else Judged(question.hash, b"", NOT_FOUND)

    def admit(self, wasm: bytes) -> Admitted:
        digest = hash_module(wasm)
        return self._admitted.get(digest, Admitted(digest, ""))

    def verify(self, key: bytes, command: Settle) -> Verified:
        return self._verified.get(key, Verified(key, False))


class RecordedHistory(History):
    """What a frame recorded of an intent that is not open; the frame that decided it is read by number."""

    def __init__(self, reader: Reader) -> None:
        super().__init__(reader.store, Index(None))
        self._reader = reader
        self._known: Known | None = None

    def read(self, body: Body) -> None:
        """Take the evidence of this frame in the place of that of the one before."""
        self._known = next((seen for seen in body.seen if isinstance(seen, Known)), None)

    def known(self, intent_hash: bytes) -> Known | None:
        return self._known

    def params_of(self, digests: Iterable[bytes]) -> dict[bytes, bytes]:
        return self._reader.history.params_of(digests)

    def recall(self, intent_hash: bytes, hold: Hold | None) -> Recall | None:
        known = self._known
        if hold is None and known is not None:
            return self.recall_at(known.seq, intent_hash)
        return super().recall(intent_hash, hold)


class Recording:
    """The calls of a journal, oldest first; `unmatched` counts the questions whose answer was not found."""

    def __init__(self, reader: Reader, wanted: Wanted) -> None:
        self.unmatched = 0
        self._reader = reader
        self._wanted = wanted
        self._judge = RecordedJudge()
        self._history = RecordedHistory(reader)

    def calls(self, progress: Progress | None = None) -> Iterator[Call]:
        """Every wanted call of the journal."""
        state = State()
        for record in self._reader.records():
            body, seq = record.body, record.seq
            yield from self.calls_of(state, record)
            apply_events(state, body.at_ns, body.by, body.out, seq)
            self._history.keep_held(seq, body.at_ns, body.command, state.ledger.holds)
            if seq % KEPT_FRAMES == 0:
                self._history.clear_pending()
            if progress is not None and (seq + 1) % PROGRESS_FRAMES == 0:
                progress(PROGRESS_FRAMES)

    def calls_of(self, state: State, record: Record) -> list[Call]:
        """The wanted calls of one frame, in the state before it."""
        body = record.body
        if not any(isinstance(seen, Judged) for seen in body.seen):
            return []
        self._judge.read(body)
        self._history.read(body)
        try:
            decide(state, self._judge, self._history, body.by, body.command, body.at_ns)
        except (*NOT_RECORDED, InvalidInput) as error:
            text = f"what frame {record.seq} asks cannot be made again; run `tally verify`"
            raise JournalDamaged(text, seq=record.seq) from error
        return list(self._calls(record.seq, state.engine))

    def _calls(self, seq: int, engine: str) -> Iterator[Call]:
        for question, judged in self._judge.asked.values():
            if not self._wanted(question.cap, question.module):
                continue
            if judged is None:
                self.unmatched += 1
                continue
            ((variant, asked),) = decode(question.data).items()
            yield Call(
                seq=seq,
                variant=variant,
                intent_hash=question.intent_hash,
                kind=asked["effect_kind"],
                grant=question.grant,
                cap=question.cap,
                question=question,
                answer=Fault(judged.fault) if judged.fault else judged.answer,
                reserve=asked.get("reserve_estimate", {}),
                engine=engine,
            )


def verdict_of(variant: str, answer: bytes | Fault) -> Verdict:
    """What an answer says, read as the kernel reads it."""
    if isinstance(answer, Fault):
        return answer
    return read_check(answer) if variant == CHECK else read_settle(answer)
