"""One run of one job: what it has cost so far, and the signal that ends it early.

Rule 1. The first cause of an abort stands. A run that was aborted never counts as done.
Rule 2. Equality with the cap passes; above it the run is aborted, and what it cost is kept.
"""

import threading
from collections.abc import Callable
from decimal import Decimal

from splittally.core.errors import SplittallyError
from splittally.host.drain.jobs import usd, word_or

COST_CAP, MEMORY = "cost_cap", "memory"


class RunAborted(SplittallyError):
    """This run was told to stop; `facts["by"]` says by what."""

    code = "aborted"


class Run:
    """What a runner is given beside its job. Safe to use from several threads."""

    def __init__(self, cost_cap_usd: Decimal | None = None) -> None:
        self.cost_cap_usd = cost_cap_usd
        self.signal = threading.Event()
        self._lock = threading.Lock()
        self._accrued = Decimal(0)
        self._by: str | None = None
        self._listeners: list[Callable[[], None]] = []

    @property
    def aborted_by(self) -> str | None:
        """What ended the run early: `cost_cap`, `memory`, or a word of its own; None while it goes on."""
        return self._by

    @property
    def accrued_usd(self) -> Decimal:
        """What the run said that it cost so far."""
        return self._accrued

    def accrue(self, cost_usd: object) -> None:
        """Add to the cost of this run; `RunAborted` where that takes it above its cap."""
        amount = usd(cost_usd, "cost_usd")
        with self._lock:
            self._accrued += amount
            is_over = self.cost_cap_usd is not None and self._accrued > self.cost_cap_usd
        if is_over:
            self.abort(COST_CAP)
            self.check()

    def abort(self, by: str) -> None:
        """Tell the run to stop: sets the signal and calls who listens."""
        with self._lock:
            if self._by is not None:
                return
            self._by = word_or(by, "other")
            listeners = list(self._listeners)
            self.signal.set()
        for listener in listeners:
            listener()

    def on_abort(self, listener: Callable[[], None]) -> None:
        """Call `listener` when the run is aborted, at once where it was already."""
        with self._lock:
            is_late = self._by is not None
            self._listeners.append(listener)
        if is_late:
            listener()

    def check(self) -> None:
        """Raise `RunAborted` where the run was told to stop."""
        if self._by is not None:
            raise RunAborted(f"this run was aborted by `{self._by}`", by=self._by)
