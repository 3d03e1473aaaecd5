"""The service's processes, as an operator starts them, on settings of their own."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from signalhub.embedded.child import spawn
from signalhub.settings import Settings, to_env
from tests.kit.waiting import until

_STOP_S = 15


class Process:
    """A `signalhub` command that runs until it is stopped. `log` is everything it has said."""

    def __init__(self, command: str, settings: Settings, log: Path) -> None:
        self.settings, self._log = settings, log
        env = {name: value for name, value in os.environ.items() if not name.startswith("SIGNALHUB_")}
        with log.open("ab") as output:
            self.popen = spawn(
                [sys.executable, "-m", "signalhub", command],
                env=env | to_env(settings),
                farewell=signal.SIGKILL,
                output=output,
            )

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def stop(self) -> int:
        """Ask it to stop; the answer is its exit status."""
        self.popen.terminate()
        try:
            return self.popen.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        """`kill -9` it and all its children."""
        if self.popen.poll() is None:
            os.killpg(self.popen.pid, signal.SIGKILL)
            self.popen.wait(_STOP_S)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def running_web(settings: Settings, log: Path) -> AsyncIterator[Process]:
    """`signalhub web`, answering."""
    process = Process("web", settings, log)
    try:
        async with httpx.AsyncClient(base_url=settings.base_url, verify=False) as http:  # noqa: S501 - loopback, no TLS
            await until(lambda: _is_ready(process, http), timeout_s=20)
        yield process
    finally:
        _end(process)


@asynccontextmanager
async def running_worker(settings: Settings, log: Path) -> AsyncIterator[Process]:
    """`signalhub worker`, listening."""
    from signalhub.jobs import WORKER_SEEN, connect  # noqa: PLC0415 - brings Dramatiq, which most tests need not load

    process = Process("worker", settings, log)
    client = connect(settings.redis_url)
    try:

        async def is_seen() -> bool:
            _check(process)
            return bool(client.exists(WORKER_SEEN))

        await until(is_seen, timeout_s=20)
        yield process
    finally:
        client.close()
        _end(process)


async def _is_ready(process: Process, http: httpx.AsyncClient) -> bool:
    _check(process)
    try:
        return (await http.get("/health/ready")).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _check(process: Process) -> None:
    if process.popen.poll() is not None:
        raise RuntimeError(f"it ended with {process.popen.returncode}:\n{process.log[-2000:]}")


def _end(process: Process) -> None:
    if process.popen.poll() is None:
        process.stop()
