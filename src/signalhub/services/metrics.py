"""Metrics of ingest and of the orders' lifecycle. A test holds docs/operating.md to them.

Values are updated once a batch and not once an item: an update costs about as much as parsing a signal. Those that
stand between a signal and its event are buffered: an update takes several times longer in a process that was idle.
"""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from signalhub.shared_metrics import BufferedCounter, BufferedHistogram

SIGNALS: Final = BufferedCounter(Counter("signalhub_ingest_signals", "Signals answered, by outcome.", ["outcome"]))
"""By outcome: accepted, rejected (no valid signal), duplicate."""
BATCH_SIZE: Final = BufferedHistogram(
    Histogram(
        "signalhub_ingest_batch_size", "Signals in one commit.", buckets=(1, 2, 5, 10, 25, 50, 100, 250, 500, 1000)
    )
)
COMMIT_SECONDS: Final = BufferedHistogram(
    Histogram(
        "signalhub_ingest_commit_seconds",
        "Duration of one commit of signals.",
        buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0),
    )
)
COMMIT_FAILURES: Final = Counter("signalhub_ingest_commit_failures", "Commits of signals that failed.")
QUEUE: Final = Gauge("signalhub_ingest_queue", "Signals that wait for the next commit.", multiprocess_mode="livesum")
STEPS: Final = BufferedCounter(Counter("signalhub_worker_steps", "Steps of orders, by result.", ["result"]))
"""By result: moved, retried, unchanged, failed (the broker raised what its interface does not allow)."""
GIVEN_UP_ORDERS: Final = Counter(
    "signalhub_worker_given_up_orders", "Orders that ended because they could not be advanced, by reason.", ["reason"]
)
"""By reason: broker_fault (the broker raised at every attempt), unreadable (a value that no order can have)."""
INTERRUPTED_STEPS: Final = Counter(
    "signalhub_worker_interrupted_steps", "Steps that a worker began and did not finish, and another took up."
)
CLAIM_AGE_SECONDS: Final = BufferedHistogram(
    Histogram(
        "signalhub_worker_claim_age_seconds",
        "How long the oldest order of a claim had been due.",
        buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
    )
)
DUE_BACKLOG: Final = Gauge(
    "signalhub_worker_due_orders",
    "Orders that are due and not claimed, counted up to 10,000.",
    multiprocess_mode="livemax",
)
DIRECT_SWEEPS: Final = Counter(
    "signalhub_worker_direct_sweeps", "Sweeps that the scheduler ran itself, as it could not enqueue them."
)
CORRUPT_MESSAGES: Final = Counter(
    "signalhub_worker_corrupt_messages", "Messages that no actor could process, which were dropped."
)
