"""The governor's judgement: should this job run now, wait, or be raised to a frontier model?

It decides from the numbers of one case and remembers nothing. It never reads a clock or a store, starts
nothing, and records nothing.

Rule 1. Order: cap, class of failure, memory. The first that holds the job decides.
Rule 2. Equality with a cap passes. Projected spend is rounded to six decimals; an integer stays as it is.
Rule 3. With a ledger the cap and the class of failure are judged; without one the usage guard is.
Rule 4. A ledger whose spend is unknown is judged by the usage guard in place of its cap. Unknown usage
        is never zero: it holds the job.
Rule 5. A job without a lane loads nothing, so it fits.
"""

from decimal import Decimal

from msgspec import Struct

from splittally.core.types import ALLOW, DEFER, ESCALATE

WITHIN_BUDGET = "within_budget"
LOCAL_CEILING = "local_ceiling"
OVER_DAILY_CAP = "over_daily_cap"
OVER_USAGE_CAP = "over_usage_cap"
OOM_ENVELOPE = "oom_envelope"
REASONS_OF = {
    ALLOW: (WITHIN_BUDGET,),
    ESCALATE: (LOCAL_CEILING,),
    DEFER: (OVER_DAILY_CAP, OVER_USAGE_CAP, OOM_ENVELOPE),
}

PROJECTED_DECIMALS = 6

Exact = int | Decimal  # natural numbers of one unit: never below zero, never NaN or infinite


class Case(Struct, frozen=True, kw_only=True):
    """What one judgement reads. Amounts of money share a unit, so do sizes of memory, so do usages.

    `lane` and `failure_class` are empty for none; `spent` and `usage` are None where unknown; `cap` and
    `usage_cap` are None for none. `lane_size` is what the lane adds to `reserved` of `total`. `classes`
    are the failures that mean giving up, `ceiling` is shown with them.
    """

    lane: str
    failure_class: str
    estimate: Exact
    spent: Exact | None
    cap: Exact | None
    usage: Exact | None
    usage_cap: Exact | None
    has_ledger: bool
    lane_size: Exact
    reserved: Exact
    total: Exact
    classes: frozenset[str]
    ceiling: Exact


class Judgement(Struct, frozen=True):
    """An action (allow, escalate, defer), its reason, and the fields of the case that made it so."""

    action: str
    reason: str
    detail: dict[str, Exact | str | None]


def judge(case: Case) -> Judgement:
    """The judgement on a case; total on numbers that are at least zero."""
    return (
        _over_cap(case)
        or _over_usage(case)
        or _given_up(case)
        or _too_large(case)
        or Judgement(ALLOW, WITHIN_BUDGET, {"lane": case.lane})
    )


def fits(lane_size: Exact, reserved: Exact, total: Exact) -> bool:
    """Whether one lane can be loaded beside what is resident."""
    return reserved + lane_size <= total


def rounded(spend: Exact) -> Exact:
    """A spend as it is compared with a cap: to six decimals, half to even; an integer as it is."""
    return round(spend, PROJECTED_DECIMALS) if isinstance(spend, Decimal) else spend


def _over_cap(case: Case) -> Judgement | None:
    if not case.has_ledger or case.spent is None or case.cap is None:
        return None
    projected = rounded(case.spent + case.estimate)
    if projected <= case.cap:
        return None
    sums = {"spent": case.spent, "estimate": case.estimate, "projected": projected, "cap": case.cap}
    return Judgement(DEFER, OVER_DAILY_CAP, {**sums})


def _over_usage(case: Case) -> Judgement | None:
    is_metered = case.has_ledger and (case.spent is not None or case.cap is None)
    if is_metered or case.usage_cap is None:
        return None
    if case.usage is not None and case.usage <= case.usage_cap:
        return None
    return Judgement(DEFER, OVER_USAGE_CAP, {"usage": case.usage, "usage_cap": case.usage_cap})


def _given_up(case: Case) -> Judgement | None:
    if not case.has_ledger or case.failure_class not in case.classes:
        return None
    return Judgement(
        ESCALATE,
        LOCAL_CEILING,
        {"failure_class": case.failure_class, "ceiling": case.ceiling, "lane": case.lane},
    )


def _too_large(case: Case) -> Judgement | None:
    if not case.lane or fits(case.lane_size, case.reserved, case.total):
        return None
    sizes = {"lane_size": case.lane_size, "reserved": case.reserved, "total": case.total}
    return Judgement(DEFER, OOM_ENVELOPE, {"lane": case.lane, **sizes})
