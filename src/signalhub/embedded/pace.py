"""How long to wait before what has died is started again: not at all at first, but never in a tight loop."""

from dataclasses import dataclass

INITIAL_RESTART_DELAY_S = 0.1
MAX_RESTART_DELAY_S = 5.0
STABLE_UPTIME_S = 10.0


@dataclass
class RestartBackoff:
    early_exits: int = 0

    def next_delay_s(self, uptime_s: float) -> float:
        """Return the wait after a life of *life_s*: none, then doubling; a life of 10 s makes it none again."""
        if uptime_s >= STABLE_UPTIME_S:
            self.early_exits = 0
        self.early_exits += 1
        if self.early_exits == 1:
            return 0.0
        doublings = min(self.early_exits - 2, 10)
        return min(MAX_RESTART_DELAY_S, INITIAL_RESTART_DELAY_S * 2.0**doublings)
