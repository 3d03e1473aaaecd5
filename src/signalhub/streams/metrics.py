"""What the relay counts, for `/metrics`."""

from prometheus_client import Counter, Gauge

SUBSCRIBERS = Gauge("signalhub_stream_subscribers", "Open streams.", ["transport"])
HEALS = Counter("signalhub_stream_heals", "Gaps in a channel that were filled from the database.")
RING_MISSES = Counter("signalhub_stream_ring_misses", "Pages read from the database for cursors behind the ring.")
RESETS = Counter("signalhub_stream_resets", "Cursors that could not be followed.", ["reason"])
"""By reason: malformed, epoch, future."""
