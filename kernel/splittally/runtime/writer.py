"""The one place where commands become frames.

The host's duties, in order:
  1. tick what is due       2. recall what the journal knows   3. ask, judge
  4. step                   5. seal the frame                  6. evolve
  7. append the group, durably                                 8. only then answer
Rule 1. A failed commit stops the kernel before any later answer: its state is ahead of its journal.
"""

from collections.abc import Callable

from splittally.core.ask import Needs, ask, wants_known, wants_recall
from splittally.core.commands import Admitted, Command, Evidence, Judged, Tick
from splittally.core.errors import InvalidInput, KernelStopped, NotAdmitted
from splittally.core.events import Event, Held
from splittally.core.evolve import remember
from splittally.core.frames import body_rows
from splittally.core.hashing import hash_module
from splittally.core.limits import FRAME_BYTES_MAX, GROUP_MAX, TICK_ITEMS_MAX
from splittally.core.questions import Question
from splittally.core.state import State
from splittally.core.step import Step, Unanswered, step
from splittally.core.verdict import Fault
from splittally.journal.frame import Frame, Head, seal
from splittally.journal.index import Index
from splittally.journal.store import Conflict, Store, Unknown
from splittally.runtime.recall import Recaller, index_events
from splittally.sandbox import Sandbox, admit

KERNEL = ""  # the principal of what the kernel does by itself


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


class Judge:
    """Answers the questions of the core from the modules that the world holds.

    `admission` is how a module is admitted; audit asks every check of every module.
    """

    def __init__(self, sandbox: Sandbox, admission: Callable[[bytes], None] = admit) -> None:
        self.sandbox = sandbox
        self._admission = admission
        self.calls: list[bytes] | None = None  # modules asked, where somebody wants to know

    def answer(self, state: State, question: Question) -> Judged:
        """The answer of the pinned module, or the class of its fault."""
        module = question.module
        if self.calls is not None:
            self.calls.append(module)
        if not self.sandbox.knows(module):
            loaded = self.sandbox.load(state.caps.blobs[module])
            assert loaded == module
        answer = self.sandbox.judge(module, question.data)
        if isinstance(answer, Fault):
            return Judged(question.hash, b"", answer.cls)
        return Judged(question.hash, answer, "")

    def admit(self, wasm: bytes) -> Admitted:
        """Whether a module is admitted, and if not, by which check."""
        try:
            self._admission(wasm)
        except NotAdmitted as error:
            return Admitted(hash_module(wasm), str(error.facts.get("check", "unknown")))
        return Admitted(hash_module(wasm), "")


class Writer:
    """Decides commands in memory and appends their frames in groups."""

    def __init__(self, state: State, store: Store, index: Index, judge: Judge) -> None:
        self.state = state
        self.store = store
        self.index = index
        self.judge = judge
        self.recaller = Recaller(store, index)
        self.stopped = ""
        self.commits = 0
        self._group: list[Frame] = []
        self._tip = store.head

    def run(
        self, by: str, command: Command, now_ns: int, seen: list[Evidence] | None = None
    ) -> tuple[int | None, Step]:
        """Decide a command; the sequence of its frame, None where nothing is recorded.

        `seen` is the evidence where it was gathered ahead at the same time (`staging.py`).
        """
        self.refuse_stopped()
        self.tick(now_ns)
        state = self.state
        if seen is None:
            seen, decided = decide(state, self.judge, self.recaller, by, command, now_ns)
        else:
            decided = step(state, now_ns, by, command, seen)
        if not decided.events:
            return None, decided
        seq = self._record(now_ns, by, command, seen, decided.events)
        if self.state.ledger.appointments:
            self.tick(now_ns)  # a rule that this record made due acts before anybody looks
        return seq, decided

    def tick(self, now_ns: int) -> int:
        """Work through what is due at `now_ns`; how many frames that took."""
        agenda = self.state.ledger.agenda
        if not agenda or agenda[0].due_ns > now_ns:  # the first is the earliest, standing or not
            return 0
        frames = 0
        items = TICK_ITEMS_MAX
        while (due := self.state.ledger.next_due()) is not None and due.due_ns <= now_ns:
            command = Tick(items)
            decided = step(self.state, now_ns, KERNEL, command, [])
            assert decided.events
            try:
                self._record(now_ns, KERNEL, command, [], decided.events)
            except FrameTooLarge:
                items //= 2
                assert items
                continue
            frames += 1
        return frames

    def commit(self) -> None:
        """Make every frame that was decided durable; no answer leaves the kernel before."""
        self.refuse_stopped()
        if not self._group:
            return
        try:
            result = self.store.append(self.store.head, self._group)
        except BaseException as error:
            self.stopped = f"the journal could not be written: {error}"
            raise
        if isinstance(result, Conflict | Unknown):
            self.stopped = f"the commit did not succeed: {result}"
            self.refuse_stopped()
        self._group = []
        self.commits += 1
        self.recaller.settle_pending()

    def kind_of(self, intent_hash: bytes) -> str:
        """The kind of an intent, also of one that has ended; empty where no frame decides it."""
        hold = self.state.ledger.holds.get(intent_hash)
        found = self.recaller.trace(intent_hash) if hold is None else None
        return hold.kind if hold is not None else found.member.kind if found is not None else ""

    @property
    def group_size(self) -> int:
        """Frames that are decided and not durable yet."""
        return len(self._group)

    def refuse_stopped(self) -> None:
        """Raises `KernelStopped` once a commit has failed."""
        if self.stopped:
            raise KernelStopped(
                f"{self.stopped}; open the world again and ask for the outcome of what is open"
            )

    def _record(self, now_ns: int, by: str, command: Command, seen: list[Evidence], out: list[Event]) -> int:
        state = self.state
        seq = state.size
        frame = seal(seq, self._tip.hash, body_rows(now_ns, by, command, seen, out))
        if len(frame.data) > FRAME_BYTES_MAX:
            raise FrameTooLarge(len(frame.data))
        try:
            remember(state, now_ns, by, out)
        except BaseException:
            self.stopped = f"the events of frame {seq} could not be applied"
            raise
        self._tip = Head(seq + 1, frame.hash)
        self._group.append(frame)
        index_events(self.index, seq, command, out)
        for event in out:
            if type(event) is Held:
                state.ledger.holds[event.intent_hash].frame_hash = frame.hash
        self.recaller.keep(frame, now_ns, command, out)
        if len(self._group) >= GROUP_MAX:
            self.commit()
        return seq


def decide(
    state: State, judge: Judge, recaller: Recaller, by: str, command: Command, now_ns: int
) -> tuple[list[Evidence], Step]:
    """Recall, ask, judge and step: the evidence to record, and what it decides. Audit does it again."""
    target = wants_known(state, command)
    known = recaller.known(target) if target else None
    target = wants_recall(state, command)
    recall = recaller.recall(target, state.ledger.holds.get(target)) if target else None
    needs: Needs = ask(state, now_ns, by, command, known, recall)
    seen: list[Evidence] = [known] if known is not None else []
    seen += [judge.admit(wasm) for wasm in needs.modules]
    seen += [judge.answer(state, question) for question in needs.questions]
    while True:
        try:
            return seen, step(state, now_ns, by, command, seen)
        except Unanswered as missing:
            seen += [judge.answer(state, question) for question in missing.questions]
