"""The outside world of a simulation: what hosts did there, and what they may never have done.

Rule 1. An effect is carried out only for an intent that was allowed and is not waiting for approval.
Rule 2. Of two who submit one intent only the one whose attempt was recorded acts (D-07).
Rule 3. One intent is carried out once, and so is one job, whatever intents it was asked for with.
Rule 4. In the end every effect that was carried out is settled, or said to be unknown. Whoever asks for it
        is told of holds that are left for ever, too.
"""

from typing import NamedTuple

from splittally.core.types import ALLOW, APPROVAL, OPEN, REQUIRE_APPROVAL, SETTLED, UNKNOWN
from splittally.runtime import Kernel
from splittally.runtime.rows import Row


class Act(NamedTuple):
    """An effect that was carried out."""

    host: str
    intent_hash: bytes
    job: str
    at_ns: int


class Outside:
    """What was done, in order; each method gives what is wrong about it, empty where nothing is."""

    def __init__(self) -> None:
        self.acts: list[Act] = []

    def carry_out(self, kernel: Kernel, act: Act, attempts: set[bytes]) -> str:
        """Does it; `attempts` are those that this host sent with the intent since it started."""
        earlier = [done for done in self.acts if act.intent_hash == done.intent_hash or act.job == done.job]
        self.acts.append(act)
        row = kernel.outcome(act.intent_hash) if act.intent_hash else None
        wrong = _not_allowed(row)
        if wrong:
            return f"{act.host} carries out `{act.job}`, {wrong}"
        assert row is not None
        if earlier and earlier[0].job == act.job:
            before = f"{earlier[0].host} did after {earlier[0].at_ns / 10**9:.3f} s"
            return f"{act.host} carries out `{act.job}` again: {before}"
        if earlier:
            return f"{act.host} carries out `{act.job}` with the intent of `{earlier[0].job}`"
        if attempts and row.attempt not in attempts:
            return f"{act.host} carries out `{act.job}`, which was allowed to another attempt than its own"
        return ""

    def unsettled(self, kernel: Kernel) -> str:
        """The first effect of which the kernel was never told."""
        for act in self.acts:
            row = kernel.outcome(act.intent_hash)
            if row is None:
                return f"{act.host} carried out `{act.job}`, and the journal does not know the intent"
            is_told = row.status == SETTLED or row.charged is not None or row.phase == UNKNOWN
            if not is_told:
                return f"{act.host} carried out `{act.job}` and never settled it: the intent is {row.status}"
        return ""

    def left_open(self, kernel: Kernel) -> str:
        """The first hold that nobody will ever end: never carried out, and without an expiry."""
        acted = {act.intent_hash for act in self.acts}
        for intent_hash, row in kernel.state.reservations.items():
            if row.phase == OPEN and row.due_ns is None and intent_hash not in acted:
                about = f"intent {intent_hash.hex()} of frame {row.seq} under `{row.grant}`"
                return f"{about} is left reserved: it was never carried out, and nobody ends it"
        return ""


def _not_allowed(row: Row | None) -> str:
    """Why an intent may not be carried out; empty where it may."""
    if row is None:
        return "which is not in the journal"
    if row.outcome not in (ALLOW, REQUIRE_APPROVAL):
        return f"which was answered `{row.outcome}` in frame {row.seq}"
    return "which waits for approval" if row.phase == APPROVAL else ""
