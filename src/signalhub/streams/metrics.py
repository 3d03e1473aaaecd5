"""Metrics of the relay and its subscribers, for `/metrics`. A test holds docs/operating.md to them."""

from collections.abc import Iterator
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import CounterMetricFamily, Metric

SUBSCRIBERS = Gauge("signalhub_stream_subscribers", "Open streams.", ["transport"], registry=None)
LAG = Gauge(
    "signalhub_stream_lag_events", "Events that the open stream furthest behind has yet to receive.", registry=None
)
BACKFILLS = Counter("signalhub_stream_heals", "Backfills of events that the Redis stream lost.", registry=None)
RING_MISSES = Counter(
    "signalhub_stream_ring_misses", "Pages read from the database for cursors behind the ring.", registry=None
)
RESETS = Counter("signalhub_stream_resets", "Cursors that could not be followed.", ["reason"], registry=None)
"""By reason: malformed, epoch, future."""
GAPS = Counter("signalhub_stream_gaps", "Reports of pruned events to a stream.", registry=None)
SLOW_CLOSES = Counter(
    "signalhub_stream_slow_closes", "Streams closed because their reader took nothing.", ["transport"], registry=None
)


class WriteCounters:
    """Counters of every write as plain numbers: a counter of the library costs as much as the write itself."""

    def __init__(self) -> None:
        self.ring_hits = 0
        self.bytes_written = 0

    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily(
            "signalhub_stream_ring_hits", "Reads that the ring answered without the database.", value=self.ring_hits
        )
        yield CounterMetricFamily("signalhub_stream_bytes", "Bytes written to streams.", value=self.bytes_written)


WRITE_COUNTERS = WriteCounters()


@cache  # a registry refuses a second registration, and tests make several applications in one process
def register(registry: CollectorRegistry) -> None:
    for collector in (SUBSCRIBERS, LAG, BACKFILLS, RING_MISSES, RESETS, GAPS, SLOW_CLOSES, WRITE_COUNTERS):
        registry.register(collector)
