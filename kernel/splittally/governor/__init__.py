"""The governor for a scheduler that has no kernel: one check before each job, and today's spend.

    governor = BudgetGovernor(ledger=sqlite3.connect("arena.db"), daily_cap_usd=5.0)
    decision = governor.check_budget({"lane_id": "coder", "est_cost_usd": 0.40})
    if decision.allowed:
        ...  # dispatch the job
    else:
        ...  # keep it queued; `decision.action`, `decision.reason` and `decision.detail` say why

It reads and answers. It never writes the store, starts a job, calls a model or knows a scheduler; it has
no timer and no thread, and it keeps nothing between calls. `spec/12-governor.md`.
"""

from splittally.core.errors import BudgetError
from splittally.governor.check import (
    LOCAL_CEILING,
    BudgetDecision,
    BudgetGovernor,
    EscalationReason,
    check_budget,
)
from splittally.governor.envelope import MemoryEnvelope
from splittally.governor.spend import SpendDigest

__all__ = [
    "LOCAL_CEILING",
    "BudgetDecision",
    "BudgetError",
    "BudgetGovernor",
    "EscalationReason",
    "MemoryEnvelope",
    "SpendDigest",
    "check_budget",
]
