"""So many signals a minute and account, in this process: a bucket that refills evenly."""

from time import monotonic

import msgspec


class Verdict(msgspec.Struct, frozen=True):
    """`wait_s` until the next one is let through; `left` now."""

    is_allowed: bool
    left: int
    wait_s: int


class Limits:
    """`per_minute` 0 lets everything through."""

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, account_id: str) -> Verdict:
        if not self.per_minute:
            return Verdict(is_allowed=True, left=0, wait_s=0)
        now = monotonic()
        level, at = self._buckets.get(account_id, (float(self.per_minute), now))
        level = min(self.per_minute, level + (now - at) * self.per_minute / 60)
        is_allowed = level >= 1
        level -= is_allowed
        self._buckets[account_id] = level, now
        wait_s = 0 if level >= 1 else int((1 - level) * 60 / self.per_minute) + 1
        return Verdict(is_allowed=is_allowed, left=int(level), wait_s=wait_s)
