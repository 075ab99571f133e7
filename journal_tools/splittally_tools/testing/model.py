"""A tiny model of any world, kept from the answers alone: what a host could write on a slip of paper.

Rule 1. What is reserved under a grant without children is the sum of the reserves that were answered for
        what is still open; what is spent is the sum of the usages that were answered.
Rule 2. What ends by itself is asked for; the journal must say how it ended.
Rule 3. Of a dimension that is said to be bounded nothing is used that was not reserved, unless a violation
        says so.
"""

from collections import Counter
from collections.abc import Collection
from typing import NamedTuple

from splittally.core.findings import has_code
from splittally.core.types import ADMITTED, SETTLED
from splittally.edge.records import Decision, HoldChange, Settlement
from splittally.runtime import Kernel
from splittally.runtime.rows import Row

Key = tuple[str, str]  # grant, dimension


class Open(NamedTuple):
    """What was admitted and has not ended: its grant, and what the answer said that it holds."""

    grant: str
    reserve: dict[str, int]


class Model:
    """The slip of paper."""

    def __init__(self, bounded: Collection[str] = ()) -> None:
        self._bounded = sorted(bounded)
        self.open: dict[bytes, Open] = {}
        self.ended: list[bytes] = []
        self._spent: Counter[Key] = Counter()
        self._before: dict[Key, int] = {}  # spent when a limit of the dimension was first seen

    def decided(self, kernel: Kernel, decision: Decision) -> None:
        """An intent was answered."""
        if decision.outcome not in ADMITTED or decision.duplicate or decision.intent_hash is None:
            return
        row = kernel.outcome(decision.intent_hash)
        assert row is not None, f"{decision.outcome} was answered, and the journal does not know the intent"
        self.open[decision.intent_hash] = Open(row.grant, dict(decision.reserve))

    def settled(self, kernel: Kernel, settlement: Settlement) -> None:
        """A receipt was answered; what is charged is the usage that it says, unless its grant caps it."""
        if settlement.status in ("settled", "late"):
            row = self._charge(kernel, settlement.intent_hash)
            grant = kernel.state.grant(row.grant)
            assert grant is not None
            is_cut = grant.above == "cap" or any(
                has_code(found, "counter_saturated") for found in settlement.violations
            )
            assert is_cut or row.charged == settlement.usage, (
                f"{settlement.usage} was answered as usage, and {row.charged} charged"
            )
            for dim in self._bounded if not settlement.violations else ():
                used, reserve = settlement.usage.get(dim, 0), row.reserve.get(dim, 0)
                assert reserve or not used, (
                    f"frame {settlement.seq}: grant `{row.grant}`, dimension `{dim}`: {used} used with "
                    f"nothing reserved and no violation, though `{dim}` is bounded"
                )
        if settlement.status == "settled":
            self._end(settlement.intent_hash)

    def released(self, change: HoldChange) -> None:
        """A release was answered."""
        if change.status == "released":
            self._end(change.intent_hash)

    def compare(self, kernel: Kernel) -> None:
        """The kernel's counters are those of the slip; `AssertionError` with both numbers."""
        held = kernel.state.reservations
        for intent_hash in [digest for digest in self.open if digest not in held]:
            self._ended_by_itself(kernel, intent_hash)
        for intent_hash in [digest for digest in held if digest not in self.open]:
            self._adopt(kernel, intent_hash)
        parents = {grant.parent for grant in kernel.state.grants.values()}
        reserved: Counter[Key] = Counter()
        for grant, reserve in self.open.values():
            for dim, amount in reserve.items():
                reserved[grant, dim] += amount
        for grant, counters in kernel.state.counters.items():
            for dim, row in counters.items() if grant not in parents else ():
                key = (grant, dim)
                assert row.reserved == reserved[key], (
                    f"grant `{grant}`, dimension `{dim}`: {row.reserved} reserved, and by the answers "
                    f"{reserved[key]}"
                )
                before = self._before.setdefault(key, row.spent - self._spent[key])
                assert row.spent == before + self._spent[key], (
                    f"grant `{grant}`, dimension `{dim}`: {row.spent} spent, and by the answers "
                    f"{before + self._spent[key]}"
                )

    def _adopt(self, kernel: Kernel, intent_hash: bytes) -> None:
        """What is open and was asked for elsewhere, such as before the first step."""
        row = kernel.outcome(intent_hash)
        assert row is not None, f"intent {intent_hash.hex()} is open, and the journal does not know it"
        assert row.outcome in ADMITTED, (
            f"intent {intent_hash.hex()} is open, and `{row.outcome}` was answered"
        )
        assert intent_hash not in self.ended, f"intent {intent_hash.hex()} has ended and is open again"
        self.open[intent_hash] = Open(row.grant, dict(row.reserve))

    def _ended_by_itself(self, kernel: Kernel, intent_hash: bytes) -> None:
        row = kernel.outcome(intent_hash)
        assert row is not None, f"intent {intent_hash.hex()} was admitted and the journal lost it"
        assert row.status in ("settled", "released"), f"intent {intent_hash.hex()} is neither open nor ended"
        if row.status == SETTLED:
            self._charge(kernel, intent_hash)
        self._end(intent_hash)

    def _charge(self, kernel: Kernel, intent_hash: bytes) -> Row:
        row = kernel.outcome(intent_hash)
        assert row is not None
        for dim, amount in (row.charged or {}).items():
            self._spent[row.grant, dim] += amount
        return row

    def _end(self, intent_hash: bytes) -> None:
        if self.open.pop(intent_hash, None) is not None:
            self.ended.append(intent_hash)
