"""A machine that drives a world of your manifest in every way a host can, and checks it after every step.

    class Shop(WorldMachine):
        manifest = "shop.toml"
        modules = {"acme/Lamps@1": Path("lamps.wasm")}
        bounded = ("credits",)

    class TestShop(Shop.TestCase):
        settings = settings(Shop.TestCase.settings, max_examples=50)

Rule 1. After every step: value is conserved, no limit is passed without a reason, the journal folds and is
        judged again to the same bytes, and the counters are what the answers add up to.
Rule 2. The world is a function of the drawn steps: a given clock, keys and ids from a counter.
Rule 3. A machine whose every intent was refused has tested nothing, and fails.
Rule 4. The journal of the smallest run that fails is kept, and the failure says where.
"""

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from blake3 import blake3
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace
from splittally.core.errors import JournalDamaged
from splittally.core.types import ADMITTED, FINAL, ROOT
from splittally.edge.arguments import Mode
from splittally.edge.records import Decision, Intent, Receipt, Settlement
from splittally.runtime import Kernel
from splittally.runtime.reader import read_store

from splittally_tools.audit.conservation import Conservation
from splittally_tools.testing.artifacts import is_kept
from splittally_tools.testing.assertions import assert_agrees, assert_balanced, recorded_findings
from splittally_tools.testing.faults import AFTER, BEFORE, Crash, Disk
from splittally_tools.testing.journal_walk import Walk
from splittally_tools.testing.machine_test import asked_by, make_ready
from splittally_tools.testing.model import Model
from splittally_tools.testing.overspend import Overspend
from splittally_tools.testing.strategies import edited, intents, receipts
from splittally_tools.testing.worlds import Manifest, apply_manifest, name_of, note_journal, read_document

STATUSES = ("ok", "error", "timeout", "unknown")
STEP_NS_MAX = 2 * 10**9
GROUP_INTENTS_MAX = 3


class WorldMachine(RuleBasedStateMachine):
    """Subclass it with a `manifest`, and with what else your world needs; then use its `TestCase`."""

    manifest: ClassVar[Manifest] = {}
    modules: ClassVar[Mapping[str, bytes | Path]] = {}  # name of a module -> Wasm, beside the manifest's
    store: ClassVar[str] = "memory"  # or lmdb
    bounded: ClassVar[Sequence[str]] = ()  # dimensions that enforcers must reserve
    allowed_min: ClassVar[int] = 1  # intents that must be admitted in all examples together

    def __init_subclass__(cls) -> None:
        """Its `TestCase` is made ready (`machine_test`)."""
        super().__init_subclass__()
        make_ready(cls, cls.TestCase, lambda: cls.allowed_min)

    def __init__(self) -> None:
        super().__init__()
        self._raised_before = sys.exception()
        self._bytes_drawn = 0
        self._folder = tempfile.TemporaryDirectory() if self.store == "lmdb" else None
        self._disk = Disk(Path(self._folder.name) / "world" if self._folder is not None else None)
        self.kernel: Kernel = self._disk.open("given", entropy=self._chance)
        self.document = read_document(self.manifest)
        self.asked: list[tuple[Intent, Decision]] = []
        self.model = Model(self.bounded)
        self._start_walk()
        try:
            apply_manifest(self.kernel, self.with_modules(self.document))
            self.prepare(self.kernel)
        except BaseException:
            self._close()
            raise

    # --- what to override ------------------------------------------------------------------------

    def prepare(self, kernel: Kernel) -> None:
        """Whatever the world needs before the first step, such as funds."""

    def intents(self) -> st.SearchStrategy[Intent]:
        """Intents to submit; by default any that the kernel can decide. Keys are given by the machine."""
        return intents(self.kernel)

    def receipt_for(self, decision: Decision) -> st.SearchStrategy[Receipt]:
        """Receipts for an intent that was decided; by default any with about as much as was reserved."""
        assert decision.intent_hash is not None
        return receipts(self.kernel, decision.intent_hash)

    def edits(self) -> st.SearchStrategy[dict[str, Any]]:
        """Other manifests to apply; by default the same with another limit for one grant."""
        return edited(self.document)

    # --- what rules of your own ask through ------------------------------------------------------

    def ask(self, intent: Intent) -> Decision:
        """Submits an intent, with a key where it has none, and enters the answer in the model."""
        if intent.idempotency_key is None:
            intent = replace(intent, idempotency_key=self._chance(32))
        decision: Decision = self.kernel.submit(intent)
        self._note(intent, decision)
        return decision

    def deliver(self, receipt: Receipt) -> Settlement:
        """Settles by a receipt, and enters the answer in the model."""
        settlement: Settlement = self.kernel.settle(receipt)
        self.model.settled(self.kernel, settlement)
        return settlement

    # --- rules -----------------------------------------------------------------------------------

    @rule(data=st.data())
    def submit(self, data: st.DataObject) -> None:
        """One intent; what `decide` says beforehand is what is answered."""
        intent = self._drawn(data)
        if intent is None:
            return
        dry = self.kernel.decide(intent)
        decision = self.ask(intent)
        for name in ("outcome", "findings", "reserve"):
            was, now = getattr(dry, name), getattr(decision, name)
            assert was == now, f"`decide` said {name} {was!r}, and `submit` {now!r}"

    @rule(data=st.data(), mode=st.sampled_from(["each", "all", "first"]))
    def submit_several(self, data: st.DataObject, mode: Mode) -> None:
        """Several at once: unrelated, all or none, or the first grant that allows it."""
        several = [self._drawn(data) for _ in range(data.draw(st.integers(1, GROUP_INTENTS_MAX)))]
        drawn = [intent for intent in several if intent is not None]
        if not drawn:
            return
        if mode == "first":
            grants = sorted({intent.grant for intent in drawn})
            drawn = [replace(drawn[0], grant=grant) for grant in grants]
            decision = self.kernel.submit(drawn, mode=mode)
            digest = decision.intent_hash
            row = self.kernel.outcome(digest) if digest and decision.outcome in ADMITTED else None
            for intent in drawn:
                if row is not None and row.grant == intent.grant:
                    self._note(intent, decision)
            return
        for intent, decision in zip(drawn, self.kernel.submit(drawn, mode=mode), strict=True):
            self._note(intent, decision)

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        """The same intent with the same key gets its first answer and writes nothing."""
        intent, first = data.draw(st.sampled_from(self.asked))
        if first.seq is None or first.outcome not in FINAL:
            return
        size = self.kernel.state.seq
        again = self.kernel.submit(intent)
        assert again.duplicate, f"asked again, frame {first.seq} was answered afresh: {again}"
        assert (again.seq, again.outcome) == (first.seq, first.outcome)
        assert recorded_findings(again) == recorded_findings(first)
        assert not again.allowed, "who asks again with another attempt may not act"
        assert self.kernel.state.seq == size, "an intent that is known already wrote a frame"

    @precondition(lambda self: self.model.open or self.model.ended)
    @rule(data=st.data(), status=st.sampled_from(STATUSES))
    def settle(self, data: st.DataObject, status: str) -> None:
        """A receipt: in time, late, for the second time, or that nobody knows."""
        intent_hash = data.draw(self._admitted())
        row = self.kernel.outcome(intent_hash)
        assert row is not None
        decision = Decision(
            seq=row.seq,
            intent_hash=intent_hash,
            outcome=row.outcome,
            findings=tuple(row.findings),
            reserve=row.reserve,
        )
        self.deliver(replace(data.draw(self.receipt_for(decision)), status=status))

    @precondition(lambda self: self.model.open or self.model.ended)
    @rule(data=st.data(), cause=st.sampled_from(["cancel", "not_dispatched"]))
    def release(self, data: st.DataObject, cause: str) -> None:
        """A hold ends without a receipt."""
        self.model.released(self.kernel.release(data.draw(self._admitted()), cause))

    @precondition(lambda self: self.model.open)
    @rule(data=st.data(), more_ns=st.integers(1, STEP_NS_MAX))
    def extend(self, data: st.DataObject, more_ns: int) -> None:
        """A hold is to last longer."""
        self.kernel.extend(data.draw(self._open()), self.kernel.state.now_ns + more_ns)

    @precondition(lambda self: self.model.open)
    @rule(data=st.data(), is_approved=st.booleans())
    def answer_approval(self, data: st.DataObject, is_approved: bool) -> None:
        """Somebody approves or rejects; of what does not wait nothing changes."""
        answer = self.kernel.approve if is_approved else self.kernel.reject
        answer(data.draw(self._open()))

    @rule(step_ns=st.integers(1, STEP_NS_MAX))
    def let_time_pass(self, step_ns: int) -> None:
        """What falls due happens."""
        self.kernel.tick(now_ns=self.kernel.state.now_ns + step_ns)

    @rule(data=st.data())
    def apply_another_manifest(self, data: st.DataObject) -> None:
        """The manifest is edited and applied; reserved and spent carry over."""
        document = data.draw(self.edits())
        if self.kernel.apply(self.with_modules(document)).allowed:
            self.document = document

    @precondition(lambda self: self.grants_left())
    @rule(data=st.data(), amount=st.integers(1, 100))
    def top_up(self, data: st.DataObject, amount: int) -> None:
        """A limit is raised; refused where the grant above has less."""
        name = data.draw(st.sampled_from(self.grants_left()))
        for dim in sorted(self.kernel.state.grants[name].budget or {})[:1]:
            self.kernel.native("grant.topup", name=name, dim=dim, amount=amount)

    @precondition(lambda self: len(self.grants_left()) > 1)
    @rule(data=st.data())
    def revoke(self, data: st.DataObject) -> None:
        """A grant is void, and with it all that descends from it."""
        name = data.draw(st.sampled_from(self.grants_left()))
        self.kernel.native("grant.revoke", name=name)

    @rule()
    def reopen(self) -> None:
        """The kernel ends and comes back with what was committed: everything that was answered."""
        self._reopen()

    @rule(data=st.data(), when=st.sampled_from([BEFORE, AFTER]))
    def crash_while_submitting(self, data: st.DataObject, when: str) -> None:
        """It ends on one side of the commit; asked again, the host gets one answer, whichever it was."""
        intent = self._drawn(data)
        if intent is None:
            return
        size = self.kernel.state.seq
        self._disk.store.fail(when)
        try:
            self.kernel.submit(intent)
        except Crash:
            self._reopen()
        self._disk.store.fail("")
        was_kept = self.kernel.state.seq > size
        decision = self.kernel.submit(intent)
        if was_kept and decision.outcome in FINAL:
            assert decision.duplicate, "an intent was committed, and asked again it is decided afresh"
            told = recorded_findings(decision)  # nobody was told before
            decision = replace(decision, duplicate=False, may_act=None, findings=told)
        self._note(intent, decision)

    # --- what holds after every step -------------------------------------------------------------

    @invariant()
    def the_world_is_sound(self) -> None:
        """Conserved, within its limits, folded and judged again to the same bytes, as it was answered."""
        assert_balanced(self.kernel)
        try:
            self._walk.go_on()
            self._money.compare_all(self._walk.state)
        except JournalDamaged as error:
            raise AssertionError(str(error)) from error
        assert_agrees(self.kernel, self._walk.state)
        self.model.compare(self.kernel)

    def teardown(self) -> None:
        """Keeps the journal where the run failed."""
        error = sys.exception()
        try:
            if error is not None and error is not self._raised_before and is_kept(error):
                note_journal(error, self._disk.store, name_of(error, type(self).__name__))
        finally:
            self._close()

    # --- parts -----------------------------------------------------------------------------------

    def with_modules(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """A manifest with the machine's own modules."""
        wasm = {name: x.read_bytes() if isinstance(x, Path) else x for name, x in self.modules.items()}
        return {**document, "modules": {**document.get("modules", {}), **wasm}} if wasm else dict(document)

    def grants_left(self) -> list[str]:
        """The grants that are live, without root."""
        return [name for name, row in self.kernel.state.grants.items() if name != ROOT and not row.revoked]

    def _chance(self, size: int) -> bytes:
        self._bytes_drawn += 1
        return blake3(self._bytes_drawn.to_bytes(8)).digest(length=size)

    def _drawn(self, data: st.DataObject) -> Intent | None:
        """An intent with a key of its own; None where there is nothing left to ask for."""
        strategy = self.intents()
        asked_by(type(self)).drawn += 1
        if strategy.is_empty:
            return None
        return replace(data.draw(strategy), idempotency_key=self._chance(32))

    def _note(self, intent: Intent, decision: Decision) -> None:
        self.asked.append((intent, decision))
        asked_by(type(self)).seen.decided(intent.kind, decision)
        self.model.decided(self.kernel, decision)

    def _admitted(self) -> st.SearchStrategy[bytes]:
        """An intent that is open, or one that has ended."""
        ended = st.sampled_from(self.model.ended) if self.model.ended else st.nothing()
        return self._open() | ended if self.model.open else ended

    def _open(self) -> st.SearchStrategy[bytes]:
        return st.sampled_from(list(self.model.open))

    def _reopen(self) -> None:
        self.kernel = self._disk.open(entropy=self._chance)
        if self._folder is not None:  # what was walked along is closed
            self._start_walk()

    def _start_walk(self) -> None:
        self._money = Conservation()
        overspend = Overspend(self.bounded)
        reader = read_store(self._disk.store.base)
        self._walk = Walk(reader, self._money.see, overspend.see, is_rejudging=True)

    def _close(self) -> None:
        self.kernel.close()
        self._disk.close()
        if self._folder is not None:
            self._folder.cleanup()
