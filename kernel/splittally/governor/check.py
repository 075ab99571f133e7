"""The one check before a job is launched: its parts are read, made exact, judged, and shown again.

Rule 1. A check reads; it records nothing and changes nothing, so the same call has the same answer.
Rule 2. A spend or a usage that is passed replaces the one that would be read. A spend that is passed
        stands in for a ledger; where a usage is passed too and no ledger is wired, both must leave room.
Rule 3. A ledger whose store has no costs is degraded: the usage guard decides in place of the cap, and
        every detail says that the spend is unknown. A store without any table of spend is the wrong file.
Rule 4. A figure that cannot be read or makes no sense raises `BudgetError`; nothing fails open.
"""

from collections.abc import Collection
from decimal import Decimal, localcontext
from enum import StrEnum
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from splittally.core.errors import BudgetError
from splittally.core.governor import judge as judged
from splittally.core.governor.judge import Case, Judgement, judge
from splittally.core.governor.terms import GIVE_UP
from splittally.core.types import ALLOW
from splittally.governor.envelope import MemoryEnvelope
from splittally.governor.figures import EXACT, exact, exact_or_none
from splittally.governor.job import read_job
from splittally.governor.spend import TABLES, Now, SpendDigest, read_spend, utc_now

LOCAL_CEILING = 0.33  # the share of the workload that needed a frontier model: 4 of 12
DAILY_CAP_USD = 5.0
WEEKLY_USAGE_CAP_PCT = 80.0

NO_TABLES = "no_tables"

_SHOWN = {
    "lane": "lane_id", "lane_size": "lane_gb", "reserved": "reserved_gb", "total": "total_gb",
    "spent": "spend_usd", "estimate": "est_cost_usd", "projected": "projected_usd", "cap": "cap_usd",
    "usage": "weekly_usage_pct", "usage_cap": "cap_pct",
}  # fmt: skip
_SPEND_UNKNOWN = {"spend_usd": None, "degraded": "spend_unknown"}


class EscalationReason(StrEnum):
    """Every reason a decision can have."""

    WITHIN_BUDGET = judged.WITHIN_BUDGET
    LOCAL_CEILING = judged.LOCAL_CEILING
    OVER_DAILY_CAP = judged.OVER_DAILY_CAP
    OVER_USAGE_CAP = judged.OVER_USAGE_CAP
    OOM_ENVELOPE = judged.OOM_ENVELOPE


class BudgetDecision(Struct, frozen=True):
    """What to do with a job now (allow, escalate, defer), why, and the numbers that made it so."""

    action: str
    reason: str
    detail: dict[str, Any]

    @property
    def allowed(self) -> bool:
        """True only for an outright allow."""
        return self.action == ALLOW


class BudgetGovernor(Struct, frozen=True):
    """Caps, memory and where today's spend is read; it keeps nothing between calls.

    `ledger` None leaves the usage guard. `daily_cap_usd` None is uncapped; 0 is a real cap.
    `give_up_classes` are the failures that mean a local model gave up. `now` gives the time, which is
    read only to know the day. Raises `BudgetError` for a cap that is no figure.
    """

    ledger: Any = None
    envelope: MemoryEnvelope = field(default_factory=MemoryEnvelope)
    daily_cap_usd: float | Decimal | None = DAILY_CAP_USD
    weekly_usage_cap_pct: float = WEEKLY_USAGE_CAP_PCT
    give_up_classes: Collection[str] = tuple(GIVE_UP)
    now: Now = utc_now

    def __post_init__(self) -> None:
        if not isinstance(self.envelope, MemoryEnvelope):
            raise BudgetError("`envelope` must be a MemoryEnvelope", field="envelope")
        exact_or_none(self.daily_cap_usd, "daily_cap_usd")
        exact(self.weekly_usage_cap_pct, "weekly_usage_cap_pct")
        classes = self.give_up_classes
        if isinstance(classes, str) or not all(isinstance(name, str) and name for name in classes):
            raise BudgetError("`give_up_classes` must be a collection of names", field="give_up_classes")

    def check_budget(
        self, job: Any, *, spend_today: float | None = None, weekly_usage_pct: float | None = None
    ) -> BudgetDecision:
        """Whether the job should run now; raises `BudgetError` where that cannot be known."""
        case = self._case(job, spend_today, weekly_usage_pct)
        with localcontext(EXACT):
            judgement = judge(case)
            if judgement.action == ALLOW and self.ledger is None and case.usage is not None:
                judgement = judge(replace(case, has_ledger=False))
        is_degraded = case.has_ledger and case.spent is None
        return _shown(judgement, _SPEND_UNKNOWN if is_degraded else {})

    def spend_digest(self, cap_usd: float | Decimal | None = None) -> SpendDigest:
        """Today's spend beside `cap_usd`, or beside the daily cap; raises `BudgetError`."""
        cap = self.daily_cap_usd if cap_usd is None else cap_usd
        return SpendDigest.from_store(self.ledger, cap, self.now)

    def _case(self, job: Any, spend_today: float | None, usage: float | None) -> Case:
        declared = read_job(job)
        envelope = self.envelope
        spent = exact_or_none(spend_today, "spend_today")
        has_ledger = self.ledger is not None or spent is not None
        return Case(
            lane=declared.lane,
            failure_class=declared.failure_class,
            estimate=declared.estimate,
            spent=self._spent() if spent is None else spent,
            cap=exact_or_none(self.daily_cap_usd, "daily_cap_usd"),
            usage=exact_or_none(usage, "weekly_usage_pct"),
            usage_cap=exact(self.weekly_usage_cap_pct, "weekly_usage_cap_pct"),
            has_ledger=has_ledger,
            lane_size=exact(envelope.footprint_gb(declared.lane), "lane_gb"),
            reserved=exact(envelope.reserved_gb, "reserved_gb"),
            total=exact(envelope.total_gb, "total_gb"),
            classes=frozenset(self.give_up_classes),
            ceiling=exact(LOCAL_CEILING, "ceiling"),
        )

    def _spent(self) -> Decimal | None:
        """Today's spend, None where it is unknown; a store that has no table of spend raises."""
        spend = read_spend(self.ledger, self.now)
        if not spend.has_tables:
            text = f"the store has neither table, {' nor '.join(TABLES)}; is it the right file?"
            raise BudgetError(text, field="ledger", cause=NO_TABLES)
        return spend.total


def check_budget(
    job: Any,
    *,
    ledger: Any = None,
    envelope: MemoryEnvelope | None = None,
    spend_today: float | None = None,
    weekly_usage_pct: float | None = None,
    **settings: Any,
) -> BudgetDecision:
    """The answer of a governor made for this one call, for a cron tick or a check by hand.

    `settings` are the governor's other fields, such as `daily_cap_usd`. Raises `BudgetError`.
    """
    governor = BudgetGovernor(ledger, envelope or MemoryEnvelope(), **settings)
    return governor.check_budget(job, spend_today=spend_today, weekly_usage_pct=weekly_usage_pct)


def _shown(judgement: Judgement, more: dict[str, Any]) -> BudgetDecision:
    """The judgement in the words and figures of a standup."""
    detail = {_SHOWN.get(name, name): value for name, value in judgement.detail.items()}
    shown = {name: float(value) if isinstance(value, Decimal) else value for name, value in detail.items()}
    if "lane_id" in shown:
        shown["lane_id"] = shown["lane_id"] or None
    return BudgetDecision(judgement.action, judgement.reason, {**shown, **more})
