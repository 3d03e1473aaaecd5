"""So many signals a minute and account, in this process: a bucket that refills evenly."""

from math import ceil
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import msgspec
from litestar.connection import ASGIConnection

if TYPE_CHECKING:
    AnyConnection = ASGIConnection[Any, Any, Any, Any]


_HEADERS_KEY: Final = "signalhub.limits"


class RateLimitDecision(msgspec.Struct, frozen=True):
    """`wait_s` until the next one is let through; `left` now; `full_s` until the bucket is full again."""

    is_allowed: bool
    remaining: int = 0
    retry_after_s: int = 0
    reset_after_s: int = 0


class RateLimiter:
    """`per_minute` 0 lets everything through."""

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._buckets: dict[str, tuple[float, float]] = {}

    def acquire(self, account_id: str) -> RateLimitDecision:
        if not self.per_minute:
            return RateLimitDecision(is_allowed=True)
        now = monotonic()
        level, at = self._buckets.get(account_id, (float(self.per_minute), now))
        level = min(self.per_minute, level + (now - at) * self.per_minute / 60)
        is_allowed = level >= 1
        level -= is_allowed
        self._buckets[account_id] = level, now
        wait_s = 0 if level >= 1 else int((1 - level) * 60 / self.per_minute) + 1
        full_s = ceil((self.per_minute - level) * 60 / self.per_minute)
        return RateLimitDecision(
            is_allowed=is_allowed, remaining=int(level), retry_after_s=wait_s, reset_after_s=full_s
        )

    def store_headers(self, connection: "AnyConnection", decision: RateLimitDecision) -> None:
        """Leave what the answer's headers will say, whatever the answer will be."""
        if self.per_minute:
            scope: Any = connection.scope
            scope[_HEADERS_KEY] = {
                "RateLimit-Policy": f'"signals";q={self.per_minute};w=60',
                "RateLimit": f'"signals";r={decision.remaining};t={decision.reset_after_s}',
            }


def get_headers(connection: "AnyConnection") -> dict[str, str]:
    """`RateLimit` and its policy (draft-ietf-httpapi-ratelimit-headers), where this request was counted."""
    scope: Any = connection.scope
    found: dict[str, str] = scope.get(_HEADERS_KEY, {})
    return found


def get_raw_headers(connection: "AnyConnection") -> list[tuple[bytes, bytes]]:
    """The same as an ASGI server takes them."""
    return [(name.lower().encode(), value.encode()) for name, value in get_headers(connection).items()]
