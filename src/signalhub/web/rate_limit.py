"""Rate limit of signals: a token bucket for each account, in the memory of this process."""

from math import ceil
from time import monotonic

import msgspec


class RateLimitDecision(msgspec.Struct, frozen=True):
    """`remaining` signals are allowed now; the next one in `retry_after_s`; the bucket is full in `reset_after_s`."""

    is_allowed: bool
    remaining: int = 0
    retry_after_s: int = 0
    reset_after_s: int = 0


class RateLimiter:
    """`per_minute` is the size of a bucket and its refill in a minute; 0 allows everything.

    Each web process has its own buckets: with several processes an account can send that many times as much.
    """

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._buckets: dict[str, tuple[float, float]] = {}

    def acquire(self, account_id: str) -> RateLimitDecision:
        if not self.per_minute:
            return RateLimitDecision(is_allowed=True)
        now = monotonic()
        level, updated_at = self._buckets.get(account_id, (float(self.per_minute), now))
        # Refilled by the time since the last signal, so that no timer is needed.
        level = min(self.per_minute, level + (now - updated_at) * self.per_minute / 60)
        is_allowed = level >= 1
        level -= is_allowed
        self._buckets[account_id] = level, now
        return RateLimitDecision(
            is_allowed=is_allowed,
            remaining=int(level),
            retry_after_s=0 if level >= 1 else int((1 - level) * 60 / self.per_minute) + 1,
            reset_after_s=ceil((self.per_minute - level) * 60 / self.per_minute),
        )

    def build_headers(self, decision: RateLimitDecision) -> dict[str, str]:
        """Return the headers of the response, whether it accepts the signal or not.

        `RateLimit` and its policy follow draft-ietf-httpapi-ratelimit-headers.
        """
        if not self.per_minute:
            return {}
        return {
            "RateLimit-Policy": f'"signals";q={self.per_minute};w=60',
            "RateLimit": f'"signals";r={decision.remaining};t={decision.reset_after_s}',
        }
