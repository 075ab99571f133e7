"""A world opened again in a process of its own: how long, how much memory, how fast it decides.

`python -m splittally_tools.bench.reopened DIR GROUPS` prints one JSON object. A process of its own, because
memory that another measurement freed is not given back.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from splittally_tools.bench.stats import timed
from splittally_tools.bench.workload import Workload
from splittally_tools.run_trace.memory import rss_anon_bytes


class Reopened(NamedTuple):
    """What a fresh process found."""

    holds: int
    frames: int
    open_seconds: float
    rss_anon_bytes: int
    decisions_per_s: float
    processor_us: float  # on the processor, for a decision


def reopen(folder: Path, groups: int) -> Reopened:
    """Open the world at `folder` in a new process and decide some groups there."""
    command = [sys.executable, "-m", __spec__.name, str(folder), str(groups)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return Reopened(**json.loads(done.stdout))


def measure(folder: Path, groups: int) -> Reopened:
    """Open it here."""
    started = time.perf_counter()
    workload = Workload(folder)
    seconds = time.perf_counter() - started
    used = rss_anon_bytes()
    frames = workload.kernel.state.seq
    holds = len(workload.kernel.state.reservations)
    workload.decide(1)
    operations, elapsed, processor = timed(lambda: workload.decide(groups))
    workload.settle()
    workload.close()
    return Reopened(
        holds=holds,
        frames=frames,
        open_seconds=seconds,
        rss_anon_bytes=used,
        decisions_per_s=operations / elapsed,
        processor_us=processor / operations * 1e6,
    )


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), int(sys.argv[2]))._asdict()))
