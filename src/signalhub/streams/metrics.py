"""What the relay and its subscribers count, for `/metrics`. docs/operating.md is tested against it."""

from collections.abc import Iterator

from prometheus_client import REGISTRY, Counter, Gauge
from prometheus_client.core import CounterMetricFamily, Metric

SUBSCRIBERS = Gauge("signalhub_stream_subscribers", "Open streams.", ["transport"])
LAG = Gauge("signalhub_stream_lag_events", "How many events the open stream furthest behind has yet to be given.")
BACKFILLS = Counter("signalhub_stream_heals", "Gaps in a channel that were filled from the database.")
RING_MISSES = Counter("signalhub_stream_ring_misses", "Pages read from the database for cursors behind the ring.")
RESETS = Counter("signalhub_stream_resets", "Cursors that could not be followed.", ["reason"])
"""By reason: malformed, epoch, future."""
GAPS = Counter("signalhub_stream_gaps", "Streams that were told of events no longer kept.")
SLOW_CLOSES = Counter("signalhub_stream_slow_closes", "Streams cut because their reader took nothing.", ["transport"])


class WriteCounters:
    """What is counted with every write, as plain numbers: a counter of the library costs as much as the write."""

    def __init__(self) -> None:
        self.ring_hits = 0
        self.bytes_written = 0

    def collect(self) -> Iterator[Metric]:
        yield _counter_family("signalhub_stream_ring_hits", "Reads that the ring could answer.", self.ring_hits)
        yield _counter_family("signalhub_stream_bytes", "Bytes written to streams.", self.bytes_written)


def _counter_family(name: str, documentation: str, value: int) -> CounterMetricFamily:
    return CounterMetricFamily(name, documentation, value=value)


WRITE_COUNTERS = WriteCounters()
REGISTRY.register(WRITE_COUNTERS)
