"""The table of waits: at once, then ever longer, and at once again after a long life."""

from itertools import pairwise

from signalhub.embedded.supervisor import MAX_RESTART_DELAY_S, RestartBackoff


def test_first_exit_restarts_immediately() -> None:
    assert RestartBackoff().next_delay_s(uptime_s=0.0) == 0.0


def test_repeated_early_exits_back_off_up_to_maximum() -> None:
    pace = RestartBackoff()
    waits = [pace.next_delay_s(uptime_s=0.1) for _ in range(30)]
    assert all(later >= earlier for earlier, later in pairwise(waits))
    assert waits[:4] == [0.0, 0.1, 0.2, 0.4]
    assert waits[-1] == MAX_RESTART_DELAY_S


def test_stable_uptime_resets_backoff() -> None:
    pace = RestartBackoff()
    for _ in range(5):
        pace.next_delay_s(uptime_s=0.1)
    assert pace.next_delay_s(uptime_s=10.0) == 0.0
