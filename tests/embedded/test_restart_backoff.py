"""Restart delays: none, then doubling, and none again after a stable run."""

from itertools import pairwise

from signalhub.embedded.supervisor import MAX_RESTART_DELAY_S, RestartBackoff


def test_first_exit_restarts_immediately() -> None:
    assert RestartBackoff().next_delay_s(uptime_s=0.0) == 0.0


def test_repeated_early_exits_back_off_up_to_maximum() -> None:
    backoff = RestartBackoff()
    delays = [backoff.next_delay_s(uptime_s=0.1) for _ in range(30)]
    assert all(later >= earlier for earlier, later in pairwise(delays))
    assert delays[:4] == [0.0, 0.1, 0.2, 0.4]
    assert delays[-1] == MAX_RESTART_DELAY_S


def test_stable_uptime_resets_backoff() -> None:
    backoff = RestartBackoff()
    for _ in range(5):
        backoff.next_delay_s(uptime_s=0.1)
    assert backoff.next_delay_s(uptime_s=10.0) == 0.0
