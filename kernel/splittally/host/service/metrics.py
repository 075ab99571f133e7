"""What a service counts, in the text format of Prometheus."""

import time
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from splittally.host.service.service import Service


def metrics(service: Service) -> bytes:
    """The figures as they are now."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures(service))
    return generate_latest(registry)


class _Figures(Collector):
    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        service, world = self._service, self._service.kernel._world
        answered = CounterMetricFamily(
            "splittally_requests", "requests by operation and how they ended", labels=["operation", "outcome"]
        )
        for (face, outcome), count in sorted(service.counted.items()):
            answered.add_metric([face, outcome], count)
        yield answered
        yield CounterMetricFamily("splittally_commits", "commits of the journal", world.commits)
        yield GaugeMetricFamily("splittally_frames", "frames in the journal", world.store.head.size)
        yield GaugeMetricFamily("splittally_open_intents", "intents that hold", len(world.state.ledger.holds))
        yield GaugeMetricFamily("splittally_waiting", "requests that wait for the writer", service.waiting)
        yield GaugeMetricFamily("splittally_connections", "open connections", service.connections)
        yield GaugeMetricFamily("splittally_logical_time_seconds", "logical time", world.state.now_ns / 1e9)
        yield GaugeMetricFamily(
            "splittally_up_seconds", "since the start", time.monotonic() - service.started
        )
