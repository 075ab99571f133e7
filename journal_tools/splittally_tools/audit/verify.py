"""Is the journal sound? Structure, chain, fold from genesis, and everything that must hold of it.

Rule 1. Nothing but the frames is trusted: no snapshot and no index is used, both are compared.
Rule 2. The first bad frame ends the walk and is named. What is wrong beside the journal is listed.
Rule 3. The report depends on the world alone: not on the time, the machine, its language or its hash seed.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from msgspec import Struct
from splittally.core.canonical import UNENCODABLE
from splittally.core.errors import JournalDamaged
from splittally.core.snapshot import state_root
from splittally.core.state import State
from splittally.core.well_formed import fault_of
from splittally.journal.proof.checkpoint import Checkpoint
from splittally.runtime.reader import Reader
from splittally.runtime.record import Record
from splittally.runtime.recover import apply_events

from splittally_tools.audit.against_checkpoint import AgainstCheckpoint
from splittally_tools.audit.conservation import Conservation
from splittally_tools.audit.projections import IndexRuns, SavedStates
from splittally_tools.audit.records import Intents, Records, intent_of
from splittally_tools.audit.signatures import Signatures

PROGRESS_FRAMES = 1_024
Progress = Callable[[int], None]
AtSize = Callable[[int, State], None]  # told of the state after so many frames


class Report(Struct):
    """What verification found; `damage` and `problems` are empty when everything is sound."""

    frames: int = 0
    head: bytes = b""
    state_root: bytes = b""
    world: bytes = b""
    intents: int = 0
    resources: int = 0
    open_holds: int = 0
    snapshots_equal: int = 0
    index_runs_equal: int = 0
    checkpoint_size: int | None = None
    damage: dict[str, Any] | None = None
    problems: list[str] = []

    @property
    def is_sound(self) -> bool:
        """Whether neither the journal nor a projection of it is wrong."""
        return self.damage is None and not self.problems


def verify(
    reader: Reader,
    checkpoint: Checkpoint | None = None,
    progress: Progress | None = None,
    boundaries: Iterable[int] = (),
    at_boundary: AtSize | None = None,
) -> Report:
    """The report on the world of `reader`. `at_boundary` is given the state at each size of `boundaries`."""
    report = Report()
    try:
        reader.store.verify_pages()
        _Walk(reader, report, checkpoint, progress, set(boundaries), at_boundary).walk()
    except JournalDamaged as error:
        report.damage = damage_of(error)
    return report


def damage_of(error: JournalDamaged) -> dict[str, Any]:
    """Damage as the report tells it."""
    return {"code": error.code, "message": str(error), "facts": dict(error.facts)}


class _Walk:
    def __init__(
        self,
        reader: Reader,
        report: Report,
        checkpoint: Checkpoint | None,
        progress: Progress | None,
        boundaries: set[int],
        at_boundary: AtSize | None,
    ) -> None:
        self.reader = reader
        self.report = report
        self.progress = progress
        self.boundaries, self.at_boundary = boundaries, at_boundary
        self.records, self.intents, self.money = Records(), Intents(), Conservation()
        self.signatures = Signatures()
        self.snapshots = SavedStates(reader.snapshots)
        self.runs = IndexRuns(reader.folder / "index")
        self.against = AgainstCheckpoint(checkpoint) if checkpoint is not None else None

    def walk(self) -> None:
        """Every frame from genesis, each check in turn."""
        state, report = State(), self.report
        report.head = self.reader.head.hash
        for record in self.reader.records():
            body, seq = record.body, record.seq
            self.records.see(record)
            self.intents.see(record)
            self._ask(record, state)
            apply_events(state, body.at_ns, body.by, body.out, seq)
            self.money.see(record, state)
            with in_bytes(seq):
                self.snapshots.see(record, state)
            self.runs.see(record, state)
            with in_bytes(seq):
                if self.against is not None:
                    self.against.see(record, state)
                report.frames = seq + 1
                if self.at_boundary is not None and report.frames in self.boundaries:
                    self.at_boundary(report.frames, state)
            if self.progress is not None and report.frames % PROGRESS_FRAMES == 0:
                self.progress(report.frames)
        self._finish(state)

    def _ask(self, record: Record, state: State) -> None:
        """What the kernel asks of every command before it decides, in the state before the frame."""
        body = record.body
        if fault := fault_of(state, body.at_ns, body.by, body.command):
            text = f"frame {record.seq} is none that a kernel records: {fault}"
            raise JournalDamaged(text, seq=record.seq, intent_hash=intent_of(body.command))
        if fault := self.signatures.fault_of(state, body):
            text = f"frame {record.seq} is none that a kernel records: {fault}"
            raise JournalDamaged(text, seq=record.seq, intent_hash=intent_of(body.command))

    def _finish(self, state: State) -> None:
        report = self.report
        report.world, report.intents = state.world, self.intents.count
        report.resources, report.open_holds = len(state.ledger.resources), len(state.ledger.holds)
        self.intents.finish()
        if state.size:
            self.money.compare_all(state)
        with in_bytes(state.size - 1):
            report.state_root = state_root(state)
        report.problems = [*self.snapshots.finish(), *self.runs.finish()]
        report.snapshots_equal, report.index_runs_equal = self.snapshots.equal, self.runs.equal
        if self.against is not None:
            self.against.finish(report.frames)
            report.checkpoint_size = self.against.checkpoint.size


@contextmanager
def in_bytes(seq: int) -> Iterator[None]:
    """Damage that names the frame where no bytes are defined for the state after it."""
    try:
        yield
    except UNENCODABLE as error:
        text = f"after frame {seq} the state holds a number that no bytes are defined for"
        raise JournalDamaged(text, seq=seq) from error
