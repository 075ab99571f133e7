"""How good a value of a metric is, and how far it has come: pure functions of a metric and a value, exact.

Rule 1. A better value never has a lower score. `maximise` and `minimise` know no point at which it is enough;
        `capped` stops at its threshold, which is a ceiling and no floor.
Rule 2. Where there is a goal, progress says what was reached of it, what is missing, and what lies beyond.
        The goal is the target, else the threshold, of `capped` the other way round; the first two need none.
Rule 3. A target below 0 is a direction. Of `spend` it is the most that may be spent, whichever sign the
        values have; of `debt` it is a value to be reached downwards.
Rule 4. What was never measured stands at 0, except a value that is to be small, of which nothing is known.

Examples, of a value with its goal:

    nature    goal     value    score   share   met   missing  surplus
    maximise  none       200      200       -     -         -        -
    minimise     3         5       -5     3/5    no         2        0
    capped      20        30        1       1   yes         0       10
    output       5         6      6/5       1   yes         0        1
    spend   -10000     10001      < 0       1    no         1        0
    debt     -1000     -1500      3/2       1   yes         0      500
"""

from fractions import Fraction

from msgspec import Struct

from splittally.core.budget import parts as kinds
from splittally.core.budget.parts import Metric

UNKNOWN_AT_REST = (kinds.MINIMISE,)


class Progress(Struct, frozen=True, kw_only=True, gc=False):
    """How far a value has come to a goal. `share` is 0 to 1; of `spend` it is what is used up."""

    goal: int
    value: int
    share: Fraction
    is_met: bool
    missing: int
    surplus: int


def goal_of(metric: Metric) -> int | None:
    """What the metric should reach; None where more is always better, or less."""
    first, second = metric.target, metric.threshold
    if metric.kind == kinds.CAPPED:
        first, second = second, first
    return second if first is None else first


def score(metric: Metric, value: int) -> Fraction:
    """How good a value is: the higher the better, and the same for values that are equally good."""
    goal = goal_of(metric)
    of = abs(goal or 0) or 1  # without a goal, or with one of 0, each unit counts whole
    match metric.kind:
        case kinds.MAXIMISE:
            return Fraction(value)
        case kinds.MINIMISE:
            return Fraction(-value)
        case kinds.SPEND:
            return (1 if goal else 0) - Fraction(abs(value), of)
        case kinds.DEBT:
            return Fraction(-value, of)
        case kinds.CAPPED if goal is not None:
            return Fraction(min(value, goal), of)
    return Fraction(value, of)


def progress(metric: Metric, value: int | None) -> Progress | None:
    """How far the value has come; None where there is no goal, or nothing is known."""
    goal = goal_of(metric)
    if goal is None or (value is None and metric.kind in UNKNOWN_AT_REST):
        return None
    at = value or 0
    if metric.kind == kinds.SPEND:
        return _upwards_to(abs(goal), abs(at), goal, at, is_limit=True)
    if metric.kind == kinds.MINIMISE:
        return _down_to(goal, at)
    sign = -1 if metric.kind == kinds.DEBT and goal < 0 else 1
    return _upwards_to(sign * goal, sign * at, goal, at, is_limit=False)


def _upwards_to(end: int, reached: int, goal: int, value: int, is_limit: bool) -> Progress:
    """Progress of a number that grows: towards an end that should be reached, or must not be passed."""
    beyond, short = max(0, reached - end), max(0, end - reached)
    is_met = not beyond if is_limit else not short
    share = Fraction(reached, end) if end > 0 else Fraction(int(reached >= end))
    return Progress(
        goal=goal,
        value=value,
        share=min(Fraction(1), max(Fraction(0), share)),
        is_met=is_met,
        missing=beyond if is_limit else short,
        surplus=short if is_limit else beyond,
    )


def _down_to(goal: int, value: int) -> Progress:
    """Progress of a number that should shrink to its goal."""
    is_met = value <= goal
    share = Fraction(1) if is_met else max(Fraction(0), Fraction(goal, value)) if value > 0 else Fraction(0)
    return Progress(
        goal=goal,
        value=value,
        share=share,
        is_met=is_met,
        missing=max(0, value - goal),
        surplus=max(0, goal - value),
    )
