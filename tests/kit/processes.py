"""Start the processes of the service as an operator does, with their own settings."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from signalhub import redis_clients
from signalhub.embedded.child_processes import spawn
from signalhub.settings import Settings, to_env
from tests.kit.polling import wait_until
from tests.kit.redis_keys import read_redis_keys

_STOP_TIMEOUT_S = 15


class CommandProcess:
    """A `signalhub` command that runs until it is stopped. `log_text` is its whole output."""

    def __init__(self, command: str, settings: Settings, log_path: Path) -> None:
        self.settings, self._log_path = settings, log_path
        env = {name: value for name, value in os.environ.items() if not name.startswith("SIGNALHUB_")}
        with log_path.open("ab") as output:
            self.popen = spawn(
                [sys.executable, "-m", "signalhub", command],
                env=env | to_env(settings),
                stop_signal=signal.SIGKILL,
                output=output,
            )

    @property
    def log_text(self) -> str:
        return self._log_path.read_text(errors="replace")

    def stop(self) -> int:
        """Stop it with SIGTERM; return its exit status."""
        self.popen.terminate()
        try:
            return self.popen.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        """Kill it and all its children with SIGKILL."""
        if self.popen.poll() is None:
            os.killpg(self.popen.pid, signal.SIGKILL)
            self.popen.wait(_STOP_TIMEOUT_S)


def find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def run_web(settings: Settings, log_path: Path) -> AsyncIterator[CommandProcess]:
    """Run `signalhub web`; yield it once it is ready."""
    process = CommandProcess("web", settings, log_path)
    try:
        async with httpx.AsyncClient(base_url=settings.web.base_url, verify=False) as http:  # noqa: S501 - loopback, no TLS
            await wait_until(lambda: _is_ready(process, http))
        yield process
    finally:
        _stop_if_running(process)


@asynccontextmanager
async def run_worker(settings: Settings, log_path: Path) -> AsyncIterator[CommandProcess]:
    """Run `signalhub worker`; yield it once its heartbeat is there."""
    process = CommandProcess("worker", settings, log_path)
    client, keys = redis_clients.connect_async(settings.redis_url, timeout_s=10.0), await read_redis_keys(settings)
    try:

        async def has_heartbeat() -> bool:
            _raise_if_exited(process)
            return bool(await client.exists(keys.worker_heartbeat))

        await wait_until(has_heartbeat)
        yield process
    finally:
        await client.aclose()
        _stop_if_running(process)


async def _is_ready(process: CommandProcess, http: httpx.AsyncClient) -> bool:
    _raise_if_exited(process)
    try:
        return (await http.get("/health/ready")).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _raise_if_exited(process: CommandProcess) -> None:
    if process.popen.poll() is not None:
        raise RuntimeError(f"the process ended with {process.popen.returncode}:\n{process.log_text[-2000:]}")


def _stop_if_running(process: CommandProcess) -> None:
    if process.popen.poll() is None:
        process.stop()
