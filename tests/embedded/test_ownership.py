"""One process owns a data directory; servers that a dead owner left running are replaced."""

import asyncio
import contextlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]  # it ships none
import psutil  # type: ignore[import-untyped]  # it ships none
import pytest

from signalhub.embedded import AlreadyRunning, EmbeddedError
from signalhub.embedded.postgres import Postgres
from signalhub.embedded.valkey import Valkey

RunScript = Callable[..., subprocess.CompletedProcess[str]]
SeedDataDir = Callable[[Path], Path]

START_AND_KILL_SELF = {
    "main thread": "postgres.start(); valkey.start(); os.kill(os.getpid(), signal.SIGKILL)",
    # These get no signal when the parent dies, and survive as orphans.
    "other thread": (
        "thread = threading.Thread(target=lambda: (postgres.start(), valkey.start())); thread.start(); thread.join()\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    ),
}


@pytest.mark.fault
@pytest.mark.parametrize("thread", START_AND_KILL_SELF)
def test_servers_of_a_killed_parent_are_replaced(
    run_python: RunScript, thread: str, data_dir: Path, copy_cluster: SeedDataDir
) -> None:
    copy_cluster(data_dir)
    assert run_python(START_AND_KILL_SELF[thread]).returncode == -9
    for server in (Postgres(data_dir), Valkey(data_dir)):
        with server:
            assert server.is_ready()


def test_second_process_is_refused_and_first_keeps_running(run_python: RunScript, postgres: Postgres) -> None:
    refused = run_python("postgres.start()")
    assert f"AlreadyRunning: {postgres.paths.data_dir} is in use by process {os.getpid()}" in refused.stderr
    assert postgres.is_ready()


def test_second_server_in_one_process_is_refused(postgres: Postgres) -> None:
    second = Postgres(postgres.paths.data_dir)
    with pytest.raises(AlreadyRunning):
        second.start()
    second.kill()
    second.stop()
    assert postgres.is_ready()


@pytest.mark.fault
async def test_busy_backend_of_dead_server_does_not_block_restart(postgres: Postgres) -> None:
    connection = await asyncpg.connect(host=str(postgres.paths.socket_dir), user="signalhub", database="signalhub")
    backend = psutil.Process(await connection.fetchval("select pg_backend_pid()"))
    endless = "do $$ begin loop begin perform 1; exception when query_canceled then end; end loop; end $$"
    query = asyncio.create_task(connection.execute(endless))
    await asyncio.sleep(0.1)
    os.kill(postgres.pid, 9)
    psutil.Process(postgres.pid).wait(5)
    postgres.start()
    assert postgres.is_ready()
    assert not backend.is_running() or backend.status() == psutil.STATUS_ZOMBIE
    with contextlib.suppress(asyncpg.PostgresError, ConnectionError):
        await query


def test_foreign_run_directory_is_refused_and_unchanged(data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "precious" / "postgres").mkdir(parents=True)
    (tmp_path / "precious" / "postgres" / "file").touch()
    server = Postgres(data_dir)
    server.paths.run_dir.symlink_to(tmp_path / "precious")
    try:
        with pytest.raises(EmbeddedError, match="not to be trusted"):
            server.start()
        assert (tmp_path / "precious" / "postgres" / "file").exists()
    finally:
        server.paths.run_dir.unlink()


def test_run_directory_writable_by_others_is_refused(data_dir: Path) -> None:
    server = Postgres(data_dir)
    server.paths.run_dir.mkdir()
    server.paths.run_dir.chmod(0o777)
    try:
        with pytest.raises(EmbeddedError, match="not to be trusted"):
            server.start()
    finally:
        server.paths.run_dir.rmdir()
