"""Stage 8: should it happen now? Caps on spend, then the failure class, then memory (D-11).

Rule 1. Only an effect with a reserve in a capped resource, or with a lane, is judged.
Rule 2. What is reserved counts as spent, so two jobs at once cannot pass a cap together.
Rule 3. A lane fits beside what is always resident and the other lanes that are.
"""

from typing import Any

from msgspec import Struct

from splittally.core.findings import Finding, find
from splittally.core.governor.judge import OVER_DAILY_CAP, Case, Judgement, judge
from splittally.core.governor.state import Governed
from splittally.core.governor.terms import CapOnSpend, Envelope, at_pointer
from splittally.core.types import ALLOW

CEILING_PERCENT = 33  # of the workload needs the frontier (`terms.py`)


class Governing(Struct, frozen=True, gc=False):
    """What the governor sees of an intent; `starts` are the windows' starts by name."""

    kind: str
    params: Any
    reserve: dict[str, int]
    starts: dict[str, int]


class GovernorVerdict(Struct, frozen=True, gc=False):
    """What the governor says, with the numbers that stand in the record."""

    outcome: str
    findings: list[Finding]
    facts: dict[str, Any]


UNGOVERNED = GovernorVerdict(ALLOW, [], {})


def check_governor(governed: Governed, asked: Governing) -> GovernorVerdict:
    """The verdict on an effect; `UNGOVERNED` where it concerns no cap and no lane."""
    terms = governed.terms
    assert terms is not None
    fields = terms.fields.get(asked.kind)
    lane = at_pointer(asked.params, fields.lane) if fields else ""
    failure = at_pointer(asked.params, fields.failure_class) if fields else ""
    caps = [cap for cap in terms.caps if cap.resource in asked.reserve]
    if not caps and not lane:
        return UNGOVERNED
    envelope = terms.envelope if lane else None
    candidates: list[CapOnSpend | None] = [*caps] or [None]
    judged = [
        judge(_case(governed, asked, cap, envelope, lane, failure, terms.classes)) for cap in candidates
    ]
    at = next((at for at, each in enumerate(judged) if each.reason == OVER_DAILY_CAP), 0)
    return _verdict(judged[at], candidates[at], lane)


def _case(
    governed: Governed,
    asked: Governing,
    cap: CapOnSpend | None,
    envelope: Envelope | None,
    lane: str,
    failure: str,
    classes: list[str],
) -> Case:
    others = {other for other in governed.lanes.values() if other != lane} if envelope else set()
    resident = sum(lane_mib(envelope, other) for other in sorted(others)) if envelope else 0
    return Case(
        lane=lane,
        failure_class=failure,
        estimate=asked.reserve[cap.resource] if cap else 0,
        spent=spent_and_reserved(governed, cap, asked.starts) if cap else 0,
        cap=cap.amount if cap else None,
        usage=None,
        usage_cap=None,
        has_ledger=True,
        lane_size=lane_mib(envelope, lane) if envelope else 0,
        reserved=envelope.reserved + resident if envelope else 0,
        total=envelope.total if envelope else 0,
        classes=frozenset(classes),
        ceiling=CEILING_PERCENT,
    )


def lane_mib(envelope: Envelope, lane: str) -> int:
    """What a lane takes."""
    return envelope.lanes.get(lane, envelope.default_lane)


def spent_and_reserved(governed: Governed, cap: CapOnSpend, starts: dict[str, int]) -> int:
    """What counts against a cap now: spent in the window that is open, and everything reserved."""
    began, amount = governed.spent.get((cap.resource, cap.per), (0, 0))
    spent = amount if began == starts[cap.per] else 0
    return spent + governed.reserved.get(cap.resource, 0)


def _verdict(judged: Judgement, cap: CapOnSpend | None, lane: str) -> GovernorVerdict:
    facts: dict[str, Any] = {"action": judged.action, "reason": judged.reason, **judged.detail}
    if cap is not None:
        facts |= {"resource": cap.resource, "per": cap.per}
    facts.pop("lane", None)
    if lane:
        facts["lane_id"] = lane
    if judged.action == ALLOW:
        return GovernorVerdict(ALLOW, [], facts)
    code = (
        "over_weekly_cap" if cap and cap.per == "week" and judged.reason == OVER_DAILY_CAP else judged.reason
    )
    shown = {name: value for name, value in facts.items() if name not in ("action", "reason")}
    return GovernorVerdict(judged.action, [find(code, **shown)], facts)
