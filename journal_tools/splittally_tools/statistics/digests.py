"""Digests of values by the keys of their segments, and how they merge along time and along segments. Pure.

Rule 1. Merging is exact: digests of days merge to the digest of the month's raw values, and those of projects
        to that of their department. The average is sum over count, and is never merged itself.
Rule 2. `last` is the value of the newest record. Digests of segments lie beside each other in time, so each
        remembers where in the journal its newest value stands.
Rule 3. What came late for a window lies in a bucket of its own beside what came in time. The two are never
        merged here: what was reported stays what it was.
Rule 4. A key that a record does not carry is empty in its group.

Example. Two projects of one department, on one day:

    {department: sales, project: a}  count 2, sum 5, min 1, max 4, last 4 (at frame 9)
    {department: sales, project: b}  count 1, sum 3, min 3, max 3, last 3 (at frame 7)
      by department: {department: sales}  count 3, sum 8, min 1, max 4, last 4
"""

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from msgspec import Struct

from splittally_tools.statistics.calendar import Kept


class Place(NamedTuple):
    """One row: a bucket of a window of a budget's metric, and the keys of a segment as sorted JSON."""

    budget: str
    metric: str
    segments: str
    per: str
    start_ns: int
    is_late: bool = False


class Digest(Struct, frozen=True, array_like=True, gc=False):
    """The values in a window; `last_at` says where in the journal the newest stands."""

    count: int
    sum: int
    min: int
    max: int
    last: int
    last_at: int

    def with_(self, other: "Digest") -> "Digest":
        """Both together, whichever is the newer."""
        newer = max(self, other, key=lambda digest: digest.last_at)
        return Digest(
            count=self.count + other.count,
            sum=self.sum + other.sum,
            min=min(self.min, other.min),
            max=max(self.max, other.max),
            last=newer.last,
            last_at=newer.last_at,
        )


Digests = dict[Place, Digest]


def add_digest(digests: Digests, place: Place, digest: Digest) -> None:
    """Merge one digest into those of its place."""
    before = digests.get(place)
    digests[place] = digest if before is None else before.with_(digest)


def key_of_segments(segments: dict[str, str], by: Sequence[str] | None = None) -> str:
    """The segments, or only the keys of them that are asked for, as the one text that says them."""
    kept = segments if by is None else {name: segments.get(name, "") for name in by}
    return json.dumps(kept, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def by_segment(rows: Iterable[tuple[Place, Digest]], by: Sequence[str]) -> Digests:
    """The digests of fewer keys: those that agree in all of `by` are one."""
    merged: Digests = {}
    for place, digest in rows:
        kept = key_of_segments(json.loads(place.segments), by)
        add_digest(merged, place._replace(segments=kept), digest)
    return dict(sorted(merged.items()))


def by_window(rows: Iterable[tuple[Place, Digest]], per: str, kept: Kept) -> Digests:
    """The digests of a coarser window, whose finer ones these are."""
    merged: Digests = {}
    for place, digest in rows:
        add_digest(merged, place._replace(per=per, start_ns=kept.start(per, place.start_ns)), digest)
    return dict(sorted(merged.items()))
