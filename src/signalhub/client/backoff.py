"""Delay before the next connection: the service's advice, doubled with each failure in a row, with jitter."""

from random import SystemRandom
from typing import Final

_MAX_DELAY_S: Final = 10.0
_MAX_DOUBLINGS: Final = 6

_jitter = SystemRandom()


class ReconnectBackoff:
    def __init__(self, initial_delay_s: float = 1.0) -> None:
        self._initial_delay_s = initial_delay_s
        self._failures = 0

    def set_initial_delay(self, retry_ms: int | None) -> None:
        if retry_ms is not None:
            self._initial_delay_s = retry_ms / 1000

    def reset(self) -> None:
        self._failures = 0

    def next_delay_s(self, min_delay_s: float = 0.0) -> float:
        """Return the delay before the next attempt, at least `min_delay_s`, and count one more failure."""
        delay_s: float = min(self._initial_delay_s * 2**self._failures, max(_MAX_DELAY_S, self._initial_delay_s))
        self._failures = min(self._failures + 1, _MAX_DOUBLINGS)
        # Without jitter all clients that lost their connection together would reconnect together.
        return max(min_delay_s, delay_s * _jitter.uniform(0.5, 1.0))
