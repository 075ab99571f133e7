"""Stage 8: should it happen now? Caps on spend, then the failure class, then memory (D-11).

Rule 1. Only an effect with a reserve in a capped resource, or with a lane, is judged.
Rule 2. What is reserved counts as spent, so two jobs at once cannot pass a cap together.
Rule 3. A lane fits beside what is always resident and the other lanes that are.
Rule 4. What is more than a whole cap is denied and not deferred. Of several caps that are passed, one that
        can never be kept is told, else the one whose window ends last.
Rule 5. An intent that is judged again while it is held (`is_held`) is counted once, as reserved.
"""

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from splittally.core.findings import Finding, advising, find
from splittally.core.governor.judge import OVER_DAILY_CAP, Case, Judgement, judge
from splittally.core.governor.state import Governed
from splittally.core.governor.terms import CapOnSpend, Envelope, GovernorTerms, at_pointer
from splittally.core.reasons import REPLAN
from splittally.core.types import ALLOW, DENY
from splittally.core.waiting import Wait, wait_for

CEILING_PERCENT = 33  # of the workload needs the frontier (`terms.py`)


class Governing(Struct, frozen=True, gc=False):
    """What the governor sees of an intent, with the windows' starts by name, and what gives their ends.

    `lane` and `failure_class` are empty for none.
    """

    lane: str
    failure_class: str
    reserve: dict[str, int]
    starts: dict[str, int]
    end_of: Callable[[str], int]
    is_held: bool = False


class GovernorVerdict(Struct, frozen=True, gc=False):
    """What the governor says, with the numbers that stand in the record."""

    outcome: str
    findings: list[Finding]
    facts: dict[str, Any]


UNGOVERNED = GovernorVerdict(ALLOW, [], {})


def fields_of(terms: GovernorTerms, kind: str, params: Any) -> tuple[str, str]:
    """Lane and failure class as the params of a kind say them; empty for none."""
    fields = terms.fields.get(kind)
    if fields is None:
        return "", ""
    return at_pointer(params, fields.lane), at_pointer(params, fields.failure_class)


def check_governor(governed: Governed, asked: Governing) -> GovernorVerdict:
    """The verdict on an effect; `UNGOVERNED` where it concerns no cap and no lane."""
    terms = governed.terms
    assert terms is not None
    caps = [cap for cap in terms.caps if cap.resource in asked.reserve]
    if not caps and not asked.lane:
        return UNGOVERNED
    candidates: list[CapOnSpend | None] = [*caps] or [None]
    judged = [judge(_case(governed, asked, cap, terms)) for cap in candidates]
    passed = [at for at, each in enumerate(judged) if each.reason == OVER_DAILY_CAP]
    if not passed:
        return _verdict(judged[0], candidates[0], asked, Wait(judged[0].action, {}))
    waits = {at: _wait(asked, candidates[at], judged[at]) for at in passed}
    told = max(passed, key=lambda at: (waits[at].outcome == DENY, waits[at].facts.get("resets_ns", 0), -at))
    return _verdict(judged[told], candidates[told], asked, waits[told])


def _wait(asked: Governing, cap: CapOnSpend | None, judged: Judgement) -> Wait:
    """Whether what passes a cap fits once its window has ended."""
    assert cap is not None
    return wait_for(judged.action, asked.reserve[cap.resource], cap.amount, asked.end_of(cap.per))


def _case(governed: Governed, asked: Governing, cap: CapOnSpend | None, terms: GovernorTerms) -> Case:
    lane, envelope = asked.lane, terms.envelope if asked.lane else None
    others = {other for other in governed.lanes.values() if other != lane} if envelope else set()
    resident = sum(lane_mib(envelope, other) for other in sorted(others)) if envelope else 0
    estimate = asked.reserve[cap.resource] if cap else 0
    spent = spent_and_reserved(governed, cap, asked.starts) if cap else 0
    return Case(
        lane=lane,
        failure_class=asked.failure_class,
        estimate=estimate,
        spent=spent - estimate if asked.is_held else spent,
        cap=cap.amount if cap else None,
        usage=None,
        usage_cap=None,
        has_ledger=True,
        lane_size=lane_mib(envelope, lane) if envelope else 0,
        reserved=envelope.reserved + resident if envelope else 0,
        total=envelope.total if envelope else 0,
        classes=frozenset(terms.classes),
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


def _verdict(judged: Judgement, cap: CapOnSpend | None, asked: Governing, wait: Wait) -> GovernorVerdict:
    facts: dict[str, Any] = {"action": wait.outcome, "reason": judged.reason, **judged.detail}
    if cap is not None:
        facts |= {"resource": cap.resource, "per": cap.per}
    facts.pop("lane", None)
    if asked.lane:
        facts["lane_id"] = asked.lane
    if judged.action == ALLOW:
        more = {"failure_class": asked.failure_class} if asked.failure_class else {}
        return GovernorVerdict(ALLOW, [], facts | more)
    code = (
        "over_weekly_cap" if cap and cap.per == "week" and judged.reason == OVER_DAILY_CAP else judged.reason
    )
    shown = {name: value for name, value in facts.items() if name not in ("action", "reason")}
    finding = find(code, **shown, **wait.facts)
    if wait.outcome == DENY:
        finding = advising(finding, REPLAN)
    return GovernorVerdict(wait.outcome, [finding], facts)
