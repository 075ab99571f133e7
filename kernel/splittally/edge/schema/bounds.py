"""How often a validator may visit one value: bounds on the constraints of a schema (spec/01, [25]).

Rule 1. What applies to the same value comes in at most 32 steps and never leads back.
Rule 2. Constraints that do not lead back visit a value and its parts at most 10,000 times, on the way on
        which they do so most.
Rule 3. Where they lead back, so do their ways that end where they come back, since the validator remembers
        what it found there. If there are more of those, the value is counted: a level multiplies.
"""

from typing import Any

from splittally.core.limits import DEPTH_MAX
from splittally.edge.schema.places import ANYTHING, OF_VALUE, Place, refuse

SCHEMA_REACH_MAX = 32  # subschemas one after the other for the same value: `$ref` to `$ref` to ...
SCHEMA_VISITS_MAX = 10_000  # of a value and its parts: `allOf` of `allOf` of ... doubles them line by line
VISITS_IN_ALL_MAX = 2_000_000  # of a value and all its parts by constraints: a second


def each_after_what_it_applies(places: list[Place]) -> list[Place]:
    """The places in rounds, each after those that it applies to the same value.

    For what leads back to itself for the same value no round comes: it would say nothing, and so admit
    everything.
    """
    waiting = {place: _applied(place) for place in places}
    ordered: list[Place] = []
    for _ in range(SCHEMA_REACH_MAX):
        free = [place for place, applied in waiting.items() if waiting.keys().isdisjoint(applied)]
        for place in free:
            del waiting[place]
        ordered += free
    stuck = next(iter(waiting), None)
    if stuck:
        for _ in range(SCHEMA_REACH_MAX):  # onwards, into the circle
            stuck = next(filter(waiting.__contains__, waiting[stuck]), stuck)
        refuse(stuck, f"`$ref` leads back for the same value, or on for more than {SCHEMA_REACH_MAX} steps")
    return ordered


def _applied(place: Place) -> list[Place]:
    """What a place applies to the same value."""
    return [*place.refs, *(part for keyword, part in place.constraints if keyword in OF_VALUE)]


def visits_by_level(places: list[Place], ordered: list[Place]) -> list[int]:
    """How often constraints visit a value and one part of it, of a part of that, and so on: `n` levels deep
    at index `n`. Empty where no value passes the bound.

    For a value that nests `n` levels deep a place costs itself, all that it applies to the same value, and
    for a part of it, which nests `n - 1` deep, the dearest position and all that it applies to parts. A
    `tree` that is any of [leaf, {left: tree, right: tree}, {under: tree}] costs 3, 13, 33, 73, ... visits.
    """
    before = dict.fromkeys([*ordered, ANYTHING], 0)
    by_level: list[int] = []
    for _ in range(DEPTH_MAX + 1):
        visits = {ANYTHING: 0}
        for place in ordered:
            below = max(before[part] for part in (*place.named.values(), place.rest, place.items))
            parts = [part for keyword, part in place.constraints if keyword not in OF_VALUE]
            applied = sum(visits[part] for part in _applied(place))
            visits[place] = 1 + applied + below + sum(before[part] for part in parts)
        dearest = max(places, key=lambda place: _constraining(place, visits))
        by_level.append(_constraining(dearest, visits))
        is_steady, before = visits == before, visits
        if by_level[-1] > SCHEMA_VISITS_MAX and (is_steady or len(by_level) == 1):
            refuse(dearest, "too many subschemas apply to one value")
        if is_steady:
            return []
    return by_level if any(_ways_left(place) < 0 for place in places) else []


def visits_of(value: Any, by_level: list[int]) -> int:
    """How often constraints may visit a value and its parts: `by_level` says it of one on each level."""
    total, level = 0, [value]
    for visits, above in zip(by_level, [0, *by_level], strict=False):
        total += len(level) * (visits - above)
        holders = [each for each in level if type(each) in (dict, list)]
        level = [part for each in holders for part in (each.values() if type(each) is dict else each)]
    return total


def _ways_left(place: Place) -> int:
    """How many of the most visits are left where each way from here is gone once and ends where it would
    come back: the validator remembers what it found there. Below 0 where there are more.
    """
    left, on_way = SCHEMA_VISITS_MAX, [place]
    pending = [[part for _, part in place.constraints]]
    while pending and left >= 0:
        if not pending[-1]:
            pending.pop()
            on_way.pop()
        elif (part := pending[-1].pop()) not in on_way:
            left -= 1
            on_way.append(part)
            parts = [*part.named.values(), part.rest, part.items, *part.refs]
            pending.append(parts + [below for _, below in part.constraints])
    return left


def _constraining(place: Place, visits: dict[Place, int]) -> int:
    return sum(visits[part] for _, part in place.constraints)
