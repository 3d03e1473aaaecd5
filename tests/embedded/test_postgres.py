"""PostgreSQL starts, keeps its data and reports why it cannot run."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]  # it ships none
import psutil  # type: ignore[import-untyped]  # it ships none
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from signalhub.embedded import EmbeddedError
from signalhub.embedded.postgres import Postgres


async def _fetch_value(server: Postgres, query: str) -> object:
    connection = await asyncpg.connect(host=str(server.paths.socket_dir), user="signalhub", database="signalhub")
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_sqlalchemy_connects_to_the_url(postgres: Postgres) -> None:
    engine = create_async_engine(postgres.url)
    async with engine.connect() as connection:
        assert (await connection.execute(text("select lower('ÄÖ')"))).scalar_one() == "äö"
    await engine.dispose()


async def test_commits_are_durable(postgres: Postgres) -> None:
    for setting in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
        assert await _fetch_value(postgres, f"select current_setting('{setting}')") == "on"


async def test_data_survives_a_restart(postgres: Postgres) -> None:
    await _fetch_value(postgres, "create table kept as select 42 as value")
    first = postgres.pid
    postgres.stop()
    assert not postgres.is_alive()
    postgres.start()
    assert postgres.pid != first
    assert await _fetch_value(postgres, "select value from kept") == 42


def test_start_and_stop_are_idempotent(postgres: Postgres) -> None:
    first = postgres.pid
    postgres.start()
    assert postgres.pid == first
    postgres.stop()
    postgres.stop()


async def test_postgres_listens_on_a_private_socket_only(postgres: Postgres) -> None:
    assert await _fetch_value(postgres, "select current_setting('listen_addresses')") == ""
    assert postgres.paths.socket_dir.stat().st_mode & 0o777 == 0o700
    assert postgres.paths.server_dir.stat().st_mode & 0o777 == 0o700
    postgres.stop()
    assert not postgres.paths.run_dir.exists()


async def test_servers_run_side_by_side(
    postgres: Postgres, copy_cluster: Callable[[Path], Path], tmp_path: Path
) -> None:
    with Postgres(copy_cluster(tmp_path / "other")) as other:
        await _fetch_value(postgres, "create table mine ()")
        assert await _fetch_value(other, "select to_regclass('mine')") is None


def test_kill_leaves_no_process_behind(postgres: Postgres) -> None:
    processes = [psutil.Process(postgres.pid), *psutil.Process(postgres.pid).children(recursive=True)]
    postgres.kill()
    time.sleep(0.2)  # an exiting process has no command line any more, but still a pid
    assert not [process for process in processes if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def test_incomplete_cluster_is_recreated(data_dir: Path) -> None:
    (data_dir / "postgres.new" / "base").mkdir(parents=True)
    with Postgres(data_dir) as server:
        assert server.is_alive()


@pytest.fixture
def unrelated_process(postgres: Postgres) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process of the server's user that is not one of ours."""
    with subprocess.Popen(["/bin/sleep", "60"], **postgres.user.popen_options()) as process:
        yield process
        process.kill()


def test_stale_pid_files_with_a_reused_pid_are_harmless(
    postgres: Postgres, unrelated_process: subprocess.Popen[bytes]
) -> None:
    stale = postgres.paths.server_dir / "postmaster.pid", postgres.paths.socket_dir / ".s.PGSQL.5432.lock"
    contents = [file.read_text().splitlines() for file in stale]
    postgres.kill()
    for file, lines in zip(stale, contents, strict=True):
        file.write_text("\n".join([str(unrelated_process.pid), *lines[1:], ""]))
    postgres.start()
    assert postgres.is_alive()
    assert unrelated_process.poll() is None


def test_cluster_of_another_version_is_refused(postgres: Postgres) -> None:
    postgres.stop()
    (postgres.paths.server_dir / "PG_VERSION").write_text("17\n")
    with pytest.raises(EmbeddedError, match=r"was made by PostgreSQL 17 and this is 18: back it up"):
        postgres.start()


def test_directory_that_cannot_be_created_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EmbeddedError, match=r"^\S+/file/data cannot be used: Not a directory\.$"):
        Postgres(tmp_path / "file" / "data").start()


def test_failed_start_reports_last_log_lines(postgres: Postgres) -> None:
    postgres.stop()
    broken = Postgres(postgres.paths.data_dir, settings={"shared_buffers": "plenty"})
    with pytest.raises(
        EmbeddedError, match=r"did not start in .*\n.*FATAL:  invalid value for parameter \"shared_buffers\""
    ):
        broken.start()
    postgres.start()
    assert postgres.is_alive()


def test_run_directory_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError, match="too long a path for a Unix socket"):
        Postgres(tmp_path, run_dir=tmp_path / ("x" * 80))


def test_full_disk_is_named_as_cause(small_disk: Path) -> None:
    with pytest.raises(EmbeddedError, match=r"the disk is full|No space left on device"):
        Postgres(small_disk / "data").start()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["/bin/mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:  # noqa: S603 - our own
        pytest.skip("needs the right to mount")
    yield disk
    subprocess.run(["/bin/umount", str(disk)], check=True)  # noqa: S603 - our own
