"""Metrics of the feed for Prometheus."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST as CONTENT_TYPE
from prometheus_client.registry import Collector

from edge_fm_runtime.live.web.hub import Hub

__all__ = ["CONTENT_TYPE", "exposition"]


def exposition(hub: Hub) -> bytes:
    """Return the metrics in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Figures(hub))
    return generate_latest(registry)


class _Figures(Collector):
    """Collector that reads the hub on request."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        reading = self._hub.reading
        labels = CounterMetricFamily(
            "edge_fm_frames", "Frames classified, by the label shown.", labels=["label"]
        )
        for label, count in sorted(dict(self._hub.counts).items()):
            labels.add_metric([label], count)
        yield labels
        dropped = reading.dropped if reading else 0
        yield CounterMetricFamily(
            "edge_fm_frames_dropped", "Frames passed over for a newer one.", value=dropped
        )
        for name, text, value in (
            (
                "edge_fm_latency_seconds",
                "From decoded frame to answer.",
                reading and reading.latency_ms / 1000,
            ),
            (
                "edge_fm_frame_age_seconds",
                "Age of the newest frame at its answer.",
                reading and reading.age_ms / 1000,
            ),
            ("edge_fm_frames_per_second", "Over the last frames.", reading and reading.frames_per_second),
            ("edge_fm_confidence", "Of the label shown, 0 to 1.", reading and reading.prediction.confidence),
            ("edge_fm_healthy", "1 if a frame came in the last ten seconds.", float(self._hub.is_healthy)),
            ("edge_fm_uptime_seconds", "Since the start.", self._hub.uptime_s()),
        ):
            yield GaugeMetricFamily(name, text, value=value or 0.0)
