"""What each run cost, for the operator, and the one figure of it that is fit for the public.

Rule 1. A figure per quality point is the mean cost over the mean score of the runs that have both.
Rule 2. What may be published holds no run, lane or model, and nothing at all below `PUBLIC_RUNS_MIN` runs:
        a mean over few runs tells what one of them cost.
"""

from datetime import datetime
from decimal import Decimal, localcontext
from typing import Any

from splittally.host.drain.jobs import Job, decimal_or_none, usd_text, word_or
from splittally.host.drain.queue import Queue
from splittally.host.drain.results import models_of
from splittally.host.drain.tables import stamp

PUBLIC_RUNS_MIN = 5
PLACES = Decimal("0.000001")
TOO_FEW = "too_few_runs"


def cost_ledger(queue: Queue, since: datetime | None = None) -> dict[str, Any]:
    """Every run that ended since a time, with its cost, score and price snapshot; then the quality figures.

    Operator-private. `quality` is `{runs, mean_cost_usd, mean_score, usd_per_point}` of the scored runs.
    """
    ended = queue.ended(stamp(since) if since is not None else "")
    scored = _scored(ended)
    return {
        "runs": [_row(job) for job in ended],
        "total_usd": usd_text(sum((Decimal(job.cost_usd) for job in ended if job.cost_usd), Decimal(0))),
        "quality": _quality(scored),
    }


def public_figures(queue: Queue, since: datetime | None = None) -> dict[str, Any]:
    """The quality figures alone, fit to be published; None, with the reason, below `PUBLIC_RUNS_MIN`."""
    scored = _scored(queue.ended(stamp(since) if since is not None else ""))
    if len(scored) < PUBLIC_RUNS_MIN:
        return {**dict.fromkeys(_quality([])), "withheld": TOO_FEW, "runs_min": PUBLIC_RUNS_MIN}
    return _quality(scored)


def _row(job: Job) -> dict[str, Any]:
    result = _result(job)
    score = decimal_or_none(result.get("score"))
    return {
        "job_id": job.id,
        "lane_id": job.lane_id,
        "finished_at": job.finished_at,
        "status": job.status,
        "cost_usd": job.cost_usd,
        "score": None if score is None else usd_text(score),
        "models": [word_or(model, "other") for model in models_of(result)],
        "priced": job.priced,
        "price_snapshot": job.price_snapshot,
    }


def _scored(ended: list[Job]) -> list[tuple[Decimal, Decimal]]:
    pairs = [(job.cost_usd, decimal_or_none(_result(job).get("score"))) for job in ended]
    return [(Decimal(cost), score) for cost, score in pairs if cost is not None and score is not None]


def _quality(scored: list[tuple[Decimal, Decimal]]) -> dict[str, Any]:
    runs = len(scored)
    cost, score = (sum(column, Decimal(0)) for column in zip(*scored, strict=True)) if runs else (0, 0)
    return {
        "runs": runs,
        "mean_cost_usd": _share(cost, runs),
        "mean_score": _share(score, runs),
        "usd_per_point": _share(cost, score),
    }


def _share(whole: Decimal | int, parts: Decimal | int) -> str | None:
    if not parts:
        return None
    with localcontext(prec=100):
        return usd_text((Decimal(whole) / parts).quantize(PLACES))


def _result(job: Job) -> dict[str, Any]:
    result = job.told[1]
    return result if isinstance(result, dict) else {}
