"""So many signals a minute and account, in this process: a bucket that refills evenly."""

from math import ceil
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import msgspec
from litestar.connection import ASGIConnection

if TYPE_CHECKING:
    AnyConnection = ASGIConnection[Any, Any, Any, Any]


_FIELDS: Final = "signalhub.limits"


class Verdict(msgspec.Struct, frozen=True):
    """`wait_s` until the next one is let through; `left` now; `full_s` until the bucket is full again."""

    is_allowed: bool
    left: int = 0
    wait_s: int = 0
    full_s: int = 0


class Limits:
    """`per_minute` 0 lets everything through."""

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, account_id: str) -> Verdict:
        if not self.per_minute:
            return Verdict(is_allowed=True)
        now = monotonic()
        level, at = self._buckets.get(account_id, (float(self.per_minute), now))
        level = min(self.per_minute, level + (now - at) * self.per_minute / 60)
        is_allowed = level >= 1
        level -= is_allowed
        self._buckets[account_id] = level, now
        wait_s = 0 if level >= 1 else int((1 - level) * 60 / self.per_minute) + 1
        full_s = ceil((self.per_minute - level) * 60 / self.per_minute)
        return Verdict(is_allowed=is_allowed, left=int(level), wait_s=wait_s, full_s=full_s)

    def note(self, connection: "AnyConnection", verdict: Verdict) -> None:
        """Leave what the answer's headers will say, whatever the answer will be."""
        if self.per_minute:
            scope: Any = connection.scope
            scope[_FIELDS] = {
                "RateLimit-Policy": f'"signals";q={self.per_minute};w=60',
                "RateLimit": f'"signals";r={verdict.left};t={verdict.full_s}',
            }


def headers(connection: "AnyConnection") -> dict[str, str]:
    """`RateLimit` and its policy (draft-ietf-httpapi-ratelimit-headers), where this request was counted."""
    scope: Any = connection.scope
    found: dict[str, str] = scope.get(_FIELDS, {})
    return found


def encoded(connection: "AnyConnection") -> list[tuple[bytes, bytes]]:
    """The same as an ASGI server takes them."""
    return [(name.lower().encode(), value.encode()) for name, value in headers(connection).items()]
