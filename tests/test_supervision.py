"""Restart delays, heartbeats, and forked processes that are killed, frozen and stopped."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it ships none
import pytest

from signalhub import supervision
from signalhub.supervision import MAX_RESTART_DELAY_S, Heartbeat, RestartBackoff

_TWO_PROCESSES = """
import signal, sys, time
from signalhub import process_upkeep, supervision
supervision.HEARTBEAT_TIMEOUT_S = 0.5

def run() -> None:
    if {is_deaf}:
        signal.pthread_sigmask(signal.SIG_BLOCK, {{signal.SIGTERM}})
    else:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {{signal.SIGTERM}})
    while True:
        process_upkeep.send_heartbeat()
        time.sleep(0.05)

supervision.CHILD_STOP_TIMEOUT_S = 1.0
supervision.run_processes([supervision.ForkedProcess(name, run) for name in ("first", "second")])
"""


def test_first_exit_restarts_immediately() -> None:
    assert RestartBackoff().next_delay_s(has_come_up=False) == 0.0


def test_process_that_does_not_come_up_backs_off_up_to_maximum() -> None:
    backoff = RestartBackoff()
    delays = [backoff.next_delay_s(has_come_up=False) for _ in range(30)]
    assert all(later >= earlier for earlier, later in pairwise(delays))
    assert delays[:4] == [0.0, 0.1, 0.2, 0.4]
    assert delays[-1] == MAX_RESTART_DELAY_S


def test_process_that_came_up_is_restarted_at_once_however_often_it_dies() -> None:
    backoff = RestartBackoff()
    for _ in range(5):
        backoff.next_delay_s(has_come_up=False)
    assert [backoff.next_delay_s(has_come_up=True) for _ in range(3)] == [0.0, 0.0, 0.0]


def test_pause_of_the_supervisor_is_no_silence_of_a_child(monkeypatch: pytest.MonkeyPatch) -> None:
    heartbeat = Heartbeat()
    os.write(heartbeat.write_end, b".")
    assert not heartbeat.check()
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 3600)
    assert not heartbeat.check()  # the machine was suspended
    for second in range(1, 12):
        monkeypatch.setattr(time, "monotonic", lambda: now + 3600 + second)  # noqa: B023 - called at once
        is_silent = heartbeat.check()
    assert is_silent
    heartbeat.close()


class RunningPool:
    def __init__(self, directory: Path, *, is_deaf: bool = False) -> None:
        with (directory / "pool.log").open("wb") as log:
            self.popen = subprocess.Popen(  # noqa: S603 - our own
                [sys.executable, "-c", _TWO_PROCESSES.format(is_deaf=is_deaf)],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def children(self) -> set[int]:
        children = psutil.Process(self.popen.pid).children()
        return {child.pid for child in children if child.status() != psutil.STATUS_ZOMBIE}

    def wait_for_new_child(self, old: set[int]) -> set[int]:
        deadline = time.monotonic() + 5
        while len(new := self.children()) < 2 or new == old:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return new


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[RunningPool]:
    running = RunningPool(tmp_path)
    yield running
    running.popen.terminate()
    assert running.popen.wait(5) == 0


def test_killed_process_is_restarted_alone_and_at_once(pool: RunningPool) -> None:
    children = pool.wait_for_new_child(set())
    for _ in range(3):
        time.sleep(0.2)  # it has come up
        killed, kept = sorted(children)
        began = time.monotonic()
        os.kill(killed, signal.SIGKILL)
        children = pool.wait_for_new_child({killed, kept})
        assert kept in children
        assert time.monotonic() - began < 1


def test_frozen_process_is_replaced(pool: RunningPool) -> None:
    frozen, kept = sorted(pool.wait_for_new_child(set()))
    time.sleep(0.2)
    os.kill(frozen, signal.SIGSTOP)
    children = pool.wait_for_new_child({frozen, kept})
    assert kept in children
    assert frozen not in children


def test_frozen_and_deaf_processes_are_killed_at_the_stop(tmp_path: Path) -> None:
    running = RunningPool(tmp_path, is_deaf=True)
    frozen, _ = running.wait_for_new_child(set())
    os.kill(frozen, signal.SIGSTOP)
    running.popen.terminate()
    assert running.popen.wait(supervision.CHILD_STOP_TIMEOUT_S) == 0
