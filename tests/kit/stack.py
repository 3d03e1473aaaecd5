"""The whole service as real processes on a directory and a port of its own, made to be killed.

PostgreSQL and Valkey are children of the tests and stay down when killed until a test starts them again; web and
worker commands are started again by themselves. Nothing here looks into a process: whatever a test finds out, a
client or an operator could.
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

from signalhub.embedded.postgres import Postgres
from signalhub.embedded.valkey import Valkey
from signalhub.jobs import WORKER_HEARTBEAT_KEY
from signalhub.settings import Settings, to_env
from signalhub.streams import redis_stream
from tests.kit.polling import wait_until
from tests.kit.processes import find_free_port
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
        """Every file that a process of ours writes for an operator to read."""
        return sorted(self.directory.rglob("*.log"))

    def start(self) -> Self:
        """From nothing, or again after everything was killed."""
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

    async def wait_until_ready(self, timeout_s: float = 20.0) -> float:
        """Wait until traffic is welcome and a worker is there; the answer is how many seconds it took."""
        began = time.monotonic()
        async with httpx.AsyncClient(base_url=self.base_url, timeout=3.0) as http:
            await wait_until(lambda: _is_ready(http), timeout_s=timeout_s)
        return time.monotonic() - began

    async def read_worker_heartbeat(self) -> bytes | str | None:
        """The process that last said that it works."""
        client = redis_stream.connect(self.settings.redis_url, timeout_s=10.0)  # what is busy may be this machine
        seen = await client.get(WORKER_HEARTBEAT_KEY)
        await client.aclose()
        return seen

    async def restart_postgres(self, *, down_s: float = 0.0, immediate: bool = False) -> None:
        """`immediate` is the stop of that name (every backend ends at once); else `kill -9` of them all."""
        if immediate:
            os.kill(self.postgres.pid, signal.SIGQUIT)
            await asyncio.to_thread(_wait_until_dead, self.postgres)
        await asyncio.to_thread(self.postgres.kill)
        await asyncio.sleep(down_s)
        await asyncio.to_thread(self.postgres.start)

    async def restart_valkey(self, *, down_s: float = 0.0, empty: bool = False) -> None:
        """`kill -9`; `empty`: and everything it knew is gone."""
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
        """One more worker command, for as long as the block lasts."""
        service = self._create_command("worker", self.settings)
        service.start()
        try:
            yield service
        finally:
            service.kill_all()

    @contextmanager
    def run_worker_with(self, **changes: object) -> Iterator[None]:
        """The worker on other settings, for as long as the block lasts."""
        usual = self.worker
        usual.terminate()
        self.worker = self._create_command("worker", change_settings(self.settings, **changes))
        self.worker.start()
        try:
            yield
        finally:
            self.worker.terminate()
            usual.start()
            self.worker = usual

    def _create_command(self, name: str, settings: Settings) -> SupervisedCommand:
        return SupervisedCommand([*_COMMAND, name], _build_environment(settings), self.directory / f"{name}.log")

    def _supervise(self) -> None:
        while not self._is_stopped.wait(_SUPERVISION_INTERVAL_S):
            self.web.restart_if_dead()
            self.worker.restart_if_dead()


class FrozenProcess:
    """`with Frozen(pid):` stops a process and all its children, and lets them go on at the end.

    A black hole: connections stay open and nobody answers.
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
    inherited = {name: text for name, text in os.environ.items() if not name.startswith("SIGNALHUB_")}
    return inherited | to_env(settings)


def _wait_until_dead(server: Postgres) -> None:
    while server.is_alive():
        time.sleep(0.01)


async def _is_ready(http: httpx.AsyncClient) -> bool:
    try:
        answer = await http.get("/health/ready")
    except httpx.TransportError:
        return False
    return answer.is_success and bool(answer.json()["workers"])
