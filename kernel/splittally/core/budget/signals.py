"""What a threshold says when it is reached: that it is enough, or that it is too much (D-27).

Rule 1. `enough`: the value is as good as the threshold asks, and more of it serves nothing. Attention moves
        on: to what it frees, and to the other metrics that are not good enough, by their priority.
Rule 2. `excess`: the value has passed a threshold that has a `follow_up`, which comes first now. At the
        threshold itself there is no signal.
Rule 3. A metric with a `follow_up` is a cap, not a goal: it says `enough` only where it frees something, too.
Rule 4. A signal is a reading and no fact: it is gone with the value, or with the period, that made it. Who
        reads a world in which nothing was recorded since sees until when it holds.

Example. `outreach` is capped at 20 a week and frees 4 hours; `quality` and `docs` come next. 20 of 20:

    enough, frees 4 Hours, next [quality, docs]          and on Monday, 0 of 20: nothing
"""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import UNSET

from splittally.core.budget.parts import MINIMISE, Metric

ENOUGH, EXCESS = "enough", "excess"
ValueOf = Callable[[str], int | None]  # what a metric says now


def signals(metrics: Mapping[str, Metric], value_of: ValueOf) -> list[dict[str, Any]]:
    """What the thresholds of a plan say now, by metric."""
    said: list[dict[str, Any]] = []
    values = {name: value_of(name) for name in metrics}  # once: a composite reads many others
    for name, metric in sorted(metrics.items()):
        value = values[name]
        if value is None or metric.threshold is None:
            continue
        is_cap = metric.follow_up is not UNSET
        told = {"metric": name, "value": value, "threshold": metric.threshold}
        if is_enough(metric, value) and (metric.frees or not is_cap):
            freed = {metric.frees.resource: metric.frees.amount} if metric.frees else {}
            said.append({"signal": ENOUGH, **told, "frees": freed, "next": _next(metrics, name, values)})
        if is_cap and value > metric.threshold:
            said.append({"signal": EXCESS, **told, "follow_up": metric.follow_up})
    return said


def is_enough(metric: Metric, value: int | None) -> bool:
    """Whether a value is as good as the threshold asks: at least it, or at most it where less is better."""
    if value is None or metric.threshold is None:
        return False
    return value <= metric.threshold if metric.kind == MINIMISE else value >= metric.threshold


def _next(metrics: Mapping[str, Metric], name: str, values: Mapping[str, int | None]) -> list[str]:
    """The other metrics with a priority that are not good enough, the most urgent first."""
    wanted = [
        (int(metric.priority), other)
        for other, metric in metrics.items()
        if other != name and metric.priority is not UNSET and not is_enough(metric, values[other])
    ]
    return [other for _, other in sorted(wanted)]
