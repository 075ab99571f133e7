"""Where the microseconds of a decision and of a settlement go.

Each stage is a function of the kernel that is replaced by one that counts its time, for runs that are
timed for nothing else. Stages do not contain each other; what is in none of them is `rest`.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import itemgetter
from typing import Any

from splittally.edge.seal import Sealer
from splittally.journal.lmdb import LmdbStore
from splittally.runtime import pipeline, prefetch
from splittally.runtime.history import History
from splittally.runtime.judge import Judge

from splittally_tools.bench.stats import Run
from splittally_tools.bench.workload import Workload

# stage -> the functions that are it, each by owner and name
STAGES: dict[str, tuple[tuple[Any, str], ...]] = {
    "seal": ((Sealer, "seal_intent"), (Sealer, "seal_receipt")),
    "recall and index": ((History, "known"), (History, "recall"), (History, "keep")),
    "ask": ((pipeline, "ask"), (prefetch, "ask")),
    "judge": ((Judge, "answer"),),
    "step": ((pipeline, "step"),),
    "record": ((pipeline, "body_rows"),),
    "encode and hash frame": ((pipeline, "seal"),),
    "evolve": ((pipeline, "remember"),),
    "commit": ((LmdbStore, "append"),),
}
REST, TOTAL = "rest", "total"


def stages_of(workload: Workload, groups: int) -> dict[str, dict[str, float]]:
    """Microseconds of each stage in the quietest of some groups: for a decision, and for a settlement."""
    found: dict[str, list[dict[str, float]]] = {"decision": [], "settlement": []}
    for _ in range(groups):
        found["decision"].append(_stages(lambda: workload.decide(1)))
        found["settlement"].append(_stages(workload.settle))
    return {name: min(each, key=itemgetter(TOTAL)) for name, each in found.items()}


def _stages(run: Run) -> dict[str, float]:
    with _counted() as spent_ns:
        started = time.perf_counter_ns()
        operations = run()
        spent_ns[TOTAL] = time.perf_counter_ns() - started
    return {stage: round(spent / 1_000 / operations, 2) for stage, spent in _with_rest(spent_ns).items()}


def _with_rest(spent_ns: dict[str, int]) -> dict[str, int]:
    total = spent_ns.pop(TOTAL)
    return {**spent_ns, REST: total - sum(spent_ns.values()), TOTAL: total}


@contextmanager
def _counted() -> Iterator[dict[str, int]]:
    """Time spent in each stage while the block runs, in nanoseconds."""
    spent_ns = dict.fromkeys(STAGES, 0)
    replaced: list[tuple[Any, str, Any]] = []
    try:
        for stage, places in STAGES.items():
            for owner, name in places:
                original = getattr(owner, name)
                replaced.append((owner, name, original))
                setattr(owner, name, _counting(original, spent_ns, stage))
        yield spent_ns
    finally:
        for owner, name, original in replaced:
            setattr(owner, name, original)


def _counting(function: Callable[..., Any], spent_ns: dict[str, int], stage: str) -> Callable[..., Any]:
    clock = time.perf_counter_ns

    def counted(*args: Any, **named: Any) -> Any:
        started = clock()
        try:
            return function(*args, **named)
        finally:
            spent_ns[stage] += clock() - started

    return counted
