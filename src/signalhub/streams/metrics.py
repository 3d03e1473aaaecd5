"""Metrics of the relay and its subscribers, for `/metrics`. A test holds docs/operating.md to them."""

from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge

from signalhub.shared_metrics import BufferedCounter

SUBSCRIBERS = Gauge(
    "signalhub_stream_subscribers", "Open streams.", ["transport"], registry=None, multiprocess_mode="livesum"
)
LAG = Gauge(
    "signalhub_stream_lag_events",
    "Events that the open stream furthest behind has yet to receive.",
    registry=None,
    multiprocess_mode="livemax",
)
BACKFILLS = Counter("signalhub_stream_heals", "Backfills of events that the Redis stream lost.", registry=None)
REFUSED_ENTRIES = Counter(
    "signalhub_stream_refused_entries", "Entries of the Redis stream that contradict the database.", registry=None
)
REDIS_WRITABLE = Gauge(
    "signalhub_redis_writable", "1 while Redis takes writes, else 0.", registry=None, multiprocess_mode="livemin"
)
RING_MISSES = Counter(
    "signalhub_stream_ring_misses", "Pages read from the database for cursors behind the ring.", registry=None
)
RESETS = Counter("signalhub_stream_resets", "Cursors that could not be followed.", ["reason"], registry=None)
"""By reason: malformed, epoch, future."""
GAPS = Counter("signalhub_stream_gaps", "Reports of pruned events to a stream.", registry=None)
REPLACEMENTS = Counter(
    "signalhub_stream_replacements", "Streams that gave way to a newer one at the limit.", ["transport"], registry=None
)
SLOW_CLOSES = Counter(
    "signalhub_stream_slow_closes", "Streams closed because their reader took nothing.", ["transport"], registry=None
)


PUBLISH_FAILURES = Counter(
    "signalhub_publish_failures", "Batches of events that Redis did not take; the relays backfill them.", registry=None
)
_RING_HITS = Counter("signalhub_stream_ring_hits", "Reads that the ring answered without the database.", registry=None)
_BYTES_WRITTEN = Counter("signalhub_stream_bytes", "Bytes written to streams.", registry=None)

# Counted with every write to a stream.
RING_HITS = BufferedCounter(_RING_HITS)
BYTES_WRITTEN = BufferedCounter(_BYTES_WRITTEN)


@cache  # a registry refuses a second registration, and tests make several applications in one process
def register(registry: CollectorRegistry) -> None:
    for collector in (
        *(SUBSCRIBERS, LAG, BACKFILLS, RING_MISSES, RESETS, GAPS, REPLACEMENTS, SLOW_CLOSES),
        *(PUBLISH_FAILURES, REDIS_WRITABLE, REFUSED_ENTRIES, _RING_HITS, _BYTES_WRITTEN),
    ):
        registry.register(collector)
