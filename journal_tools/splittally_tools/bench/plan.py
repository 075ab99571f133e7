"""The plan: what is measured, in which order, on how much work.

Rule 1. Floor and kernel take turns in one process, on one disk, with the same codec.
Rule 2. Every number comes with the size it was measured at.
"""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from splittally.core.limits import GROUP_MAX
from splittally.core.state import State
from splittally.journal.index import Index
from splittally.runtime.reader import Reader, open_reader
from splittally.runtime.recover import fold

from splittally_tools.audit.rejudge import rejudge_range
from splittally_tools.bench.baseline import Baseline
from splittally_tools.bench.callers import latencies_ms, percentile
from splittally_tools.bench.reopened import Reopened, reopen
from splittally_tools.bench.sample import take_sample
from splittally_tools.bench.stages import stages_of
from splittally_tools.bench.stats import Contestant, Series, interleaved, timed
from splittally_tools.bench.workload import Workload

DEPTH, CALLERS = 3, 64
SYNCS = 50


class Size(NamedTuple):
    """How much work a run of the plan does."""

    groups: int  # of 64, in one repeat
    repeats: int
    stage_groups: int  # the quietest of them is shown
    caller_calls: int
    few_holds: int
    many_holds: int
    reopened_groups: int
    reopened_repeats: int
    rejudged_frames: int


DEFAULT = Size(
    groups=24,
    repeats=7,
    stage_groups=30,
    caller_calls=40,
    few_holds=1_000,
    many_holds=30_000,
    reopened_groups=24,
    reopened_repeats=3,
    rejudged_frames=30_000,
)
QUICK = Size(
    groups=3,
    repeats=2,
    stage_groups=4,
    caller_calls=3,
    few_holds=128,
    many_holds=1_280,
    reopened_groups=3,
    reopened_repeats=1,
    rejudged_frames=1_000,
)


class Scale(NamedTuple):
    """Two worlds opened again, with few and with many open holds."""

    few: list[Reopened]
    many: list[Reopened]


class Measured(NamedTuple):
    """Everything that was measured."""

    size: Size
    sync_us: float
    series: dict[str, Series]
    stages: dict[str, dict[str, float]]
    fold_frames_per_s: float
    fold_frames: int
    rejudge_frames_per_s: float
    rejudge_frames: int
    latencies_ms: list[float]
    scale: Scale


def measure(folder: Path, size: Size, tell: Callable[[str], None]) -> Measured:
    """Run the plan in `folder`, which is left empty; `tell` hears what is being measured."""
    tell("floor and kernel, in turns")
    series = _take_turns(folder, size)
    tell("where the microseconds go")
    stages = _stages(folder / "stages", size)
    tell(f"{CALLERS} callers")
    latencies = latencies_ms(folder / "stages", CALLERS, size.caller_calls)
    tell("folding and judging again")
    fold_rate, fold_frames = _fold_rate(folder / "kernel")
    rejudge_rate, rejudge_frames = _rejudge_rate(folder / "kernel", size)
    tell("many open holds")
    scale = _scale(folder, size)
    return Measured(
        size=size,
        sync_us=_sync_us(folder),
        series=series,
        stages=stages,
        fold_frames_per_s=fold_rate,
        fold_frames=fold_frames,
        rejudge_frames_per_s=rejudge_rate,
        rejudge_frames=rejudge_frames,
        latencies_ms=latencies,
        scale=scale,
    )


def _take_turns(folder: Path, size: Size) -> dict[str, Series]:
    sample = take_sample(folder / "sample")
    floor = Baseline(folder / "floor", sample)
    kernel, deep = Workload(folder / "kernel"), Workload(folder / "deep", DEPTH)
    groups = size.groups
    try:
        return interleaved(
            {
                "decisions_floor": Contestant(lambda: floor.decide(groups)),
                "decisions": Contestant(lambda: kernel.decide(groups), kernel.settle),
                "depth3": Contestant(lambda: deep.decide(groups), deep.settle),
                "depth3_floor": Contestant(lambda: floor.decide(groups, DEPTH)),
                "pairs_floor": Contestant(lambda: floor.pair(groups)),
                "pairs": Contestant(lambda: kernel.pair(groups)),
            },
            size.repeats,
        )
    finally:
        for each in (floor, kernel, deep):
            each.close()


def _stages(world: Path, size: Size) -> dict[str, dict[str, float]]:
    workload = Workload(world)
    workload.decide(2)
    workload.settle()
    stages = stages_of(workload, size.stage_groups)
    workload.close()
    return stages


def _fold_rate(world: Path) -> tuple[float, int]:
    with open_reader(world) as reader:
        frames, seconds, _ = timed(lambda: fold(reader.store).size)
    return frames / seconds, frames


def _rejudge_rate(world: Path, size: Size) -> tuple[float, int]:
    """In one process, from genesis, at most so many frames; nothing may come out otherwise."""
    with open_reader(world) as reader:
        stop = min(reader.head.size, size.rejudged_frames)
        _rejudged(reader, 1)  # admits the modules of the release, which a process does once
        compared, seconds, _ = timed(lambda: _rejudged(reader, stop))
    return compared / seconds, compared


def _rejudged(reader: Reader, stop: int) -> int:
    result = rejudge_range(reader, Index(None), State(), stop)
    assert result.drift is None, result.drift
    return result.compared


def _scale(folder: Path, size: Size) -> Scale:
    """The same world twice, with few and with many holds left open, each opened again some times."""
    worlds = {}
    for name, holds in (("few", size.few_holds), ("many", size.many_holds)):
        worlds[name] = folder / name
        workload = Workload(worlds[name])
        workload.decide(-(-holds // GROUP_MAX))
        workload.close()
    found: dict[str, list[Reopened]] = {"few": [], "many": []}
    for _ in range(size.reopened_repeats):
        for name, world in worlds.items():
            found[name].append(reopen(world, size.reopened_groups))
    return Scale(**found)


def _sync_us(folder: Path) -> float:
    """How long this disk takes to make 4 KiB durable, in the middle of some tries."""
    took = []
    path = folder / "sync"
    with path.open("wb", buffering=0) as file:
        for at in range(SYNCS):
            file.seek(4_096 * (at % 8))
            file.write(os.urandom(4_096))
            started = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append(1e6 * (time.perf_counter() - started))
    path.unlink()
    return median(took)


def clear(folder: Path) -> None:
    """Remove what a run left."""
    shutil.rmtree(folder, ignore_errors=True)


def summary(measured: Measured) -> dict[str, Any]:
    """What the scale run says: medians, and memory for each hold more."""
    few, many = measured.scale
    more = many[0].holds - few[0].holds
    bytes_more = median(each.rss_anon_bytes for each in many) - median(each.rss_anon_bytes for each in few)
    return {
        "holds_few": few[0].holds,
        "holds_many": many[0].holds,
        "bytes_per_open_hold": round(bytes_more / more),
        "cost_many_over_few": round(
            median(each.processor_us for each in many) / median(each.processor_us for each in few), 3
        ),
        "open_seconds": round(median(each.open_seconds for each in many), 4),
        "open_frames": many[0].frames,
    }


def callers_summary(measured: Measured) -> dict[str, float]:
    """How long callers waited, in milliseconds."""
    ordered = measured.latencies_ms
    return {"p50_ms": round(percentile(ordered, 0.50), 2), "p99_ms": round(percentile(ordered, 0.99), 2)}
