"""What a job declares: its lane, its estimate and the failure it comes back with. Nothing else is read.

Rule 1. Each of the three is read from the job's row first and from its payload where the row has none.
Rule 2. A payload is the mapping `payload`; without one, JSON text in `payload` or `payload_json`.
Rule 3. What cannot be read raises; it is never taken for nothing. Nor is an estimate under a misspelt name.
"""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from splittally.core.errors import BudgetError
from splittally.governor.estimates import ESTIMATE, require_spelt
from splittally.governor.figures import exact


class Declared(NamedTuple):
    """Lane and class are empty for none; an estimate that is not given is 0."""

    lane: str
    estimate: Decimal
    failure_class: str


def read_job(job: object) -> Declared:
    """What the job declares; raises `BudgetError` where it cannot be read."""
    row = _row(job)
    payload = _payload(row)
    require_spelt(row, payload)
    estimate = _first(ESTIMATE, row, payload)
    return Declared(
        lane=_word("lane_id", row, payload),
        estimate=Decimal(0) if estimate is None else exact(estimate, ESTIMATE),
        failure_class=_word("failure_class", row, payload),
    )


def _row(job: object) -> Mapping[str, Any]:
    if isinstance(job, Mapping):
        return job
    if hasattr(job, "keys") and hasattr(job, "__getitem__"):  # such as a row of sqlite3
        return {key: job[key] for key in job.keys()}  # noqa: SIM118
    raise BudgetError("a job must be a mapping or a row of a database", field="job")


def _payload(row: Mapping[str, Any]) -> Mapping[str, Any]:
    payload = row.get("payload")
    if payload is None:
        payload = row.get("payload_json")
    if payload is None:
        return {}
    if isinstance(payload, str | bytes):
        payload = _parse(payload)
    if not isinstance(payload, Mapping):
        raise BudgetError("the job's payload must be a mapping or a JSON object", field="payload")
    return payload


def _parse(text: str | bytes) -> object:
    try:
        return json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError, ArithmeticError) as error:
        raise BudgetError("the job's payload is not JSON", field="payload") from error


def _first(field: str, *sources: Mapping[str, Any]) -> Any:
    return next((source[field] for source in sources if source.get(field) is not None), None)


def _word(field: str, *sources: Mapping[str, Any]) -> str:
    for source in sources:
        word = source.get(field)
        if word is not None and not isinstance(word, str):
            raise BudgetError(f"`{field}` must be text", field=field)
        if word:
            return word
    return ""
