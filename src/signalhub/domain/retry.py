"""The retry schedule: exponential backoff with jitter, a pure function of the order and the attempt.

The jitter is drawn from a hash, so that a second worker that decides the same failure decides the same time.
"""

import hashlib
from datetime import datetime, timedelta

import msgspec


class RetryPolicy(msgspec.Struct, frozen=True):
    """`max_attempts` counts all attempts; delays are in seconds."""

    max_attempts: int
    base_delay_s: float
    max_delay_s: float

    def is_exhausted(self, attempts: int) -> bool:
        return attempts >= self.max_attempts

    def schedule_next_attempt(self, order_id: str, failed_attempts: int, now: datetime) -> datetime:
        """Return now + base * 2**(failures - 1), at most the maximum delay, of which the last half is jitter."""
        delay_s = min(self.max_delay_s, self.base_delay_s * 2 ** min(failed_attempts - 1, 30))
        draw = hashlib.sha256(f"{order_id}/{failed_attempts}".encode()).digest()[0] / 255
        return now + timedelta(seconds=delay_s * (0.5 + draw / 2))
