"""A Valkey master, its replica and three sentinels with passwords, on loopback ports."""

import asyncio
import signal
import subprocess
from pathlib import Path
from typing import Final, Self

from redis import RedisError

from signalhub.embedded import binaries
from signalhub.embedded.child_processes import SERVER_ENVIRONMENT, spawn
from signalhub.embedded.paths import ServerUser
from signalhub.redis_clients import connect
from tests.kit.polling import wait_until
from tests.kit.processes import find_free_port

SERVICE: Final = "signals"
_PASSWORD: Final = "p@ss/word"
_SENTINEL_PASSWORD: Final = "other"


class SentinelGroup:
    """`url` names the sentinels; `master` is the process that is the master at first."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._executable = str(binaries.find_valkey_server(ServerUser.current()))
        self._ports = [find_free_port() for _ in range(2)]
        self._sentinel_ports = [find_free_port() for _ in range(3)]
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{port}" for port in self._sentinel_ports)
        return f"redis+sentinel://:p%40ss%2Fword@{hosts}/{SERVICE}/0?sentinel_password={_SENTINEL_PASSWORD}"

    @property
    def master(self) -> subprocess.Popen[bytes]:
        return self._processes[0]

    async def start(self) -> Self:
        """Start all; return once the sentinels know the replica and each other."""
        master_port, replica_port = self._ports
        self._start_server(master_port)
        self._start_server(replica_port, "--replicaof", "127.0.0.1", str(master_port))
        for port in self._sentinel_ports:
            self._start_sentinel(port, master_port)
        await wait_until(self._is_complete)
        return self

    def stop(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()

    async def _is_complete(self) -> bool:
        try:
            states = await asyncio.to_thread(self._read_states)
        except RedisError:
            return False
        return all(state["num-slaves"] == 1 and state["num-other-sentinels"] == 2 for state in states)

    def _read_states(self) -> list[dict[str, int]]:
        states = []
        for port in self._sentinel_ports:
            with connect(f"redis://:{_SENTINEL_PASSWORD}@127.0.0.1:{port}") as client:
                states.append(client.sentinel_masters()[SERVICE])
        return states

    def _start_server(self, port: int, *options: str) -> None:
        self._spawn(port, "--save", "", "--requirepass", _PASSWORD, "--masterauth", _PASSWORD, *options)

    def _start_sentinel(self, port: int, master_port: int) -> None:
        lines = [
            f"sentinel monitor {SERVICE} 127.0.0.1 {master_port} 2",
            f"sentinel auth-pass {SERVICE} {_PASSWORD}",
            f"sentinel down-after-milliseconds {SERVICE} 700",
            f"sentinel failover-timeout {SERVICE} 4000",
            f"requirepass {_SENTINEL_PASSWORD}",
            f"sentinel sentinel-pass {_SENTINEL_PASSWORD}",
        ]
        directory = self._make_directory(port)
        (directory / "sentinel.conf").write_text("\n".join(lines), encoding="ascii")
        self._spawn(port, "--sentinel", configuration="sentinel.conf")

    def _spawn(self, port: int, *options: str, configuration: str = "") -> None:
        directory = self._make_directory(port)
        command = [self._executable, *([configuration] if configuration else []), "--port", str(port), *options]
        with (directory / "log").open("ab") as log:
            self._processes.append(
                spawn(command, env=SERVER_ENVIRONMENT, stop_signal=signal.SIGKILL, cwd=directory, output=log)
            )

    def _make_directory(self, port: int) -> Path:
        directory = self._directory / str(port)
        directory.mkdir(exist_ok=True)
        return directory
