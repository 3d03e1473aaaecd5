"""The table of waits: at once, then ever longer, and at once again after a long life."""

from itertools import pairwise

from signalhub.embedded.pace import MAX_RESTART_DELAY_S, RestartBackoff


def test_the_first_death_costs_no_wait() -> None:
    assert RestartBackoff().next_delay_s(uptime_s=0.0) == 0.0


def test_repeated_early_deaths_wait_longer_up_to_a_limit() -> None:
    pace = RestartBackoff()
    waits = [pace.next_delay_s(uptime_s=0.1) for _ in range(30)]
    assert all(later >= earlier for earlier, later in pairwise(waits))
    assert waits[:4] == [0.0, 0.1, 0.2, 0.4]
    assert waits[-1] == MAX_RESTART_DELAY_S


def test_a_long_life_is_a_fresh_start() -> None:
    pace = RestartBackoff()
    for _ in range(5):
        pace.next_delay_s(uptime_s=0.1)
    assert pace.next_delay_s(uptime_s=10.0) == 0.0
