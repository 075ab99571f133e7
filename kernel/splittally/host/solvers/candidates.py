"""Several proposals, each with what it would bring: the one that sacrifices no metric is preferred.

Rule 1. A candidate is as good as its worst metric: the candidates are compared by their metrics' scores from
        the lowest up, then by name. So no metric is driven beyond what is good at the cost of another.
Rule 2. A capped metric that is full is full: more of it is worth nothing.

Example. `reach` is capped at 100 and `quality` has the target 10. A: reach 300, quality 8, scores 1 and 4/5.
B: reach 100, quality 10, scores 1 and 1. B is preferred.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from splittally.core.budget.parts import Metric
from splittally.core.budget.score import score
from splittally.core.errors import InvalidInput


class Candidate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Cells, and what each metric is projected to be with them."""

    cells: Any
    metrics: dict[str, int]


def read_candidates(document: Any) -> dict[str, Candidate]:
    """Candidates by name; `InvalidInput` where they are none."""
    try:
        found = msgspec.convert(document, dict[str, Candidate], strict=True)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"no candidates: {error}", field="candidates") from error
    if not found:
        raise InvalidInput("there is no candidate", field="candidates")
    return found


def prefer(metrics: Mapping[str, Metric], candidates: Mapping[str, Candidate]) -> str:
    """The name of the candidate that is preferred; `InvalidInput` where one does not project every metric."""
    scores = {}
    for name, candidate in sorted(candidates.items()):
        unknown = sorted(set(candidate.metrics) ^ set(metrics))
        if unknown:
            raise InvalidInput(
                f"the candidate `{name}` projects each metric of the plan, and no other: `{unknown[0]}`",
                field="candidates",
            )
        scores[name] = sorted(score(metrics[x], value) for x, value in sorted(candidate.metrics.items()))
    best = max(scores.values())
    return min(name for name in scores if scores[name] == best)
