"""A walk along a journal with checks on every frame, which can go on when there are more frames.

Rule 1. A check is told each frame and the state after it, and raises what is wrong.
Rule 2. Judging again decides each frame once more in the state before it, as `tally verify --rejudge`.
"""

from collections.abc import Callable

from splittally.core.state import State
from splittally.journal.index import Index
from splittally.runtime.history import index_events
from splittally.runtime.reader import Reader
from splittally.runtime.record import Record
from splittally.runtime.recover import apply_events

from splittally_tools.audit.records import Intents, Records
from splittally_tools.audit.rejudge import Rejudge

Check = Callable[[Record, State], None]


class Walk:
    """From the first frame on; `state` is that after the last frame seen."""

    def __init__(self, reader: Reader, *checks: Check, is_rejudging: bool = False) -> None:
        self.reader = reader
        self.state = State()
        self.records, self.intents = Records(), Intents()
        self._checks = checks
        self._index = Index(None)
        self._rejudge = Rejudge(reader, self._index, self.state) if is_rejudging else None

    @property
    def other_engines(self) -> dict[str, int]:
        """How many frames were not judged again, by the engine that decided them."""
        return dict(self._rejudge.other_engines) if self._rejudge is not None else {}

    def go_on(self) -> None:
        """Sees every frame that it has not seen; `JournalDamaged` or `AssertionError` names the first bad."""
        for record in self.reader.records(self.state.size):
            self._see(record)

    def finish(self) -> None:
        """The same, and refuses an intent that was finally decided twice."""
        self.go_on()
        self.intents.finish()

    def _see(self, record: Record) -> None:
        body, seq = record.body, record.seq
        self.records.see(record)
        self.intents.see(record)
        if self._rejudge is not None:
            drift = self._rejudge.see(record)
            if drift is not None:
                raise AssertionError(f"frame {seq} comes out otherwise: {drift.message}")
        else:
            apply_events(self.state, body.at_ns, body.by, body.out, seq)
        index_events(self._index, seq, body.command, body.out)
        for check in self._checks:
            check(record, self.state)
