"""`web`, `worker` and `up` stop in time, however they are asked to."""

import subprocess
import time
from pathlib import Path

import httpx
import pytest

from tests.cli.conftest import COMMAND, RunCommand, build_environment
from tests.kit.processes import CommandProcess, find_free_port, run_web, run_worker
from tests.kit.servers import Servers
from tests.kit.stop_signals import STOP_PATTERNS

pytestmark = pytest.mark.fault

MAX_STOP_S = 10.0


@pytest.mark.parametrize("pattern", STOP_PATTERNS)
async def test_web_and_worker_stop_within_ten_seconds(servers: Servers, tmp_path: Path, pattern: str) -> None:
    settings = await servers.create_settings(web_processes=2, worker_processes=2)
    async with (
        run_web(settings, tmp_path / "web.log") as web,
        run_worker(settings, tmp_path / "worker.log") as worker,
        httpx.AsyncClient(base_url=settings.web.base_url) as http,
    ):
        assert (await http.get("/health/live")).is_success  # leaves an idle connection open
        began = time.monotonic()
        for command in (web, worker):
            STOP_PATTERNS[pattern](command.popen)
        assert [_wait(command) for command in (web, worker)] == [0, 0]
        assert time.monotonic() - began < MAX_STOP_S


@pytest.mark.parametrize("pattern", ["group", "twice"])
def test_up_stops_within_ten_seconds(tmp_path: Path, pattern: str) -> None:
    environment = build_environment({"data_dir": str(tmp_path / "data"), "port": str(find_free_port())})
    with (tmp_path / "up.log").open("wb") as log:
        up = subprocess.Popen(  # noqa: S603 - our own
            [*COMMAND, "up", "--json"], env=environment, stdout=subprocess.PIPE, stderr=log, start_new_session=True
        )
    assert up.stdout is not None
    assert up.stdout.readline()
    STOP_PATTERNS[pattern](up)
    assert up.wait(MAX_STOP_S) == 0


def _wait(command: CommandProcess) -> int:
    return command.popen.wait(MAX_STOP_S)


async def test_second_web_on_a_taken_port_is_refused(
    servers: Servers, tmp_path: Path, run_in_subprocess: RunCommand
) -> None:
    """Both of one installation and of another: the processes of one command share its port."""
    settings = await servers.create_settings(web_processes=2)
    async with run_web(settings, tmp_path / "web.log") as web:
        refused = run_in_subprocess(
            "web",
            database_url=settings.database_url,
            redis_url=settings.redis_url,
            encryption_keys=settings.encryption_keys,
            port=str(settings.web.port),
        )
        assert refused.returncode == 1
        assert f"Port {settings.web.port} on 127.0.0.1 is in use" in refused.stderr
        async with httpx.AsyncClient(base_url=settings.web.base_url) as http:
            assert (await http.get("/health/ready")).is_success
        assert web.log_text.count("web.started") == 2
