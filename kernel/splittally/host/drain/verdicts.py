"""What must say yes before a job is dispatched: the governor, the lane's program, the kernel.

Rule 1. The governor is asked once for each claim, first. Only `allowed` dispatches.
Rule 2. Nothing fails open: a governor that raises holds the job, and so does an answer without a verdict.
Rule 3. Of a verdict's detail only numbers and single words are kept: it stands in the audit row.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Protocol

from msgspec import Struct

from splittally.core.errors import SplittallyError
from splittally.host.drain.gate import ALLOW, DENY, KernelGate
from splittally.host.drain.jobs import Job, word_or
from splittally.host.drain.queue import Queue

DEFER = "defer"
LANE_BIN_ABSENT, CHECK_FAILED = "lane_bin_absent", "check_failed"
FACTS_MAX = 32


class Governor(Protocol):
    """Whoever says whether a job should run now: its answer has `action`, `reason`, `detail`, `allowed`."""

    def check_budget(self, job: Any) -> Any: ...


class Ruling(Struct, frozen=True):
    """What was said to a job: `allow` under an intent or none, `deny`, or a word that holds it."""

    action: str
    reason: str = ""
    detail: dict[str, Any] = {}
    intent_hash: str | None = None
    codes: tuple[str, ...] = ()


def rule(
    queue: Queue,
    job: Job,
    governor: Governor | None,
    lane_bin: Callable[[Any], bool] | None,
    gate: KernelGate | None,
) -> Ruling:
    """The first word against `job`, or `allow`."""
    said = _governed(job, governor)
    if said is not None:
        return said
    if lane_bin is not None and job.lane_id is not None and not lane_bin(job.lane_id):
        return Ruling(DEFER, LANE_BIN_ABSENT, {"lane_id": job.lane_id})
    if gate is None:
        return Ruling(ALLOW)
    asked = gate.ask(queue.id, job)
    reason = word_or(asked.codes[0] if asked.codes else None, asked.outcome)
    facts = facts_of({**asked.facts, "intent_hash": asked.intent_hash})
    kept = asked.intent_hash if asked.is_kept else None
    return Ruling(action=asked.outcome, reason=reason, detail=facts, intent_hash=kept, codes=asked.codes)


def facts_of(detail: object) -> dict[str, Any]:
    """The numbers and single words of a detail, by name; amounts that are not finite as text."""
    if not isinstance(detail, Mapping):
        return {}
    kept: dict[str, Any] = {}
    for name, value in list(detail.items())[:FACTS_MAX]:
        if isinstance(value, bool | int | None):
            kept[word_or(name, "other")] = value
        elif isinstance(value, float | Decimal):
            is_plain = isinstance(value, float) and value - value == 0
            kept[word_or(name, "other")] = value if is_plain else str(value)
        elif isinstance(value, str) and word_or(value, ""):
            kept[word_or(name, "other")] = value
    return kept


def _governed(job: Job, governor: Governor | None) -> Ruling | None:
    if governor is None:
        return None
    try:
        decision = governor.check_budget(job)
        allowed, action, reason = decision.allowed, decision.action, decision.reason
    except Exception as error:
        facts = error.facts if isinstance(error, SplittallyError) else {}
        return Ruling(DEFER, CHECK_FAILED, {**facts_of(facts), "error": type(error).__name__})
    if allowed is True:
        return None
    held = word_or(action, DEFER)
    held = DEFER if held in (ALLOW, DENY) else held
    return Ruling(held, word_or(reason, "unnamed"), facts_of(getattr(decision, "detail", None)))
