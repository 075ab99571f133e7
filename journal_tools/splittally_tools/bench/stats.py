"""Repeated measurements of one thing: median, least and most, on the clock and on the processor.

Rule 1. Repeats of what is compared are interleaved, so that a busy neighbour slows both.
Rule 2. Time on the processor leaves out waiting for the disk and for other programs; both are shown.
"""

import time
from collections.abc import Callable
from statistics import median
from typing import NamedTuple


class Series:
    """Rates of one contestant, in operations a second."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rates: list[float] = []
        self.processor_rates: list[float] = []

    def enter(self, operations: int, seconds: float, processor_seconds: float) -> None:
        self.rates.append(operations / seconds)
        self.processor_rates.append(operations / max(processor_seconds, 1e-9))

    @property
    def rate(self) -> float:
        """The median rate by the clock."""
        return median(self.rates)

    @property
    def processor_rate(self) -> float:
        """The median rate by time on the processor."""
        return median(self.processor_rates)

    def row(self) -> dict[str, float]:
        """The series as JSON: operations a second."""
        return {
            "median": round(self.rate, 1),
            "min": round(min(self.rates), 1),
            "max": round(max(self.rates), 1),
            "on_processor": round(self.processor_rate, 1),
        }


Run = Callable[[], int]  # does some operations and says how many


class Contestant(NamedTuple):
    """What is timed, and what is done after each time without being timed."""

    run: Run
    after: Callable[[], object] = lambda: None


def interleaved(contestants: dict[str, Contestant], repeats: int) -> dict[str, Series]:
    """Each contestant `repeats` times, in turn: A B C A B C; a first turn of each is not counted."""
    series = {name: Series(name) for name in contestants}
    for turn in range(repeats + 1):
        for name, contestant in contestants.items():
            operations, seconds, processor_seconds = timed(contestant.run)
            contestant.after()
            if turn:
                series[name].enter(operations, seconds, processor_seconds)
    return series


def timed(run: Run) -> tuple[int, float, float]:
    """What a run says it did, and the seconds it took: by the clock, and on the processor."""
    processor_started, started = time.process_time(), time.perf_counter()
    operations = run()
    seconds = time.perf_counter() - started
    return operations, seconds, time.process_time() - processor_started


class Ratio(NamedTuple):
    """How one contestant does against another, repeat by repeat."""

    median: float
    least: float
    most: float
    on_processor: float


def ratio(above: Series, below: Series) -> Ratio:
    """The ratios of neighbouring repeats: what drifts, drifts in both."""
    ratios = [ours / floor for ours, floor in zip(above.rates, below.rates, strict=True)]
    processor = [
        ours / floor for ours, floor in zip(above.processor_rates, below.processor_rates, strict=True)
    ]
    return Ratio(median=median(ratios), least=min(ratios), most=max(ratios), on_processor=median(processor))
