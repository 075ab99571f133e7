"""What a runner brought back, read: how the job ended, what it cost, whether its models have a price.

Rule 1. A cost counts once: what a result states for the whole job already holds its `runs`; without it the
        `runs` add up, each id once; without either the token counts are priced. What the run
        accrued is the least that it can have cost.
Rule 2. An aborted run failed and is partial, whatever its runner says.
Rule 3. A model that the price table does not have makes the job unpriced; nothing makes it priced but all
        of its models being there.
"""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from splittally.core.errors import InvalidInput
from splittally.host.drain.jobs import DONE, FAILED, usd, word_or
from splittally.host.drain.prices import Prices
from splittally.host.drain.queue import Ending
from splittally.host.drain.run import Run

BAD_RESULT, CRASH, TIMEOUT, UNNAMED = "bad_result", "crash", "timeout", "unclassified"


def ended(raw: object, run: Run, prices: Prices | None = None) -> Ending:
    """How a job ended whose runner returned `raw`; never fails, a result that cannot be read is one class."""
    try:
        if not isinstance(raw, Mapping):
            raise InvalidInput("a runner returns a mapping", field="result")
        status, failure_class = _status(raw, run)
        cost, models = cost_of(raw, run.accrued_usd, prices), models_of(raw)
        priced = None if prices is None or not models else all(map(prices.of_model, models))
        return Ending(
            status=status,
            result=_text(raw, run, status),
            cost=cost,
            failure_class=failure_class,
            priced=priced,
            price_snapshot=prices.snapshot if prices is not None and priced else None,
        )
    except (InvalidInput, TypeError, ValueError, RecursionError):
        return failed(BAD_RESULT, run)


def failed(failure_class: str, run: Run, facts: Mapping[str, Any] | None = None) -> Ending:
    """How a job ended that brought no result."""
    by = run.aborted_by
    cost = run.accrued_usd if run.accrued_usd or by else None
    return Ending(
        status=FAILED, result=_text(facts or {}, run, FAILED), cost=cost, failure_class=by or failure_class
    )


def class_of(error: Exception) -> str:
    """The failure class of what a runner raised."""
    named = getattr(error, "failure_class", None)
    return word_or(named, TIMEOUT if isinstance(error, TimeoutError) else CRASH)


def cost_of(raw: Mapping[str, Any], accrued: Decimal, prices: Prices | None = None) -> Decimal | None:
    """What a job cost, None where nobody said and nothing can be priced."""
    stated = raw.get("cost_usd")
    runs: dict[str, Decimal] = {}
    for at, each in enumerate(_runs(raw)):
        if each.get("cost_usd") is not None:
            runs[str(each.get("id", f"#{at}"))] = usd(each["cost_usd"], f"runs[{at}].cost_usd")
    named = usd(stated, "cost_usd") if stated is not None else sum(runs.values(), Decimal(0))
    if stated is None and not runs:
        priced = None if prices is None else prices.cost(raw.get("model"), raw.get("usage"))
        if priced is None and not accrued:
            return None
        named = priced or Decimal(0)
    return max(named, accrued)


def models_of(raw: Mapping[str, Any]) -> list[str]:
    """The models that a result names, for the whole job and in its runs."""
    named = [raw.get("model"), *(each.get("model") for each in _runs(raw))]
    return sorted({str(model) for model in named if model is not None})


def _runs(raw: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    runs = raw.get("runs", [])
    if not isinstance(runs, list | tuple) or not all(isinstance(each, Mapping) for each in runs):
        raise InvalidInput("`runs` is a list of mappings", field="runs")
    return list(runs)


def _status(raw: Mapping[str, Any], run: Run) -> tuple[str, str | None]:
    given = raw.get("failure_class")
    status = raw.get("status", FAILED if given else DONE)
    if status not in (DONE, FAILED):
        raise InvalidInput("`status` is `done` or `failed`", field="status")
    if run.aborted_by:
        return FAILED, run.aborted_by
    return status, word_or(given, UNNAMED) if status == FAILED else None


def _text(raw: Mapping[str, Any], run: Run, status: str) -> str:
    told: dict[str, Any] = {"status": status, "result": dict(raw)}
    if run.aborted_by:
        told |= {"aborted_by": run.aborted_by, "partial": True}
    elif raw.get("partial") is True:
        told |= {"partial": True}
    return json.dumps(told, default=str, allow_nan=False)
