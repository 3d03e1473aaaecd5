"""Keep child processes running: restart each that exits or freezes, alone and at once, and stop all of them in time.

`signalhub up` runs servers and commands with it, `web` and `worker` run processes of their own. A child shows by
heartbeats that it came up and is not frozen. Only one that does not come up is restarted with a growing delay.

Everything here is called by the main thread, which forks and handles signals.
"""

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Final, Protocol

import structlog

from signalhub import process_upkeep

INITIAL_RESTART_DELAY_S: Final = 0.1
MAX_RESTART_DELAY_S: Final = 5.0
HEARTBEAT_TIMEOUT_S: Final = 10.0
START_TIMEOUT_S: Final = 60.0
CHILD_STOP_TIMEOUT_S: Final = 4.0
"""Less than half of the 10 s in which a command stops: below `signalhub up`, the servers are stopped after it."""

REPEATED_SIGNAL_S: Final = 0.25
"""Signals within this time are one request: `timeout` signals the process, and at once its group too."""

_MAX_COUNTED_PAUSE_S: Final = 1.0
_POLL_INTERVAL_S: Final = 0.05

STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_log = structlog.get_logger()


class RestartBackoff:
    """Delay before a restart: none after a child that came up; doubling while it does not, so that it costs little."""

    def __init__(self) -> None:
        self._failed_starts = 0

    def next_delay_s(self, *, has_come_up: bool) -> float:
        """Return the delay after a run that has come up, or has not. The first restart is immediate in any case."""
        if has_come_up:
            self._failed_starts = 0
            return 0.0
        self._failed_starts += 1
        if self._failed_starts == 1:
            return 0.0
        doublings = min(self._failed_starts - 2, 10)
        return min(MAX_RESTART_DELAY_S, INITIAL_RESTART_DELAY_S * 2.0**doublings)


class Heartbeat:
    """A pipe into which one run of a child writes every second while its event loop runs.

    Only time in which this process itself ran counts as silence: after a pause of the machine, or of this process,
    every child has been silent without a fault of its own.
    """

    def __init__(self) -> None:
        self._read_end, self.write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        os.set_blocking(self.write_end, False)  # a child must not wait for a supervisor that does not read
        self._silence_s = 0.0
        self._checked_at = time.monotonic()
        self.has_come_up = False

    def check(self) -> bool:
        """Read the heartbeats since the last call. Return whether the child has been silent for too long."""
        now = time.monotonic()
        self._silence_s += min(now - self._checked_at, _MAX_COUNTED_PAUSE_S)
        self._checked_at = now
        with contextlib.suppress(BlockingIOError):
            if os.read(self._read_end, 4096):
                self._silence_s, self.has_come_up = 0.0, True
        return self._silence_s > (HEARTBEAT_TIMEOUT_S if self.has_come_up else START_TIMEOUT_S)

    def close(self) -> None:
        os.close(self._read_end)
        os.close(self.write_end)


class Restartable(Protocol):
    """A server, a command with its processes, or a forked process."""

    @property
    def name(self) -> str: ...

    @property
    def pid(self) -> int | None: ...

    @property
    def status(self) -> int | None:
        """Exit status of the last run, or the negative number of the signal that ended it; None while it runs."""

    def is_alive(self) -> bool: ...

    def is_frozen(self) -> bool: ...

    def has_come_up(self) -> bool:
        """Return whether this run has shown that it works. Not asked again once it has."""

    def launch(self) -> None: ...

    def kill(self) -> None: ...

    def last_log_lines(self) -> str: ...


class ManagedProcess:
    """Restarts one child whenever it exits or freezes."""

    def __init__(self, process: Restartable) -> None:
        self._process = process
        self._backoff = RestartBackoff()
        self._started_at = time.monotonic()
        self._has_come_up = False
        self._next_start_at: float | None = None if process.is_alive() else self._started_at

    def check(self) -> None:
        """Notice an exit or a frozen process, and restart it when its delay has passed."""
        if self._next_start_at is None:
            if not self._process.is_alive():
                self._handle_exit()
            elif self._process.is_frozen():
                _log.warning("supervisor.child_frozen", name=self._process.name, pid=self._process.pid)
                self._handle_exit()
            else:
                self._has_come_up = self._has_come_up or self._process.has_come_up()
        if self._next_start_at is not None and time.monotonic() >= self._next_start_at:
            self._launch()

    def _handle_exit(self) -> None:
        restart_delay_s = self._backoff.next_delay_s(has_come_up=self._has_come_up)
        _log.warning(
            "supervisor.child_exited",
            name=self._process.name,
            status=self._process.status,
            last_log_lines=self._process.last_log_lines(),
            uptime_s=round(time.monotonic() - self._started_at, 1),
            restart_delay_s=restart_delay_s,
        )
        self._process.kill()  # also what it left running, or a frozen one
        self._next_start_at = time.monotonic() + restart_delay_s

    def _launch(self) -> None:
        self._started_at, self._has_come_up = time.monotonic(), False
        try:
            self._process.launch()
        except (OSError, RuntimeError) as error:
            self._next_start_at = self._started_at + self._backoff.next_delay_s(has_come_up=False)
            _log.error("supervisor.start_failed", name=self._process.name, error=str(error))
        else:
            self._next_start_at = None
            _log.info("supervisor.started", name=self._process.name, pid=self._process.pid)


class WatchedProcess:
    """A process with a heartbeat, which is opened before each of its starts and closed with it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._heartbeat: Heartbeat | None = None

    def is_frozen(self) -> bool:
        return self._heartbeat is not None and self._heartbeat.check()

    def has_come_up(self) -> bool:
        return self._heartbeat is not None and self._heartbeat.has_come_up

    def open_heartbeat(self) -> int:
        """Return the file descriptor that the process writes to."""
        self._heartbeat = Heartbeat()
        return self._heartbeat.write_end

    def close_heartbeat(self) -> None:
        if self._heartbeat is not None:
            self._heartbeat.close()
            self._heartbeat = None

    def last_log_lines(self) -> str:
        return ""  # it writes to our stderr


class ForkedProcess(WatchedProcess):
    """A child that runs a function in a fork of this process: it need not import the service again.

    `run` starts with SIGINT and SIGTERM blocked and SIGHUP ignored: this process passes on what it is sent, so a
    signal to the whole group is no second request. It ends after SIGTERM, or is killed.
    """

    def __init__(self, name: str, run: Callable[[], None]) -> None:
        super().__init__(name)
        self._run = run
        self._process: multiprocessing.process.BaseProcess | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def status(self) -> int | None:
        return self._process.exitcode if self._process else None

    def is_alive(self) -> bool:
        return self._process is not None and self._process.is_alive()

    def launch(self) -> None:
        self.kill()
        self.open_heartbeat()
        # Blocked, so that no signal meets the handlers of this process in the child.
        with _block_signals():
            self._process = multiprocessing.get_context("fork").Process(name=self.name, target=self._run_in_child)
            self._process.start()

    def _run_in_child(self) -> None:
        if self._heartbeat is not None:
            os.environ[process_upkeep.HEARTBEAT_VARIABLE] = str(self._heartbeat.write_end)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
        try:
            self._run()
        except Exception:  # noqa: BLE001 - the outermost call of the process
            _log.exception("supervisor.child_failed", name=self.name)
            raise SystemExit(1) from None

    def request_stop(self) -> None:
        if self._process is not None and self._process.is_alive():
            self._process.terminate()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None
        self.close_heartbeat()


@contextlib.contextmanager
def _block_signals() -> Iterator[None]:
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


class StopRequest:
    """What SIGINT, SIGTERM and SIGHUP ask for: to stop and, when repeated, to stop waiting for children.

    `on_signal` is called with the number of each signal, and may raise.
    """

    def __init__(self, on_signal: Callable[[int], None] | None = None) -> None:
        self._on_signal = on_signal
        self._first_at: float | None = None
        self.is_repeated = False

    @property
    def is_made(self) -> bool:
        return self._first_at is not None

    def install_handlers(self) -> None:
        is_hangup_ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN  # by `nohup`
        for signum in STOP_SIGNALS:
            if not (signum == signal.SIGHUP and is_hangup_ignored):
                signal.signal(signum, self._handle)

    def ignore_signals(self) -> None:
        """Ignore a signal that comes while the interpreter ends: by then the handlers are gone, and it would kill."""
        for signum in STOP_SIGNALS:
            signal.signal(signum, signal.SIG_IGN)

    def _handle(self, signum: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._first_at is None:
            self._first_at = now
        elif now - self._first_at >= REPEATED_SIGNAL_S:
            self.is_repeated = True
        if self._on_signal is not None:
            self._on_signal(signum)

    def wait_while(self, condition: Callable[[], bool], timeout_s: float) -> None:
        """Wait until `condition` is false, for at most `timeout_s`, or until the request is repeated."""
        deadline = time.monotonic() + timeout_s
        while condition() and time.monotonic() < deadline and not self.is_repeated:
            time.sleep(_POLL_INTERVAL_S)


def run_processes(processes: Sequence[ForkedProcess]) -> None:
    """Keep the processes running until SIGINT, SIGTERM or SIGHUP, then stop them, with SIGKILL after 4 s."""
    stop = StopRequest()
    stop.install_handlers()
    managed_processes = [ManagedProcess(process) for process in processes]
    try:
        while not stop.is_made:
            for managed_process in managed_processes:
                managed_process.check()
            process_upkeep.send_heartbeat()  # to `signalhub up`
            time.sleep(_POLL_INTERVAL_S)
    finally:
        for process in processes:
            process.request_stop()
        stop.wait_while(lambda: any(process.is_alive() for process in processes), CHILD_STOP_TIMEOUT_S)
        for process in processes:
            process.kill()
        stop.ignore_signals()
