"""What a run counts while it goes: per agent, per reason, per ending. It decides nothing.

Rule 1. Every number comes from an answer of the kernel; what a call was drawn to do is counted nowhere.
"""

from collections import Counter
from typing import NamedTuple

from splittally import Decision, HoldChange, Settlement

Reason = tuple[str, str]  # stage and code


class AgentTotals:
    """One agent's calls by what the kernel answered."""

    def __init__(self) -> None:
        self.calls = 0
        self.allowed = 0
        self.waited = 0  # for an approval
        self.denied: Counter[Reason] = Counter()


class Upgrade(NamedTuple):
    """The enforcer that was replaced while calls were in flight, and these calls."""

    seq: int
    at_call: int
    old_module: bytes
    new_module: bytes
    in_flight: frozenset[bytes]


class Totals:
    """The counts of a whole run."""

    def __init__(self, agents: tuple[str, ...]) -> None:
        self.agents = {name: AgentTotals() for name in agents}
        self.settled: Counter[str] = Counter()  # answer to a receipt
        self.violations: Counter[Reason] = Counter()
        self.released: Counter[str] = Counter()  # answer to a cancellation
        self.approvals: Counter[str] = Counter()
        self.groups: Counter[str] = Counter()
        self.duplicates = 0
        self.again_refused: Counter[Reason] = Counter()
        self.funded: list[int] = []
        self.upgrade: Upgrade | None = None

    @property
    def calls(self) -> int:
        return sum(agent.calls for agent in self.agents.values())

    @property
    def allowed(self) -> int:
        return sum(agent.allowed for agent in self.agents.values())

    @property
    def waited(self) -> int:
        return sum(agent.waited for agent in self.agents.values())

    @property
    def denied(self) -> Counter[Reason]:
        total: Counter[Reason] = Counter()
        for agent in self.agents.values():
            total.update(agent.denied)
        return total

    def enter_decision(self, agent: str, decision: Decision) -> None:
        """Count the first answer to a call."""
        totals = self.agents[agent]
        totals.calls += 1
        if decision.allowed:
            totals.allowed += 1
        elif decision.outcome == "require_approval":
            totals.waited += 1
        else:
            first = decision.findings[0]
            totals.denied[first.stage, first.code] += 1

    def enter_again(self, decision: Decision) -> None:
        """Count the answer to a key that was used before."""
        if decision.duplicate:
            self.duplicates += 1
        else:
            first = decision.findings[0]
            self.again_refused[first.stage, first.code] += 1

    def enter_settlement(self, settlement: Settlement) -> None:
        """Count what became of a receipt."""
        self.settled[settlement.status] += 1
        for violation in settlement.violations:
            self.violations[violation.stage, violation.code] += 1

    def enter_release(self, change: HoldChange) -> None:
        """Count what became of a cancellation."""
        self.released[change.status] += 1
