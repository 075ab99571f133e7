"""Which of several offers is best: weighted criteria, compared exactly; who qualifies for them at all.

It decides nothing about money or authority and touches no state.

Rule 1. An offer that is short of a qualifying resource is not ranked; what it lacks is said. A qualifying
        resource is compared and never spent.
Rule 2. Per criterion the best value among the eligible scores 1 and the worst 0, the others in
        proportion; where all are equal each scores 1. The score is the sum of weight × that.
Rule 3. Scores are exact fractions, the highest first; equal scores stand in the order of names.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction

from msgspec import Struct

LOWER, HIGHER = "lower", "higher"
BETTER = (LOWER, HIGHER)


class Criterion(Struct, frozen=True, kw_only=True, gc=False):
    """What offers are compared by: a value of each, its weight, and which direction is better."""

    name: str
    weight: Fraction
    better: str


class Offer(Struct, frozen=True, kw_only=True, gc=False):
    """One offer: a value for each criterion, and what its maker has of qualifying resources."""

    offer: str
    values: dict[str, int]
    qualifying: dict[str, int] = {}


class Ranked(Struct, frozen=True, kw_only=True, gc=False):
    """An eligible offer with its score, and what each criterion added to it."""

    offer: str
    score: Fraction
    parts: dict[str, Fraction]


class Short(Struct, frozen=True, kw_only=True, gc=False):
    """An offer that is not eligible; `missing` is how much it lacks of each metric."""

    offer: str
    missing: dict[str, int]


class Ranking(Struct, frozen=True, kw_only=True, gc=False):
    """Eligible offers, the best first, and those that are not eligible, by name."""

    ranked: tuple[Ranked, ...]
    short: tuple[Short, ...]


def rank(criteria: Sequence[Criterion], offers: Sequence[Offer], required: Mapping[str, int]) -> Ranking:
    """The offers in order; every offer has a value for every criterion, and no name stands twice."""
    names = [offer.offer for offer in offers]
    assert len(set(names)) == len(names)
    lacking = [Short(offer=offer.offer, missing=missing(offer, required)) for offer in offers]
    short = sorted((one for one in lacking if one.missing), key=lambda one: one.offer)
    excluded = {one.offer for one in short}
    eligible = [offer for offer in offers if offer.offer not in excluded]
    parts: dict[str, dict[str, Fraction]] = {offer.offer: {} for offer in eligible}
    for criterion in criteria:
        for name, share in _shares(criterion, eligible).items():
            parts[name][criterion.name] = criterion.weight * share
    ranked = [
        Ranked(offer=name, score=sum(added.values(), Fraction()), parts=added)
        for name, added in parts.items()
    ]
    ranked.sort(key=lambda one: (-one.score, one.offer))
    return Ranking(ranked=tuple(ranked), short=tuple(short))


def missing(offer: Offer, required: Mapping[str, int]) -> dict[str, int]:
    """How much an offer lacks of each required metric, by metric; empty where it qualifies."""
    lacks = {metric: required[metric] - offer.qualifying.get(metric, 0) for metric in sorted(required)}
    return {metric: amount for metric, amount in lacks.items() if amount > 0}


def _shares(criterion: Criterion, offers: Sequence[Offer]) -> dict[str, Fraction]:
    """Where the value of each offer stands between the worst (0) and the best (1) that was offered."""
    values = {offer.offer: offer.values[criterion.name] for offer in offers}
    least, most = min(values.values(), default=0), max(values.values(), default=0)
    if least == most:
        return dict.fromkeys(values, Fraction(1))
    worst, sign = (most, -1) if criterion.better == LOWER else (least, 1)
    return {name: Fraction(sign * (value - worst), most - least) for name, value in values.items()}
