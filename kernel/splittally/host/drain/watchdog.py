"""Memory runs short while a job runs: samples, and when they are reason enough to abort.

Rule 1. So many samples in a row below the floor trip; one at or above it starts the row anew.
Rule 2. A missing sample counts for nothing: it neither trips nor starts the row anew.
"""

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from splittally.core.errors import InvalidInput
from splittally.host.drain.run import MEMORY, Run

FLOOR_GB, SAMPLES, PERIOD_SECONDS = 4.0, 4, 0.5
KIB_PER_GB = 2**20
MEMINFO = Path("/proc/meminfo")

Sampler = Callable[[], float | None]


def memory_available_gb(meminfo: Path = MEMINFO) -> float | None:
    """Memory that a program may still get, in GB of 2^30 bytes; None where the system does not say."""
    try:
        lines = meminfo.read_text("ascii").splitlines()
        (kib,) = (int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, IndexError):
        return None
    return kib / KIB_PER_GB


class Row:
    """How many samples in a row were below the floor."""

    def __init__(self, floor_gb: float, samples: int) -> None:
        self._floor_gb = floor_gb
        self._samples = samples
        self._low = 0

    def trips(self, sample_gb: float | None) -> bool:
        """Whether this sample is the one too many."""
        if sample_gb is None or math.isnan(sample_gb):
            return False
        self._low = self._low + 1 if sample_gb < self._floor_gb else 0
        return self._low >= self._samples


class Watchdog:
    """Watches memory beside a run and aborts it: four samples below 4 GB, half a second apart."""

    def __init__(
        self,
        sampler: Sampler = memory_available_gb,
        floor_gb: float = FLOOR_GB,
        samples: int = SAMPLES,
        period_s: float = PERIOD_SECONDS,
    ) -> None:
        if not (floor_gb > 0 and samples >= 1 and period_s > 0):
            raise InvalidInput("a watchdog needs a floor, samples and a period above 0", field="watchdog")
        self.sampler = sampler
        self.floor_gb = floor_gb
        self.samples = samples
        self.period_s = period_s

    @contextmanager
    def watching(self, run: Run) -> Iterator[None]:
        """Watches `run` in a thread for as long as the context lasts."""
        ended = threading.Event()
        thread = threading.Thread(target=self._watch, args=(run, ended), name="memory-watchdog", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _watch(self, run: Run, ended: threading.Event) -> None:
        row = Row(self.floor_gb, self.samples)
        while not ended.is_set():
            if row.trips(self._sample()):
                run.abort(MEMORY)
                return
            ended.wait(self.period_s)

    def _sample(self) -> float | None:
        try:
            return self.sampler()
        except Exception:
            return None  # a sampler that fails has no sample
