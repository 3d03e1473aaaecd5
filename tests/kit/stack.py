"""The whole service as real processes with their own directory and port, for tests that kill processes.

PostgreSQL and Valkey stay down after a kill until a test starts them again. Web and worker commands are restarted
automatically. Tests observe the processes only as a client or an operator could.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import httpx
import psutil  # type: ignore[import-untyped]  # it ships none
from cryptography.fernet import Fernet

from signalhub import redis_clients
from signalhub.embedded.postgres import Postgres
from signalhub.embedded.valkey import Valkey
from signalhub.settings import Settings, to_env
from tests.kit.polling import wait_until
from tests.kit.processes import find_free_port
from tests.kit.redis_keys import read_redis_keys
from tests.kit.setting_changes import change_settings
from tests.kit.supervised_command import SupervisedCommand

_COMMAND = [sys.executable, "-m", "signalhub"]
_SUPERVISION_INTERVAL_S = 0.02


class Stack:
    def __init__(self, directory: Path, settings: Settings) -> None:
        self.directory = directory
        self.postgres, self.valkey = Postgres(directory / "data"), Valkey(directory / "data")
        self.settings = change_settings(
            settings,
            database_url=self.postgres.url,
            redis_url=self.valkey.url,
            encryption_keys=Fernet.generate_key().decode(),
            port=find_free_port(),
            log_format="json",
        )
        self.web, self.worker = (
            self._create_command("web", self.settings),
            self._create_command("worker", self.settings),
        )
        self._is_stopped = threading.Event()
        self._supervisor_thread = threading.Thread(target=self._supervise, name="keeper", daemon=True)

    @property
    def base_url(self) -> str:
        return self.settings.web.base_url

    @property
    def log_files(self) -> list[Path]:
        """All log files of the processes."""
        return sorted(self.directory.rglob("*.log"))

    def start(self) -> Self:
        """Start everything, for the first time or after `kill_all`."""
        self.postgres.start()
        self.valkey.start()
        self.migrate()
        self.web.start()
        self.worker.start()
        if not self._supervisor_thread.is_alive():
            self._supervisor_thread.start()
        return self

    def migrate(self) -> None:
        command = [*_COMMAND, "migrate"]
        subprocess.run(command, env=_build_environment(self.settings), check=True, capture_output=True)  # noqa: S603 - our own

    def stop(self) -> None:
        self._is_stopped.set()
        if self._supervisor_thread.is_alive():
            self._supervisor_thread.join()
        self.web.kill_all()
        self.worker.kill_all()
        self.valkey.stop()
        self.postgres.stop()

    async def restart(self) -> None:
        """Stop every process in order, as an operator does, and start it again."""
        await asyncio.to_thread(self.web.terminate)
        await asyncio.to_thread(self.worker.terminate)
        await asyncio.to_thread(self.valkey.stop)
        await asyncio.to_thread(self.postgres.stop)
        await asyncio.to_thread(self.start)

    async def wait_until_ready(self, timeout_s: float = 20.0) -> float:
        """Wait until the service is ready and has a worker; return the seconds it took."""
        started_at = time.monotonic()
        async with httpx.AsyncClient(base_url=self.base_url, timeout=3.0) as http:
            await wait_until(lambda: _is_ready(http), timeout_s=timeout_s)
        return time.monotonic() - started_at

    async def read_worker_heartbeat(self) -> bytes | str | None:
        """Return the last heartbeat of a worker."""
        client = redis_clients.connect_async(self.settings.redis_url, timeout_s=10.0)  # the machine may be busy
        heartbeat = await client.get((await read_redis_keys(self.settings)).worker_heartbeat)
        await client.aclose()
        return heartbeat

    async def restart_postgres(self, *, down_s: float = 0.0, immediate: bool = False) -> None:
        """Stop and start PostgreSQL: with an immediate shutdown (SIGQUIT), or with SIGKILL for every process."""
        if immediate:
            os.kill(self.postgres.pid, signal.SIGQUIT)
            await asyncio.to_thread(_wait_until_dead, self.postgres)
        await asyncio.to_thread(self.postgres.kill)
        await asyncio.sleep(down_s)
        await asyncio.to_thread(self.postgres.start)

    async def restart_valkey(self, *, down_s: float = 0.0, empty: bool = False) -> None:
        """Kill Valkey with SIGKILL and start it again, with `empty` without its data."""
        await asyncio.to_thread(self.valkey.kill)
        if empty:
            await asyncio.to_thread(shutil.rmtree, self.valkey.paths.server_dir)
        await asyncio.sleep(down_s)
        await asyncio.to_thread(self.valkey.start)

    def kill_all(self) -> None:
        self.web.kill_all()
        self.worker.kill_all()
        self.valkey.kill()
        self.postgres.kill()

    @contextmanager
    def run_second_worker(self) -> Iterator[SupervisedCommand]:
        """Run a second worker command during the block."""
        worker = self._create_command("worker", self.settings)
        worker.start()
        try:
            yield worker
        finally:
            worker.kill_all()

    @contextmanager
    def run_worker_with(self, **changes: object) -> Iterator[None]:
        """Run the worker with changed settings during the block."""
        default_worker = self.worker
        default_worker.terminate()
        self.worker = self._create_command("worker", change_settings(self.settings, **changes))
        self.worker.start()
        try:
            yield
        finally:
            self.worker.terminate()
            default_worker.start()
            self.worker = default_worker

    def _create_command(self, name: str, settings: Settings) -> SupervisedCommand:
        return SupervisedCommand([*_COMMAND, name], _build_environment(settings), self.directory / f"{name}.log")

    def _supervise(self) -> None:
        while not self._is_stopped.wait(_SUPERVISION_INTERVAL_S):
            self.web.restart_if_dead()
            self.worker.restart_if_dead()


class FrozenProcess:
    """`with FrozenProcess(pid):` stops a process and its children with SIGSTOP during the block.

    Connections to them stay open and get no answer.
    """

    def __init__(self, pid: int) -> None:
        main = psutil.Process(pid)
        self._pids = [pid, *(child.pid for child in main.children(recursive=True))]

    def __enter__(self) -> Self:
        self._send(signal.SIGSTOP)
        return self

    def __exit__(self, *_: object) -> None:
        self._send(signal.SIGCONT)

    def _send(self, signal_number: signal.Signals) -> None:
        for pid in self._pids:
            os.kill(pid, signal_number)


def _build_environment(settings: Settings) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SIGNALHUB_")}
    return inherited | to_env(settings)


def _wait_until_dead(server: Postgres) -> None:
    while server.is_alive():
        time.sleep(0.01)


async def _is_ready(http: httpx.AsyncClient) -> bool:
    try:
        response = await http.get("/health/ready")
    except httpx.TransportError:
        return False
    return response.is_success and bool(response.json()["workers"])
