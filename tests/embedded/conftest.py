"""Real servers, each on a fresh directory; none survives its test."""

import pwd
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from signalhub.embedded.postgres import Postgres
from signalhub.embedded.valkey import Valkey


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture(scope="session")
def cluster_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cluster as the first start leaves it; copying one is faster than creating one."""
    with Postgres(tmp_path_factory.mktemp("template")) as server:
        return server.paths.server_dir


@pytest.fixture
def copy_cluster(cluster_template: Path) -> Callable[[Path], Path]:
    """Create a data directory that has a cluster already."""

    def copy(target: Path) -> Path:
        target.mkdir(mode=0o700)
        subprocess.run(["/bin/cp", "-a", cluster_template, target], check=True)  # noqa: S603 - our own
        return target

    return copy


@pytest.fixture
def postgres(data_dir: Path, copy_cluster: Callable[[Path], Path]) -> Iterator[Postgres]:
    with Postgres(copy_cluster(data_dir)) as server:
        yield server


@pytest.fixture
def valkey(data_dir: Path) -> Iterator[Valkey]:
    with Valkey(data_dir) as server:
        yield server


@pytest.fixture
def run_python(data_dir: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run Python in a subprocess, with `postgres` and `valkey` created but not started."""

    def run(body: str, *, user: str = "", where: Path = data_dir) -> subprocess.CompletedProcess[str]:
        lines = [
            "import email.parser, os, signal, sys, threading",
            "from pathlib import Path",
            "from signalhub.embedded.postgres import Postgres",
            "from signalhub.embedded.valkey import Valkey",
            *_build_switch_user_lines(user),
            f"postgres, valkey = Postgres(Path({str(where)!r})), Valkey(Path({str(where)!r}))",
            body,
        ]
        command = [sys.executable, "-c", "\n".join(lines)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603 - our own

    return run


def _build_switch_user_lines(user: str) -> list[str]:
    if not user:
        return []
    # After all imports, late ones of the library too: the interpreter may lie where this user cannot read.
    account = pwd.getpwnam(user)
    return [f"os.setgroups([]); os.setgid({account.pw_gid}); os.setuid({account.pw_uid})"]
