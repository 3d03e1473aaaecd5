"""`run.py restarts`: processes are killed, frozen and told to stop; how long a client waits, in one row for each case.

The processes of `web` and `worker` are killed on a `Stack`, the commands and servers below a `signalhub up`.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Final

import httpx
import msgspec
import psutil  # type: ignore[import-untyped]  # it ships none

from tests.kit.account_client import AccountClient
from tests.kit.polling import wait_until
from tests.kit.processes import CommandProcess, find_free_port
from tests.kit.setting_changes import make_settings
from tests.kit.signal_texts import BUY
from tests.kit.stack import Stack
from tests.kit.stop_signals import STOP_PATTERNS
from tests.kit.supervised_command import SupervisedCommand, is_process_running

MAX_STOP_S: Final = 10.0
MAX_PAUSE_S: Final = 1.0
MAX_FROZEN_S: Final = 13.0
"""The time without heartbeats after which a process is replaced, and its start."""

MAX_RESTART_S: Final = 4.0
"""The start of a command, with all imports, on a busy machine."""

_PROBE_INTERVAL_S: Final = 0.05
_PROBE_TIMEOUT_S: Final = 10.0
_START_TIMEOUT_S: Final = 30.0
_PROCESSES: Final = 2
_WEB_STARTED: Final = '"web.started"'
_ALL_PARTS: Final = ("web", "worker", "valkey-server", "postgres")


class RestartResult(msgspec.Struct, frozen=True, kw_only=True):
    """One row. `longest_s` is the longest of the times that `limit_s` limits; `failed` counts requests or stops."""

    name: str
    count: int
    failed: int = 0
    longest_s: float
    limit_s: float
    may_fail: bool = False
    """Whether requests that were in a killed process are lost; their senders send again."""

    @property
    def is_met(self) -> bool:
        return self.longest_s <= self.limit_s and (self.may_fail or not self.failed)


class Prober:
    """Sends a signal every 50 ms, each on a connection of its own, and measures the pauses between answers."""

    def __init__(self, base_url: str, headers: dict[str, str]) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        self._http = httpx.AsyncClient(base_url=base_url, headers=headers, limits=limits, timeout=_PROBE_TIMEOUT_S)
        self._answered_at = [time.monotonic()]
        self.failed = 0

    @property
    def longest_pause_s(self) -> float:
        times = sorted(self._answered_at)
        return max((later - earlier for earlier, later in pairwise(times)), default=_PROBE_TIMEOUT_S)

    async def run(self) -> None:
        """Send until this task is cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                group.create_task(self._send())
                await asyncio.sleep(_PROBE_INTERVAL_S)

    async def _send(self) -> None:
        try:
            response = await self._http.post("/api/v1/signals", content=BUY)
        except httpx.TransportError:
            self.failed += 1
            return
        if response.is_success:
            self._answered_at.append(time.monotonic())
        else:
            self.failed += 1

    async def close(self) -> None:
        await self._http.aclose()


@asynccontextmanager
async def probe(base_url: str, headers: dict[str, str]) -> AsyncIterator[Prober]:
    """Probe during the block and for a second after it."""
    prober = Prober(base_url, headers)
    probing = asyncio.create_task(prober.run())
    try:
        await asyncio.sleep(0.5)
        yield prober
        await asyncio.sleep(1.0)
    finally:
        probing.cancel()
        await asyncio.gather(probing, return_exceptions=True)
        await prober.close()


async def kill_web_processes(stack: Stack, *, count: int, interval_s: float) -> RestartResult:
    """Kill the web processes in turn, the oldest first, each once the one before has been replaced."""
    starts = _PROCESSES

    async def are_all_started() -> bool:
        return stack.web.log_path.read_text().count(_WEB_STARTED) >= starts

    await wait_until(are_all_started, timeout_s=30)
    starts = stack.web.log_path.read_text().count(_WEB_STARTED)
    async with _register(stack) as account, probe(stack.base_url, account.headers) as prober:
        for _ in range(count):
            starts += 1
            await asyncio.to_thread(stack.web.kill_child)
            await asyncio.sleep(interval_s)
            await wait_until(are_all_started, timeout_s=30)
    return RestartResult(
        name=f"one of two web processes is killed every {interval_s:g} s: pause between answers",
        count=count,
        failed=prober.failed,
        longest_s=prober.longest_pause_s,
        limit_s=MAX_PAUSE_S,
        may_fail=True,
    )


async def freeze_process(stack: Stack, command: SupervisedCommand, name: str) -> RestartResult:
    """Freeze one of the processes and measure the time until another runs in its place."""
    frozen, *kept = command.child_pids()

    async def is_replaced() -> bool:
        pids = command.child_pids()
        return frozen not in pids and len(pids) == len(kept) + 1

    async with _register(stack) as account, probe(stack.base_url, account.headers) as prober:
        os.kill(frozen, signal.SIGSTOP)
        began = time.monotonic()
        await wait_until(is_replaced, timeout_s=60)
        took_s = time.monotonic() - began
    return RestartResult(
        name=f"one of two {name} processes is frozen: replaced after",
        count=1,
        failed=prober.failed,
        longest_s=took_s,
        limit_s=MAX_FROZEN_S,
        may_fail=True,
    )


@asynccontextmanager
async def _register(stack: Stack) -> AsyncIterator[AccountClient]:
    await stack.wait_until_ready()
    async with httpx.AsyncClient(base_url=stack.base_url) as http:
        yield await AccountClient.register(http)


class UpInstallation:
    """A running `signalhub up` with its data directory."""

    def __init__(self, directory: Path) -> None:
        environment = {name: text for name, text in os.environ.items() if not name.startswith("SIGNALHUB_")}
        environment |= {"SIGNALHUB_DATA_DIR": str(directory / "data"), "SIGNALHUB_PORT": str(find_free_port())}
        with (directory / "up.log").open("ab") as log:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "signalhub", "up", "--json"],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        assert self.popen.stdout is not None
        welcome = json.loads(self.popen.stdout.readline())
        self.url = welcome["url"]
        self.headers = {"X-API-Key": welcome["api_key"] or ""}

    def find_child(self, name: str) -> "psutil.Process":
        """Return a server by its program, or the first process of a command by its last argument."""
        for child in psutil.Process(self.popen.pid).children():
            if child.status() != psutil.STATUS_ZOMBIE and name in {child.name(), *child.cmdline()[-1:]}:
                return child
        raise AssertionError(f"{name} does not run")

    def stop(self) -> float:
        """Stop it with SIGTERM; return how many seconds it took."""
        began = time.monotonic()
        self.popen.terminate()
        self.popen.wait(60)
        return time.monotonic() - began


@contextmanager
def run_up(directory: Path) -> Iterator[UpInstallation]:
    installation = UpInstallation(directory)
    try:
        yield installation
    finally:
        if installation.popen.poll() is None:
            installation.stop()


async def restart_command(up: UpInstallation, name: str, signum: signal.Signals, limit_s: float) -> RestartResult:
    """Send a signal to the first process of `web` or `worker`. The listening socket outlives both."""
    async with probe(up.url, up.headers) as prober:
        old = up.find_child(name)
        old.send_signal(signum)
        await wait_until(lambda: _is_replaced(up, name, old.pid), timeout_s=30)
        await asyncio.sleep(3.0)
    return RestartResult(
        name=f"`up`: {signum.name} to `{name}`: pause between answers",
        count=1,
        failed=prober.failed,
        longest_s=prober.longest_pause_s,
        limit_s=limit_s,
        may_fail=signum == signal.SIGKILL,
    )


async def kill_database(up: UpInstallation, *, count: int, interval_s: float) -> RestartResult:
    """Kill the embedded PostgreSQL again and again: it comes up each time, so it is restarted at once."""
    async with probe(up.url, up.headers) as prober:
        for _ in range(count):
            old = up.find_child("postgres")
            old.kill()
            await wait_until(lambda pid=old.pid: _is_replaced(up, "postgres", pid), timeout_s=30)  # type: ignore[misc]  # bound here
            await wait_until(lambda: _is_ready(up), timeout_s=30)  # one that recovers is not up yet
            await asyncio.sleep(interval_s)
    return RestartResult(
        name=f"`up`: PostgreSQL is killed every {interval_s:g} s: pause between answers",
        count=count,
        failed=prober.failed,
        longest_s=prober.longest_pause_s,
        limit_s=MAX_RESTART_S,
        may_fail=True,
    )


async def _is_replaced(up: UpInstallation, name: str, old_pid: int) -> bool:
    try:
        return up.find_child(name).pid != old_pid and not is_process_running(old_pid)
    except (AssertionError, psutil.Error):
        return False


async def _is_ready(up: UpInstallation) -> bool:
    async with httpx.AsyncClient(base_url=up.url, timeout=_PROBE_TIMEOUT_S) as http:
        return (await http.get("/health/ready")).is_success


def stop_with_frozen_parts(directory: Path, names: tuple[str, ...]) -> RestartResult:
    """Stop `signalhub up` while some of its children, with all their processes, are frozen."""
    with run_up(directory) as up:
        for name in names:
            child = up.find_child(name)
            for process in (child, *child.children(recursive=True)):
                process.suspend()
        took_s = up.stop()
    return RestartResult(
        name=f"`up` stops with frozen {', '.join(names)}", count=1, longest_s=took_s, limit_s=MAX_STOP_S
    )


def stop_by_signals(
    name: str, pattern: str, start: Callable[[], "subprocess.Popen[bytes]"], count: int
) -> RestartResult:
    """Start and stop a command `count` times with one pattern of signals."""
    times = []
    for _ in range(count):
        command = start()
        began = time.monotonic()
        STOP_PATTERNS[pattern](command)
        try:
            command.wait(60)
        finally:
            if command.poll() is None:
                os.killpg(command.pid, signal.SIGKILL)
        times.append(time.monotonic() - began)
    late = sum(took_s > MAX_STOP_S for took_s in times)
    return RestartResult(
        name=f"`{name}` stops, signalled: {pattern}", count=count, failed=late, longest_s=max(times), limit_s=MAX_STOP_S
    )


def run_all(seconds: float, repetitions: int) -> Iterator[RestartResult]:
    """Yield the rows of the table; `repetitions` is how often each command is stopped by each pattern of signals."""
    with _make_directory() as directory:
        settings = make_settings(web_processes=_PROCESSES, worker_processes=_PROCESSES)
        stack = Stack(directory, settings)
        try:
            stack.start()
            yield asyncio.run(kill_web_processes(stack, count=max(1, int(seconds / 3)), interval_s=3.0))
            yield asyncio.run(freeze_process(stack, stack.web, "web"))
            yield asyncio.run(freeze_process(stack, stack.worker, "worker"))
            stack.web.kill_all()
            stack.worker.kill_all()
            for name in ("web", "worker"):
                for pattern in STOP_PATTERNS:
                    yield stop_by_signals(name, pattern, partial(_start_command, name, stack, directory), repetitions)
        finally:
            stack.stop()
    with _make_directory() as directory:
        with run_up(directory) as up:
            for name in ("web", "worker"):
                yield asyncio.run(restart_command(up, name, signal.SIGTERM, MAX_RESTART_S))
                yield asyncio.run(restart_command(up, name, signal.SIGKILL, MAX_RESTART_S))
            yield asyncio.run(kill_database(up, count=5, interval_s=2.0))
        for names in (("web",), ("worker",), ("postgres",), ("valkey-server",), _ALL_PARTS):
            yield stop_with_frozen_parts(directory, names)
        for pattern in STOP_PATTERNS:
            yield stop_by_signals("up", pattern, lambda: UpInstallation(directory).popen, repetitions)


@contextmanager
def _make_directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="signalhub-faults-") as directory:
        yield Path(directory)


def _start_command(name: str, stack: Stack, directory: Path) -> "subprocess.Popen[bytes]":
    log = directory / f"{name}-{time.monotonic_ns()}.log"
    process = CommandProcess(name, stack.settings, log)
    deadline = time.monotonic() + _START_TIMEOUT_S
    while process.log_text.count(f"{name}.started") < _PROCESSES:
        assert time.monotonic() < deadline, process.log_text
        time.sleep(_PROBE_INTERVAL_S)
    return process.popen
