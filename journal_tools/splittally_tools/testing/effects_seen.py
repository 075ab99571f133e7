"""What a test saw happen: of each kind of effect what was answered, what was carried out, what was settled.

A test in which nothing is ever allowed passes over any bug. So who runs hosts or machines counts, and says.

Rule 1. An answer counts by its outcome, a refusal also by its first code: `deny budget_exceeded`.
Rule 2. Duplicates count once: what is told again did not happen again.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from splittally.core.types import ADMITTED
from splittally.edge.records import Decision, Settlement

ACTED, SUBMITTED = "acted", "submitted"
Effects = Mapping[str, Mapping[str, int]]


class EffectsSeen:
    """Counts by kind and word, in the order of their names."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = {}

    def decided(self, kind: str, decision: Decision) -> None:
        """An intent was answered."""
        if decision.duplicate:
            return
        code = decision.findings[0].code if decision.findings and decision.outcome not in ADMITTED else ""
        self._count(kind, SUBMITTED)
        self._count(kind, f"{decision.outcome} {code}".rstrip())

    def acted(self, kind: str) -> None:
        """An effect was carried out."""
        self._count(kind, ACTED)

    def settled(self, kind: str, settlement: Settlement) -> None:
        """A receipt was answered."""
        self._count(kind, settlement.status)

    def effects(self) -> dict[str, dict[str, int]]:
        """`{kind: {word: count}}`."""
        return {kind: dict(sorted(counts.items())) for kind, counts in sorted(self._counts.items())}

    def _count(self, kind: str, word: str) -> None:
        self._counts.setdefault(kind, Counter())[word] += 1


def total(several: Iterable[Effects]) -> dict[str, dict[str, int]]:
    """The effects of several runs together."""
    summed: dict[str, Counter[str]] = {}
    for effects in several:
        for kind, counts in effects.items():
            summed.setdefault(kind, Counter()).update(counts)
    return {kind: dict(sorted(counts.items())) for kind, counts in sorted(summed.items())}


def count_of(effects: Effects, word: str) -> int:
    """How often that happened, in all kinds."""
    return sum(counts.get(word, 0) for counts in effects.values())


def text_of(effects: Effects) -> str:
    """`llm.generate: 3 acted, 3 allow, 1 deny budget_exceeded, 4 submitted`; `nothing was asked for`."""
    parts = [
        f"{kind}: {', '.join(f'{n} {word}' for word, n in counts.items())}"
        for kind, counts in effects.items()
    ]
    return "; ".join(parts) or "nothing was asked for"
