"""How long to wait before the next try: what the service advised, doubled with each failure in a row, with jitter."""

from random import SystemRandom
from typing import Final

_LONGEST_S: Final = 10.0
_MOST_DOUBLINGS: Final = 6

_jitter = SystemRandom()


class Pace:
    def __init__(self, first_s: float = 1.0) -> None:
        self._first_s = first_s
        self._failures = 0

    def advise(self, retry_ms: int | None) -> None:
        if retry_ms is not None:
            self._first_s = retry_ms / 1000

    def succeed(self) -> None:
        self._failures = 0

    def wait_s(self, at_least_s: float = 0.0) -> float:
        """Without jitter all who were cut off together would come back together."""
        wait_s: float = min(self._first_s * 2**self._failures, max(_LONGEST_S, self._first_s))
        self._failures = min(self._failures + 1, _MOST_DOUBLINGS)
        return max(at_least_s, wait_s * _jitter.uniform(0.5, 1.0))
