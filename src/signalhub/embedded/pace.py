"""How long to wait before what has died is started again: not at all at first, but never in a tight loop."""

from dataclasses import dataclass

FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 5.0
SETTLED_S = 10.0


@dataclass
class Pace:
    early_deaths: int = 0

    def wait_s(self, life_s: float) -> float:
        """Return the wait after a life of *life_s*: none, then doubling; a life of 10 s makes it none again."""
        if life_s >= SETTLED_S:
            self.early_deaths = 0
        self.early_deaths += 1
        if self.early_deaths == 1:
            return 0.0
        doublings = min(self.early_deaths - 2, 10)
        return min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0**doublings)
